"""Several senders that share one bottleneck link which may change; all in simulated time."""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from mqvpn_core.ids import Instant
from mqvpn_core.quic.packet_spaces import ReceivedPackets, SentPackets, SentRun
from mqvpn_core.quic.recovery import PathRecovery
from tests.unit.quic.number_ranges import ranges_of

PACKET = 1200
MEGABIT = 1e6 / 8
_MAX_ACK_DELAY = 0.025
_LARGEST_RUN = 64
_SHORTEST_NAP = 1e-6


@dataclass
class LinkState:
    """What a link is like; may be changed while it carries packets."""

    rate: float
    """Bytes per second; 0 loses everything."""
    delay: float
    """One way, in seconds."""
    queue_bytes: int
    loss: float = 0.0
    """Of packets and of acknowledgments."""
    jitter: float = 0.0
    """How far the delay strays up and down, slowly, so that packets stay in order."""
    burst_seconds: float = 0.0
    """Distance of the moments at which packets come out."""


class _Wander:
    """A value between -1 and 1 that moves to another one every 20 milliseconds."""

    _STEP = 0.02

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._step = 0
        self._from = self._to = 0.0

    def at(self, time: float) -> float:
        while self._step < int(time / self._STEP):
            self._step += 1
            self._from, self._to = self._to, self._random.uniform(-1, 1)
        return self._from + (self._to - self._from) * (time / self._STEP - self._step)


class SharedLink:
    """The world: a clock, the link, and the flows that use it."""

    def __init__(self, state: LinkState, *, seed: int = 1) -> None:
        self.state = state
        self.now = 0.0
        self.random = Random(seed)
        self.there = _Wander(seed + 1)
        self.back = _Wander(seed + 2)
        self._free_at = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._event_count = 0

    def flow(self, congestion: str, **options: float) -> "Flow":
        return Flow(self, congestion, **options)

    def at(self, time: float, call: Callable[[], object]) -> None:
        self._event_count += 1
        heapq.heappush(self._events, (max(time, self.now), self._event_count, call))

    def run_until(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = end

    def queue_delay(self) -> float:
        return max(0.0, self._free_at - self.now)

    def enter(self) -> float | None:
        """Take one packet; return when it arrives, if it does."""
        state = self.state
        if not state.rate or self.queue_delay() * state.rate + PACKET > state.queue_bytes:
            return None
        self._free_at = self.now + self.queue_delay() + PACKET / state.rate
        if self.random.random() < state.loss:
            return None
        arrival = self._free_at + state.delay + state.jitter * self.there.at(self._free_at)
        if state.burst_seconds:
            arrival = math.ceil(arrival / state.burst_seconds) * state.burst_seconds
        return arrival

    def enter_back(self) -> float | None:
        """Take one acknowledgment; return when it arrives, if it does."""
        if not self.state.rate or self.random.random() < self.state.loss:
            return None
        return self.now + self.state.delay + self.state.jitter * self.back.at(self.now)


class Flow:
    """A sender and its receiver."""

    def __init__(
        self, link: SharedLink, congestion: str, *, start: float = 0.0, nap: float = 0.0
    ) -> None:
        """Begin to send.

        Args:
            link: over which link.
            congestion: name of the controller.
            start: when.
            nap: seconds that the sender's event loop sleeps at a time at least.
        """
        self.link = link
        self.nap = nap
        self.produces: Callable[[], float] | None = None
        """Bytes per second that there are to send; None for as many as possible."""
        self.sent = SentPackets()
        self.received = ReceivedPackets(max_ack_delay=_MAX_ACK_DELAY)
        self.recovery = PathRecovery(
            generation=0,
            congestion=congestion,
            max_datagram_size=PACKET,
            initial_rtt=0.1,
            max_ack_delay=_MAX_ACK_DELAY,
        )
        self.sent_count = self.lost_count = 0
        self.deliveries: list[tuple[float, float]] = []
        """When a packet arrived, and how long it took."""
        self.watch: Callable[[], None] | None = None
        """Called after every acknowledgment."""
        self._produced_until = start
        self._wakes_at = math.inf
        self._last_arrival = self._last_return = 0.0
        link.at(start, self._wake)

    def goodput(self, start: float, end: float) -> float:
        """Delivered bytes a second."""
        return sum(start <= at < end for at, _ in self.deliveries) * PACKET / (end - start)

    def delay(self, start: float, end: float, share: float) -> float:
        """One-way delay that this share of the packets stays within."""
        delays = sorted(delay for at, delay in self.deliveries if start <= at < end)
        return delays[min(int(share * len(delays)), len(delays) - 1)]

    @property
    def lost_share(self) -> float:
        return self.lost_count / self.sent_count

    def _on_alarm(self) -> None:
        if self._wakes_at <= self.link.now:  # or it has been set anew meanwhile
            self._wake()

    def _wake(self) -> None:
        now = Instant(self.link.now)
        outcome = self.recovery.on_timeout(self.sent, now)
        self.lost_count += sum(run.count for run in outcome.lost)
        for _ in range(outcome.probe_count):
            self._send_run(1)
        self._send()
        if self.received.ack_due_at is not None and self.received.ack_due_at <= now:
            self._send_ack()
        self._sleep()

    def _send(self) -> None:
        now = Instant(self.link.now)
        while count := min(self.recovery.send_budget(now) // PACKET, _LARGEST_RUN):
            produced = self._produced()
            if produced < PACKET:
                self.recovery.on_application_limited()
                return
            count = int(min(count, produced / PACKET))
            if self.produces is not None:
                self._produced_until += count * PACKET / self.produces()
            self._send_run(count)

    def _produced(self) -> float:
        if self.produces is None:
            return math.inf
        # What could not be sent within 50 ms is not wanted any more.
        self._produced_until = max(self._produced_until, self.link.now - 0.05)
        return (self.link.now - self._produced_until) * self.produces()

    def _send_run(self, count: int) -> None:
        now = Instant(self.link.now)
        run = SentRun(
            first=self.sent.reserve(count),
            count=count,
            sent_at=now,
            packet_bytes=PACKET,
            total_bytes=PACKET * count,
            ack_eliciting=True,
            in_flight=True,
        )
        self.sent.record(run)
        self.recovery.on_run_sent(run, now)
        self.sent_count += count
        for number in range(run.first, run.stop):
            arrival = self.link.enter()
            if arrival is not None:
                self._last_arrival = max(arrival, self._last_arrival)
                self.link.at(self._last_arrival, partial(self._deliver, number, now))

    def _deliver(self, number: int, sent_at: float) -> None:
        now = self.link.now
        self.deliveries.append((now, now - sent_at))
        self.received.record(ranges_of([number]), ack_eliciting_count=1, ecn=0, now=Instant(now))
        due = self.received.ack_due_at
        assert due is not None
        self.link.at(due, self._send_ack)

    def _send_ack(self) -> None:
        now = Instant(self.link.now)
        due = self.received.ack_due_at
        if due is None or due > now:
            return
        ranges, delay = self.received.ack_ranges(), self.received.ack_delay(now)
        self.received.on_ack_sent(now)
        arrival = self.link.enter_back()
        if arrival is not None:
            self._last_return = max(arrival, self._last_return)
            self.link.at(self._last_return, lambda: self._take_ack(ranges, delay))

    def _take_ack(self, ranges: tuple[tuple[int, int], ...], delay: float) -> None:
        outcome = self.recovery.on_ack(self.sent, ranges, delay, None, Instant(self.link.now))
        self.lost_count += sum(run.count for run in outcome.lost)
        if self.watch is not None:
            self.watch()
        self._wake()

    def _sleep(self) -> None:
        now = self.link.now
        has_data = self._produced() >= PACKET
        candidates = [
            self.recovery.next_timeout(self.sent, handshake_confirmed=True),
            self.recovery.next_pacing_time(Instant(now)) if has_data else None,
            None if self.produces is None else now + 0.005,
        ]
        due = min((each for each in candidates if each is not None), default=math.inf)
        if self.nap:
            due = max(due, math.ceil(now / self.nap + 1e-9) * self.nap)
        due = max(due, now + _SHORTEST_NAP)
        if due < self._wakes_at or self._wakes_at <= now:
            self._wakes_at = due
            self.link.at(due, self._on_alarm)
