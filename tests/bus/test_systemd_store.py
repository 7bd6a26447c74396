"""With a real systemd and the settings of the shipped unit: when a secret is kept, and when not."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UNIT = HERE.parents[1] / "resources" / "mqvpn-helper.service"
_SETTINGS = r"^(?:Restart|RestartSec|NotifyAccess|FileDescriptorStoreMax|KillMode)=.*$"
_SYSTEMD = Path("/lib/systemd/systemd")


@pytest.mark.netns
@pytest.mark.slow
def test_a_secret_outlives_a_crash_and_a_restart_but_not_a_stop(tmp_path: Path) -> None:
    if not _SYSTEMD.exists() and os.environ.get("MQVPN_E2E") != "require":
        pytest.skip("systemd is missing")
    settings = re.findall(_SETTINGS, UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(settings) == 5
    log, group = tmp_path / "log", f"mq-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    log.touch()
    start = f"ExecStart={sys.executable} -I {HERE / 'secret_keeper.py'} {log}"
    unit = "\n".join(["[Service]", start, *settings, ""])
    (tmp_path / "keeper.service").write_text(unit, encoding="utf-8")
    spaces = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup", "--net")
    try:
        done = subprocess.run(
            [
                *("unshare", *spaces, "--propagation", "private"),
                *("bash", str(HERE / "systemd_user.sh"), str(tmp_path), group),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        _remove_cgroup(group)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [line.split(" ") for line in log.read_text(encoding="ascii").splitlines()]
    processes = [process for process, _ in runs]
    assert [kept for _, kept in runs] == ["", processes[0], processes[1], ""]


def _remove_cgroup(name: str) -> None:
    """Control groups outlive every namespace."""
    script = (
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup && cd /sys/fs/cgroup &&"
        f" {{ echo 1 >{name}/cgroup.kill; sleep 0.2;"
        f" find {name} -depth -type d -exec rmdir {{}} + ; }} 2>/dev/null; true"
    )
    unshare = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script]
    subprocess.run(unshare, check=True)
