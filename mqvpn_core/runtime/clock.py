"""The one place where the running process looks at the clock: trio's, as an `Instant`."""

import math

import trio

from mqvpn_core.ids import Instant

_SHORTEST_WAIT = 1e-6
"""A deadline that is already due must still let virtual time move on."""


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
        wanted = math.inf if deadline is None else deadline
        if wanted == self._deadline:
            return
        self._deadline = wanted
        if self._scope is not None:
            self._scope.deadline = max(wanted, trio.current_time() + _SHORTEST_WAIT)

    async def wait(self) -> None:
        """Return when the deadline has passed; then there is none until `set` gives one."""
        earliest = trio.current_time() + _SHORTEST_WAIT
        with trio.CancelScope(deadline=max(self._deadline, earliest)) as scope:
            self._scope = scope
            try:
                await trio.sleep_forever()
            finally:
                self._scope = None
        self._deadline = math.inf
