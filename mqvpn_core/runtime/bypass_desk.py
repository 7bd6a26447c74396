"""Between the rounds of a driver plain packets go past it; this says which, and takes the report.

At the start of a round the bypass is held and what it did is entered where it belongs, at the end
it is told what it may do until the next one. It runs while the driver sleeps and at no other time.
Which packets those are is decided in `quic/bypass_lanes` and `masque/tunnel_bypass`; here sockets
are found, and flows let on a lane once they have taken the ordinary way.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

import trio

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.bypass import HandedUp, Happened, SentByBypass, TakenByBypass
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.errors import HostLostError
from mqvpn_core.ids import ConnectionHandle, Instant, PathId
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.quic.bypass_lanes import (
    MAX_LANE_PACKETS,
    BypassLanes,
    InboundLane,
    OutboundLane,
)
from mqvpn_core.quic.number_loan import NumberLoan
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.runtime.bypass_linger import BypassLinger
from mqvpn_core.runtime.bypass_sockets import BypassSockets
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.runtime.tun_device import PacketDevice, TunDevice, lost_device

MAX_OFFERS = 16
"""Flows that may be let on a lane in one round."""
MAX_FLOWS = 4096
"""Flows on all lanes; beyond that they are forgotten, and let on again as they come."""
REVIEW_SECONDS = 0.05
"""Seconds between two looks whether flows would be better off on other paths."""
_PREFIX_BYTES = 2
_FRAME_TYPE_BYTES = 1


@runtime_checkable
class BypassedConnection(Protocol):
    """A connection whose packets may go past the driver."""

    @property
    def lanes(self) -> BypassLanes:
        """Which, and what becomes of them."""

    def note_bypassed(self, take: Callable[[BypassLanes], None]) -> None:
        """Take in what went past it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One connection with its tunnel, if that is open."""

    connection: BypassedConnection
    """The connection."""
    tunnel: TunnelBypass | None
    """What of its tunnel may pass."""


@dataclass(slots=True)
class Returned:
    """What a round has to go on with."""

    datagrams: list[tuple[ReceivedDatagrams, Instant]] = field(default_factory=list)
    """What came and is no plain packet, and when."""
    packets: list[Parcel] = field(default_factory=list)
    """What the host has for nobody known."""
    transmits: list[Transmit] = field(default_factory=list)
    """What a socket did not take."""
    touched: set[ConnectionHandle] = field(default_factory=set)
    """Connections whose packets went past."""
    packet_count: int = 0
    """Packets for us, besides acknowledgements that can wait."""
    bypassed_count: int = 0
    """Packets that went past."""
    has_received: bool = False
    """Something came over a socket."""
    refused_count: int = 0
    """Packets that the device did not take."""
    failure: HostLostError | None = None
    """Why the device cannot be read any more."""


@dataclass(slots=True)
class _In:
    handle: ConnectionHandle
    subject: Subject
    tunnel: TunnelBypass
    lane: InboundLane
    key: int


@dataclass(slots=True)
class _Out:
    handle: ConnectionHandle
    subject: Subject
    tunnel: TunnelBypass
    lane: OutboundLane
    flows: dict[int, int] = field(default_factory=dict)


class BypassDesk:
    """The bypass of one driver.

    A: `is_armed`, `device_is_armed`. B: `hold`. C: `add_socket`, `remove_socket`, `offer`,
    `release`, `close`. Tasks: `wait_for_news`, `wait_for_change`.
    """

    def __init__(
        self,
        bypass: kernel.Bypass,
        find: Callable[[ConnectionHandle], Subject | None],
        guard: Callable[[ConnectionHandle, Callable[[], None]], None] = lambda _, work: work(),
    ) -> None:
        """Take over a bypass that is held.

        Args:
            bypass: closed by `close`.
            find: returns a connection and its tunnel, None when it is gone.
            guard: does work for one connection; an exception may end that one alone.
        """
        self.device_is_armed = False
        """The bypass reads the TUN device while it is released."""
        self._bypass = bypass
        self._find = find
        self._guard = guard
        self._loan = NumberLoan()
        self._sockets = BypassSockets(bypass)
        self._armed: frozenset[int] = frozenset()
        self._inbound: dict[bytes, _In] = {}
        self._outbound: dict[int, _Out] = {}
        self._lane_numbers: dict[tuple[ConnectionHandle, PathId], int] = {}
        self._next_lane = 0
        self._lanes_of: dict[ConnectionHandle, tuple[set[bytes], set[int]]] = {}
        self._flow_keys: dict[int, int] = {}
        self._next_flow = 0
        self._offers: list[tuple[ConnectionHandle, Parcel]] = []
        self._reviewed_at = Instant(0.0)
        self._linger = BypassLinger()
        self._changed = trio.Event()

    def is_armed(self, socket: DatagramSocket) -> bool:
        """Tell whether the bypass reads a socket while it is released."""
        return self._sockets.key_of(socket) in self._armed

    def add_socket(self, socket: DatagramSocket) -> None:
        """Send and receive over one more socket, if it is one of the system's."""
        self._sockets.add(socket)

    def remove_socket(self, socket: DatagramSocket) -> None:
        """Forget a socket before it is closed; harmless when done twice."""
        key = self._sockets.remove(socket)
        if key is not None:
            self._armed -= {key}

    async def wait_for_news(self) -> None:
        """Wait until a round is worth while."""
        await trio.lowlevel.wait_readable(self._bypass.fileno())

    async def wait_for_change(self) -> None:
        """Wait until the bypass reads something else than before."""
        await self._changed.wait()

    def offer(self, handle: ConnectionHandle, packets: Sequence[Parcel]) -> None:
        """Packets of the device go to a connection; the next ones like them may go past."""
        room = MAX_OFFERS - len(self._offers)
        if room > 0:
            self._offers += [(handle, packet) for packet in packets[:room]]

    def hold(self) -> Returned | None:
        """Stop the bypass and enter what it did; None when it did nothing."""
        if not self._loan.is_out:
            return None
        self._linger.on_held()
        happened = self._bypass.hold()
        self._loan.is_out = False
        if happened == _NOTHING:
            return None
        return self._enter(happened, read_clock())

    def _enter(self, happened: Happened, now: Instant) -> Returned:
        sent, arrivals, unsent, packets, counts, refused_count, error, urgent_count = happened
        returned = Returned(packets=packets, refused_count=refused_count, packet_count=urgent_count)
        by_lane: dict[int, list[SentByBypass]] = {}
        for part in sent:
            report = SentByBypass(*part)
            by_lane.setdefault(report.lane, []).append(report)
        for number, reports in by_lane.items():
            self._take_sent(number, reports, returned, now)
        for arrival in arrivals:
            if len(arrival) == 6:  # noqa: PLR2004 - the length of a `TakenByBypass`
                self._take_arrival(arrival, returned, now)
            else:
                self._take_datagrams(arrival, returned, now)
        for lane, data, size in unsent:
            four_tuple = self._outbound[lane].lane.four_tuple
            returned.transmits.append(
                Transmit(four_tuple=four_tuple, data=data, segment_size=size, ecn=0)
            )
        for count in counts:
            self._sockets.count(count)
        returned.packet_count += count_packets(packets)
        self._linger.on_passed(returned.bypassed_count, len(returned.touched))
        if error:
            returned.failure = lost_device(OSError(error, ""))
        if now - self._reviewed_at >= REVIEW_SECONDS:
            self._reviewed_at = now
            for handle in returned.touched:
                self._review(handle, now)
        return returned

    def release(self, touched: Iterable[ConnectionHandle], now: Instant) -> None:
        """Let the bypass go on until the next round.

        Args:
            touched: connections that something may have changed for.
            now: the time.
        """
        for handle in touched:
            self._guard(handle, partial(self._renew, handle, now))
        offers, self._offers = self._offers, []
        for handle, packet in offers:
            self._approve(handle, packet)
        device_is_armed = any(out.flows for out in self._outbound.values())
        armed = frozenset(entry.key for entry in self._inbound.values())
        if device_is_armed != self.device_is_armed or armed != self._armed:
            self.device_is_armed, self._armed = device_is_armed, armed
            self._bypass.arm(device_is_armed, list(armed))
            self._changed.set()
            self._changed = trio.Event()
        if armed or device_is_armed:
            self._loan.is_out = True
            self._bypass.release(self._linger.seconds(self._credit_of, now))
            self._linger.on_released(now)

    def close(self) -> None:
        """End the bypass, before sockets and device are closed; harmless when done twice."""
        try:
            # What it has sent until now: whoever says good-bye must not use these numbers again.
            self.hold()
        finally:
            self._bypass.close()

    def _take_sent(
        self, number: int, reports: Sequence[SentByBypass], returned: Returned, now: Instant
    ) -> None:
        out = self._outbound[number]

        def take(lanes: BypassLanes) -> None:
            lanes.note_sent(out.lane, out.tunnel.prefix, reports, now)

        self._guard(out.handle, lambda: out.subject.connection.note_bypassed(take))
        returned.touched.add(out.handle)
        left_bytes = sum(shape[2] for report in reports for shape in report.shapes)
        self._linger.on_left(number, left_bytes)
        packets_of: dict[int, int] = {}
        bytes_of: dict[int, int] = {}
        for report in reports:
            for flow, packet_count, sent_bytes in report.flows:
                packets_of[flow] = packets_of.get(flow, 0) + packet_count
                bytes_of[flow] = bytes_of.get(flow, 0) + sent_bytes
        packet_count = sum(packets_of.values())
        returned.bypassed_count += packet_count
        out.tunnel.note_sent(packet_count, sum(bytes_of.values()))
        lanes, at = out.subject.connection.lanes, Instant(now - reports[-1].age)
        for flow, sent_bytes in bytes_of.items():
            key = self._flow_keys.get(flow)
            # It may have been forgotten already, because of another flow of the lane.
            if key is not None and not lanes.note_flow(key, out.lane.path_id, sent_bytes, at):
                self._forget_flows(number)

    def _take_arrival(self, arrival: TakenByBypass, returned: Returned, now: Instant) -> None:
        connection_id, first, count, received_bytes, packet_bytes, age = arrival
        entry = self._inbound[connection_id]
        at = Instant(now - age)

        def take(lanes: BypassLanes) -> None:
            lanes.note_received(entry.lane, first, count, received_bytes, at)

        self._guard(entry.handle, lambda: entry.subject.connection.note_bypassed(take))
        entry.tunnel.note_received(count, packet_bytes)
        returned.touched.add(entry.handle)
        returned.bypassed_count += count
        returned.has_received = True

    def _take_datagrams(self, handed: HandedUp, returned: Returned, now: Instant) -> None:
        key, read, age = handed
        datagrams = self._sockets.receive(key, read)
        if datagrams is not None:
            # Round-trip times must not grow by what acknowledgements have waited here.
            returned.datagrams.append((datagrams, Instant(now - age)))
            returned.has_received = True

    def _review(self, handle: ConnectionHandle, now: Instant) -> None:
        subject = self._find(handle)
        if subject is not None:
            subject.connection.lanes.review(now)

    def _renew(self, handle: ConnectionHandle, now: Instant) -> None:
        """Open the lanes that a connection may have now, and close the others."""
        cids_before, numbers_before = self._lanes_of.get(handle, (_NO_CIDS, _NO_NUMBERS))
        cids: set[bytes] = set()
        numbers: set[int] = set()
        subject = self._find(handle)
        tunnel = None if subject is None else subject.tunnel
        if subject is not None and tunnel is not None and len(tunnel.prefix) == _PREFIX_BYTES:
            for inbound in subject.connection.lanes.inbound():
                if self._open_inbound(_In(handle, subject, tunnel, inbound, 0)):
                    cids.add(inbound.connection_id)
            for outbound in subject.connection.lanes.outbound(now):
                number = self._open_outbound(handle, subject, tunnel, outbound)
                if number is not None:
                    numbers.add(number)
        for cid in cids_before - cids:
            del self._inbound[cid]
            self._bypass.close_inbound(cid)
        for number in numbers_before - numbers:
            out = self._outbound.pop(number)
            del self._lane_numbers[handle, out.lane.path_id]
            self._drop_keys(out)
            self._bypass.close_outbound(number)
        if cids or numbers:
            self._lanes_of[handle] = cids, numbers
        else:
            self._lanes_of.pop(handle, None)

    def _open_inbound(self, entry: _In) -> bool:
        lane = entry.lane
        found = self._sockets.find(lane.four_tuple.local)
        peer = None if found is None else found[1].peer_key(lane.four_tuple)
        if found is None or peer is None:
            return False
        entry.key = found[0]
        self._inbound[lane.connection_id] = entry
        self._bypass.open_inbound(
            lane.connection_id,
            entry.key,
            peer,
            lane.keys,
            lane.path_id,
            lane.key_phase & 1,
            lane.largest,
            entry.tunnel.prefix,
            entry.tunnel.flows_in,
        )
        if lane.brings_room:
            self._bypass.hasten(lane.connection_id)
        return True

    def _open_outbound(
        self,
        handle: ConnectionHandle,
        subject: Subject,
        tunnel: TunnelBypass,
        lane: OutboundLane,
    ) -> int | None:
        found = self._sockets.find(lane.four_tuple.local)
        if found is None or not found[1].splits_what_it_sends:
            return None
        place = (handle, lane.path_id)
        number = self._lane_numbers.get(place)
        if number is None:
            number = self._lane_numbers[place] = self._next_lane
            self._next_lane += 1
        known = self._outbound.get(number)
        flows = {} if known is None else known.flows
        self._outbound[number] = _Out(handle, subject, tunnel, lane, flows)
        subject.connection.lanes.lend(lane, self._loan)
        room = lane.frame_capacity - _FRAME_TYPE_BYTES - len(tunnel.prefix)
        self._bypass.open_outbound(
            number,
            found[0],
            found[1].destination(lane.four_tuple),
            lane.keys,
            lane.path_id,
            lane.header,
            lane.next_number,
            tunnel.prefix,
            tunnel.flows_out,
            min(room, tunnel.mtu),
            lane.credit,
            MAX_LANE_PACKETS,
            lane.keeps,
        )
        return number

    def _approve(self, handle: ConnectionHandle, packet: Parcel) -> None:
        """Let the flow of a packet on the lane of its path, if that is open."""
        numbers = self._lanes_of.get(handle, (_NO_CIDS, _NO_NUMBERS))[1]
        if not numbers:
            return
        head = packet if isinstance(packet, bytes) else packet.head
        lanes = self._outbound[next(iter(numbers))].subject.connection.lanes
        place = lanes.place_of(head)
        number = None if place is None else self._lane_numbers.get((handle, place[1]))
        if place is None or number is None:
            return
        key, flows = place[0], self._outbound[number].flows
        flow = flows.get(key, self._next_flow)
        if key not in flows and len(self._flow_keys) >= MAX_FLOWS:
            for each in self._outbound:
                self._forget_flows(each)
        # Again, if it is known: it took the ordinary way, whatever the bypass has forgotten.
        if not self._bypass.approve(number, flow, head) or key in flows:
            return
        self._next_flow += 1
        for each in numbers:
            # It is on the lane that was named last, and on none of the others.
            old = self._outbound[each].flows.pop(key, None)
            if old is not None:
                del self._flow_keys[old]
        self._flow_keys[flow] = key
        flows[key] = flow

    def _credit_of(self, number: int) -> int:
        out = self._outbound.get(number)
        return 0 if out is None else out.lane.credit

    def _forget_flows(self, number: int) -> None:
        self._drop_keys(self._outbound[number])
        self._bypass.forget_approvals(number)

    def _drop_keys(self, out: _Out) -> None:
        for flow in out.flows.values():
            self._flow_keys.pop(flow, None)
        out.flows.clear()


_NO_CIDS: set[bytes] = set()
_NO_NUMBERS: set[int] = set()
_NOTHING: Happened = ([], [], [], [], [], 0, 0, 0)


def open_desk(
    device: PacketDevice,
    sockets: Iterable[DatagramSocket],
    find: Callable[[ConnectionHandle], Subject | None],
    guard: Callable[[ConnectionHandle, Callable[[], None]], None] = lambda _, work: work(),
) -> BypassDesk | None:
    """Make a desk where there can be a bypass: with the native kernel and a device of the system.

    Args:
        device: the TUN device.
        sockets: of the driver.
        find: returns a connection and its tunnel, None when it is gone.
        guard: does work for one connection; an exception may end that one alone.
    """
    bypass = device.open_bypass() if isinstance(device, TunDevice) else None
    if bypass is None:
        return None
    desk = BypassDesk(bypass, find, guard)
    for socket in sockets:
        desk.add_socket(socket)
    return desk
