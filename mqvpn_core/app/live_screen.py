"""A page redrawn in place on a terminal, which is afterwards as it was before."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Self, TextIO

from mqvpn_core.app.exit_codes import ExitCode

ENTER = "\x1b[?1049h\x1b[?25l"
"""To the alternate screen; no cursor."""
LEAVE = "\x1b[?25h\x1b[?1049l"
"""Back, with cursor."""
_HOME = "\x1b[H"
_REST_OF_LINE = "\x1b[K"
_REST_OF_SCREEN = "\x1b[J"
# Terminals that know synchronised updates show each page whole; others ignore these.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"

_SMALLEST = os.terminal_size((20, 3))


def is_live(output: TextIO) -> bool:
    """Tell whether pages can be redrawn in place there."""
    return output.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class LiveScreen:
    """A context manager round the time in which the terminal is ours.

    Whichever way it ends (Ctrl-C, SIGTERM, an error) and whenever it is stopped (Ctrl-Z), the
    terminal is given back first.
    """

    def __init__(self, output: TextIO, get_size: Callable[[], os.terminal_size]) -> None:
        """Take a terminal.

        Args:
            output: the terminal.
            get_size: returns its size at the moment.
        """
        self._output = output
        self._get_size = get_size
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Clear the screen."""
        with ExitStack() as stack:
            stack.callback(self._write, LEAVE)
            for number, handler in ((signal.SIGTERM, _leave), (signal.SIGTSTP, self._pause)):
                stack.callback(signal.signal, number, signal.signal(number, handler))
            self._write(ENTER)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        self._stack.close()

    @property
    def width(self) -> int:
        """Characters in a line."""
        return max(self._get_size().columns, _SMALLEST.columns)

    def show(self, lines: Sequence[str]) -> None:
        """Show a page; what does not fit below is counted."""
        height = max(self._get_size().lines, _SMALLEST.lines)
        shown = list(lines)
        if len(shown) > height:
            hidden = len(shown) - height + 1
            shown[height - 1 :] = [f"... {hidden} more lines; a taller window shows them"]
        width = self.width
        page = "\r\n".join(line[:width] + _REST_OF_LINE for line in shown)
        # No line end behind the last line: it would scroll a full screen.
        self._write(_BEGIN + _HOME + page + _REST_OF_SCREEN + _END)

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()

    def _pause(self, number: int, frame: FrameType | None) -> None:
        """Stop as Ctrl-Z wants it, but not with the terminal in our hands."""
        del number, frame
        self._write(LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._write(ENTER)


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(ExitCode.OK)
