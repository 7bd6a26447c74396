"""The one place where the running process looks at the clock: trio's, as an `Instant`."""

import math

import trio

from mqvpn_core.ids import Instant

_SHORTEST_WAIT = 1e-6
"""A deadline that is already due must still let virtual time move on."""
_WORTH_TELLING = 0.01
"""Seconds of delay from which on trio is told: to wake in vain costs as much as many such calls,
but a deadline that every packet puts off a little is worth none of them."""


def read_clock() -> Instant:
    """Return the current time of trio's clock; tests put a virtual one in its place."""
    return Instant(trio.current_time())


class DeadlineTimer:
    """One deadline that may be moved at any time, and one task that waits for it."""

    def __init__(self) -> None:
        """Start with no deadline."""
        self._deadline = math.inf
        self._scope: trio.CancelScope | None = None

    def set(self, deadline: Instant | None) -> None:
        """Move the deadline; `None` means never."""
        self._deadline = wanted = math.inf if deadline is None else deadline
        scope = self._scope
        if scope is None:
            return
        if wanted < scope.deadline:
            scope.deadline = max(wanted, trio.current_time() + _SHORTEST_WAIT)
        elif wanted > scope.deadline + _WORTH_TELLING:
            scope.deadline = wanted

    async def wait(self) -> None:
        """Return when the deadline has passed; then there is none until `set` gives one."""
        wake_at = max(self._deadline, trio.current_time() + _SHORTEST_WAIT)
        while True:
            with trio.CancelScope(deadline=wake_at) as scope:
                self._scope = scope
                try:
                    await trio.sleep_forever()
                finally:
                    self._scope = None
            wake_at = self._deadline
            if wake_at <= trio.current_time():
                break
        self._deadline = math.inf
