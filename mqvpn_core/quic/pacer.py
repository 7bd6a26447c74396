"""Pacing: spread the packets of a window over the round trip (RFC 9002 s7.7).

A token bucket in bytes. It says how much may leave now and when to look again; it sends nothing.
"""

import math

from mqvpn_core.ids import Instant

_BURST_PACKETS = 10
_BURST_SECONDS = 0.005
# A busy event loop in Python comes back only after some milliseconds; what it could not send in the
# meantime must not be lost to the rate.
_MAX_BURST_SECONDS = 0.02
_BURST_VISITS = 2
_LONGEST_VISIT_GAP = 0.05
_QUANTUM_SECONDS = 0.001


class Pacer:
    """Token bucket of one network path.

    Reads: ``budget``, ``next_send_time``. Writes: ``on_sent``, ``set_rate``, ``set_limit``,
    ``set_max_datagram_size``.
    """

    __slots__ = (
        "_limit",
        "_max_datagram_size",
        "_refilled_at",
        "_tokens",
        "_visit_gap",
        "_wanted_rate",
    )

    def __init__(self, *, bytes_per_second: float, max_datagram_size: int) -> None:
        """Start with a full bucket.

        Args:
            bytes_per_second: rate to begin with.
            max_datagram_size: UDP payload bytes of a full packet on this path.
        """
        self._wanted_rate = max(bytes_per_second, 1.0)
        self._limit = math.inf
        self._max_datagram_size = max_datagram_size
        self._refilled_at: Instant | None = None
        # Seconds between two looks, smoothed; what was a pause does not count.
        self._visit_gap = 0.0
        self._tokens = float(self.burst_bytes)

    @property
    def burst_bytes(self) -> int:
        """What may leave at once.

        10 packets, or 5 ms at the current rate if that is more; up to 20 ms for an owner that
        comes so rarely.
        """
        seconds = min(max(_BURST_VISITS * self._visit_gap, _BURST_SECONDS), _MAX_BURST_SECONDS)
        return max(_BURST_PACKETS * self._max_datagram_size, int(self.rate * seconds))

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return min(self._wanted_rate, self._limit)

    def set_rate(self, bytes_per_second: float) -> None:
        """Change the rate from now on."""
        self._wanted_rate = max(bytes_per_second, 1.0)

    def set_limit(self, bytes_per_second: float | None) -> None:
        """Send no faster than this, whatever the path would carry; None takes the limit away."""
        self._limit = math.inf if bytes_per_second is None else max(bytes_per_second, 1.0)

    def set_max_datagram_size(self, max_datagram_size: int) -> None:
        """Take over another packet size of the path."""
        self._max_datagram_size = max_datagram_size

    def budget(self, now: Instant) -> int:
        """Return the bytes that may leave now."""
        self._refill(now)
        return max(0, int(self._tokens))

    def on_sent(self, sent_bytes: int, now: Instant) -> None:
        """Charge for bytes that left; probes may overdraw the bucket."""
        self._refill(now)
        self._tokens = max(self._tokens - sent_bytes, -float(self.burst_bytes))

    def next_send_time(self, now: Instant, size: int) -> Instant | None:
        """Return when a packet of this size may leave; None means now.

        When it has to wait, it waits until a millisecond's worth may leave together: waking up for
        single packets costs more than it smooths.
        """
        self._refill(now)
        if self._tokens >= size:
            return None
        quantum = min(max(size, self.rate * _QUANTUM_SECONDS), self.burst_bytes)
        # One byte more, so that rounding cannot make the moment come a hair too early.
        return Instant(now + (quantum + 1 - self._tokens) / self.rate)

    def _refill(self, now: Instant) -> None:
        if self._refilled_at is None:
            self._refilled_at = now
        elapsed = now - self._refilled_at
        if elapsed > 0:
            self._refilled_at = now
            if elapsed < _LONGEST_VISIT_GAP:
                self._visit_gap += (elapsed - self._visit_gap) / 8
            self._tokens = min(self._tokens + elapsed * self.rate, float(self.burst_bytes))
