"""One sender, one bottleneck link with a tail-drop queue, one receiver; all in simulated time."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mqvpn_core.ids import Instant
from mqvpn_core.quic.packet_spaces import ReceivedPackets, SentPackets, SentRun
from mqvpn_core.quic.recovery import PathRecovery
from tests.unit.quic.number_ranges import ranges_of

PACKET = 1200
MAX_ACK_DELAY = 0.025
ACK_BYTES = 60


@dataclass(frozen=True, kw_only=True)
class Link:
    bytes_per_second: float
    one_way_delay: float
    queue_bytes: int
    loss: float = 0.0
    ack_loss: float = 0.0
    jitter: float = 0.0
    """Random delay behind the queue, in seconds: packets overtake one another."""
    outage: tuple[float, float] = (0.0, 0.0)
    """From when until when nothing gets through."""


class Transfer:
    """Sends as much as recovery allows for some simulated seconds."""

    def __init__(self, link: Link, *, congestion: str, seed: int = 1) -> None:
        self.link = link
        self.now = 0.0
        self.sent = SentPackets()
        self.received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        self.recovery = PathRecovery(
            generation=0,
            congestion=congestion,
            max_datagram_size=PACKET,
            initial_rtt=0.333,
            max_ack_delay=MAX_ACK_DELAY,
        )
        self.delivered_bytes = self.lost_count = 0
        self.delivered_at: list[float] = []
        self.smallest_window = self.recovery.congestion.congestion_window
        self.largest_queue_delay = 0.0
        self.data_bytes_per_second: float | None = None
        """How fast the application produces data; None for as fast as possible."""
        self._random = Random(seed)
        self._link_free_at = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._event_count = 0
        self._produced_until = 0.0

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        steps = 0
        while self.now < end:
            steps += 1
            assert steps < 2_000_000, "the simulation does not advance"
            self._send()
            due = self._next_due(end)
            self.now = max(due, self.now)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self._handle_timers()

    def goodput(self, since: float = 0.0) -> float:
        """Return delivered bytes a second since a time."""
        count = sum(time >= since for time in self.delivered_at)
        return count * PACKET / (self.now - since)

    def _next_due(self, end: float) -> float:
        now = Instant(self.now)
        candidates = [
            self._events[0][0] if self._events else None,
            self.recovery.next_timeout(self.sent, handshake_confirmed=True),
            self.received.ack_due_at,
            self.recovery.next_pacing_time(now) if self._has_data() else None,
            self.now + 0.01 if self.data_bytes_per_second is not None else None,
        ]
        return min((due for due in candidates if due is not None), default=end)

    def _handle_timers(self) -> None:
        now = Instant(self.now)
        if self.received.ack_due_at is not None and self.received.ack_due_at <= now:
            self._send_ack()
        outcome = self.recovery.on_timeout(self.sent, now)
        self.lost_count += sum(run.count for run in outcome.lost)
        for _ in range(outcome.probe_count):
            self._send_run(1)
        window = self.recovery.congestion.congestion_window
        self.smallest_window = min(self.smallest_window, window)
        assert self.recovery.bytes_in_flight == len(self.sent) * PACKET

    def _has_data(self) -> bool:
        if self.data_bytes_per_second is None:
            return True
        return (self.now - self._produced_until) * self.data_bytes_per_second >= PACKET

    def _send(self) -> None:
        while True:
            count = self.recovery.send_budget(Instant(self.now)) // PACKET
            if count == 0:
                return
            if not self._has_data():
                self.recovery.on_application_limited()
                return
            count = min(count, 32)
            if self.data_bytes_per_second is not None:
                produced = (self.now - self._produced_until) * self.data_bytes_per_second
                count = min(count, int(produced / PACKET))
                self._produced_until += count * PACKET / self.data_bytes_per_second
            self._send_run(count)

    def _send_run(self, count: int) -> None:
        now = Instant(self.now)
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
        for number in range(run.first, run.stop):
            self._enqueue(number)

    def _enqueue(self, number: int) -> None:
        link = self.link
        waiting = max(0.0, self._link_free_at - self.now)
        if waiting * link.bytes_per_second + PACKET > link.queue_bytes or self._is_out():
            return
        self.largest_queue_delay = max(self.largest_queue_delay, waiting)
        self._link_free_at = self.now + waiting + PACKET / link.bytes_per_second
        if self._random.random() >= link.loss:
            arrival = self._link_free_at + link.one_way_delay + link.jitter * self._random.random()
            self._at(arrival, lambda: self._deliver(number))

    def _deliver(self, number: int) -> None:
        assert not self.received.is_duplicate(number)
        self.delivered_at.append(self.now)
        self.received.record(
            ranges_of([number]), ack_eliciting_count=1, ecn=0, now=Instant(self.now)
        )

    def _send_ack(self) -> None:
        now = Instant(self.now)
        ranges = self.received.ack_ranges()
        delay = self.received.ack_delay(now)
        self.received.on_ack_sent(now)
        if self._random.random() >= self.link.ack_loss and not self._is_out():
            self._at(self.now + self.link.one_way_delay, lambda: self._take_ack(ranges, delay))

    def _take_ack(self, ranges: tuple[tuple[int, int], ...], delay: float) -> None:
        outcome = self.recovery.on_ack(self.sent, ranges, delay, None, Instant(self.now))
        self.lost_count += sum(run.count for run in outcome.lost)

    def _is_out(self) -> bool:
        start, stop = self.link.outage
        return start <= self.now < stop

    def _at(self, time: float, call: Callable[[], None]) -> None:
        self._event_count += 1
        heapq.heappush(self._events, (time, self._event_count, call))
