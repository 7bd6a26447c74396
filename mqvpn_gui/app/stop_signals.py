"""SIGINT, SIGTERM and SIGHUP end the program in an orderly way, also while Qt waits."""

import os
import signal
from collections.abc import Callable

from PySide6.QtCore import QObject, QSocketNotifier

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals(QObject):
    """Calls a handler when the program is asked to end."""

    def __init__(self, on_stop: Callable[[], None], parent: QObject | None = None) -> None:
        """Listen from now on.

        Args:
            on_stop: called in the event loop.
            parent: owner in Qt's sense.
        """
        super().__init__(parent)
        # Python runs handlers between byte codes only; the pipe wakes Qt up for that.
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._on_stop = on_stop
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, self._ignore) for number in _SIGNALS}
        self._notifier = QSocketNotifier(self._reading, QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_wake_up)

    def close(self) -> None:
        """Restore what was before."""
        self._notifier.setEnabled(False)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before)
        os.close(self._reading)
        os.close(self._writing)

    def _on_wake_up(self) -> None:
        numbers = os.read(self._reading, 64)
        if any(number in numbers for number in _SIGNALS):
            self._on_stop()

    @staticmethod
    def _ignore(_number: int, _frame: object) -> None:
        pass
