"""CUBIC (RFC 9438) with HyStart++ in the first slow start (RFC 9406)."""

import math
from dataclasses import dataclass, replace

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.base import RttView, initial_window, minimum_window
from mqvpn_core.quic.congestion.delivery_rate import RateSample
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

    name = "cubic"

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
        self._curve = _Curve()
        self._before_reduction: tuple[float, float, _Curve] | None = None
        self._last_acked_at = Instant(0.0)

    @property
    def congestion_window(self) -> int:
        """Bytes that may be in flight."""
        return int(self._window)

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
        return self._window < self.slow_start_threshold

    def on_acked(
        self, acked_bytes: int, sent_at: Instant, rtt: RttView, now: Instant, *, app_limited: bool
    ) -> None:
        """Grow, unless in recovery or short of data."""
        idle = self._idle_before(sent_at, now, app_limited=app_limited)
        if self._curve.started_at is not None:
            # RFC 9438 s5.8: the curve must not climb while the window was not used.
            self._curve.started_at = Instant(self._curve.started_at + idle)
        self._last_acked_at = now
        if app_limited or self._is_in_recovery(sent_at):
            return
        if self.is_in_slow_start:
            self._grow_in_slow_start(acked_bytes, sent_at, rtt, now)
        else:
            self._grow_in_avoidance(acked_bytes, rtt, now)

    def on_rate_sample(self, sample: RateSample, rtt: RttView, now: Instant) -> None:
        """Do nothing: rates do not matter here."""

    def on_lost(self, lost_bytes: int, largest_sent_at: Instant, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Reduce the window once per round trip (RFC 9438 s4.6)."""
        self._on_congestion_event(largest_sent_at, now)

    def on_spurious_losses(self, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Take the last reduction back (RFC 9438 s4.9.2)."""
        if self._before_reduction is None:
            return
        window, self.slow_start_threshold, self._curve = self._before_reduction
        self._window = max(self._window, window)
        self._recovery_started_at = None
        self._before_reduction = None

    def on_ecn_ce(self, sent_at: Instant, now: Instant) -> None:
        """React to CE marks as to loss."""
        self._on_congestion_event(sent_at, now)

    def on_persistent_congestion(self, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Fall to the minimum window and slow start (RFC 9002 s7.6.2, RFC 9438 s4.8)."""
        self._window = float(minimum_window(self._max_datagram_size))
        self._recovery_started_at = None
        self._before_reduction = None
        self._curve.started_at = None

    def set_max_datagram_size(self, max_datagram_size: int) -> None:
        """Take over another packet size; an untouched initial window is computed anew."""
        if self._window == initial_window(self._max_datagram_size):
            self._window = float(initial_window(max_datagram_size))
        # The curve counts packets: keep the bytes they stand for.
        self._curve.scale(self._max_datagram_size / max_datagram_size)
        self._before_reduction = None
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
        curve = self._curve
        elapsed = now - curve.begin(window, now)
        acked = acked_bytes / size
        # RFC 9438 s4.3: the estimate of what Reno would have; as fast as Reno past the old window.
        alpha = _ALPHA if curve.reno_window < curve.window_before_event else 1.0
        curve.reno_window += alpha * acked / window
        if curve.window_at(elapsed) < curve.reno_window:
            window = max(window, curve.reno_window)
        else:
            ahead = max(curve.window_at(elapsed + rtt.smoothed), window)
            target = min(ahead, _MAX_GROWTH * window)
            window += (target - window) / window * acked
        self._window = window * size

    def _on_congestion_event(self, sent_at: Instant, now: Instant) -> None:
        if self._is_in_recovery(sent_at):
            return
        self._recovery_started_at = now
        self._before_reduction = (self._window, self.slow_start_threshold, replace(self._curve))
        self._hystart = None
        window = self._window / self._max_datagram_size
        curve = self._curve
        curve.started_at = None
        # RFC 9438 s4.7, fast convergence: a shrinking maximum makes room for new flows.
        curve.maximum = window * (1 + _BETA) / 2 if window < curve.maximum else window
        curve.window_before_event = window
        minimum = minimum_window(self._max_datagram_size)
        self._window = max(self._window * _BETA, float(minimum))
        self.slow_start_threshold = self._window


@dataclass(slots=True)
class _Curve:
    """The cubic curve since the last reduction, and the Reno estimate beside it; in packets."""

    started_at: Instant | None = None
    maximum: float = 0.0
    window_before_event: float = 0.0
    reno_window: float = 0.0
    k: float = 0.0
    """Seconds until the curve is back at the maximum."""

    def begin(self, window: float, now: Instant) -> Instant:
        """Start the curve at the present window unless it has started; return when it did."""
        if self.started_at is not None:
            return self.started_at
        self.started_at = now
        self.reno_window = window
        if window < self.maximum:
            self.k = math.cbrt((self.maximum - window) / _C)
        else:
            # Slow start ended without loss, or went past the old maximum: start on the plateau.
            self.maximum = window
            self.k = 0.0
        return now

    def window_at(self, elapsed: float) -> float:
        """W_cubic of RFC 9438 s4.2."""
        return _C * (elapsed - self.k) ** 3 + self.maximum

    def scale(self, ratio: float) -> None:
        """Count packets of another size."""
        self.maximum *= ratio
        self.window_before_event *= ratio
        self.reno_window *= ratio
