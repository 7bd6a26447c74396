"""CUBIC (RFC 9438) with HyStart++ in the first slow start (RFC 9406)."""

import math

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.base import RttView, initial_window, minimum_window
from mqvpn_core.quic.congestion.hystart import HyStart

_C = 0.4
_BETA = 0.7
# RFC 9438 s4.3: makes the Reno-friendly estimate as fast as Reno with a decrease of one half.
_ALPHA = 3 * (1 - _BETA) / (1 + _BETA)
_MAX_GROWTH = 1.5


class CubicController:
    """Grows along a cubic curve around the window at which packets were last lost.

    Windows inside the curve are counted in packets, as in the RFC; the public ones in bytes.
    """

    def __init__(self, max_datagram_size: int) -> None:
        """Start with the initial window.

        Args:
            max_datagram_size: UDP payload bytes of a full packet on this path.
        """
        self.slow_start_threshold = math.inf
        self._window = float(initial_window(max_datagram_size))
        self._max_datagram_size = max_datagram_size
        self._recovery_started_at: Instant | None = None
        self._hystart: HyStart | None = HyStart()
        self._w_max = 0.0
        self._window_before_event = 0.0
        self._epoch_started_at: Instant | None = None
        self._last_acked_at = Instant(0.0)
        self._k = 0.0
        self._w_est = 0.0

    @property
    def congestion_window(self) -> int:
        """Bytes that may be in flight."""
        return int(self._window)

    @property
    def is_in_slow_start(self) -> bool:
        """The window still doubles in a round trip."""
        return self._window < self.slow_start_threshold

    def on_acked(
        self, acked_bytes: int, sent_at: Instant, rtt: RttView, now: Instant, *, app_limited: bool
    ) -> None:
        """Grow, unless in recovery or short of data."""
        idle = self._idle_before(sent_at, now, app_limited=app_limited)
        if self._epoch_started_at is not None:
            # RFC 9438 s5.8: the curve must not climb while the window was not used.
            self._epoch_started_at = Instant(self._epoch_started_at + idle)
        self._last_acked_at = now
        if app_limited or self._is_in_recovery(sent_at):
            return
        if self.is_in_slow_start:
            self._grow_in_slow_start(acked_bytes, sent_at, rtt, now)
        else:
            self._grow_in_avoidance(acked_bytes, rtt, now)

    def on_lost(self, lost_bytes: int, largest_sent_at: Instant, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Reduce the window once per round trip (RFC 9438 s4.6)."""
        self._on_congestion_event(largest_sent_at, now)

    def on_ecn_ce(self, sent_at: Instant, now: Instant) -> None:
        """React to CE marks as to loss."""
        self._on_congestion_event(sent_at, now)

    def on_persistent_congestion(self, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Fall to the minimum window and slow start (RFC 9002 s7.6.2, RFC 9438 s4.8)."""
        self._window = float(minimum_window(self._max_datagram_size))
        self._recovery_started_at = None
        self._epoch_started_at = None

    def set_max_datagram_size(self, max_datagram_size: int) -> None:
        """Take over another packet size; an untouched initial window is computed anew."""
        if self._window == initial_window(self._max_datagram_size):
            self._window = float(initial_window(max_datagram_size))
        # The curve counts packets: keep the bytes they stand for.
        ratio = self._max_datagram_size / max_datagram_size
        self._w_max *= ratio
        self._window_before_event *= ratio
        self._w_est *= ratio
        self._max_datagram_size = max_datagram_size
        self._window = max(self._window, float(minimum_window(max_datagram_size)))

    def _idle_before(self, sent_at: Instant, now: Instant, *, app_limited: bool) -> float:
        if app_limited:
            return max(0.0, now - self._last_acked_at)
        # Acknowledgments come every round trip unless nothing was in flight.
        return max(0.0, sent_at - self._last_acked_at)

    def _is_in_recovery(self, sent_at: Instant) -> bool:
        return self._recovery_started_at is not None and sent_at <= self._recovery_started_at

    def _grow_in_slow_start(
        self, acked_bytes: int, sent_at: Instant, rtt: RttView, now: Instant
    ) -> None:
        growth = acked_bytes
        if self._hystart is not None:
            if self._hystart.on_acked(sent_at, rtt, now):
                self._hystart = None
                self.slow_start_threshold = self._window
                return
            growth = self._hystart.growth(acked_bytes)
        self._window = min(self._window + growth, max(self.slow_start_threshold, self._window))

    def _grow_in_avoidance(self, acked_bytes: int, rtt: RttView, now: Instant) -> None:
        size = self._max_datagram_size
        window = self._window / size
        started_at = self._epoch_started_at
        if started_at is None:
            started_at = self._begin_epoch(window, now)
        acked = acked_bytes / size
        # RFC 9438 s4.3: the estimate of what Reno would have; as fast as Reno past the old window.
        alpha = _ALPHA if self._w_est < self._window_before_event else 1.0
        self._w_est += alpha * acked / window
        elapsed = now - started_at
        if self._curve(elapsed) < self._w_est:
            window = max(window, self._w_est)
        else:
            target = min(max(self._curve(elapsed + rtt.smoothed), window), _MAX_GROWTH * window)
            window += (target - window) / window * acked
        self._window = window * size

    def _begin_epoch(self, window: float, now: Instant) -> Instant:
        self._epoch_started_at = now
        self._w_est = window
        if window < self._w_max:
            self._k = math.cbrt((self._w_max - window) / _C)
        else:
            # Slow start ended without loss, or went past the old maximum: start on the plateau.
            self._w_max = window
            self._k = 0.0
        return now

    def _curve(self, elapsed: float) -> float:
        return _C * (elapsed - self._k) ** 3 + self._w_max

    def _on_congestion_event(self, sent_at: Instant, now: Instant) -> None:
        if self._is_in_recovery(sent_at):
            return
        self._recovery_started_at = now
        self._hystart = None
        self._epoch_started_at = None
        window = self._window / self._max_datagram_size
        # RFC 9438 s4.7, fast convergence: a shrinking maximum makes room for new flows.
        self._w_max = window * (1 + _BETA) / 2 if window < self._w_max else window
        self._window_before_event = window
        minimum = minimum_window(self._max_datagram_size)
        self._window = max(self._window * _BETA, float(minimum))
        self.slow_start_threshold = self._window
