"""A small deterministic world: TCP-like flows, a scheduler, and paths with a bottleneck each.

The flows and the paths both run Cubic without its refinements; a flow takes three packets that
overtake another one for its loss, as TCP does. Only one direction carries data.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mqvpn_core.dataplane.parcels import first_packet
from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import CarrierView, DatagramScheduler

PREFIX = b"\x00\x00"
OVERHEAD = 29
PACKET = 1400
"""UDP payload of a full packet."""
SEGMENT = PACKET - OVERHEAD - len(PREFIX) - 1
"""IP packet that fills it."""
_PADDING = bytes(SEGMENT - 5)
_DUPLICATE_ACKS = 3
_MIN_TIMEOUT = 0.3


@dataclass
class Window:
    """Cubic (RFC 9438) in packets, and a round-trip time."""

    size: float = 10.0
    threshold: float = float("inf")
    peak: float = 0.0
    cut_at: float = -1.0
    smoothed_rtt: float = 0.0

    def on_acked(self, rtt: float, now: float, *, may_grow: bool = True) -> None:
        self.smoothed_rtt += (rtt - self.smoothed_rtt) / 8 if self.smoothed_rtt else rtt
        if not may_grow:
            return
        if self.size < self.threshold:
            self.size += 1
            return
        k = (self.peak * 0.3 / 0.4) ** (1 / 3)
        target = 0.4 * (now - self.cut_at + self.smoothed_rtt - k) ** 3 + self.peak
        reno = 0.53 / self.size
        self.size += max((min(target, 1.5 * self.size) - self.size) / self.size, reno)

    def on_lost(self, sent_at: float, now: float) -> None:
        if sent_at > self.cut_at:
            self.peak = self.size
            self.size = self.threshold = max(2.0, 0.7 * self.size)
            self.cut_at = now


@dataclass
class Bottleneck:
    """A path: window, pacing, then a queue of limited length in front of a link."""

    path_id: PathId
    rate: float
    """Bytes per second."""
    delay: float
    """One way, in seconds."""
    buffer_bytes: int
    use: PathUse = PathUse.PRIMARY
    is_suspect: bool = False
    opens_at: float = 0.0
    window: Window = field(default_factory=Window)
    in_flight: int = 0
    free_at: float = 0.0
    delivered_bytes: int = 0
    acked_bytes: int = 0
    padding_bytes: int = 0
    tokens: float = 10.0 * PACKET
    refilled_at: float = 0.0

    def view(self, now: float) -> CarrierView:
        rtt = self.window.smoothed_rtt or 0.1
        pacing = 1.25 * self.window.size * PACKET / rtt
        self.tokens += (now - self.refilled_at) * pacing
        self.tokens = min(self.tokens, max(10 * PACKET, 0.005 * pacing))
        self.refilled_at = now
        room = self.window.size * PACKET - self.in_flight
        return CarrierView(
            path_id=self.path_id,
            use=self.use,
            peer_is_backup=False,
            is_suspect=self.is_suspect,
            smoothed_rtt=rtt,
            rate=self.window.size * PACKET / rtt,
            send_budget=max(0, int(min(room, self.tokens))),
            max_packet_bytes=PACKET,
            packet_overhead=OVERHEAD,
            is_starting=self.window.size < self.window.threshold,
            shortest_rtt=2 * self.delay,
            acked_bytes=self.acked_bytes,
        )


@dataclass
class TcpFlow:
    """A sender that always has something to send."""

    number: int
    stops_at: float = float("inf")
    window: Window = field(default_factory=Window)
    next_serial: int = 0
    in_flight: dict[int, float] = field(default_factory=dict)
    """Serial number to when it was sent, in that order."""
    overtaken: dict[int, int] = field(default_factory=dict)
    acked_at: float = 0.0
    goodput_bytes: int = 0
    reordered_count: int = 0
    largest_arrived: int = -1
    paths: set[PathId] = field(default_factory=set)
    """Paths that carried it since somebody looked."""

    def on_acked(self, serial: int, now: float) -> None:
        self.acked_at = now
        sent_at = self.in_flight.pop(serial, None)
        if sent_at is None:
            return
        self.overtaken.pop(serial, None)
        self.window.on_acked(now - sent_at, now)
        lost = []
        for other in self.in_flight:
            if other > serial:
                break
            self.overtaken[other] = self.overtaken.get(other, 0) + 1
            if self.overtaken[other] >= _DUPLICATE_ACKS:
                lost.append(other)
        for other in lost:
            del self.overtaken[other]
            self.window.on_lost(self.in_flight.pop(other), now)

    def on_timeout(self, now: float) -> None:
        self.in_flight.clear()
        self.overtaken.clear()
        self.window.threshold = max(2.0, self.window.size / 2)
        self.window.size = 2.0
        self.acked_at = now


class TcpWorld:
    """Runs flows over paths through a scheduler."""

    def __init__(
        self, paths: Sequence[Bottleneck], flow_count: int, strategy: str = "weighted"
    ) -> None:
        self.paths = {path.path_id: path for path in paths}
        self.flows = [TcpFlow(number) for number in range(flow_count)]
        self.scheduler = DatagramScheduler(
            max_bytes=2 * 1024 * 1024,
            max_age=0.2,
            strategy=strategy,
            classify=lambda payload: payload[0],
        )
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._event_count = 0
        self._wakes_at = 0.0

    def run(self, until: float) -> None:
        """Let time pass."""
        self._pump()
        while self._events and self._events[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            if not self._events or self._events[0][0] > self.now:
                self._pump()
        self.now = until

    def goodput(self) -> float:
        """Bytes per second of all flows since the last call of `forget_the_past`."""
        return sum(flow.goodput_bytes for flow in self.flows) / (self.now - self._since)

    _since = 0.0

    def forget_the_past(self) -> None:
        """Begin to measure anew."""
        self._since = self.now
        for flow in self.flows:
            flow.goodput_bytes = flow.reordered_count = 0
            flow.paths.clear()
        for path in self.paths.values():
            path.delivered_bytes = 0

    def at(self, time: float, happen: Callable[[], None]) -> None:
        """Plan something."""
        self._event_count += 1
        heapq.heappush(self._events, (time, self._event_count, happen))

    def _pump(self) -> None:
        for flow in self.flows:
            self._send_of(flow)
        views = [path.view(self.now) for path in self.paths.values() if path.opens_at <= self.now]
        for path_id, datagrams in self.scheduler.allocate(views, Instant(self.now)).items():
            for _, payload in datagrams:
                self._transmit(self.paths[path_id], first_packet(payload))
        if self.scheduler.tried_path is not None:
            self._pad(self.paths[self.scheduler.tried_path])
        wakes_at = self.now + (
            0.001 if len(self.scheduler) or self.scheduler.tried_path is not None else 0.05
        )
        if not self.now < self._wakes_at <= wakes_at:
            self._wakes_at = wakes_at
            self.at(wakes_at, lambda: None)

    def _send_of(self, flow: TcpFlow) -> None:
        timeout = max(_MIN_TIMEOUT, 3 * flow.window.smoothed_rtt)
        if flow.in_flight and self.now - flow.acked_at > timeout:
            flow.on_timeout(self.now)
        payloads = []
        while len(flow.in_flight) < int(flow.window.size) and self.now < flow.stops_at:
            payloads.append(bytes([flow.number]) + flow.next_serial.to_bytes(4, "big") + _PADDING)
            flow.in_flight[flow.next_serial] = self.now
            flow.next_serial += 1
        self.scheduler.push(PREFIX, payloads, Instant(self.now))

    def _pad(self, path: Bottleneck) -> None:
        while path.view(self.now).send_budget >= PACKET:
            path.padding_bytes += PACKET
            self._carry(path, lambda: None, lambda: None)

    def _transmit(self, path: Bottleneck, payload: bytes) -> None:
        flow = self.flows[payload[0]]
        flow.paths.add(path.path_id)
        serial = int.from_bytes(payload[1:5], "big")
        self._carry(
            path,
            lambda: self._on_arrived(path, flow, serial),
            lambda: flow.on_acked(serial, self.now),
        )

    def _carry(
        self, path: Bottleneck, on_arrived: Callable[[], None], on_acked: Callable[[], None]
    ) -> None:
        path.in_flight += PACKET
        path.tokens -= PACKET
        sent_at = self.now
        starts_at = max(self.now, path.free_at)
        if path.is_suspect or (starts_at - self.now) * path.rate > path.buffer_bytes:
            lost_at = starts_at + 2 * path.delay + 0.01
            self.at(lost_at, lambda: self._on_lost(path, sent_at))
            return
        path.free_at = starts_at + PACKET / path.rate
        arrives_at = path.free_at + path.delay
        self.at(arrives_at, on_arrived)
        self.at(arrives_at + path.delay, lambda: self._on_acked(path, sent_at, on_acked))

    def _on_arrived(self, path: Bottleneck, flow: TcpFlow, serial: int) -> None:
        path.delivered_bytes += SEGMENT
        flow.goodput_bytes += SEGMENT
        flow.reordered_count += serial < flow.largest_arrived
        flow.largest_arrived = max(flow.largest_arrived, serial)

    def _on_acked(self, path: Bottleneck, sent_at: float, on_acked: Callable[[], None]) -> None:
        share = 1 / 2 if path.window.size < path.window.threshold else 7 / 8
        is_used = path.in_flight >= share * path.window.size * PACKET
        path.in_flight -= PACKET
        path.acked_bytes += PACKET
        path.window.on_acked(self.now - sent_at, self.now, may_grow=is_used)
        on_acked()

    def _on_lost(self, path: Bottleneck, sent_at: float) -> None:
        path.in_flight -= PACKET
        path.window.on_lost(sent_at, self.now)


def bottleneck(
    number: int, megabits: float, delay: float, *, buffer: float = 0.05, opens_at: float = 0.0
) -> Bottleneck:
    """Make a path; its buffer is given in seconds."""
    rate = megabits * 1e6 / 8
    return Bottleneck(
        path_id=PathId(number),
        rate=rate,
        delay=delay,
        buffer_bytes=int(rate * buffer),
        opens_at=opens_at,
        window=Window(smoothed_rtt=2 * delay),
    )
