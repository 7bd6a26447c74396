"""Redrawing in place: what is written, and that the terminal is always given back."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from typing_extensions import override

from mqvpn_core.app.live_screen import ENTER, LEAVE, LiveScreen, is_live


class Terminal(io.StringIO):
    """A terminal of a given size."""

    def __init__(self, columns: int = 40, lines: int = 10) -> None:
        super().__init__()
        self.size = os.terminal_size((columns, lines))

    @override
    def isatty(self) -> bool:
        return True

    def get_size(self) -> os.terminal_size:
        return self.size

    def last_page(self) -> list[str]:
        page = self.getvalue().rpartition("\x1b[H")[2].partition("\x1b[J")[0]
        return page.replace("\x1b[K", "").split("\r\n")


def test_pages_are_drawn_over_each_other_without_clearing() -> None:
    terminal = Terminal()
    with LiveScreen(terminal, terminal.get_size) as screen:
        screen.show(["one", "two"])
        screen.show(["three"])
    written = terminal.getvalue()
    assert written.startswith(ENTER)
    assert written.endswith(LEAVE)
    assert "\x1b[2J" not in written
    # Each line erases what was longer before, and the page what was below.
    assert "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J" in written
    assert "\x1b[Hthree\x1b[K\x1b[J" in written


def test_long_lines_and_pages_are_cut_and_the_rest_is_counted() -> None:
    terminal = Terminal(columns=30, lines=5)
    with LiveScreen(terminal, terminal.get_size) as screen:
        assert screen.width == 30
        screen.show([f"{number:>3} " + "x" * 50 for number in range(64)])
    page = terminal.last_page()
    assert len(page) == 5
    assert all(len(line) <= 30 for line in page)
    assert page[3].startswith("  3 ")
    assert page[4].startswith("... 60 more lines")


def test_a_page_that_just_fits_is_whole() -> None:
    terminal = Terminal(lines=3)
    with LiveScreen(terminal, terminal.get_size) as screen:
        screen.show(["a", "b", "c"])
    assert terminal.last_page() == ["a", "b", "c"]


def test_a_window_that_changes_is_obeyed_and_an_absurd_one_survived() -> None:
    terminal = Terminal()
    with LiveScreen(terminal, terminal.get_size) as screen:
        terminal.size = os.terminal_size((0, 0))
        screen.show(["x" * 100] * 100)
        assert len(terminal.last_page()) == 3
        terminal.size = os.terminal_size((80, 50))
        screen.show(["x" * 100] * 20)
        assert [len(line) for line in terminal.last_page()] == [80] * 20


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError, SystemExit])
def test_whichever_way_it_ends_the_terminal_is_given_back(end: type[BaseException]) -> None:
    terminal = Terminal()
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGTSTP)
    screen = LiveScreen(terminal, terminal.get_size)
    with suppress(end), screen:
        screen.show(["x"])
        raise end
    assert terminal.getvalue().endswith(LEAVE)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGTSTP)) == before


def test_sigterm_ends_it_in_order() -> None:
    terminal = Terminal()
    ended = []
    try:
        with LiveScreen(terminal, terminal.get_size):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    except SystemExit as end:
        ended.append(end.code)
    assert ended == [0]
    assert terminal.getvalue().endswith(LEAVE)


_STOPS = """
import os, sys, time
from mqvpn_core.app.live_screen import LiveScreen
with LiveScreen(sys.stdout, lambda: os.terminal_size((40, 10))) as screen:
    screen.show(["one"])
    sys.stdin.readline()
    screen.show(["two"])
"""


@pytest.mark.slow
def test_while_it_is_stopped_the_terminal_is_given_back() -> None:
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _STOPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = b""
        while b"one" not in shown:
            shown += os.read(process.stdout.fileno(), 4096)
        process.send_signal(signal.SIGTSTP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        while not shown.endswith(LEAVE.encode()):
            shown += os.read(process.stdout.fileno(), 4096)
        process.send_signal(signal.SIGCONT)
        process.stdin.write(b"\n")
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert rest.startswith(ENTER.encode())
    assert rest.endswith(LEAVE.encode())


def test_only_terminals_that_can_are_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert is_live(Terminal())
    assert not is_live(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_live(Terminal())
    monkeypatch.delenv("TERM")
    assert not is_live(Terminal())
