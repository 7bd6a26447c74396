"""A page redrawn on a real terminal, which gets it back however the program ends."""

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import sys, time
from mqvpn_gui.command.live_screen import can_redraw, live_screen
assert can_redraw(sys.stdout)
try:
    with live_screen(sys.stdout) as screen:
        screen.show(["first page", "x" * 500])
        screen.show([f"line {number}" for number in range(100)])
        while True:
            time.sleep(0.01)
except KeyboardInterrupt:
    print("end")
"""
ENTER, LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"


class Watched:
    """The program on a terminal of 40 columns and 10 lines."""

    def __init__(self) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(
                TERM="xterm",
                COLUMNS="40",
                LINES="10",
                PYTHONPATH=str(Path(__file__).parents[2]),
            )
            os.execv(sys.executable, [sys.executable, "-c", PROGRAM])  # noqa: S606 - ours
        self.seen = b""

    def wait_for(self, text: bytes, count: int = 1) -> None:
        deadline = time.perf_counter() + 20
        while self.seen.count(text) < count:
            assert time.perf_counter() < deadline, self.seen
            if select.select([self._terminal], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._terminal, 65536)
                except OSError:
                    assert self.seen.count(text) >= count, self.seen
                    return

    def end(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_given_back(how: signal.Signals) -> None:
    watched = Watched()
    watched.wait_for(b"more lines")
    assert watched.seen.startswith(ENTER)
    assert b"x" * 40 + b"\x1b[K" in watched.seen
    assert b"x" * 41 not in watched.seen
    assert b"... 91 more lines" in watched.seen
    os.kill(watched.pid, how)
    watched.wait_for(b"end")
    assert watched.end() == 0
    assert watched.seen.index(LEAVE) < watched.seen.index(b"end")


@pytest.mark.slow
def test_the_terminal_is_given_back_while_the_program_is_stopped() -> None:
    watched = Watched()
    watched.wait_for(b"more lines")
    os.kill(watched.pid, signal.SIGTSTP)
    watched.wait_for(LEAVE)
    os.waitpid(watched.pid, os.WUNTRACED)
    os.kill(watched.pid, signal.SIGCONT)
    watched.wait_for(ENTER, 2)
    os.kill(watched.pid, signal.SIGINT)
    watched.wait_for(b"end")
    assert watched.end() == 0
