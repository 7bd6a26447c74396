"""The one place where the program looks at clocks; tests put others in their place."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QDateTime, QElapsedTimer


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Two clocks: one that never jumps, and the one on the wall."""

    steady: Callable[[], float]
    """Seconds; only differences mean something."""
    wall: Callable[[], float]
    """Seconds since 1970."""


def qt_clocks() -> Clocks:
    """The clocks of this machine."""
    timer = QElapsedTimer()
    timer.start()
    return Clocks(
        steady=lambda: timer.nsecsElapsed() / 1e9,
        wall=lambda: QDateTime.currentMSecsSinceEpoch() / 1e3,
    )
