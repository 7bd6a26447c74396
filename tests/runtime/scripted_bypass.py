"""A bypass that does what the test says, and a connection that has the lanes the test says."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from typing_extensions import override

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.bypass import Happened, SentByBypass, TakenByBypass
from mqvpn_core.dataplane.packets import CipherSuite, Destination, PeerKey
from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.masque.forwarding import Forwarder, TunnelEnd
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.quic.bypass_lanes import BypassLanes, InboundLane, OutboundLane
from mqvpn_core.quic.number_loan import NumberLoan

CID = b"12345678"
PREFIX = b"\0\0"
KEYS = kernel.PacketKeys(CipherSuite.AES_128_GCM_SHA256, bytes(16), bytes(12), bytes(16))
NOTHING: Happened = ([], [], [], [], [], 0, 0, 0)


@dataclass
class OpenIn:
    """What `open_inbound` was told."""

    socket: int
    peer: PeerKey
    path_id: int
    key_phase: int
    largest: int
    flows: object


@dataclass
class OpenOut:
    """What `open_outbound` was told, and what was approved since."""

    socket: int
    destination: Destination
    path_id: int
    next_number: int
    mtu: int
    credit: int
    max_packets: int
    keeps: bool
    flows: object
    approved: dict[bytes, int] = field(default_factory=dict)


class ScriptedBypass:
    """In place of the native one: strict about when it may be told something."""

    def __init__(self) -> None:
        self.happened: Happened = NOTHING
        """What the next `hold` tells."""
        self.is_held = True
        self.is_closed = self.is_broken = False
        self.hold_count = self.release_count = self.arm_count = 0
        self.lingers: list[float] = []
        self.hastened: set[bytes] = set()
        self.sockets: dict[int, int] = {}
        self.inbound: dict[bytes, OpenIn] = {}
        self.outbound: dict[int, OpenOut] = {}
        self.device_is_armed = False
        self.armed: list[int] = []
        self.unfit: set[bytes] = set()
        """Packets that no lane takes."""
        self.news = -1
        """Descriptor for `fileno`."""

    def fileno(self) -> int:
        return self.news

    def add_socket(self, key: int, descriptor: int) -> None:
        assert self.is_held
        assert key not in self.sockets
        self.sockets[key] = descriptor

    def remove_socket(self, key: int) -> None:
        assert self.is_held
        del self.sockets[key]
        self.armed = [other for other in self.armed if other != key]
        self.inbound = {cid: it for cid, it in self.inbound.items() if it.socket != key}
        self.outbound = {lane: it for lane, it in self.outbound.items() if it.socket != key}

    def open_inbound(  # noqa: PLR0913, PLR0917 - as the protocol has it
        self,
        cid: bytes,
        socket: int,
        peer: PeerKey,
        keys: kernel.PacketKeys,
        path_id: int,
        key_phase: int,
        largest: int,
        prefix: bytes,
        flows: kernel.FlowSet,
    ) -> None:
        assert self.is_held
        assert socket in self.sockets
        assert (keys, prefix) == (KEYS, PREFIX)
        self.inbound[cid] = OpenIn(socket, peer, path_id, key_phase, largest, flows)
        self.hastened.discard(cid)

    def hasten(self, cid: bytes) -> None:
        assert self.is_held
        assert cid in self.inbound
        self.hastened.add(cid)

    def close_inbound(self, cid: bytes) -> None:
        assert self.is_held
        self.inbound.pop(cid, None)

    def open_outbound(  # noqa: PLR0913, PLR0917 - as the protocol has it
        self,
        lane: int,
        socket: int,
        destination: Destination,
        keys: kernel.PacketKeys,
        path_id: int,
        header: kernel.ShortHeader,
        next_number: int,
        prefix: bytes,
        flows: kernel.FlowSet,
        mtu: int,
        credit: int,
        max_packets: int,
        keeps: bool,
    ) -> None:
        assert self.is_held
        assert socket in self.sockets
        assert (keys, prefix, header.destination_cid) == (KEYS, PREFIX, b"87654321")
        known = self.outbound.get(lane)
        self.outbound[lane] = OpenOut(
            socket=socket,
            destination=destination,
            path_id=path_id,
            next_number=next_number,
            mtu=mtu,
            credit=credit,
            max_packets=max_packets,
            keeps=keeps,
            flows=flows,
            approved={} if known is None else known.approved,
        )

    def close_outbound(self, lane: int) -> None:
        assert self.is_held
        self.outbound.pop(lane, None)

    def approve(self, lane: int, flow: int, packet: bytes) -> bool:
        assert self.is_held
        if packet in self.unfit:
            return False
        for other in self.outbound.values():
            other.approved.pop(packet, None)
        self.outbound[lane].approved[packet] = flow
        return True

    def forget_approvals(self, lane: int) -> None:
        assert self.is_held
        self.outbound[lane].approved.clear()

    def arm(self, device: bool, sockets: list[int]) -> None:
        assert self.is_held
        assert set(sockets) <= set(self.sockets), "armed without a socket"
        self.arm_count += 1
        self.device_is_armed, self.armed = device, sorted(sockets)

    def hold(self) -> Happened:
        if self.is_broken:
            raise RuntimeError("the native kernel has a bug: it panicked")
        assert not self.is_closed
        self.is_held = True
        self.hold_count += 1
        if self.news >= 0:
            with suppress(BlockingIOError):
                os.eventfd_read(self.news)
        happened, self.happened = self.happened, NOTHING
        return happened

    def release(self, linger: float) -> None:
        assert self.is_held
        assert not self.is_closed
        self.is_held = False
        self.lingers.append(linger)
        self.release_count += 1

    def close(self) -> None:
        self.is_held = self.is_closed = True


class FakeLanes(BypassLanes):
    """Lanes as the test wants them; keeps what it is told."""

    def __init__(self) -> None:  # no rooms of a connection below
        self.ways_in: list[InboundLane] = []
        self.ways_out: list[OutboundLane] = []
        self.places: dict[bytes, tuple[int, PathId]] = {}
        self.loans: dict[PathId, NumberLoan] = {}
        self.moved: set[int] = set()
        """Flows that are not where they were any more."""
        self.notes: list[tuple[object, ...]] = []
        self.review_count = 0
        self.failure: RemoteProtocolError | None = None

    @override
    def inbound(self) -> list[InboundLane]:
        return self.ways_in

    @override
    def outbound(self, now: Instant) -> list[OutboundLane]:
        return self.ways_out

    @override
    def lend(self, lane: OutboundLane, loan: NumberLoan) -> None:
        self.loans[lane.path_id] = loan

    @override
    def place_of(self, packet: bytes) -> tuple[int, PathId] | None:
        return self.places.get(packet)

    @override
    def note_received(
        self, lane: InboundLane, first: int, count: int, received_bytes: int, at: Instant
    ) -> None:
        self.notes.append(("received", lane, first, count, received_bytes))

    @override
    def note_sent(
        self, lane: OutboundLane, prefix: bytes, reports: Sequence[SentByBypass], now: Instant
    ) -> None:
        for report in reports:
            contents = prefix, report.payloads
            self.notes.append(("sent", lane, report.first, report.shapes, contents))

    @override
    def note_flow(self, key: int, path_id: PathId, sent_bytes: int, at: Instant) -> bool:
        self.notes.append(("flow", key, path_id, sent_bytes))
        return key not in self.moved

    @override
    def review(self, now: Instant) -> None:
        self.review_count += 1


class FakeBypassed:
    """A connection with lanes."""

    def __init__(self) -> None:
        self.own_lanes = FakeLanes()

    @property
    def lanes(self) -> BypassLanes:
        return self.own_lanes

    def note_bypassed(self, take: Callable[[BypassLanes], None]) -> None:
        take(self.own_lanes)


def way_in(four_tuple: FourTuple, path_id: int = 0, cid: bytes = CID) -> InboundLane:
    return InboundLane(
        connection_id=cid,
        path_id=PathId(path_id),
        four_tuple=four_tuple,
        keys=KEYS,
        key_phase=1,
        largest=17,
        brings_room=False,
    )


def way_out(four_tuple: FourTuple, path_id: int = 0) -> OutboundLane:
    return OutboundLane(
        path_id=PathId(path_id),
        four_tuple=four_tuple,
        keys=KEYS,
        key_phase=1,
        header=kernel.ShortHeader(b"87654321", 1, 2),
        next_number=100,
        credit=20_000,
        frame_capacity=1400,
        keeps=True,
        generation=0,
    )


def taken(cid: bytes = CID, first: int = 18, count: int = 3) -> TakenByBypass:
    return cid, first, count, 100 * count, 60 * count, 0.0


def open_tunnel(mtu: int = 1350) -> TunnelBypass:
    forwarder = Forwarder(TunnelEnd.CLIENT)
    forwarder.change_mtu(mtu)
    return TunnelBypass(PREFIX, forwarder)
