"""Sleeps of a millisecond or two that end when they should.

What waits by an event loop's own deadlines is woken at whole milliseconds, and by an exception that
unwinds it, which costs as much as the work of a quiet round. A timer of the kernel is a descriptor
like any other.
"""

import ctypes
import os
from typing import Final

import trio

from mqvpn_core.ids import Instant

_CLOCK_MONOTONIC: Final = 1  # linux/time.h
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_NANOSECONDS: Final = 1_000_000_000
_VALUE: Final = slice(2, 4)  # of a struct itimerspec, behind the interval
_libc: Final = ctypes.CDLL(None, use_errno=True)


class ShortSleep:
    """A timer of the kernel; where time is not real, trio's.

    Tasks: `until`. C: `close`.
    """

    def __init__(self) -> None:
        """Open the timer."""
        clock = trio.lowlevel.current_clock()
        # A clock that somebody moves has nothing to do with the kernel's.
        is_real = 0 < clock.deadline_to_sleep_time(clock.current_time() + 1.0) <= 1.0
        create = getattr(_libc, "timerfd_create", None)
        self._fd = create(_CLOCK_MONOTONIC, _FLAGS) if is_real and create is not None else -1
        self._times = (ctypes.c_long * 4)()

    async def until(self, deadline: Instant) -> None:
        """Return when a time has come."""
        seconds = deadline - trio.current_time()
        if self._fd < 0:
            await trio.sleep_until(deadline)
        elif seconds <= 0:
            await trio.lowlevel.checkpoint()
        else:
            nanoseconds = max(int(seconds * _NANOSECONDS), 1)
            self._times[_VALUE] = list(divmod(nanoseconds, _NANOSECONDS))
            _libc.timerfd_settime(self._fd, 0, self._times, None)
            await trio.lowlevel.wait_readable(self._fd)
            os.read(self._fd, 8)

    def close(self) -> None:
        """Give the timer back; harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
