"""The systemd units: sound, closed enough, and what they leave is enough to run."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mqvpn_core.demo.programs import Program, executable, start_program
from mqvpn_core.demo.topology import WEB_IPV4
from tests.e2e.conftest import serve_web
from tests.e2e.topology import UP_PATIENCE, Lab, eventually

_ROOT = Path(__file__).resolve().parents[2]
_UNITS = sorted((_ROOT / "resources").glob("*.service"))
_SYSTEMD_UNITS = [unit for unit in _UNITS if "[Service]" in unit.read_text(encoding="utf-8")]
_OUR_TWO = {"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"}
_SERVER_UID = 61003

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and os.environ.get("MQVPN_E2E") != "require",
    reason="systemd-analyze is missing (package systemd)",
)


def _capabilities(unit: Path) -> set[str]:
    text = unit.read_text(encoding="utf-8")
    line = re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)
    assert line is not None
    return set(line[1].split())


def test_there_is_a_unit_for_each_program() -> None:
    names = {unit.name for unit in _SYSTEMD_UNITS}
    assert names >= {"mqvpn-server.service", "mqvpn-client@.service", "mqvpn-helper.service"}


@pytest.mark.slow
@needs_systemd
@pytest.mark.parametrize("unit", _SYSTEMD_UNITS, ids=lambda unit: unit.name)
def test_units_are_sound(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    copy = tmp_path / unit.name.replace("@", "@home")
    copy.write_text(re.sub(r"/usr/bin/mqvpn-\w+", "/bin/true", text), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert unit.stem.partition("@")[0] not in done.stderr, done.stderr


@pytest.mark.slow
@needs_systemd
@pytest.mark.parametrize("unit", _SYSTEMD_UNITS, ids=lambda unit: unit.name)
def test_units_leave_little_open(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@pytest.mark.parametrize("name", ["mqvpn-server.service", "mqvpn-client@.service"])
def test_server_and_client_have_two_capabilities(name: str) -> None:
    assert _capabilities(_ROOT / "resources" / name) == _OUR_TWO


@pytest.mark.netns
@pytest.mark.slow
def test_a_server_needs_no_more_than_its_unit_gives(lab: Lab) -> None:
    server, runtime = _server_as_its_unit(lab)
    lines = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 1 << 12 | 1 << 10
    assert status["Uid"].split() == [str(_SERVER_UID)] * 4
    assert any(runtime.iterdir())
    lab.connect()
    serve_web(lab)
    assert lab.ping(lab.world.client, WEB_IPV4).code == 0
    assert server.stop() == 0


@pytest.mark.netns
@pytest.mark.slow
def test_recover_takes_back_what_a_dead_server_of_the_unit_has_left(lab: Lab) -> None:
    before = lab.world.server.host_state()
    server, runtime = _server_as_its_unit(lab)
    server.stop(signal.SIGKILL)
    assert lab.world.server.host_state() != before
    # Where it is on a machine with the unit; the journal is the server's, and so is who reads it.
    script = (
        "mount -t tmpfs tmpfs /run && mkdir -m 700 /run/mqvpn /run/mqvpn-server &&"
        f' mount --bind {runtime} /run/mqvpn-server && exec "$@"'
    )
    recover = [
        *("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"),
        *(sys.executable, str(_ROOT / "tests/helper/reachable.py"), executable(), "recover"),
    ]
    done = lab.run(lab.world.server, recover)
    assert done.code == 0, done.output
    assert "undid what a process that is gone had changed" in done.output
    # The kernel takes its own routes of a forwarding machine back in its own time.
    eventually(lambda: lab.world.server.host_state() == before, UP_PATIENCE, "restored machine")
    again = lab.run(lab.world.server, recover)
    assert (again.code, again.output) == (0, "nothing of mqvpn was left on this machine\n")


def _server_as_its_unit(lab: Lab) -> tuple[Program, Path]:
    """Start a server with the user and the capabilities of its unit; its runtime directory."""
    runtime, state = lab.directory / "run", lab.directory / "state"
    for directory in (runtime, state):
        directory.mkdir(mode=0o700)
    for path in (lab.directory, runtime, state, *lab.credentials.certificate.parent.iterdir()):
        os.chown(path, _SERVER_UID, _SERVER_UID)
    lab.credentials.certificate.parent.chmod(0o755)
    names = [
        name.removeprefix("CAP_").lower()
        for name in _capabilities(_ROOT / "resources" / "mqvpn-server.service")
    ]
    wanted = ",".join(["-all", *(f"+{name}" for name in names)])
    command = [
        *("env", f"RUNTIME_DIRECTORY={runtime}"),
        *(sys.executable, str(_ROOT / "tests/helper/reachable.py")),
        *(_setpriv(), f"--reuid={_SERVER_UID}", f"--regid={_SERVER_UID}", "--clear-groups"),
        *(f"--inh-caps={wanted}", f"--ambient-caps={wanted}", f"--bounding-set={wanted}"),
        *("--no-new-privs", "--", executable(), "server", "--listen", "[::]:443"),
        *("--cert", str(lab.credentials.certificate), "--key", str(lab.credentials.private_key)),
        *("--auth-key-file", str(lab.credentials.auth_key)),
        *("--lease-file", str(state / "leases.json")),
        *("--control-socket", str(lab.directory / "server.sock")),
    ]
    server = start_program("server", lab.world.server, command, lab.directory)
    lab.programs.append(server)
    server.wait_for(lambda _status: True, UP_PATIENCE, "listening socket")
    return server, runtime


def _setpriv() -> str:
    found = shutil.which("setpriv")
    assert found is not None, "setpriv is part of util-linux"
    return found
