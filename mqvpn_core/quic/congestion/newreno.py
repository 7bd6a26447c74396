"""NewReno: the controller that RFC 9002 s7 and appendix B describe."""

import math

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.base import RttView, initial_window, minimum_window
from mqvpn_core.quic.congestion.delivery_rate import RateSample

_LOSS_REDUCTION_FACTOR = 0.5


class NewRenoController:
    """Doubles per round trip in slow start, then one packet per round trip; halves on loss."""

    name = "newreno"

    def __init__(self, max_datagram_size: int) -> None:
        """Start with the initial window.

        Args:
            max_datagram_size: UDP payload bytes of a full packet on this path.
        """
        self.congestion_window = initial_window(max_datagram_size)
        self.slow_start_threshold = math.inf
        self._max_datagram_size = max_datagram_size
        self._recovery_started_at: Instant | None = None
        self._acked_in_avoidance = 0
        self._before_reduction: tuple[int, float] | None = None

    @property
    def pacing_rate(self) -> None:
        """Left to whoever knows the round-trip time."""

    @property
    def bandwidth(self) -> None:
        """Not known: only the window is."""

    @property
    def state_name(self) -> str:
        """Slow start or not."""
        return "slow start" if self.is_in_slow_start else "avoidance"

    @property
    def is_in_slow_start(self) -> bool:
        """The window still doubles in a round trip."""
        return self.congestion_window < self.slow_start_threshold

    def on_acked(
        self,
        acked_bytes: int,
        sent_at: Instant,
        rtt: RttView,  # noqa: ARG002 - part of the controller interface
        now: Instant,  # noqa: ARG002 - part of the controller interface
        *,
        app_limited: bool,
    ) -> None:
        """Grow, unless in recovery or short of data (RFC 9002 appendix B.5)."""
        if app_limited or self._is_in_recovery(sent_at):
            return
        if self.is_in_slow_start:
            grown = self.congestion_window + acked_bytes
            self.congestion_window = int(min(grown, self.slow_start_threshold))
            return
        # RFC 9002 s7.3.3: at most one max_datagram_size for each window acknowledged.
        self._acked_in_avoidance += acked_bytes
        if self._acked_in_avoidance >= self.congestion_window:
            self._acked_in_avoidance -= self.congestion_window
            self.congestion_window += self._max_datagram_size

    def on_rate_sample(self, sample: RateSample, rtt: RttView, now: Instant) -> None:
        """Do nothing: rates do not matter here."""

    def on_lost(self, lost_bytes: int, largest_sent_at: Instant, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Halve the window once per round trip (RFC 9002 s7.3.2)."""
        self._on_congestion_event(largest_sent_at, now)

    def on_spurious_losses(self, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Take the last reduction back."""
        if self._before_reduction is None:
            return
        window, self.slow_start_threshold = self._before_reduction
        self.congestion_window = max(self.congestion_window, window)
        self._recovery_started_at = None
        self._before_reduction = None

    def on_ecn_ce(self, sent_at: Instant, now: Instant) -> None:
        """React to CE marks as to loss (RFC 9002 s7.1)."""
        self._on_congestion_event(sent_at, now)

    def on_persistent_congestion(self, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Fall to the minimum window (RFC 9002 s7.6.2)."""
        self.congestion_window = minimum_window(self._max_datagram_size)
        self._recovery_started_at = None
        self._before_reduction = None
        self._acked_in_avoidance = 0

    def set_max_datagram_size(self, max_datagram_size: int) -> None:
        """Take over another packet size; an untouched initial window is computed anew."""
        if self.congestion_window == initial_window(self._max_datagram_size):
            self.congestion_window = initial_window(max_datagram_size)
        self._max_datagram_size = max_datagram_size
        self.congestion_window = max(self.congestion_window, minimum_window(max_datagram_size))

    def _is_in_recovery(self, sent_at: Instant) -> bool:
        return self._recovery_started_at is not None and sent_at <= self._recovery_started_at

    def _on_congestion_event(self, sent_at: Instant, now: Instant) -> None:
        if self._is_in_recovery(sent_at):
            return
        self._recovery_started_at = now
        self._before_reduction = (self.congestion_window, self.slow_start_threshold)
        reduced = int(self.congestion_window * _LOSS_REDUCTION_FACTOR)
        self.congestion_window = max(reduced, minimum_window(self._max_datagram_size))
        self.slow_start_threshold = self.congestion_window
        self._acked_in_avoidance = 0
