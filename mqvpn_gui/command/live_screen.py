"""A page that is redrawn in place on a terminal, which is afterwards as it was before."""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TextIO

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def can_redraw(output: TextIO) -> bool:
    """Tell whether pages can be redrawn in place there."""
    return output.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class LiveScreen:
    """A page on a terminal; made by `live_screen`."""

    def __init__(self, output: TextIO) -> None:
        """Draw there."""
        self._output = output

    def show(self, lines: Sequence[str]) -> None:
        """Show a page; what does not fit below is counted."""
        size = shutil.get_terminal_size()
        shown = [line[: size.columns] for line in lines]
        if len(shown) > size.lines > 1:
            hidden = len(shown) - size.lines + 1
            shown[size.lines - 1 :] = [f"... {hidden} more lines"[: size.columns]]
        # No line end behind the last line: it would scroll a full screen.
        self.write(_HOME + "\r\n".join(line + _REST_OF_LINE for line in shown) + _REST_OF_SCREEN)

    def write(self, text: str) -> None:
        """Write at once."""
        self._output.write(text)
        self._output.flush()


@contextmanager
def live_screen(output: TextIO) -> Iterator[LiveScreen]:
    """Take the terminal; given back however this ends, and while the program is stopped."""
    screen = LiveScreen(output)

    def pause(number: int, frame: FrameType | None) -> None:
        del number, frame
        screen.write(_LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        screen.write(_ENTER)

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    with ExitStack() as stack:
        stack.callback(screen.write, _LEAVE)
        for number, handler in ((signal.SIGTERM, end), (signal.SIGTSTP, pause)):
            stack.callback(signal.signal, number, signal.signal(number, handler))
        screen.write(_ENTER)
        yield screen
