"""Path MTU discovery by probing: how large a UDP payload may one network path carry?

Pure bookkeeping of sizes: the owner sends a probe of the size it is told and reports what became
of it. Sizes are UDP payload bytes.

Implements DPLPMTUD (RFC 8899) as RFC 9000 s14.3 and s14.4 apply it.
"""

from mqvpn_core.ids import Instant
from mqvpn_core.quic.transport_config import BASE_DATAGRAM_SIZE

MAX_PROBES = 3
"""Losses of one size before it counts as too large (RFC 8899 s5.1.2)."""
RAISE_INTERVAL = 600.0
"""Seconds after which the search begins again (RFC 8899 s5.1.1)."""
GRANULARITY = 8
"""The search ends when it could gain less than this."""
BLACK_HOLE_EVENTS = 4
"""Loss events of large packets in a row, none acknowledged, that reveal a black hole."""
BLACK_HOLE_PROBE_TIMEOUTS = 2

# UDP payloads that fill common MTUs, over IPv6 and over IPv4: Ethernet (1500), PPPoE (1492),
# tunnels (1480, 1420), mobile networks (1430, 1400, 1358), the IPv6 minimum (1280), jumbo frames.
_COMMON_SIZES = (
    1232, 1252, 1310, 1330, 1352, 1372, 1382, 1392, 1402, 1432, 1444, 1452, 1464, 1472,
    8952, 8972,
)  # fmt: skip
_FIRST_PROBE = 1452


class PathMtuDiscovery:
    """Search for the largest datagram of one network path.

    Reads: ``current``, ``is_settled``. Inputs: ``start``, ``on_probe_sent``, ``on_probe_acked``,
    ``on_probe_lost``, ``on_acked``, ``on_lost``, ``on_probe_timeout``, ``on_send_refused``,
    ``handle_timeout``. Outputs: ``next_probe``, ``next_timeout``.

    Invariants: ``BASE_DATAGRAM_SIZE <= current <= ceiling``; one probe at a time; ``current`` grows
    only when a probe of that size was acknowledged. Inputs return True when ``current`` changed.
    """

    def __init__(self, *, ceiling: int, base: int = BASE_DATAGRAM_SIZE) -> None:
        """Start at the base, not searching yet.

        Args:
            ceiling: largest size worth probing: what the interface and the peer allow.
            base: size that is taken for granted.
        """
        self.current = base
        self._base = base
        self._ceiling = max(ceiling, base)
        # Everything above is known or believed not to pass.
        self._limit = self._ceiling
        self._is_searching = False
        self._raise_at: Instant | None = None
        self._in_flight: int | None = None
        self._target: int | None = None
        self._loss_count = 0
        self._large_loss_events = 0
        self._last_large_loss_at: Instant | None = None

    @property
    def is_settled(self) -> bool:
        """No search is under way."""
        return not self._is_searching

    @property
    def has_probe_in_flight(self) -> bool:
        """The fate of a probe is not known yet."""
        return self._in_flight is not None

    def start(self, now: Instant) -> None:
        """Begin to search; the path is validated and the handshake complete (RFC 9000 s14.3.1)."""
        self._is_searching = True
        self._raise_at = None
        self._choose_target(now)

    def next_probe(self, now: Instant) -> int | None:  # noqa: ARG002 - outputs carry the time
        """Return the size to probe now, None when there is nothing to probe."""
        return None if self._in_flight is not None else self._target

    def on_probe_sent(self, size: int, now: Instant) -> None:  # noqa: ARG002 - every input carries the time
        """A probe of this size left."""
        self._in_flight = size

    def on_probe_acked(self, size: int, now: Instant) -> bool:
        """A probe arrived."""
        self._end_probe(size)
        self._note_large_acked(size)
        if not self.current < size <= self._limit:
            return False
        self.current = size
        self._choose_target(now)
        return True

    def on_probe_lost(self, size: int, now: Instant) -> bool:
        """A probe was declared lost; that alone says nothing about congestion (RFC 9000 s14.4)."""
        self._end_probe(size)
        if size != self._target:
            return False
        self._loss_count += 1
        if self._loss_count >= MAX_PROBES:
            self._limit = min(self._limit, size - 1)
            self._choose_target(now)
        return False

    def on_acked(self, size: int) -> None:
        """An ordinary packet of this size was acknowledged."""
        self._note_large_acked(size)

    def on_lost(self, size: int, now: Instant) -> bool:
        """An ordinary packet of this size was lost.

        A packet is declared lost only because a later one was acknowledged. If that happens again
        and again to large packets while no large packet gets through, the path swallows them.
        """
        if size <= self._base or now == self._last_large_loss_at:
            return False
        self._last_large_loss_at = now
        self._large_loss_events += 1
        return self._large_loss_events >= BLACK_HOLE_EVENTS and self._fall_back(now)

    def on_probe_timeout(self, pto_count: int, smallest_in_flight: int, now: Instant) -> bool:
        """A PTO expired.

        Args:
            pto_count: how many in a row.
            smallest_in_flight: size of the smallest outstanding ack-eliciting packet; when even
                that is large, nobody knows whether small packets pass.
            now: the time.
        """
        is_suspicious = pto_count >= BLACK_HOLE_PROBE_TIMEOUTS and smallest_in_flight > self._base
        return is_suspicious and self._fall_back(now)

    def on_send_refused(self, size: int, now: Instant) -> bool:
        """The host refused a datagram of this size as too large for the interface."""
        if size <= self._base:
            return False
        self._end_probe(size)
        self._limit = min(self._limit, size - 1)
        if self.current > self._limit:
            return self._fall_back(now)
        if self._is_searching:
            self._choose_target(now)
        return False

    def next_timeout(self) -> Instant | None:
        """Return when to search again."""
        return self._raise_at

    def handle_timeout(self, now: Instant) -> bool:
        """Search again up to the ceiling, if it is time (RFC 8899 s5.1.1)."""
        if self._raise_at is not None and now >= self._raise_at:
            self._limit = self._ceiling
            self.start(now)
        return False

    def _fall_back(self, now: Instant) -> bool:
        """Return to the base and search again below what no longer passes (RFC 8899 s4.3)."""
        if self.current == self._base:
            return False
        self._limit = min(self._limit, self.current - 1)
        self.current = self._base
        self._large_loss_events = 0
        self.start(now)
        return True

    def _note_large_acked(self, size: int) -> None:
        if size > self._base:
            self._large_loss_events = 0

    def _end_probe(self, size: int) -> None:
        if self._in_flight == size:
            self._in_flight = None

    def _choose_target(self, now: Instant) -> None:
        self._loss_count = 0
        self._target = self._next_target()
        if self._target is None:
            self._is_searching = False
            if self.current < self._ceiling:
                self._raise_at = Instant(now + RAISE_INTERVAL)

    def _next_target(self) -> int | None:
        """Return the size to try next between ``current`` and the limit."""
        low, limit = self.current, self._limit
        if limit - low < GRANULARITY:
            # The ceiling itself is worth a try even for a few bytes.
            return limit if low < limit == self._ceiling else None
        if limit == self._ceiling:
            # Most paths carry what their interface carries: try that before halving. For jumbo
            # frames and loopback first take what Ethernet gives.
            return _FIRST_PROBE if low < _FIRST_PROBE < limit else limit
        common = [size for size in _COMMON_SIZES if low < size <= limit]
        middle = (low + limit + 1) // 2
        return min(common, key=lambda size: abs(size - middle), default=middle)
