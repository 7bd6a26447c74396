"""May this packet pass? Batches of IP packets in, those that may pass out, ICMP for the others.

Owns the forwarding duties of one end of one tunnel (RFC 9484 s7.2): source and destination checks,
scope, hop limit, size, and the ICMP errors that go with them. A packet that fails is a forwarding
error, never a protocol violation: it is dropped and counted, and the tunnel stays.

**Hop limit.** RFC 9484 s7.2 wants it lower by one "upon encapsulation but not upon decapsulation",
and not for packets of the endpoint itself. Both our ends put the packets through a TUN device, so
the kernel is the router that s7 lets us delegate to: what we read from the device was either made
by this host (no decrement wanted) or forwarded into the device by its kernel, which has decremented
it on the way. A second decrement here would show the proxy twice in a traceroute. Where no kernel
forwards (packets handed over by a program), ``decrements_hop_limit`` makes this room do it.

**Speed.** A pair of addresses and a protocol that passed once is remembered; the next packet with
them costs two slices and a set look-up, and no object.
"""

# walk: 3 and 15 of 16

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import Instant
from mqvpn_core.masque.drop_reasons import DropReason, PacketCounters
from mqvpn_core.masque.icmp_limiter import IcmpLimiter
from mqvpn_core.masque.link_local import answer_link_local_echo
from mqvpn_core.masque.packet_filter import FilterRules, PacketFilter
from mqvpn_core.wire.icmp import IcmpCause, compose_icmp_error
from mqvpn_core.wire.ip_fragments import split_ipv4_packet
from mqvpn_core.wire.ip_packets import IpHeader, decode_ip_header, with_decremented_hop_limit

_IPV6: Final = 6
_IPV6_MIN_MTU: Final = 1280
_MAX_ICMP_MTU: Final = 0xFFFF
_MAX_KNOWN_FLOWS: Final = 2048
_UNLIMITED: Final = 1 << 32

# RFC 9484 s7.2.1 names the codes; what is missing here is dropped in silence.
_ICMP_CAUSES: Final = {
    DropReason.SPOOFED_SOURCE: IcmpCause.BAD_SOURCE,
    DropReason.NO_ROUTE: IcmpCause.NO_ROUTE,
    DropReason.OUT_OF_SCOPE: IcmpCause.PROHIBITED,
    DropReason.PROHIBITED: IcmpCause.PROHIBITED,
    DropReason.UNEXPECTED_SOURCE: IcmpCause.PROHIBITED,
    DropReason.NOT_ASSIGNED: IcmpCause.ADDRESS_UNREACHABLE,
    DropReason.HOP_LIMIT: IcmpCause.HOP_LIMIT_EXCEEDED,
    DropReason.TOO_BIG: IcmpCause.PACKET_TOO_BIG,
}


class TunnelEnd(enum.Enum):
    """Which end of the tunnel this is."""

    CLIENT = "client"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """The packet may pass."""

    packet: bytes
    """The packet, without trailing bytes and with the hop limit it shall have."""
    flow: bytes | None
    """What later packets must share with it to pass unseen; None when each needs a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The packet may pass in pieces."""

    fragments: tuple[bytes, ...]
    """Packets that fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The packet is dropped."""

    reason: DropReason
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The packet is dropped, and its sender gets an answer."""

    packet: bytes
    """The ICMP message, a whole IP packet."""
    reason: DropReason | None
    """Why it was dropped; None when it was addressed to us and the answer is all there is."""


Decision = Forward | Split | Drop | Reply


class Forwarder:
    """Forwarding at one end of one tunnel.

    A: ``counters``, ``mtu``
    B: ``receive_packets`` (from the peer), ``send_packets`` (from the device)
    C: ``change_rules``, ``change_mtu``
    D: ``take_replies_to_peer``, ``take_replies_to_device``
    """

    def __init__(
        self,
        end: TunnelEnd,
        *,
        local_addresses: Sequence[IPv4Address | IPv6Address] = (),
        decrements_hop_limit: bool = False,
    ) -> None:
        """Start with rules that let nothing pass.

        Args:
            end: our end.
            local_addresses: addresses of this end itself, to send ICMP from.
            decrements_hop_limit: no kernel forwards the packets, so their hop limit is our task.
        """
        self.counters = PacketCounters()
        self._end = end
        self._local: dict[int, IPv4Address | IPv6Address] = {}
        self._local_packed: set[bytes] = set()
        self._change_local_addresses(local_addresses)
        self._decrements = decrements_hop_limit
        self._filter = PacketFilter(FilterRules(near=(), far=()))
        self._mtu = 0
        self._limiter = IcmpLimiter()
        # Source, destination and protocol byte of packets that passed all but the size check.
        self._known_out = kernel.make_flow_set()
        self._known_in = kernel.make_flow_set()
        self._to_peer: list[bytes] = []
        self._to_device: list[bytes] = []

    @property
    def mtu(self) -> int:
        """Largest IP packet that goes to the peer; 0 while nothing can be sent."""
        return self._mtu

    @property
    def flows_out(self) -> kernel.FlowSet:
        """Flows to the peer whose packets pass if they fit, and are to be counted."""
        return self._known_out

    @property
    def flows_in(self) -> kernel.FlowSet:
        """Flows from the peer whose packets pass, and are to be counted."""
        return self._known_in

    def change_mtu(self, mtu: int) -> None:
        """Refuse or split packets for the peer above ``mtu`` from now on."""
        self._mtu = mtu

    def change_rules(
        self, rules: FilterRules, local_addresses: Sequence[IPv4Address | IPv6Address]
    ) -> None:
        """Replace all rules: an address was assigned or withdrawn, a route changed."""
        self._filter = PacketFilter(rules)
        self._change_local_addresses(local_addresses)
        self._known_out.clear()
        self._known_in.clear()

    def send_packets(self, packets: Sequence[Parcel], now: Instant) -> list[Parcel]:
        """Return what of a batch from the device may go to the peer."""
        passed, passed_count, passed_bytes = self._sift(
            packets, self._known_out, self._mtu, lambda packet: self._send_slowly(packet, now)
        )
        self.counters.sent_packet_count += passed_count
        self.counters.sent_bytes += passed_bytes
        return passed

    def receive_packets(self, packets: Sequence[Parcel], now: Instant) -> list[Parcel]:
        """Return what of a batch from the peer may go to the device."""
        passed, passed_count, passed_bytes = self._sift(
            packets, self._known_in, _UNLIMITED, lambda packet: self._receive_slowly(packet, now)
        )
        self.counters.received_packet_count += passed_count
        self.counters.received_bytes += passed_bytes
        return passed

    def take_replies_to_peer(self) -> list[bytes]:
        """Return ICMP messages about packets of the peer."""
        replies, self._to_peer = self._to_peer, []
        return replies

    def take_replies_to_device(self) -> list[bytes]:
        """Return ICMP messages about packets from the device."""
        replies, self._to_device = self._to_device, []
        return replies

    def decide_to_send(self, packet: bytes, now: Instant) -> Decision:
        """Judge one packet from the device in full."""
        try:
            header = decode_ip_header(packet)
        except DecodeError:
            return Drop(reason=DropReason.MALFORMED)
        # A device may deliver trailing bytes; the packet ends where its header says.
        packet = packet[: header.total_length]
        if self._end is TunnelEnd.CLIENT:
            reason = self._filter.judge_towards_proxy(header)
        else:
            reason = self._filter.judge_towards_client(header)
        if reason is None and self._decrements and not self._is_own(header):
            # RFC 1812 s5.3.1: a packet whose TTL is or becomes 0 is not forwarded.
            if header.hop_limit <= 1:
                reason = DropReason.HOP_LIMIT
            else:
                packet = with_decremented_hop_limit(packet)
        elif reason is None and header.hop_limit == 0:
            reason = DropReason.HOP_LIMIT
        if reason is None and header.total_length > self._mtu:
            if header.may_be_fragmented:
                return _split(packet, self._mtu)
            reason = DropReason.TOO_BIG
        if reason is None:
            return Forward(packet=packet, flow=None if self._decrements else _flow(packet, header))
        return self._refuse(packet, header, reason, now, is_from_device=True)

    def decide_to_receive(self, packet: bytes, now: Instant) -> Forward | Drop | Reply:
        """Judge one packet from the peer in full."""
        try:
            header = decode_ip_header(packet)
        except DecodeError:
            return Drop(reason=DropReason.MALFORMED)
        packet = packet[: header.total_length]
        # RFC 9484 s7.2: endpoints "need to properly reply to packets destined to link-local
        # multicast addresses".
        answer = answer_link_local_echo(packet, header, self._local.get(_IPV6))
        if answer is not None:
            return Reply(packet=answer, reason=None)
        if self._end is TunnelEnd.CLIENT:
            reason = self._filter.judge_towards_client(header)
        else:
            reason = self._filter.judge_towards_proxy(header)
        if reason is None and header.hop_limit == 0:
            reason = DropReason.HOP_LIMIT
        if reason is None:
            return Forward(packet=packet, flow=_flow(packet, header))
        return self._refuse(packet, header, reason, now, is_from_device=False)

    def _change_local_addresses(self, addresses: Sequence[IPv4Address | IPv6Address]) -> None:
        # The first address of a family is the one to send from.
        self._local = {address.version: address for address in reversed(addresses)}
        self._local_packed = {address.packed for address in addresses}

    def _sift(
        self,
        packets: Sequence[Parcel],
        known: kernel.FlowSet,
        limit: int,
        judge: Callable[[bytes], Sequence[bytes]],
    ) -> tuple[list[Parcel], int, int]:
        """Let known flows pass at once, judge the rest one by one.

        Returns:
            What may pass, how many packets and how many bytes that are.
        """
        passed: list[Parcel] = []
        append = passed.append
        passed_count = passed_bytes = 0
        for packet in packets:
            if not isinstance(packet, bytes):
                flow = packet.flow
                if packet.packet_bytes <= limit and flow is not None and flow in known:
                    append(packet)
                    passed_count += len(packet) - 1
                    passed_bytes += packet.total_bytes
                else:
                    for single in packet.packets():
                        judged = judge(single)
                        passed += judged
                        passed_bytes += sum(map(len, judged))
                continue
            size = len(packet)
            if size >= 20 and size <= limit:  # noqa: PLR2004 - an IPv4 header without options
                first = packet[0]
                if first == 0x45:  # noqa: PLR2004 - IPv4 without options
                    if (
                        packet[2] << 8 | packet[3] == size
                        and packet[8]
                        and packet[12:20] + packet[9:10] in known
                    ):
                        append(packet)
                        passed_bytes += size
                        continue
                elif (
                    first >> 4 == 6  # noqa: PLR2004 - IP version
                    and size >= 40  # noqa: PLR2004 - an IPv6 header
                    and (packet[4] << 8 | packet[5]) + 40 == size
                    and packet[7]
                    and packet[8:40] + packet[6:7] in known
                ):
                    append(packet)
                    passed_bytes += size
                    continue
            judged = judge(packet)
            passed += judged
            passed_bytes += sum(map(len, judged))
        return passed, len(passed) + passed_count, passed_bytes

    def _send_slowly(self, packet: bytes, now: Instant) -> Sequence[bytes]:
        decision = self.decide_to_send(packet, now)
        match decision:
            case Forward():
                _remember(self._known_out, decision.flow)
                return (decision.packet,)
            case Split():
                return decision.fragments
            case Reply():
                self._count_reply(decision)
                self._to_device.append(decision.packet)
            case Drop():
                self.counters.count_drop(decision.reason)
        return ()

    def _receive_slowly(self, packet: bytes, now: Instant) -> Sequence[bytes]:
        decision = self.decide_to_receive(packet, now)
        match decision:
            case Forward():
                _remember(self._known_in, decision.flow)
                return (decision.packet,)
            case Reply() if len(decision.packet) > self._mtu:
                # RFC 4443 s2.4: no error about our own answer.
                self.counters.count_drop(DropReason.TOO_BIG)
            case Reply():
                self._count_reply(decision)
                self._to_peer.append(decision.packet)
            case Drop():
                self.counters.count_drop(decision.reason)
        return ()

    def _count_reply(self, decision: Reply) -> None:
        if decision.reason is None:
            self.counters.echo_reply_count += 1
        else:
            self.counters.icmp_error_count += 1
            self.counters.count_drop(decision.reason)

    def _is_own(self, header: IpHeader) -> bool:
        # RFC 9484 s7.2: "This does not apply to IP packets generated by the IP proxying endpoint
        # itself."
        if header.source in self._local_packed:
            return True
        return self._end is TunnelEnd.CLIENT and self._filter.is_near(header.source)

    def _refuse(
        self,
        packet: bytes,
        header: IpHeader,
        reason: DropReason,
        now: Instant,
        *,
        is_from_device: bool,
    ) -> Drop | Reply:
        cause = _ICMP_CAUSES.get(reason)
        if cause is None:
            return Drop(reason=reason)
        # The host drops a packet from the device that claims to come from the host itself, and
        # the only other address known to be routed into the device is where the packet went.
        source = None if is_from_device else self._local.get(header.version)
        mtu = 0
        if cause is IcmpCause.PACKET_TOO_BIG:
            # RFC 8201 s4: a Packet Too Big below 1280 would be ignored.
            floor = _IPV6_MIN_MTU if header.version == _IPV6 else 0
            mtu = min(max(self._mtu, floor), _MAX_ICMP_MTU)
        reply = compose_icmp_error(cause, packet, source or ip_address(header.destination), mtu=mtu)
        if reply is None:
            return Drop(reason=reason)
        if not self._limiter.may_send(now):
            self.counters.icmp_suppressed_count += 1
            return Drop(reason=reason)
        return Reply(packet=reply, reason=reason)


def _split(packet: bytes, mtu: int) -> Split | Drop:
    # A kernel splits at the device's MTU, which follows the tunnel's a moment later and is that of
    # the smallest tunnel at best.
    try:
        return Split(fragments=split_ipv4_packet(packet, mtu))
    except DecodeError:
        return Drop(reason=DropReason.MALFORMED)


def _remember(known: kernel.FlowSet, flow: bytes | None) -> None:
    if flow is None:
        return
    if len(known) >= _MAX_KNOWN_FLOWS:
        # Crude, but bounded: a scan of the address space makes everybody be judged once more.
        known.clear()
    known.add(flow)


def _flow(packet: bytes, header: IpHeader) -> bytes | None:
    """Return addresses and protocol byte in the form that `Forwarder` compares."""
    if header.version != _IPV6:
        return packet[12:20] + packet[9:10]
    # Behind an extension header that byte does not name the protocol.
    return packet[8:40] + packet[6:7] if packet[6] == header.protocol else None
