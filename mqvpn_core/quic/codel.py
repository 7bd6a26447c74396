"""When the queue of an inner flow has stood for too long: CoDel (RFC 8289).

A queue that absorbs a burst is good, one that never empties only adds delay. The flow is told by a
mark or a loss, first once, then ever more often until the queue is short again.
"""

import math

from mqvpn_core.ids import Instant

INTERVAL = 0.1
"""Seconds that a queue may stand before the flow is told: a long round-trip time."""

MAX_SIGNALS = 16
"""Most signals at once, however late somebody looks."""

_REMEMBERED_INTERVALS = 16


class CodelState:
    """The state of one queue. Input and output: ``signals_due``, when something is to leave."""

    __slots__ = (
        "_count",
        "_is_signalling",
        "_last_count",
        "_looked_at",
        "_next_at",
        "_patient_until",
    )

    def __init__(self) -> None:
        """Start with a short queue."""
        self._patient_until: Instant | None = None
        self._is_signalling = False
        self._next_at = self._looked_at = Instant(-math.inf)
        self._count = self._last_count = 0

    def signals_due(self, waited: float, target: float, now: Instant) -> int:
        """Return how many packets from the head on to mark or to drop (RFC 8289 s5.3 to s5.6).

        Args:
            waited: seconds that the head has waited.
            target: seconds that are acceptable for good.
            now: the time.
        """
        was_empty = now - self._looked_at > INTERVAL
        self._looked_at = now
        if waited < target or was_empty:
            self._patient_until = None
            self._is_signalling = False
            return 0
        if self._patient_until is None:
            self._patient_until = Instant(now + INTERVAL)
            return 0
        if not self._is_signalling:
            if now < self._patient_until:
                return 0
            self._begin(now)
            return 1
        count = 0
        while now >= self._next_at and count < MAX_SIGNALS:
            count += 1
            self._count += 1
            self._next_at = Instant(self._next_at + INTERVAL / math.sqrt(self._count))
        return count

    def _begin(self, now: Instant) -> None:
        # RFC 8289 s5.4: go on with the rate that was needed, if that was not long ago.
        recent = self._count - self._last_count
        is_recent = now - self._next_at < _REMEMBERED_INTERVALS * INTERVAL
        self._is_signalling = True
        self._count = self._last_count = recent if recent > 1 and is_recent else 1
        self._next_at = Instant(now + INTERVAL / math.sqrt(self._count))
