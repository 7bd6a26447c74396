"""``mqvpn-core demo`` as a user starts it: works, is honest, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mqvpn_core.demo.programs import executable

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def machine() -> tuple[str, ...]:
    """What the demonstration could leave on this machine."""
    links = sorted(path.name for path in Path("/sys/class/net").iterdir())
    files = sorted(path.name for path in Path("/tmp").glob("mqvpn-demo-*"))  # noqa: S108 - looked at only
    return (*links, *files)


def processes_of(parent: int) -> list[str]:
    """Command lines of running children and grandchildren that mention a demonstration."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "mqvpn-demo-" in command and int(entry.name) != parent:
            found.append(command)
    return found


def test_demo_works_and_tells_it_as_json() -> None:
    before = machine()
    command = [executable(), "demo", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["download_bytes"] > 0
    assert report["counted"]["client_tun"] >= report["download_bytes"]
    assert "all of it worked" in result.stderr
    assert machine() == before
    assert processes_of(-1) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.3, 4.0])
def test_interrupted_demo_leaves_nothing(how: signal.Signals, delay: float) -> None:
    before = machine()
    demo = subprocess.Popen([executable(), "demo"], stdout=subprocess.PIPE, text=True)
    time.sleep(delay)
    demo.send_signal(how)
    output, _ = demo.communicate(timeout=30)
    assert demo.returncode != 0, output
    assert "Traceback" not in output
    assert machine() == before
    assert processes_of(demo.pid) == []


def test_killed_demo_leaves_no_process() -> None:
    """SIGKILL allows no cleaning up: the kernel ends the children and removes the namespaces."""
    demo = subprocess.Popen([executable(), "demo"], stdout=subprocess.DEVNULL)
    time.sleep(3)
    demo.kill()
    demo.wait()
    deadline = time.monotonic() + 5  # noqa: TID251 - waiting for the kernel
    while processes_of(demo.pid) and time.monotonic() < deadline:  # noqa: TID251 - the same
        time.sleep(0.05)
    assert processes_of(demo.pid) == []
