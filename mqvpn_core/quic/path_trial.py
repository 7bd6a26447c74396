"""What an idle path carries, found out with padding before a flow is sent over it.

A flow that has a path to itself would pay for a wrong guess with all it gets, and the round-trip
time of an idle path says nothing about its rate. So the idle path is filled for a moment with
packets that nobody misses, as a flow would fill it, and what arrives is counted.
"""

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.carrier_view import CarrierView

TRIAL_SECONDS = 1.5
"""A trial ends after so long, whatever has come out."""
MAX_TRIAL_BYTES = 16 * 1024 * 1024
"""A trial sends no more than about this; paths that carry more in a moment are good enough."""

_SPAN_SECONDS = 0.1
LARGEST_RATE = MAX_TRIAL_BYTES / _SPAN_SECONDS
"""Bytes per second that a trial can show; whoever gets more than that has no need of one."""
_SPAN_ROUND_TRIPS = 2.0
_STALLED = 1.1


class PathTrial:
    """The trial of one path.

    A: ``path_id``, ``rate``, ``is_over``
    C: ``follow``
    """

    def __init__(self, view: CarrierView, *, wanted_rate: float, now: Instant) -> None:
        """Begin.

        Args:
            view: the path as it is now; nothing else wants it.
            wanted_rate: bytes per second beyond which nothing more has to be known.
            now: the time.
        """
        self.path_id: PathId = view.path_id
        self.rate = 0.0
        """Bytes per second of packets that arrived, as far as is known."""
        self.is_over = False
        """Enough is known, or nothing more will be."""
        self._wanted_rate = wanted_rate
        self._started_at = now
        self._first_bytes = view.acked_bytes
        self._span_at = now
        self._span_bytes = view.acked_bytes

    def follow(self, view: CarrierView, now: Instant) -> None:
        """Take in how the path is now; to be called whenever something is sent."""
        span = now - self._span_at
        if span >= max(_SPAN_SECONDS, _SPAN_ROUND_TRIPS * view.smoothed_rtt):
            rate = (view.acked_bytes - self._span_bytes) / span
            has_stalled = not view.is_starting and rate < _STALLED * self.rate
            self.rate = max(self.rate, rate)
            self._span_at, self._span_bytes = now, view.acked_bytes
            self.is_over = has_stalled or self.rate >= self._wanted_rate
        self.is_over = (
            self.is_over
            or now - self._started_at >= TRIAL_SECONDS
            or view.acked_bytes - self._first_bytes >= MAX_TRIAL_BYTES
        )
