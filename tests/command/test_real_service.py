"""``mqvpn`` and the real service over a real bus, which starts the service when it is needed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_helper.interface.bus_names import BUS_NAME
from tests.command.runs import LINK
from tests.user.keyring_session import KeyringState
from tests.user.test_real_keyring import desktop

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_BUS = """\
<busconfig><type>session</type><listen>unix:path={directory}/bus</listen><auth>EXTERNAL</auth>
<servicedir>{directory}</servicedir><policy context="default"><allow send_destination="*"/>
<allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""
_SERVICE = """\
[D-BUS Service]
Name={name}
Exec={python} -m tests.command.helper_program
"""


@contextmanager
def system_bus(*, has_service: bool = True) -> Iterator[Mapping[str, str]]:
    """A bus for one test; gives the environment of a program on it."""
    if shutil.which("dbus-daemon") is None:
        reason = "needs the package dbus-daemon"
        if os.environ.get("MQVPN_E2E") == "require":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    if os.geteuid() != 0:
        pytest.skip("needs root: everybody else is asked about by polkit, which is not here")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mq-bus-")))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={directory}/bus",
        }
        configuration = directory / "bus.conf"
        configuration.write_text(_BUS.format(directory=directory))
        if has_service:
            service = _SERVICE.format(name=BUS_NAME, python=sys.executable)
            (directory / f"{BUS_NAME}.service").write_text(service)
        log = stack.enter_context((directory / "log").open("wb"))
        daemon = subprocess.Popen(  # noqa: S603 - a program of the system
            ["dbus-daemon", f"--config-file={configuration}", "--nofork"],  # noqa: S607 - found above
            env=environment,
            stderr=log,
        )
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)
        for _ in range(500):
            if (directory / "bus").exists():
                break
            time.sleep(0.02)
        yield environment


def mqvpn(
    environment: Mapping[str, str], *arguments: str, piped: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "mqvpn_gui.command", *arguments],
        env=dict(environment),
        input=piped,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_day_of_a_tunnel() -> None:
    with system_bus() as environment:
        mqvpn(environment, "profile", "import", "-", piped=LINK.partition("#")[0])
        key = "the-key-of-alice\n"
        up = mqvpn(environment, "up", "--key-stdin", piped=key)
        assert (up.returncode, up.stderr) == (ExitCode.OK, "")
        assert up.stdout == "connected to vpn.example.org:443 as 10.0.0.2/32\n"
        again = mqvpn(environment, "up", "office")
        assert again.stdout == "office is up already: connected\n"

        state = json.loads(mqvpn(environment, "status", "--json").stdout)
        assert (state["state"], state["profile"], state["tun_name"]) == ("up", "Office", "mqvpn0")
        assert state["paths"][0]["rtt_ms"] == 99.0  # a number of now, not of the last change

        changed = mqvpn(environment, "path", "set", "wlan0", "--role", "backup", "--cap", "5 GB")
        assert changed.returncode == ExitCode.OK, changed.stderr
        assert "backup" in mqvpn(environment, "paths").stdout
        events = mqvpn(environment, "events")
        kinds = [line.split()[2] for line in events.stdout.splitlines()]
        assert kinds == ["connected", "role-changed"]
        assert "wlan0 is now backup" in events.stdout

        report = json.loads(mqvpn(environment, "diagnose").stdout)
        assert report
        assert "10.0.0.2" not in json.dumps(report)
        down = mqvpn(environment, "down")
        assert (down.returncode, down.stdout) == (ExitCode.OK, "disconnected\n")
        assert mqvpn(environment, "down").stdout == "there was no tunnel\n"
        assert mqvpn(environment, "recover").returncode == ExitCode.OK
        assert mqvpn(environment, "status").stdout.startswith("off\n")


def test_a_wrong_key_and_a_wrong_wish() -> None:
    with system_bus() as environment:
        mqvpn(environment, "profile", "import", "-", piped=LINK.partition("#")[0])
        wrong = mqvpn(environment, "up", "--key-stdin", piped="wrong\n")
        assert wrong.returncode == ExitCode.SECRET
        assert "the server does not accept the key" in wrong.stderr
        assert mqvpn(environment, "down").returncode == ExitCode.OK
        unset = mqvpn(environment, "path", "set", "wlan0", "--role", "backup")
        assert unset.returncode == ExitCode.FAILURE
        assert "'mqvpn up' opens a tunnel" in unset.stderr
        assert mqvpn(environment, "dns", "10.0.0.1").returncode == ExitCode.FAILURE


def test_watching_and_following_a_tunnel_that_comes_and_goes() -> None:
    with system_bus() as environment, ExitStack() as stack:
        mqvpn(environment, "profile", "import", "-", piped=LINK.partition("#")[0])
        programs = []
        for command in (("status", "--watch", "0.2", "--json"), ("events", "--follow", "--json")):
            program = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "mqvpn_gui.command", *command],
                env=dict(environment),
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(program)  # closes the pipe and waits
            stack.callback(program.terminate)
            programs.append(program)
        status, events = (program.stdout for program in programs)
        assert status is not None
        assert events is not None
        assert json.loads(status.readline())["state"] == "off"
        up = mqvpn(environment, "up", "--key-stdin", piped="the-key-of-alice\n")
        assert up.returncode == ExitCode.OK, up.stderr
        assert json.loads(events.readline())["kind"] == "connected"
        while json.loads(status.readline())["state"] != "up":
            pass
        mqvpn(environment, "down")
        assert json.loads(events.readline())["kind"] == "disconnected"
        while json.loads(status.readline())["state"] != "off":
            pass


def test_without_the_service() -> None:
    with system_bus(has_service=False) as environment:
        outcome = mqvpn(environment, "status")
        assert outcome.returncode == ExitCode.HELPER_MISSING
        assert outcome.stderr.startswith("mqvpn: mqvpn's helper is not installed\n  run: sudo ")


@pytest.mark.parametrize("state", KeyringState)
def test_the_key_goes_from_the_keyring_to_the_helper(state: KeyringState) -> None:
    with system_bus() as bus, desktop(state) as session:
        environment = {
            **session,
            "DBUS_SYSTEM_BUS_ADDRESS": bus["DBUS_SYSTEM_BUS_ADDRESS"],
            "PYTHONPATH": bus["PYTHONPATH"],
        }
        mqvpn(environment, "profile", "import", piped=LINK)
        up = mqvpn(environment, "up")
        if state is KeyringState.UNLOCKED:
            assert (up.returncode, up.stderr) == (ExitCode.OK, "")
            assert up.stdout.startswith("connected to vpn.example.org:443")
        else:
            assert up.returncode == ExitCode.SECRET
            said = {KeyringState.LOCKED: "is locked", KeyringState.ABSENT: "there is no keyring"}
            assert said[state] in up.stderr
            assert "--ask asks for it, --key-stdin reads it" in up.stderr
            given = mqvpn(environment, "up", "--key-stdin", piped="the-key-of-alice\n")
            assert given.returncode == ExitCode.OK, given.stderr
