"""Tells when packets come so fast that looking at intervals costs less than waking for each.

What a wake-up costs is nearly the same for one packet and for twenty. So under load a driver stops
waiting for its descriptors and looks at all of them together at intervals, as drivers of network
cards do; the packets wait that long, which a loaded link hides.
"""

import trio

from mqvpn_core.ids import Instant

INTERVAL = 0.002
"""Seconds between two looks under load; the kernel makes it up to a millisecond more."""

SHORT_INTERVAL = 0.0005
"""The same while looks bring little: with each of them TCP inside learns how much there is room
for, and where links are short it would never get beyond what it has."""
FULL_COUNT = 128
"""Packets of a look that make the next one wait."""

WINDOW = 0.004
"""Seconds over which packets are counted."""
HIGH_COUNT = 24
"""Packets in a window with which load begins: more than a dialogue over a fast link has."""
LOW_COUNT = 8
"""Load is over when a window has fewer."""


class LoadWatch:
    """Counts packets.

    A: `is_high`. B: `note`. D: `take_interval`. Tasks: `wait_high`, `wait_low`.
    """

    def __init__(self) -> None:
        """Start without load."""
        self.is_high = False
        """Look at intervals now."""
        self._count = 0
        self._looked_count = 0
        self._since = Instant(float("-inf"))
        self._changed = trio.Event()

    def take_interval(self) -> float:
        """Seconds from the last look to the next; short where the last one brought little."""
        count, self._looked_count = self._looked_count, 0
        return INTERVAL if count >= FULL_COUNT else SHORT_INTERVAL

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
