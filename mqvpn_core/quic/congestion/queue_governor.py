"""Keeps the queue of a path short: when to send less, and when that would help nobody.

Part of `bbr`. Judges once a round trip, by the shortest round-trip time in it.
"""

import math
from collections import deque

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.path_model import PathModel

_TOLERANCE_SECONDS = 10.0
"""Time in which what was tolerated is forgotten, to about a third."""
_MAX_TOLERANCE = 0.015
_PATIENCE_ROUNDS = 10
_PATIENCE_SECONDS = 1.0
_LOSING = 0.2
_SLOWER = 0.9
_FEWEST_DRAINED_SECONDS = 0.005
_QUEUE_FACTOR, _QUEUE_SECONDS = 1.08, 0.003
_LONG_AGO = Instant(-math.inf)


class QueueGovernor:
    """Keeps the queue short that we have made, and notices when it is not ours.

    While it drains it compares what should be gone with how much shorter round trips have become.
    When they do not follow, what is left is jitter or belongs to somebody else: that much is
    tolerated for the next seconds.

    Reads: ``gain``, ``rate_limit``, ``is_draining``, ``wants_min_rtt``. Inputs: ``look`` at the end
    of each round trip, ``on_min_rtt_known``.
    """

    __slots__ = (
        "_began_at",
        "_began_round",
        "_drained",
        "_drained_before",
        "_draining",
        "_looked_at",
        "_rtt_at_first",
        "_rtt_before",
        "_tolerance",
        "gain",
        "is_draining",
        "rate_limit",
    )

    def __init__(self) -> None:
        """Start without a queue."""
        self.gain = 1.0
        """What part of the rate to send at."""
        self.rate_limit = math.inf
        """Bytes per second that the path was seen to deliver while there was a queue."""
        self.is_draining = False
        self._began_at = self._looked_at = _LONG_AGO
        self._began_round = 0
        self._tolerance = 0.0
        # Seconds of queue that should be gone since round trips were so long.
        self._drained = 0.0
        self._draining = deque((0.0, 0.0))
        self._rtt_before = 0.0
        self._rtt_at_first = self._drained_before = 0.0

    def look(self, model: PathModel, *, is_marked: bool, now: Instant) -> None:
        """Judge the round trip that has just ended.

        Args:
            model: what is known of the path.
            is_marked: the path marked packets (ECN-CE): there is a queue for certain.
            now: the time.
        """
        elapsed = min(now - self._looked_at, 1.0)
        self._looked_at = now
        self._tolerance *= math.exp(-elapsed / _TOLERANCE_SECONDS)
        excess = model.excess_rtt(_QUEUE_FACTOR, _QUEUE_SECONDS) - self._tolerance
        is_losing = is_marked or model.round_loss > _LOSING
        if self.is_draining:
            self._count_drained(elapsed)
            if excess <= 0 and not is_losing:
                if self._rtt_at_first - model.round_min_rtt >= self._drained_before / 2 > 0:
                    # The path was busy all the time, so that what it delivered is what it can.
                    model.limit_bandwidth(max(self.rate_limit, 0.9 * model.bandwidth))
                self._stop()
                return
            self._follow(model, excess, is_losing=is_losing)
        elif excess > model.jitter or is_losing:
            self._begin(model, now)
        if self.is_draining:
            self.gain = _drain_gain(excess, model.min_rtt)

    def _begin(self, model: PathModel, now: Instant) -> None:
        self.is_draining = True
        self._began_at = now
        self._began_round = model.round_count
        average = model.average_rate(3, 2 * model.rate_seconds)
        self.rate_limit = max(average, 0.85 * model.bandwidth)
        self._rtt_at_first = model.round_min_rtt
        self._drained_before = 0.0
        self._draining = deque((0.0, 0.0))
        self._begin_stage(model)

    def _count_drained(self, elapsed: float) -> None:
        # What one round drains shows two rounds later: the round trips in between began before.
        shown = self._draining.popleft()
        self._drained += shown
        self._drained_before += shown
        self._draining.append((1 - self.gain) * elapsed)

    def _follow(self, model: PathModel, excess: float, *, is_losing: bool) -> None:
        gone = self._rtt_before - model.round_min_rtt
        average = model.average_rate(2, 2 * model.rate_seconds)
        is_slower = 0 < average < _SLOWER * self.gain * self.rate_limit
        if is_slower and (is_losing or gone < -(model.jitter / 2 + 0.003)):
            # It grows although we drain: the path has become slower.
            self.rate_limit = average
            model.limit_bandwidth(average)
            self._begin_stage(model)
        elif self._drained >= max(2 * model.jitter, _FEWEST_DRAINED_SECONDS):
            if gone < self._drained / 3:
                # A little more, because it is forgotten from now on.
                self._tolerance = min(self._tolerance + 1.1 * excess, _MAX_TOLERANCE)
            self._begin_stage(model)

    def _begin_stage(self, model: PathModel) -> None:
        self._drained = 0.0
        self._rtt_before = model.round_min_rtt

    def wants_min_rtt(self, model: PathModel, now: Instant) -> bool:
        """Tell whether draining does not help, or the lowest round-trip time is too old."""
        if self.is_draining and (
            model.round_count - self._began_round >= _PATIENCE_ROUNDS
            and now - self._began_at >= _PATIENCE_SECONDS
        ):
            return True
        return model.min_rtt_is_doubtful(now)

    def on_min_rtt_known(self) -> None:
        """The lowest round-trip time has been measured anew: begin from there."""
        self._stop()

    def _stop(self) -> None:
        self.gain = 1.0
        self.rate_limit = math.inf
        self.is_draining = False


def _drain_gain(excess: float, min_rtt: float) -> float:
    """How much of the rate to keep while so much queue is drained."""
    if excess > 0.03 + 0.5 * min_rtt:
        return 0.5
    return 0.8 if excess > 0.003 + 0.05 * min_rtt else 0.92
