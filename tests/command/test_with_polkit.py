"""``mqvpn`` run by ordinary users against the real helper, real polkitd and polkit's text agent."""

import os
import pty
import select
import shutil
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mqvpn_gui.command.exit_codes import ExitCode
from tests.bus.conftest import open_bus
from tests.bus.seats import USERS
from tests.bus.system_bus import SystemBus

pytestmark = [pytest.mark.netns, pytest.mark.slow]

LINK = "mqvpn://alice@192.0.2.9/?name=Office"
ASK_THE_USER = """
polkit.addRule(function(action, subject) {
    if (action.id.indexOf("org.mqvpn.") == 0) { return polkit.Result.AUTH_SELF; }
});
"""
_PATIENCE = 30.0


@contextmanager
def home_of(user: str) -> Iterator[Path]:
    """A home directory."""
    directory = Path(tempfile.mkdtemp(prefix="mq-home-"))
    try:
        os.chown(directory, USERS[user], USERS[user])
        yield directory
    finally:
        shutil.rmtree(directory)


def mqvpn(home: Path, *arguments: str) -> list[str]:
    """The command line of ``mqvpn`` for somebody with this home and no keyring."""
    return [
        *("env", "-i", f"HOME={home}", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TERM=dumb"),
        "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring",
        *(sys.executable, "-I", "-m", "mqvpn_gui.command", *arguments),
    ]


def piped(text: str, command: Sequence[str]) -> list[str]:
    """The same with something on its standard input."""
    return ["sh", "-c", 'text=$1; shift; printf "%s\\n" "$text" | "$@"', "sh", text, *command]


def test_an_ordinary_user_needs_no_password_and_others_are_told_why_not() -> None:
    with open_bus() as bus, home_of("alice") as home, home_of("carol") as other_home:
        added = bus.run(piped(LINK, mqvpn(home, "profile", "import")), user="alice")
        assert (added.returncode, added.stderr) == (ExitCode.OK, "")
        up = bus.run(piped("k", mqvpn(home, "up", "--no-wait", "--key-stdin")), user="alice")
        assert (up.returncode, up.stdout) == (ExitCode.OK, "connecting to 192.0.2.9:443\n"), up
        mine = bus.run(mqvpn(home, "status"), user="alice")
        assert "  profile      Office" in mine.stdout
        theirs = bus.run(mqvpn(other_home, "status"), user="carol")
        assert f"belongs to user {USERS['alice']}; its details are private" in theirs.stdout
        assert "Office" not in theirs.stdout
        for command in (("down",), ("events",), ("path", "set", "eth0", "--role", "never")):
            refused = bus.run(mqvpn(other_home, *command), user="carol")
            assert refused.returncode == ExitCode.NOT_AUTHORIZED, refused
            assert refused.stderr.startswith("mqvpn: you may not do that (org.mqvpn.others")
        switch = bus.run(mqvpn(home, "killswitch", "always"), user="alice")
        assert switch.returncode == ExitCode.NOT_AUTHORIZED
        assert "log in at this machine itself" in switch.stderr
        down = bus.run(mqvpn(home, "down"), user="alice")
        assert (down.returncode, down.stdout) == (ExitCode.OK, "disconnected\n")


@pytest.mark.parametrize(("password", "code"), [("right", 0), ("wrong", 3)])
def test_the_password_is_asked_for_on_the_terminal(password: str, code: int) -> None:
    with open_bus(rules=ASK_THE_USER) as bus, home_of("alice") as home:
        bus.run(["sh", "-c", "echo alice:right | chpasswd"])
        ended, screen = _at_a_terminal(bus, mqvpn(home, "dns", "10.0.0.1"), password)
        # There is no tunnel: who may ask for it learns that, who may not does not.
        assert ("'mqvpn up' opens a tunnel" in screen) is (code == 0), screen
        assert ("you may not do that" in screen) is (code != 0), screen
        assert ended == (code or ExitCode.FAILURE)


def _at_a_terminal(bus: SystemBus, command: Sequence[str], password: str) -> tuple[int, str]:
    """Run a command of alice on a terminal and type the password when it is asked for."""
    line = bus.command(command, user="alice")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(line[0], line)  # noqa: S606 - a command of this file
    seen, typed = b"", 0
    deadline = time.perf_counter() + _PATIENCE
    try:
        while time.perf_counter() < deadline:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                seen += os.read(terminal, 4096)
            except OSError:  # the terminal's other end is gone
                break
            if seen.count(b"assword:") > typed:
                typed = seen.count(b"assword:")
                # The agent prints its prompt, then switches the echo off and discards input.
                while termios.tcgetattr(terminal)[3] & termios.ECHO:
                    time.sleep(0.02)
                os.write(terminal, password.encode() + b"\n")
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen.decode(errors="replace")
