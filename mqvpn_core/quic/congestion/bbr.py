"""A model-based controller like BBR (draft-ietf-ccwg-bbr): pace at the rate the path delivers.

It sends at the measured rate, tries a higher one now and then, and keeps little more under way
than the path itself holds. Loss alone is no reason to slow down, because links lose packets at
random; a queue is one. Different from the draft, for a tunnel whose inner flows have congestion
control of their own:

* A governor looks at the lowest round-trip time of each round and drains what queues up, with a
  margin for jitter. When draining does not help, the queue belongs to others, or the path became
  longer: the lowest round-trip time is measured anew, and until then the governor stays quiet.
* The lowest round-trip time is measured with half a window, so that traffic never stands still, and
  only if none near it was met for ten seconds.
* Start-up also ends when a queue forms; it is resumed mildly when a probe finds much more room.
"""

import math
from enum import Enum
from typing import assert_never

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.base import RttView, initial_window, minimum_window
from mqvpn_core.quic.congestion.delivery_rate import RateSample
from mqvpn_core.quic.congestion.path_model import PathModel
from mqvpn_core.quic.congestion.queue_governor import QueueGovernor

_STARTUP_GAIN = 2.77
_RESUMED_GAIN = 1.6
_DRAIN_GAIN = 0.4
_PROBE_GAIN = 1.25
_REFUND_GAIN = 0.8
_CRUISE_GAIN = 0.99
_WINDOW_GAIN = 2.0
_PROBE_RTT_WINDOW_GAIN = 0.5

# Factor of the lowest round-trip time and seconds on top: longer ones mean a queue.
_STARTUP_QUEUE = (1.25, 0.008)
_PROBE_QUEUE = (1.25, 0.005)

_PLATEAU_GROWTH = 1.25
_PLATEAU_ROUNDS = 3
_QUEUED_ROUNDS = 2
_CRUISE_PHASES = 6
_MAX_CRUISE_PHASES = 24
_MAX_CRUISE_SECONDS = 2.0
_PROBE_RTT_SECONDS = 0.2
_TOO_LOSSY = 0.05
_TOO_LOSSY_PACKETS = 8
_SPARE_PACKETS = 8
_FEWEST_PACKETS = 4
_BATCH_SECONDS = 0.005
_LOWEST_RATE = 4000.0
_LONG_AGO = Instant(-math.inf)


class BbrState(Enum):
    """What the controller is doing; the value is the word for people."""

    STARTUP = "startup"
    """Doubling the rate until the path is full."""
    DRAIN = "drain"
    """Getting rid of the queue that start-up has made."""
    PROBE_UP = "probe up"
    """Sending more than the path delivered so far, for one round trip."""
    PROBE_DOWN = "probe down"
    """Sending less, so that what the probe has queued drains."""
    CRUISE = "cruise"
    """Sending what the path delivers."""
    PROBE_RTT = "probe rtt"
    """Holding back to see how short round trips are without a queue of ours."""


class BbrController:
    """The window and the pacing rate of one network path.

    Reads: ``congestion_window``, ``pacing_rate``, ``bandwidth``, ``state``. Inputs as in
    `CongestionController`; everything but losses and marks comes in by ``on_rate_sample``.
    """

    name = "bbr"
    slow_start_threshold = math.inf

    def __init__(self, max_datagram_size: int) -> None:
        """Start with the initial window.

        Args:
            max_datagram_size: UDP payload bytes of a full packet on this path.
        """
        self._max_datagram_size = max_datagram_size
        self._window = float(initial_window(max_datagram_size))
        self._restart()

    def _restart(self) -> None:
        self._model = PathModel()
        self.state = BbrState.STARTUP
        self._startup_gain = _STARTUP_GAIN
        self._full_bandwidth = 0.0
        self._plateau_rounds = self._queued_rounds = 0
        self._pacing_rate: float | None = None
        self._phase_at = _LONG_AGO
        self._cruise_phases = self._phases_left = _CRUISE_PHASES
        self._probe_gain = _PROBE_GAIN
        self._found_room = False
        # Round in which the last probe began and what the path delivered before; none: judged.
        self._probe: tuple[int, float] | None = None
        # Bytes under way at which too much was lost.
        self._ceiling = math.inf
        self._is_marked = False
        self._governor = QueueGovernor()
        self._window_before = 0.0
        self._probe_rtt_end: Instant | None = None
        self._probe_rtt_round = 0
        self._probe_rtt_best = math.inf

    @property
    def congestion_window(self) -> int:
        """Bytes that may be in flight."""
        return int(self._window)

    @property
    def pacing_rate(self) -> float | None:
        """Bytes per second to send; None until the path has been measured."""
        return self._pacing_rate

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second that the path is believed to carry; None until it has been measured."""
        return self._model.bandwidth or None

    @property
    def state_name(self) -> str:
        """What it is doing."""
        return self.state.value

    @property
    def is_in_slow_start(self) -> bool:
        """The rate still doubles in a round trip."""
        return self.state is BbrState.STARTUP

    def on_acked(
        self, acked_bytes: int, sent_at: Instant, rtt: RttView, now: Instant, *, app_limited: bool
    ) -> None:
        """Do nothing: ``on_rate_sample`` has it all."""

    def on_lost(self, lost_bytes: int, largest_sent_at: Instant, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Count what was lost in this round trip."""
        self._model.on_lost(lost_bytes)

    def on_spurious_losses(self, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Forget the losses of this round trip."""
        self._model.forget_losses()

    def on_ecn_ce(self, sent_at: Instant, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Take a mark for a queue and for too many losses in this round trip."""
        self._is_marked = True

    def on_persistent_congestion(self, now: Instant) -> None:  # noqa: ARG002 - the interface
        """Start anew with the minimum window (RFC 9002 s7.6.2): the path may be another one."""
        self._restart()
        self._window = float(minimum_window(self._max_datagram_size))

    def set_max_datagram_size(self, max_datagram_size: int) -> None:
        """Take over another packet size; an untouched initial window is computed anew."""
        if self._window == initial_window(self._max_datagram_size):
            self._window = float(initial_window(max_datagram_size))
        self._max_datagram_size = max_datagram_size
        self._window = max(self._window, float(minimum_window(max_datagram_size)))

    def on_rate_sample(self, sample: RateSample, rtt: RttView, now: Instant) -> None:
        """Follow one acknowledgment."""
        model = self._model
        model.on_sample(sample, rtt, now)
        if self.state is BbrState.STARTUP or sample.is_app_limited:
            model.take_rate(sample)
        elif model.is_round_start:
            model.take_average_rate()
        if self.state is not BbrState.STARTUP:
            model.note_burst(sample.acked_bytes, now)
        if model.is_round_start:
            self._begin_round(sample, now)
        if self.state is BbrState.DRAIN:
            if sample.bytes_in_flight <= model.bdp:
                # The clock's digits keep paths that start together from probing together.
                spread = 1 + int(now * 1000) % (_CRUISE_PHASES - 1)
                self._cruise(now, phases=1 if self._found_room else 1 + spread)
        elif self.state is BbrState.PROBE_RTT:
            self._advance_probe_rtt(sample, now)
        elif self.state is not BbrState.STARTUP:
            self._advance_cycle(sample.bytes_in_flight, now)
        self._set_pacing_rate(rtt)
        self._set_window(sample.acked_bytes)

    def _begin_round(self, sample: RateSample, now: Instant) -> None:
        model = self._model
        is_too_lossy = self._is_marked or (
            model.round_loss > _TOO_LOSSY
            and model.round_lost_bytes > _TOO_LOSSY_PACKETS * self._max_datagram_size
        )
        if self.state is BbrState.STARTUP:
            self._look_for_end_of_startup(sample, is_too_lossy=is_too_lossy, now=now)
        elif self.state is not BbrState.DRAIN:
            self._judge_probe(is_too_lossy=is_too_lossy)
            if is_too_lossy and self.state in (BbrState.PROBE_UP, BbrState.PROBE_DOWN):
                self._ceiling = max(1.02 * model.bdp, 0.9 * sample.bytes_in_flight)
                self._cruise_phases = _MAX_CRUISE_PHASES
                self._enter(BbrState.PROBE_DOWN, now)
            model.is_steady = (
                self.state is BbrState.CRUISE
                and not self._governor.is_draining
                and now - self._phase_at > 2 * model.min_rtt
            )
            self._governor.look(model, is_marked=self._is_marked, now=now)
        self._is_marked = False

    def _look_for_end_of_startup(
        self, sample: RateSample, *, is_too_lossy: bool, now: Instant
    ) -> None:
        model = self._model
        if not model.was_app_limited:
            if model.bandwidth >= _PLATEAU_GROWTH * self._full_bandwidth:
                self._full_bandwidth = model.bandwidth
                self._plateau_rounds = 0
            else:
                self._plateau_rounds += 1
        # Also without data to fill the path: it must not keep the high gain for ever.
        has_queue = (
            model.round_count > _PLATEAU_ROUNDS and model.excess_rtt(*_STARTUP_QUEUE) > model.jitter
        )
        # Twice in a row, for one round with few packets may just have met a busy machine.
        self._queued_rounds = self._queued_rounds + 1 if has_queue else 0
        if is_too_lossy:
            self._ceiling = max(1.1 * model.bdp, float(sample.bytes_in_flight))
        is_full = is_too_lossy or self._plateau_rounds >= _PLATEAU_ROUNDS
        if is_full or self._queued_rounds >= _QUEUED_ROUNDS:
            # What a queue alone has ended was perhaps no more than a guess: look soon, and go on
            # when there is room.
            self._found_room = not is_full
            self._cruise_phases = _CRUISE_PHASES if is_full else 1
            self._enter(BbrState.DRAIN, now)

    def _judge_probe(self, *, is_too_lossy: bool) -> None:
        """See what a probe has found, as soon as its packets have been acknowledged."""
        model = self._model
        if self._probe is None or model.round_count < self._probe[0] + 3:
            return
        before = self._probe[1]
        self._probe = None
        if is_too_lossy:
            return
        self._ceiling *= _PROBE_GAIN
        is_fruitful = model.bandwidth > (1 + (self._probe_gain - 1) / 2) * before
        has_queue = model.excess_rtt(*_PROBE_QUEUE) > model.jitter
        if not is_fruitful or has_queue:
            self._found_room = False
            self._cruise_phases = min(2 * self._cruise_phases, _MAX_CRUISE_PHASES)
            return
        self._cruise_phases = self._phases_left = 1
        if self._found_room:
            # Twice in a row: there is more of it.
            self.state = BbrState.STARTUP
            self._startup_gain = _RESUMED_GAIN
            self._full_bandwidth = model.bandwidth
            self._plateau_rounds = 1
            self._queued_rounds = 0
        self._found_room = not self._found_room

    def _enter(self, state: BbrState, now: Instant) -> None:
        self.state = state
        self._phase_at = now

    def _cruise(self, now: Instant, *, phases: int) -> None:
        self._enter(BbrState.CRUISE, now)
        self._phases_left = phases

    def _advance_cycle(self, bytes_in_flight: int, now: Instant) -> None:
        model, governor = self._model, self._governor
        if governor.wants_min_rtt(model, now):
            self._begin_probe_rtt(now)
            return
        phase = self._phase_seconds()
        elapsed = now - self._phase_at
        if self.state is BbrState.PROBE_UP:
            if elapsed >= phase:
                self._enter(BbrState.PROBE_DOWN, now)
        elif self.state is BbrState.PROBE_DOWN:
            if elapsed >= phase or bytes_in_flight <= model.bdp:
                self._cruise(now, phases=self._cruise_phases)
        elif elapsed >= min(phase * self._phases_left, _MAX_CRUISE_SECONDS):
            has_queue = model.excess_rtt(*_PROBE_QUEUE) > model.jitter
            if has_queue or model.mostly_app_limited:
                self._cruise(now, phases=2)
            else:
                # A longer probe is a softer one: what it queues stays the same.
                share = model.min_rtt / phase
                softness = 1.0 if self._found_room else max(share, 0.4)
                self._probe_gain = 1 + (_PROBE_GAIN - 1) * softness
                self._probe = (model.round_count, model.bandwidth)
                self._enter(BbrState.PROBE_UP, now)

    def _phase_seconds(self) -> float:
        return max(self._model.min_rtt, self._model.rate_seconds)

    def _begin_probe_rtt(self, now: Instant) -> None:
        self._enter(BbrState.PROBE_RTT, now)
        self._window_before = self._window
        self._probe_rtt_end = None
        self._probe_rtt_best = math.inf

    def _advance_probe_rtt(self, sample: RateSample, now: Instant) -> None:
        model = self._model
        if self._probe_rtt_end is None:
            if sample.bytes_in_flight <= self._probe_rtt_window():
                self._probe_rtt_end = Instant(now + _PROBE_RTT_SECONDS)
                self._probe_rtt_round = model.round_count
            return
        if sample.rtt:
            self._probe_rtt_best = min(self._probe_rtt_best, sample.rtt)
        if now >= self._probe_rtt_end and model.round_count > self._probe_rtt_round + 1:
            model.replace_min_rtt(self._probe_rtt_best, now)
            self._governor.on_min_rtt_known()
            self._window = self._window_before
            self._cruise(now, phases=2)

    def _probe_rtt_window(self) -> float:
        return _PROBE_RTT_WINDOW_GAIN * self._model.bdp + _FEWEST_PACKETS * self._max_datagram_size

    def _base_rate(self) -> float:
        bandwidth = self._model.bandwidth
        if self.state in (BbrState.STARTUP, BbrState.PROBE_UP):
            return bandwidth
        return min(bandwidth, self._governor.rate_limit)

    def _set_pacing_rate(self, rtt: RttView) -> None:
        rate = self._base_rate()
        if not rate:
            return
        if self.state is BbrState.STARTUP:
            start = initial_window(self._max_datagram_size) / max(rtt.smoothed, 0.001)
            rate = max(rate, start)
        self._pacing_rate = max(self._gain() * rate, _LOWEST_RATE)

    def _gain(self) -> float:
        match self.state:
            case BbrState.STARTUP:
                return self._startup_gain
            case BbrState.DRAIN:
                return _DRAIN_GAIN
            case BbrState.PROBE_UP:
                return self._probe_gain
            case BbrState.PROBE_DOWN:
                return _REFUND_GAIN
            case BbrState.CRUISE:
                return min(_CRUISE_GAIN, self._governor.gain)
            case BbrState.PROBE_RTT:
                return 1.0
            case _:
                assert_never(self.state)

    def _set_window(self, acked_bytes: int) -> None:
        size = self._max_datagram_size
        model = self._model
        if self.state is BbrState.PROBE_RTT:
            self._window = min(self._window, self._probe_rtt_window())
            return
        if not model.bandwidth:
            self._window += acked_bytes
            return
        base = self._base_rate()
        gain = _WINDOW_GAIN
        if self.state is BbrState.CRUISE:
            gain = min(gain, 1.6 + model.jitter / model.min_rtt)
        target = (gain * model.min_rtt + _BATCH_SECONDS) * base + _SPARE_PACKETS * size
        if self.state is BbrState.STARTUP:
            if self._window < target:
                self._window += acked_bytes
        else:
            target = min(target + model.extra_acked, self._ceiling + _FEWEST_PACKETS * size)
            self._window = min(self._window + acked_bytes, target)
        self._window = max(self._window, float(_FEWEST_PACKETS * size))
