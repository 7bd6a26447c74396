"""Tells when packets come so fast that looking at intervals costs less than waking for each.

What a wake-up costs is nearly the same for one packet and for twenty. So under load a driver stops
waiting for its descriptors and looks at all of them together at intervals, as drivers of network
cards do; the packets wait that long, which a loaded link hides.
"""

from collections.abc import Callable
from contextlib import closing

import trio

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.short_sleep import ShortSleep

INTERVAL = 0.002
"""Seconds between two looks that bring much; the kernel makes it up to a millisecond more."""
FULL_COUNT = 128
"""Packets of a look that has brought much."""
SHORTEST_INTERVAL = 0.0005
"""Seconds between two looks that bring little, where round trips are short: with each of them TCP
inside learns how much there is room for, and would never get beyond what it has."""
LONGEST_INTERVAL = 0.004
"""The same where round trips are long: nobody notices, and each look brings more."""
ROUND_TRIP_SHARE = 1 / 12
"""Part of the shortest round trip that may pass between looks; it is waited for on both sides."""
ROUND_TRIP_LIFETIME = 1.0
"""Seconds until the round trips are asked for again."""

WINDOW = 0.004
"""Seconds over which packets are counted."""
HIGH_COUNT = 24
"""Packets in a window with which load begins: more than a dialogue over a fast link has."""
LOW_COUNT = 8
"""Load is over when a window has fewer."""


class LoadWatch:
    """Counts packets.

    A: `is_high`. B: `note`. D: `take_interval`. Tasks: `look_at_intervals`, `wait_high`,
    `wait_low`.
    """

    def __init__(self, shortest_round_trip: Callable[[], float]) -> None:
        """Start without load.

        Args:
            shortest_round_trip: returns that of all paths now, in seconds; 0 while it is unknown.
        """
        self.is_high = False
        """Look at intervals now."""
        self._count = 0
        self._looked_count = 0
        self._shortest_round_trip = shortest_round_trip
        self._interval = SHORTEST_INTERVAL
        self._asked_at = Instant(float("-inf"))
        self._since = Instant(float("-inf"))
        self._changed = trio.Event()

    def take_interval(self, now: Instant) -> float:
        """Seconds from the last look to the next."""
        count, self._looked_count = self._looked_count, 0
        if count >= FULL_COUNT:
            return INTERVAL
        if now - self._asked_at >= ROUND_TRIP_LIFETIME:
            self._asked_at = now
            unnoticed = self._shortest_round_trip() * ROUND_TRIP_SHARE
            self._interval = min(max(unnoticed, SHORTEST_INTERVAL), LONGEST_INTERVAL)
        return self._interval

    def note(self, packet_count: int, now: Instant) -> None:
        """Take in what one look has brought."""
        is_over = now - self._since >= WINDOW
        self._looked_count += packet_count
        if self.is_high:
            self._count += packet_count
            if is_over:
                if self._count < LOW_COUNT:
                    self._change()
                self._begin(now)
            return
        if is_over:
            self._begin(now)
        self._count += packet_count
        if self._count >= HIGH_COUNT:
            self._change()
            self._begin(now)

    async def look_at_intervals(
        self, look: Callable[[Instant], None], calm_down: Callable[[], None]
    ) -> None:
        """Call ``look`` at intervals while there is load, and ``calm_down`` when it is over."""
        looked_at = read_clock()
        with closing(ShortSleep()) as sleep:
            while True:
                await self.wait_high()
                while self.is_high:
                    # From the last look: one that took longer is followed by the next at once.
                    await sleep.until(Instant(looked_at + self.take_interval(looked_at)))
                    looked_at = read_clock()
                    look(looked_at)
                calm_down()

    async def wait_high(self) -> None:
        """Return while there is load."""
        while not self.is_high:
            await self._changed.wait()

    async def wait_low(self) -> None:
        """Return while there is no load."""
        while self.is_high:
            await self._changed.wait()

    def _begin(self, now: Instant) -> None:
        self._count = 0
        self._since = now

    def _change(self) -> None:
        self.is_high = not self.is_high
        self._changed.set()
        self._changed = trio.Event()
