"""Loss detection, probe timeouts and the congestion window of one network path (RFC 9002).

A path ID keeps its packet numbers and its ledger (`quic/packet_spaces.py`) when it moves to another
network path, but round-trip times, window and pacing start anew (RFC 9000 s9.4). So the owner
replaces the `PathRecovery` and numbers them: ``generation`` tells which one a sent run belongs to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion import create_congestion_controller
from mqvpn_core.quic.congestion.delivery_rate import DeliveryRateSampler
from mqvpn_core.quic.loss_history import LossHistory, LostStreak
from mqvpn_core.quic.pacer import Pacer
from mqvpn_core.quic.packet_spaces import SentPackets, SentRun

TIME_THRESHOLD = 9 / 8
TIMER_GRANULARITY = 0.001
PERSISTENT_CONGESTION_THRESHOLD = 3
PROBES_PER_TIMEOUT = 2

_PACING_GAIN = 1.25
_PACING_GAIN_SLOW_START = 2.0
_MAX_BACKOFF_EXPONENT = 16
_NO_TIME = Instant(float("-inf"))


class RttEstimator:
    """Round-trip time of one network path (RFC 9002 s5)."""

    __slots__ = ("has_sample", "latest", "minimum", "smoothed", "variance")

    def __init__(self, initial_rtt: float) -> None:
        """Assume a round-trip time until the first sample.

        Args:
            initial_rtt: the assumption, in seconds (RFC 9002 s6.2.2).
        """
        self.latest = 0.0
        self.smoothed = initial_rtt
        self.variance = initial_rtt / 2
        self.minimum = 0.0
        self.has_sample = False

    def update(self, latest: float, ack_delay: float, now: Instant) -> None:  # noqa: ARG002 - every input carries the time
        """Take one sample into account.

        Args:
            latest: time from sending to acknowledgment.
            ack_delay: delay the peer reports, already limited to its max_ack_delay.
            now: when the acknowledgment arrived.
        """
        self.latest = latest
        if not self.has_sample:
            self.has_sample = True
            self.minimum = latest
            self.smoothed = latest
            self.variance = latest / 2
            return
        self.minimum = min(self.minimum, latest)
        # RFC 9002 s5.3: MUST NOT subtract the delay if the result is smaller than min_rtt.
        adjusted = latest - ack_delay if latest >= self.minimum + ack_delay else latest
        # Against smoothed_rtt as it was before this sample.
        self.variance += (abs(self.smoothed - adjusted) - self.variance) / 4
        self.smoothed += (adjusted - self.smoothed) / 8

    def restart_minimum(self) -> None:
        """Let the minimum begin anew at the latest sample (RFC 9002 s5.2)."""
        self.minimum = self.latest


@dataclass(frozen=True, slots=True)
class AckOutcome:
    """What one ACK did to the ledger."""

    acked: list[SentRun]
    """Newly acknowledged runs of all generations, by ascending number."""
    lost: list[SentRun]
    """Runs now declared lost, of all generations, by ascending number."""


@dataclass(frozen=True, slots=True)
class TimeoutOutcome:
    """What a timeout asks for."""

    lost: list[SentRun]
    """Runs now declared lost."""
    probe_count: int
    """Ack-eliciting packets to send, whatever the window says; 0 when no PTO expired."""


class PathRecovery:
    """Recovery state of one network path in use by a path ID.

    Reads: ``rtt``, ``congestion``, ``pacer``, the counters, ``probe_timeout``, ``send_budget``.
    Inputs: ``on_run_sent``, ``on_ack``, ``on_timeout``, ``on_application_limited``.
    Commands: ``set_max_datagram_size``, ``forget``.
    Outputs: ``next_timeout``, ``next_pacing_time``.
    """

    def __init__(
        self,
        *,
        generation: int,
        congestion: str,
        max_datagram_size: int,
        initial_rtt: float,
        max_ack_delay: float,
    ) -> None:
        """Start with an unknown network path.

        Args:
            generation: number of this network path within the path ID.
            congestion: name of the congestion controller.
            max_datagram_size: UDP payload bytes of a full packet.
            initial_rtt: assumed until the first sample.
            max_ack_delay: the peer's transport parameter, in seconds.
        """
        self.generation = generation
        self.rtt = RttEstimator(initial_rtt)
        self.congestion = create_congestion_controller(congestion, max_datagram_size)
        self.pacer = Pacer(bytes_per_second=1.0, max_datagram_size=max_datagram_size)
        self.bytes_in_flight = 0
        self.pto_count = 0
        self.acked_bytes = 0
        self.max_ack_delay = max_ack_delay
        self._max_datagram_size = max_datagram_size
        self._first_sample_at: Instant | None = None
        self._earliest_unlost_sent_at: Instant | None = None
        self._ecn_ce_count: int | None = 0 if generation == 0 else None
        self._usage = _WindowUsage()
        self.deliveries = DeliveryRateSampler()
        self._lost_streak = LostStreak()
        self._loss_history = LossHistory()
        self._update_pacing_rate()

    def on_run_sent(self, run: SentRun, now: Instant) -> None:
        """Packets left on this network path."""
        if not run.in_flight:
            return
        run.app_limited = self._usage.is_application_limited
        run.delivery_mark = self.deliveries.mark_sent(self.bytes_in_flight, now)
        self.bytes_in_flight += run.total_bytes
        self._update_pacing_rate()
        self.pacer.on_sent(run.total_bytes, now)
        room = self.congestion.congestion_window - self.bytes_in_flight
        self._usage.on_sent(self.bytes_in_flight, is_full=room < self._max_datagram_size)

    def on_application_limited(self) -> None:
        """There was nothing more to send although `send_budget` allowed a packet."""
        self._usage.is_application_limited = True
        if self.bytes_in_flight < self.congestion.congestion_window:
            self.deliveries.on_app_limited(self.bytes_in_flight)

    def on_ack(
        self,
        sent: SentPackets,
        ranges: Sequence[tuple[int, int]],
        ack_delay: float,
        ecn_counts: tuple[int, int, int] | None,
        now: Instant,
    ) -> AckOutcome:
        """Process one ACK or PATH_ACK for this path ID.

        Args:
            sent: ledger of the path ID.
            ranges: inclusive (smallest, largest) pairs from the largest down.
            ack_delay: delay the peer reports, in seconds.
            ecn_counts: ECT(0), ECT(1) and CE counts, if the frame has them.
            now: when it arrived.

        Raises:
            RemoteProtocolError: the peer acknowledges a packet that was never sent.
        """
        acked = sent.acknowledge(ranges)
        if self._loss_history.on_ack(ranges, sent.largest_acknowledged):
            self.congestion.on_spurious_losses(now)
        if not acked:
            return AckOutcome([], [])
        own = [run for run in acked if run.generation == self.generation]
        has_rtt = self._sample_rtt(own, ranges[0][1], ack_delay, now)
        newest = acked[-1]
        if ecn_counts is not None and newest.generation == self.generation:
            self._process_ecn(ecn_counts[2], newest.sent_at, now)
        lost = self._detect_lost(sent, now)
        is_persistent = self._process_lost(lost, now)
        self._process_acked(own, sent, now)
        self._sample_rate(now, has_rtt=has_rtt)
        if is_persistent:
            # Last, so that what arrived before the congestion does not open the window again.
            self._collapse(now)
        if own:
            # RFC 9002 s6.2.1: an acknowledgment resets the backoff.
            self.pto_count = 0
        self._update_pacing_rate()
        return AckOutcome(acked, lost)

    def next_timeout(self, sent: SentPackets, *, handshake_confirmed: bool) -> Instant | None:
        """Return when `on_timeout` has something to do (RFC 9002 s6.2.1, appendix A.8)."""
        loss_time = self._loss_time()
        if loss_time is not None:
            return loss_time
        return self._pto_time(sent, handshake_confirmed=handshake_confirmed)

    def on_timeout(
        self, sent: SentPackets, now: Instant, *, handshake_confirmed: bool = True
    ) -> TimeoutOutcome:
        """React to the time; does nothing when it is not time yet."""
        loss_time = self._loss_time()
        if loss_time is not None:
            if now < loss_time:
                return TimeoutOutcome([], 0)
            lost = self._detect_lost(sent, now)
            if self._process_lost(lost, now):
                self._collapse(now)
            self._update_pacing_rate()
            return TimeoutOutcome(lost, 0)
        pto_time = self._pto_time(sent, handshake_confirmed=handshake_confirmed)
        if pto_time is None or now < pto_time:
            return TimeoutOutcome([], 0)
        # RFC 9002 s6.2.1: a PTO does not mark packets as lost.
        self.pto_count += 1
        return TimeoutOutcome([], PROBES_PER_TIMEOUT)

    def probe_timeout(self) -> float:
        """Return the PTO without backoff, in seconds (RFC 9002 s6.2.1)."""
        return (
            self.rtt.smoothed + max(4 * self.rtt.variance, TIMER_GRANULARITY) + self.max_ack_delay
        )

    def send_budget(self, now: Instant) -> int:
        """Return the bytes that window and pacing allow to send now."""
        room = self.congestion.congestion_window - self.bytes_in_flight
        return max(0, min(room, self.pacer.budget(now)))

    def next_pacing_time(self, now: Instant) -> Instant | None:
        """Return when pacing lets the next full packet leave.

        None when pacing does not stand in the way: either a packet may leave now, or the window is
        full and only an acknowledgment helps.
        """
        room = self.congestion.congestion_window - self.bytes_in_flight
        if room < self._max_datagram_size:
            return None
        return self.pacer.next_send_time(now, self._max_datagram_size)

    def set_max_datagram_size(self, max_datagram_size: int) -> None:
        """Take over what DPLPMTUD found."""
        self._max_datagram_size = max_datagram_size
        self.congestion.set_max_datagram_size(max_datagram_size)
        self.pacer.set_max_datagram_size(max_datagram_size)
        self._update_pacing_rate()

    def forget(self, runs: Iterable[SentRun]) -> None:
        """Discarded runs are no longer in flight (RFC 9002 s6.4)."""
        for run in runs:
            if run.generation == self.generation and run.in_flight:
                self.bytes_in_flight -= run.total_bytes
        # If anything is left that may be lost by time, the next acknowledgment finds it.
        self._earliest_unlost_sent_at = None

    def _sample_rtt(
        self, own: Sequence[SentRun], largest: int, ack_delay: float, now: Instant
    ) -> bool:
        """Take a round-trip time if these newly acknowledged runs give one."""
        # RFC 9002 s5.1: the largest must be newly acknowledged, and something ack-eliciting too.
        if not own or own[-1].stop - 1 != largest or not any(run.ack_eliciting for run in own):
            return False
        if self._first_sample_at is None:
            self._first_sample_at = now
        latest = max(now - own[-1].sent_at, 0.0)
        self.rtt.update(latest, min(ack_delay, self.max_ack_delay), now)
        return True

    def _sample_rate(self, now: Instant, *, has_rtt: bool) -> None:
        """Tell the controller once how fast the path delivers, whatever the ACK covers."""
        sample = self.deliveries.take_sample(
            bytes_in_flight=self.bytes_in_flight,
            rtt=self.rtt.latest if has_rtt else 0.0,
            shortest=self.rtt.minimum,
            now=now,
        )
        if sample is not None:
            self.congestion.on_rate_sample(sample, self.rtt, now)

    def _process_ecn(self, ce_count: int, newest_sent_at: Instant, now: Instant) -> None:
        # RFC 9002 appendix B.7. Counts belong to the path ID: after a migration the first report
        # is only the starting point.
        if self._ecn_ce_count is not None and ce_count > self._ecn_ce_count:
            self.congestion.on_ecn_ce(newest_sent_at, now)
            self._loss_history.end_event()
        self._ecn_ce_count = max(ce_count, self._ecn_ce_count or 0)

    def _process_acked(self, own: Sequence[SentRun], sent: SentPackets, now: Instant) -> None:
        # In slow start half a window in use is enough to justify doubling it.
        share = 1 / 2 if self.congestion.is_in_slow_start else 7 / 8
        is_underused = self._usage.is_below(share * self.congestion.congestion_window)
        for run in own:
            if not run.in_flight:
                continue
            self.bytes_in_flight -= run.total_bytes
            self.acked_bytes += run.total_bytes
            self.deliveries.on_run_acked(run.delivery_mark, run.total_bytes, run.sent_at)
            self.congestion.on_acked(
                run.total_bytes, run.sent_at, self.rtt, now, app_limited=is_underused
            )
        if own:
            self._usage.on_acked(own[-1].stop, sent.next_packet_number, self.bytes_in_flight)

    def _loss_delay(self) -> float:
        # RFC 9002 s6.1.2.
        return max(TIME_THRESHOLD * max(self.rtt.latest, self.rtt.smoothed), TIMER_GRANULARITY)

    def _loss_time(self) -> Instant | None:
        if self._earliest_unlost_sent_at is None:
            return None
        return Instant(self._earliest_unlost_sent_at + self._loss_delay())

    def _pto_time(self, sent: SentPackets, *, handshake_confirmed: bool) -> Instant | None:
        last_sent_at = sent.last_ack_eliciting_sent_at
        # RFC 9002 s6.2.1: "MUST NOT set its PTO timer for the Application Data packet number
        # space until the handshake is confirmed".
        if not handshake_confirmed or not sent.ack_eliciting_in_flight or last_sent_at is None:
            return None
        backoff = 2 ** min(self.pto_count, _MAX_BACKOFF_EXPONENT)
        return Instant(last_sent_at + self.probe_timeout() * backoff)

    def _detect_lost(self, sent: SentPackets, now: Instant) -> list[SentRun]:
        sent_before = Instant(now - self._loss_delay())
        loss_time = self._loss_time()
        if loss_time is not None and now >= loss_time:
            # Rounding must not make the timer expire in vain, and then for ever.
            sent_before = max(sent_before, self._earliest_unlost_sent_at or sent_before)
        lost, self._earliest_unlost_sent_at = sent.remove_lost(
            sent_before=sent_before,
            largest_acked=sent.largest_acknowledged,
            packet_threshold=self._loss_history.packet_threshold,
        )
        return lost

    def _process_lost(self, lost: Sequence[SentRun], now: Instant) -> bool:
        """Take losses out of the flight; True when they establish persistent congestion."""
        lost_bytes = 0
        largest_sent_at = _NO_TIME
        is_persistent = False
        for run in lost:
            if run.generation != self.generation:
                continue
            is_persistent |= self._is_persistent_congestion(run)
            if not run.in_flight:
                continue
            self.bytes_in_flight -= run.total_bytes
            # RFC 9000 s14.4: the loss of a PMTU probe is no sign of congestion.
            if not run.is_probe_of_mtu:
                lost_bytes += run.total_bytes
                largest_sent_at = max(largest_sent_at, run.sent_at)
        if lost_bytes:
            window = self.congestion.congestion_window
            self.congestion.on_lost(lost_bytes, largest_sent_at, now)
            if self.congestion.congestion_window < window:
                self._loss_history.begin_event()
        self._loss_history.on_lost(lost, self.generation)
        return is_persistent

    def _collapse(self, now: Instant) -> None:
        """React to persistent congestion (RFC 9002 s7.6.2 and s5.2)."""
        self.congestion.on_persistent_congestion(now)
        self.rtt.restart_minimum()
        self._lost_streak = LostStreak()
        self._loss_history.end_event()

    def _is_persistent_congestion(self, run: SentRun) -> bool:
        # RFC 9002 s7.6.2: only packets sent after the first sample establish it.
        if self._first_sample_at is None or run.sent_at <= self._first_sample_at:
            return False
        duration = self.probe_timeout() * PERSISTENT_CONGESTION_THRESHOLD
        return self._lost_streak.extend(run) > duration

    def _update_pacing_rate(self) -> None:
        wanted = self.congestion.pacing_rate
        if wanted is not None:
            self.pacer.set_rate(wanted)
            return
        gain = _PACING_GAIN_SLOW_START if self.congestion.is_in_slow_start else _PACING_GAIN
        rtt = max(self.rtt.smoothed, TIMER_GRANULARITY)
        self.pacer.set_rate(gain * self.congestion.congestion_window / rtt)


class _WindowUsage:
    """How much of the window was used in the last round trips (RFC 9002 s7.8)."""

    __slots__ = ("_peak", "_previous_peak", "_round_stop", "is_application_limited")

    def __init__(self) -> None:
        self.is_application_limited = False
        self._peak = 0
        self._previous_peak = 0
        self._round_stop = 0

    def on_sent(self, bytes_in_flight: int, *, is_full: bool) -> None:
        self._peak = max(self._peak, bytes_in_flight)
        if is_full:
            self.is_application_limited = False

    def on_acked(self, acked_stop: int, next_packet_number: int, bytes_in_flight: int) -> None:
        if acked_stop > self._round_stop:
            self._round_stop = next_packet_number
            self._previous_peak = self._peak
            self._peak = bytes_in_flight

    def is_below(self, needed_bytes: float) -> bool:
        # What pacing alone held back does not count as unused: then nobody reported a lack of data.
        return self.is_application_limited and max(self._peak, self._previous_peak) < needed_bytes
