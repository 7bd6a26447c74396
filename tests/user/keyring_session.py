"""A session bus of its own with GNOME Keyring on it: unlocked, locked, or not there at all.

The keyring of whoever runs the tests is out of reach: home, runtime directory and bus are new.
"""

import enum
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from jeepney import DBusAddress, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

_CONFIGURATION = """\
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""
"""No services that could be activated: an absent keyring would be started otherwise."""

_SECRETS = "org.freedesktop.secrets"
_SERVICE = DBusAddress("/org/freedesktop/secrets", _SECRETS, "org.freedesktop.Secret.Service")
_TOOLS = {"dbus-daemon": "dbus-daemon", "gnome-keyring-daemon": "gnome-keyring"}
_LIMIT = 10.0


class KeyringState(enum.Enum):
    """What the keyring of a desktop can be like."""

    UNLOCKED = "unlocked"
    LOCKED = "locked"
    ABSENT = "absent"


def need_tools() -> None:
    """Skip, or fail where nothing may be skipped, when the programs are not installed."""
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if not missing:
        return
    reason = f"the keyring tests need the packages {' '.join(missing)}"
    if os.environ.get("MQVPN_E2E") == "require":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def keyring_session(state: KeyringState, directory: Path) -> Iterator[Mapping[str, str]]:
    """Give the environment of a program on such a desktop.

    Args:
        state: what its keyring is like.
        directory: an empty directory; its path has to be short enough for a socket.
    """
    with ExitStack() as stack:
        environment = _environment(directory)
        bus = directory / "bus"
        configuration = directory / "bus.conf"
        configuration.write_text(_CONFIGURATION.format(path=bus))
        _start(stack, ["dbus-daemon", f"--config-file={configuration}", "--nofork"], environment)
        _wait_for(bus.exists)
        if state is not KeyringState.ABSENT:
            daemon = _start(
                stack,
                ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
                environment,
            )
            assert daemon.stdin is not None
            daemon.stdin.write(b"password of the test")
            daemon.stdin.close()
            with _connection(bus) as connection:
                _wait_for(lambda: _has_owner(connection))
                if state is KeyringState.LOCKED:
                    _lock(connection)
        yield environment


def _environment(directory: Path) -> dict[str, str]:
    for name in ("home/.local/share/keyrings", "run"):
        (directory / name).mkdir(parents=True, mode=0o700)
    home = directory / "home"
    return {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={directory / 'bus'}",
    }


def _start(
    stack: ExitStack, command: list[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - programs of the system, named above
        command,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _wait_for(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT  # noqa: TID251 - real programs are started
    while not is_done():
        if time.monotonic() > deadline:  # noqa: TID251 - as above
            pytest.fail(f"a program of the desktop did not start within {_LIMIT:g} s")
        time.sleep(0.02)


@contextmanager
def _connection(bus: Path) -> Iterator[DBusConnection]:
    with open_dbus_connection(f"unix:path={bus}") as connection:
        yield connection


def _has_owner(connection: DBusConnection) -> bool:
    reply = connection.send_and_get_reply(message_bus.NameHasOwner(_SECRETS), timeout=_LIMIT)
    return bool(reply.body[0])


def _lock(connection: DBusConnection) -> None:
    login = "/org/freedesktop/secrets/collection/login"
    reply = connection.send_and_get_reply(
        new_method_call(_SERVICE, "Lock", "ao", ([login],)), timeout=_LIMIT
    )
    locked, prompt = reply.body
    assert (locked, prompt) == ([login], "/")
