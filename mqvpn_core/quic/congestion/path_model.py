"""What a path is like, as far as acknowledgments tell: its rate, its delay, what waits in it.

The input of `bbr`: it measures and decides nothing. All per-acknowledgment work is a handful of
comparisons, however many packets an acknowledgment covers.
"""

import math
from collections import deque
from itertools import islice

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.base import RttView
from mqvpn_core.quic.congestion.delivery_rate import RateSample

MIN_RTT_SECONDS = 10.0
"""After this time without a round trip near the lowest, the lowest is doubted."""

SHORTEST_ROUND = 0.01
"""Seconds. Round trips in a data centre are shorter than the naps of an event loop in Python."""

_FILTER_ROUNDS = 10
_AVERAGE_ROUNDS = 12
_LEARNING_ROUNDS = 4
_JITTERS = 12
_LARGEST_JITTER = 0.025
_LARGEST_BURST_SECONDS = 0.05
_NO_RTT = math.inf


class MaxFilter:
    """The largest value of the last rounds."""

    __slots__ = ("_values", "best")

    def __init__(self) -> None:
        """Start empty."""
        self.best = 0.0
        # Falling values with their rounds: whatever a later and larger one outlives is gone.
        self._values: deque[tuple[int, float]] = deque()

    def add(self, value: float, round_count: int) -> None:
        """Take a value of this round into account."""
        values = self._values
        while values and values[-1][1] <= value:
            values.pop()
        values.append((round_count, value))
        self.best = values[0][1]

    def limit(self, value: float) -> None:
        """Lower what is larger."""
        self._values = deque((at, min(each, value)) for at, each in self._values)
        self.best = min(self.best, value)

    def forget_before(self, round_count: int) -> None:
        """Forget values of earlier rounds, but not the last one there is."""
        values = self._values
        while len(values) > 1 and values[0][0] < round_count:
            values.popleft()
        if values:
            self.best = values[0][1]


class PathModel:
    """Estimates of one network path.

    Reads: ``bandwidth``, ``min_rtt``, ``round_count``, ``is_round_start``, ``round_min_rtt``,
    ``round_loss``, ``round_lost_bytes``, ``was_app_limited``, ``mostly_app_limited``,
    ``extra_acked``, ``jitter``, ``average_rate``, ``rate_seconds``, ``excess_rtt``, ``bdp``.
    Inputs: ``on_sample``, then ``take_rate`` or ``take_average_rate``; ``note_burst``, ``on_lost``,
    ``forget_losses``, ``is_steady``. Commands: ``limit_bandwidth``, ``replace_min_rtt``.
    """

    __slots__ = (
        "_bandwidth",
        "_epoch_acked",
        "_epoch_at",
        "_extra_acked",
        "_full_rounds",
        "_lost_bytes",
        "_min_rtt_seen_at",
        "_next_round_at",
        "_round_app_limited",
        "_round_delivered",
        "_round_rtt",
        "_round_started_at",
        "_rounds",
        "is_round_start",
        "is_steady",
        "jitter",
        "min_rtt",
        "mostly_app_limited",
        "round_count",
        "round_loss",
        "round_lost_bytes",
        "round_min_rtt",
        "was_app_limited",
    )

    def __init__(self) -> None:
        """Start knowing nothing."""
        self.is_steady = False
        """Set by the owner: it has sent at one rate for some rounds."""
        self.min_rtt = _NO_RTT
        """Seconds; infinite before the first sample."""
        self.jitter = 0.0
        """Seconds by which round trips stray without any queue."""
        self.round_count = 0
        self.is_round_start = False
        """The last sample began a new round trip; the ``round_`` values are of the one before."""
        self.round_min_rtt = 0.0
        self.round_loss = 0.0
        """Part of the bytes of the round that was lost."""
        self.round_lost_bytes = 0
        self.was_app_limited = True
        """In the last round the path could have delivered more, at least for a moment."""
        self.mostly_app_limited = True
        """It could have most of the time."""
        self._bandwidth = MaxFilter()
        self._extra_acked = MaxFilter()
        self._min_rtt_seen_at = Instant(-math.inf)
        self._full_rounds = 0
        self._next_round_at = 0
        self._round_started_at = Instant(-math.inf)
        self._round_delivered = 0
        self._round_rtt = _NO_RTT
        self._round_app_limited = 0
        self._lost_bytes = 0
        # When past rounds began and what had been delivered then, as long as data never lacked.
        self._rounds: deque[tuple[Instant, int]] = deque(maxlen=_AVERAGE_ROUNDS + 1)
        self._epoch_at = Instant(0.0)
        self._epoch_acked = 0

    @property
    def bandwidth(self) -> float:
        """Bytes per second that the path delivered at best of late; 0 while unknown."""
        return self._bandwidth.best

    @property
    def extra_acked(self) -> float:
        """Bytes by which acknowledgments run ahead of the rate because they come in bursts."""
        return self._extra_acked.best

    @property
    def bdp(self) -> float:
        """Bytes under way when the path is full and nothing waits; 0 while unknown."""
        return self.bandwidth * self.min_rtt if self.bandwidth else 0.0

    def average_rate(self, rounds: int, seconds: float) -> float:
        """Bytes per second over some time until now; 0 when data lacked in it.

        Args:
            rounds: how many rounds at least.
            seconds: how long at least.
        """
        end_at, end = self._rounds[-1]
        for start_at, start in islice(reversed(self._rounds), rounds, None):
            if end_at - start_at >= seconds:
                return (end - start) / (end_at - start_at)
        return 0.0

    def limit_bandwidth(self, rate: float) -> None:
        """Believe no higher rate any more than this one."""
        self._bandwidth.limit(rate)

    @property
    def rate_seconds(self) -> float:
        """How long one has to look at least to tell a rate from jitter."""
        return max(_JITTERS * self.jitter, SHORTEST_ROUND)

    def excess_rtt(self, factor: float, seconds: float) -> float:
        """Return by how much all round trips of the last round were longer than the path explains.

        Args:
            factor: of the lowest round-trip time.
            seconds: what is tolerated on top of it.
        """
        return self.round_min_rtt - (self.min_rtt * factor + seconds)

    def min_rtt_is_doubtful(self, now: Instant) -> bool:
        """Tell whether the lowest round-trip time has not been met for long."""
        return now - self._min_rtt_seen_at > MIN_RTT_SECONDS

    def on_lost(self, lost_bytes: int) -> None:
        """Count lost bytes in this round."""
        self._lost_bytes += lost_bytes

    def on_sample(self, sample: RateSample, rtt: RttView, now: Instant) -> None:
        """Take one acknowledgment into account."""
        if not self.round_count:
            self._round_delivered = sample.delivered_bytes - sample.acked_bytes
        if sample.rtt:
            self._take_rtt(sample.rtt, now)
        self.is_round_start = (
            sample.delivered_before >= self._next_round_at
            and now - self._round_started_at >= SHORTEST_ROUND
        )
        if sample.is_app_limited:
            self._round_app_limited += sample.acked_bytes
        if self.is_round_start:
            self._end_round(sample, rtt, now)

    def take_rate(self, sample: RateSample) -> None:
        """Follow the rate up at once, as long as it still grows by leaps."""
        rate = sample.rate
        if rate and (not sample.is_app_limited or rate > self.bandwidth):
            self._bandwidth.add(rate, self._full_rounds)

    def take_average_rate(self) -> None:
        """Take the rate of the last rounds: enough of them to see through the jitter."""
        rate = self.average_rate(1, self.rate_seconds)
        if rate:
            self._bandwidth.add(rate, self._full_rounds)

    def note_burst(self, acked_bytes: int, now: Instant) -> None:
        """Compare what has been acknowledged with what the rate lets one expect."""
        elapsed = now - self._epoch_at
        expected = self.bandwidth * elapsed
        if self._epoch_acked <= expected:
            self._epoch_at, self._epoch_acked, expected = now, 0, 0.0
        self._epoch_acked += acked_bytes
        extra = min(self._epoch_acked - expected, self.bandwidth * _LARGEST_BURST_SECONDS)
        self._extra_acked.add(extra, self.round_count)

    def forget_losses(self) -> None:
        """Take back the losses of this round."""
        self._lost_bytes = 0

    def replace_min_rtt(self, seconds: float, now: Instant) -> None:
        """Believe in another lowest round-trip time from now on."""
        self.min_rtt = seconds
        self._min_rtt_seen_at = now

    def _take_rtt(self, seconds: float, now: Instant) -> None:
        self._round_rtt = min(self._round_rtt, seconds)
        if seconds < self.min_rtt:
            self.min_rtt = seconds
            self._min_rtt_seen_at = now
        elif seconds <= is_near(self.min_rtt):
            self._min_rtt_seen_at = now

    def _end_round(self, sample: RateSample, rtt: RttView, now: Instant) -> None:
        delivered = sample.delivered_bytes
        self.round_count += 1
        self._next_round_at = delivered
        step = 0.0
        if self._round_rtt < _NO_RTT:
            step = abs(self._round_rtt - self.round_min_rtt)
            self.round_min_rtt = self._round_rtt
        self._round_rtt = _NO_RTT
        if self.round_count <= _LEARNING_ROUNDS:
            self.jitter = min(2 * rtt.variance, _LARGEST_JITTER)
        else:
            stray = max(rtt.variance, step) if self.is_steady else rtt.variance
            jitter = min(2 * stray, _LARGEST_JITTER)
            if self.is_steady or jitter > self.jitter:
                self.jitter += (jitter - self.jitter) / 8
        self.round_lost_bytes = self._lost_bytes
        total = delivered - self._round_delivered + self._lost_bytes
        self.round_loss = self._lost_bytes / total if total else 0.0
        self._lost_bytes = 0
        self.was_app_limited = self._round_app_limited > 0
        self.mostly_app_limited = 2 * self._round_app_limited > delivered - self._round_delivered
        self._round_delivered = delivered
        self._round_app_limited = 0
        if self.was_app_limited:
            self._rounds.clear()
        else:
            # What lacked data must not age what was measured when there was enough.
            self._full_rounds += 1
            self._bandwidth.forget_before(self._full_rounds - _FILTER_ROUNDS)
        self._extra_acked.forget_before(self.round_count - _FILTER_ROUNDS)
        self._rounds.append((now, delivered))
        self._round_started_at = now


def is_near(seconds: float) -> float:
    """Longest round trip that still confirms a lowest one: clocks and batches are not exact."""
    return 1.08 * seconds + 0.003
