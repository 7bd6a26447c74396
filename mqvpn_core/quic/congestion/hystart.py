"""HyStart++: leave slow start when round trips grow longer, before packets are lost (RFC 9406)."""

import math

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.base import RttView

_MIN_RTT_THRESHOLD = 0.004
_MAX_RTT_THRESHOLD = 0.016
_MIN_RTT_DIVISOR = 8
_SAMPLES_PER_ROUND = 8
_CONSERVATIVE_GROWTH_DIVISOR = 4
_CONSERVATIVE_ROUNDS = 5


class HyStart:
    """Watches the rounds of the first slow start and says how fast the window may grow.

    A round lasts until a packet sent after the round began is acknowledged.
    """

    def __init__(self) -> None:
        """Start before the first round."""
        self._round_started_at: Instant | None = None
        self._last_round_minimum = math.inf
        self._round_minimum = math.inf
        self._sample_count = 0
        self._sampled_at: Instant | None = None
        self._conservative_baseline = math.inf
        self._conservative_rounds_left = 0

    def on_acked(self, sent_at: Instant, rtt: RttView, now: Instant) -> bool:
        """Take one acknowledgment into account.

        Returns:
            True when slow start is over.
        """
        is_new_round = self._round_started_at is None or sent_at >= self._round_started_at
        if is_new_round and self._begin_round(now):
            return True
        if not rtt.latest:
            return False
        self._round_minimum = min(self._round_minimum, rtt.latest)
        if now != self._sampled_at:
            # One acknowledgment may report several runs, but it is one sample.
            self._sampled_at = now
            self._sample_count += 1
        if self._sample_count < _SAMPLES_PER_ROUND:
            return False
        if self._conservative_rounds_left:
            if self._round_minimum < self._conservative_baseline:
                # The rise was a passing one: resume slow start.
                self._conservative_rounds_left = 0
                self._conservative_baseline = math.inf
        elif math.isfinite(self._last_round_minimum):
            threshold = min(
                max(_MIN_RTT_THRESHOLD, self._last_round_minimum / _MIN_RTT_DIVISOR),
                _MAX_RTT_THRESHOLD,
            )
            if self._round_minimum >= self._last_round_minimum + threshold:
                self._conservative_baseline = self._round_minimum
                self._conservative_rounds_left = _CONSERVATIVE_ROUNDS
        return False

    def growth(self, acked_bytes: int) -> int:
        """Return the bytes by which the window may grow for these acknowledged bytes."""
        if self._conservative_rounds_left:
            return acked_bytes // _CONSERVATIVE_GROWTH_DIVISOR
        return acked_bytes

    def _begin_round(self, now: Instant) -> bool:
        self._round_started_at = now
        self._last_round_minimum = self._round_minimum
        self._round_minimum = math.inf
        self._sample_count = 0
        if not self._conservative_rounds_left:
            return False
        self._conservative_rounds_left -= 1
        return self._conservative_rounds_left == 0
