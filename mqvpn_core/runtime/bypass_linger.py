"""How long a bypass may keep to itself what it did.

Only acknowledgements wait for that, and those of a batch cost as much as one: the more goes past,
the longer, unless a congestion window needs them to let more leave.
"""

from collections.abc import Callable

from mqvpn_core.ids import Instant

SHORTEST = 0.002
"""Seconds after which a packet that went past is entered in the books."""
UNDER_LOAD = ((1024, 0.02), (128, 0.01))
"""The same where so many packets go past between two rounds. It is well below the
``max_ack_delay`` of 25 ms that we have promised; more than this, on both sides, takes congestion
windows that hardly any path has."""
SECONDS_PER_CONNECTION = 0.0005
"""The same for each connection whose packets went past: to enter them takes half of that, however
many they are."""
LONGEST = 0.02
"""Seconds that nobody waits longer than for the sake of many connections."""
CREDIT_SHARE = 1 / 2
"""Part of the time for which the credit of a lane lasts that may pass before somebody looks: where
the congestion window is hardly enough, acknowledgements that wait would end the lane."""


class BypassLinger:
    """Follows what goes past between two rounds.

    A: `seconds`. B: `on_held`, `on_left`, `on_passed`, `on_released`.
    """

    def __init__(self) -> None:
        """Start with nothing that went past."""
        self._seconds = SHORTEST
        self._left_bytes: dict[int, int] = {}
        self._released_at = Instant(0.0)

    def on_held(self) -> None:
        """The bypass was held; what it did is told next."""
        self._left_bytes.clear()

    def on_left(self, lane: int, left_bytes: int) -> None:
        """So many bytes of UDP payload left on a lane since the bypass was released."""
        if left_bytes:
            self._left_bytes[lane] = left_bytes

    def on_passed(self, packet_count: int, connection_count: int) -> None:
        """So many packets of so many connections went past, both ways, since it was released."""
        self._seconds = max(SHORTEST, min(SECONDS_PER_CONNECTION * connection_count, LONGEST))
        for least, seconds in UNDER_LOAD:
            if packet_count >= least:
                self._seconds = max(self._seconds, seconds)
                break

    def on_released(self, now: Instant) -> None:
        """The bypass goes on."""
        self._released_at = now

    def seconds(self, credit_of: Callable[[int], int], now: Instant) -> float:
        """Return how long to wait the next time.

        Args:
            credit_of: returns the UDP payload bytes that may leave on a lane now.
            now: the time.
        """
        seconds, since = self._seconds, now - self._released_at
        for lane, left_bytes in self._left_bytes.items():
            seconds = min(seconds, CREDIT_SHARE * since * credit_of(lane) / left_bytes)
        return max(seconds, SHORTEST)
