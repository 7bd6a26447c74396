"""A bypass in plain Python for one end of a simulated connection.

It does what the native one does, one turn of the simulator after the other: between two calls of
its node it opens and seals plain packets with what the lanes say, at the next call it reports. It
shares no state with the connection but the lanes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from typing_extensions import override

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.bypass import SentByBypass
from mqvpn_core.dataplane.packets import PacketShape
from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.bypass_lanes import BypassLanes, InboundLane, OutboundLane
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.number_loan import NumberLoan
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit, split_segments
from mqvpn_core.testing.pair import Pair, Peer
from mqvpn_core.testing.simulator import Node

PREFIX = b"\x00\x00"
_DATAGRAM_TO_END = b"\x30"
_CID_BYTES = 8
_NOTHING = b"-"


@dataclass
class _Sent:
    """Packets of one call of `send`."""

    lane: OutboundLane
    first: int
    payloads: list[bytes]
    sizes: list[int]
    at: Instant


@dataclass
class _Taken:
    """Packets with consecutive numbers."""

    lane: InboundLane
    first: int
    count: int
    received_bytes: int
    at: Instant


class HandBypass(Node):
    """One end, and the packets that go past it.

    C: ``send``, which may be called between two turns, ``hold``, ``release``.
    """

    def __init__(
        self, node: Node, find: Callable[[], MultipathConnection], touch: Callable[[], None]
    ) -> None:
        """Stand in front of a node.

        Args:
            node: a client's or a server's.
            find: returns the connection.
            touch: called when something was reported.
        """
        self.delivered: list[bytes] = []
        """Payloads that came by a lane, prefix included."""
        self.sent_count = 0
        self.taken_count = 0
        self.is_on = True
        """Lanes are opened."""
        self.loan = NumberLoan()
        self.inbound: dict[bytes, InboundLane] = {}
        self.outbound: dict[PathId, OutboundLane] = {}
        self._node = node
        self._find = find
        self._touch = touch
        self._largest: dict[bytes, int] = {}
        self._next: dict[PathId, int] = {}
        self._credit: dict[PathId, int] = {}
        self._sent: list[_Sent] = []
        self._taken: list[_Taken] = []
        self._ready: list[Transmit] = []

    def send(self, payloads: Sequence[bytes], now: Instant, path_id: int = 0) -> int:
        """Let packets leave as far as the lane of a path goes; return how many did."""
        lane = self.outbound.get(PathId(path_id))
        if lane is None or not self.loan.is_out:
            return 0
        first, overhead = self._next[lane.path_id], len(self._seal(lane, 0, [b""])[0])
        room = lane.frame_capacity - len(_DATAGRAM_TO_END + PREFIX)
        going: list[bytes] = []
        for payload in payloads:
            size = overhead + len(payload)
            if len(payload) > room or size > self._credit[lane.path_id]:
                break
            self._credit[lane.path_id] -= size
            going.append(payload)
        sealed = self._seal(lane, first, going)
        self._next[lane.path_id] += len(going)
        self._ready += [
            Transmit(four_tuple=lane.four_tuple, data=data, segment_size=len(data), ecn=0)
            for data in sealed
        ]
        if going:
            self._sent.append(_Sent(lane, first, going, list(map(len, sealed)), now))
        self.sent_count += len(going)
        return len(going)

    def hold(self) -> None:
        """Take the numbers back and report."""
        self.loan.is_out = False
        connection = self._find()
        sent, self._sent = self._sent, []
        taken, self._taken = self._taken, []
        for _, group in groupby(sent, key=lambda each: id(each.lane)):
            connection.note_bypassed(_reports_of(list(group)))
        for part in taken:
            connection.note_bypassed(_arrival_of(part))
        if sent or taken:
            self._touch()

    def release(self, now: Instant) -> None:
        """Open the lanes there may be, and give the numbers away."""
        lanes = self._find().lanes
        self.inbound = {lane.connection_id: lane for lane in lanes.inbound() if self.is_on}
        self.outbound = {lane.path_id: lane for lane in lanes.outbound(now) if self.is_on}
        self._largest = {lane.connection_id: lane.largest for lane in self.inbound.values()}
        self._next = {lane.path_id: lane.next_number for lane in self.outbound.values()}
        self._credit = {lane.path_id: lane.credit for lane in self.outbound.values()}
        for lane in self.outbound.values():
            lanes.lend(lane, self.loan)
        self.loan.is_out = True

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        rest = [data for data in split_segments(batch) if not self._take(data, batch, now)]
        self.hold()
        for data in rest:
            whole = ReceivedDatagrams(batch.four_tuple, data, len(data), batch.ecn)
            self._node.receive_datagrams(whole, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.hold()
        self._node.handle_timeout(now)

    @override
    def transmits(self, now: Instant) -> Sequence[Transmit]:
        self.hold()
        ready, self._ready = self._ready, []
        ready += self._node.transmits(now)
        self.release(now)
        return ready

    @override
    def next_timeout(self) -> Instant | None:
        return self._node.next_timeout()

    @override
    def handle_events(self, now: Instant) -> int:
        return self._node.handle_events(now)

    def _take(self, data: bytes, batch: ReceivedDatagrams, now: Instant) -> bool:
        """Open a packet if a lane knows it and it is new and plain."""
        cid = data[1 : 1 + _CID_BYTES]
        lane = self.inbound.get(cid)
        if lane is None or data[0] & 0x80 or lane.four_tuple != batch.four_tuple or batch.ecn:
            return False
        largest = self._largest[cid]
        context = kernel.ReceiveContext(lane.path_id, largest, _CID_BYTES, lane.key_phase & 1)
        (result,) = kernel.open_batch(lane.keys, context, [data])
        if not isinstance(result, kernel.OpenedPacket) or result.has_reserved_bits:
            return False
        front = _DATAGRAM_TO_END + PREFIX
        if result.packet_number <= largest or not result.plaintext.startswith(front):
            return False
        self._largest[cid] = result.packet_number
        self.delivered.append(result.plaintext[len(_DATAGRAM_TO_END) :])
        self.taken_count += 1
        last = self._taken[-1] if self._taken else None
        if (
            last is not None
            and last.lane is lane
            and last.first + last.count == (result.packet_number)
        ):
            last.count += 1
            last.received_bytes += len(data)
        else:
            self._taken.append(_Taken(lane, result.packet_number, 1, len(data), now))
        return True

    def _seal(self, lane: OutboundLane, first: int, payloads: Iterable[bytes]) -> list[bytes]:
        frames = [_DATAGRAM_TO_END + PREFIX + payload for payload in payloads]
        return kernel.seal_batch(lane.keys, lane.header, lane.path_id, first, frames)


def report_of(
    first: int,
    shapes: Sequence[PacketShape],
    payloads: Sequence[bytes] = (),
    *,
    age: float = 0.0,
) -> SentByBypass:
    """Say what left."""
    return SentByBypass(0, first, list(shapes), [], list(payloads), age)


def _reports_of(sent: Sequence[_Sent]) -> Callable[[BypassLanes], None]:
    """Say what left on one lane."""
    lane, now = sent[-1].lane, sent[-1].at
    reports = []
    for each in sent:
        shapes = []
        for size, group in groupby(each.sizes):
            count = len(list(group))
            shapes.append((size, count, size * count))
        payloads = each.payloads if lane.keeps else []
        reports.append(report_of(each.first, shapes, payloads, age=now - each.at))

    def take(lanes: BypassLanes) -> None:
        lanes.note_sent(lane, PREFIX, reports, now)

    return take


def _arrival_of(taken: _Taken) -> Callable[[BypassLanes], None]:
    def take(lanes: BypassLanes) -> None:
        lanes.note_received(taken.lane, taken.first, taken.count, taken.received_bytes, taken.at)

    return take


class BypassedPair:
    """Both ends of a pair behind bypasses of their own; begin after the handshake."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.simulator = pair.simulator
        server_node = pair.server_node
        (handle,) = server_node.peers

        def poll_server() -> None:
            server_node.endpoint.poll(handle)

        self.client_side = HandBypass(
            pair.client_node, lambda: pair.client.connection, lambda: None
        )
        self.server_side = HandBypass(server_node, lambda: pair.server.connection, poll_server)
        # The endpoint is asked for nothing it has not been touched for.
        self.simulator.replace_node("client", self.client_side)
        self.simulator.replace_node("server", self.server_side)
        self.widen()

    @property
    def sides(self) -> tuple[HandBypass, HandBypass]:
        return self.client_side, self.server_side

    def widen(self) -> None:
        """Send the ordinary way until the congestion windows take what the tests offer."""
        for side in self.sides:
            side.is_on = False
        for _ in range(8):
            for peer in (self.pair.client, self.pair.server):
                send_ordinarily(peer, [_NOTHING.ljust(1000)] * 60, self.simulator.now)
            self.simulator.run_for(0.15)
        for side, peer in zip(self.sides, (self.pair.client, self.pair.server), strict=True):
            side.is_on = True
            peer.received_datagrams.clear()
        self.simulator.run_for(0.5)

    def chat(self, rounds: int, *, count: int = 3, size: int = 600, path_id: int = 0) -> int:
        """Offer numbered packets to both lanes every 5 ms; return how many each end could offer.

        What a lane does not take goes the ordinary way.
        """
        for index in range(rounds):
            payloads = [b"%06d." % (index * count + at) for at in range(count)]
            filled = [payload.ljust(size, b"x") for payload in payloads]
            for side, peer in zip(self.sides, (self.pair.client, self.pair.server), strict=True):
                sent = side.send(filled, self.simulator.now, path_id)
                send_ordinarily(peer, filled[sent:], self.simulator.now)
            self.simulator.run_for(0.005)
        return rounds * count

    def received(self, side: HandBypass) -> list[int]:
        """Numbers of what came past an end and to it, sorted."""
        peer = self.pair.client if side is self.client_side else self.pair.server
        whole = [*side.delivered, *peer.received_datagrams]
        return sorted(int(payload[len(PREFIX) : len(PREFIX) + 6]) for payload in whole)


def send_ordinarily(peer: Peer, payloads: Sequence[bytes], now: Instant) -> None:
    """Queue payloads as a tunnel does."""
    if payloads:
        peer.connection.queue_datagrams(PREFIX, payloads, now)
        peer._on_command()
