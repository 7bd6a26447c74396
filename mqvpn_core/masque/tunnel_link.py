"""One end of one open tunnel: request stream, forwarding and MTU, called in the right order.

A corridor for both roles: what differs between client and proxy is in their sessions. Owns the
tunnel's MTU, which follows the HTTP Datagram size that the connection carries now.
"""

# walk: 4 and 14 of 16

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets, expand
from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.connect_ip import ConnectIpStream
from mqvpn_core.masque.drop_reasons import DropReason, PacketCounters
from mqvpn_core.masque.forwarding import Forwarder, TunnelEnd
from mqvpn_core.masque.http3_port import Http3, send_data_if_open
from mqvpn_core.masque.link_local import MtuProof, MtuProofState
from mqvpn_core.masque.packet_filter import FilterRules
from mqvpn_core.masque.sequenced_ip import SEQUENCED_IP_CONTEXT, SequencedIp
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.wire.capsules import CapsuleLimits
from mqvpn_core.wire.http_datagrams import (
    IP_PACKET_CONTEXT,
    decode_context_id,
    encode_context_id,
    encode_stream_id,
)

IP_PACKET_PREFIX: Final = encode_context_id(IP_PACKET_CONTEXT)
"""In front of every IP packet in an HTTP Datagram (RFC 9484 s6)."""

FOLLOW_INTERVAL: Final = 0.01
"""Seconds that a session may wait to look for what no event tells, such as a path MTU that has
settled; with every batch it would cost as much as the batch."""

_MIN_IPV4_MTU: Final = 68
_MAX_MTU: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """What both roles let the user decide about a tunnel."""

    max_mtu: int = _MAX_MTU
    """Upper bound on the tunnel's MTU, in bytes."""
    mtu_grace: float = 8.0
    """Seconds that path MTU discovery has to reach the 1280 bytes that IPv6 needs."""
    proves_mtu: bool = True
    """Ask the peer by ICMPv6 echo whether 1280 bytes arrive (RFC 9484 s7.2)."""
    decrements_hop_limit: bool = False
    """No kernel forwards our packets; see `mqvpn_core.masque.forwarding`."""
    may_number_packets: bool = True
    """Offer or accept the context of `mqvpn_core.masque.sequenced_ip`."""
    capsules: CapsuleLimits = field(default_factory=CapsuleLimits)
    """What capsules we put up with."""


class TunnelLink:
    """Packets and capsules of one request stream.

    A: ``mtu``, ``counters``, ``stream``, ``proof``, ``bypass``
    B: ``receive_datagrams``, ``handle_timeout``, ``refresh_mtu``
    C: ``send_ip_packets``, ``change_rules``, ``prove_mtu``, ``open_sequence``,
       ``close``, ``flush``
    D: ``take_ip_packets``, ``next_timeout``
    """

    def __init__(
        self, http3: Http3, stream_id: StreamId, end: TunnelEnd, config: LinkConfig
    ) -> None:
        """Take over a request stream whose tunnel is accepted."""
        self.stream = ConnectIpStream(config.capsules)
        self.proof: MtuProof | None = None
        self._http3 = http3
        self._stream_id = stream_id
        self._config = config
        self._forwarder = Forwarder(end, decrements_hop_limit=config.decrements_hop_limit)
        self._to_device: list[Parcel] = []
        self._sequenced: SequencedIp | None = None
        prefix = encode_stream_id(stream_id) + IP_PACKET_PREFIX
        self._bypass = TunnelBypass(prefix, self._forwarder)

    @property
    def stream_id(self) -> StreamId:
        """The request stream."""
        return self._stream_id

    @property
    def mtu(self) -> int:
        """Largest IP packet the tunnel carries now; 0 before it is known."""
        return self._forwarder.mtu

    @property
    def counters(self) -> PacketCounters:
        """What happened to packets so far."""
        return self._forwarder.counters

    @property
    def bypass(self) -> TunnelBypass | None:
        """What may pass without us; None while somebody has to look at each packet."""
        is_proving = self.proof is not None and self.proof.state is MtuProofState.WAITING
        return self._bypass if self._forwarder.mtu and not is_proving else None

    def refresh_mtu(self, now: Instant) -> bool:
        """Follow the connection's datagram size; tell whether the MTU changed."""
        if not self._http3.may_send_datagrams:
            return False
        room = self._http3.max_datagram_payload(self._stream_id) - len(IP_PACKET_PREFIX)
        mtu = min(room, self._config.max_mtu)
        if mtu < _MIN_IPV4_MTU or mtu == self._forwarder.mtu:
            # Less than any IP link has means that no path is usable at the moment, which says
            # nothing about the size that will fit when one is back.
            return False
        self._forwarder.change_mtu(mtu)
        if self.proof is not None:
            self.proof.change_mtu(mtu, now)
            self._send_unchecked(self.proof.take_requests(), now)
        return True

    def change_rules(
        self, rules: FilterRules, local_addresses: Sequence[IPv4Address | IPv6Address]
    ) -> None:
        """Replace what may pass."""
        self._forwarder.change_rules(rules, local_addresses)

    def prove_mtu(self, source: IPv6Address, targets: Sequence[IPv6Address], now: Instant) -> None:
        """Start to prove that the tunnel carries IPv6 (RFC 9484 s7.2)."""
        self.proof = MtuProof(
            source, targets, grace=self._config.mtu_grace, wants_echo=self._config.proves_mtu
        )
        self.proof.change_mtu(self.mtu, now)
        self._send_unchecked(self.proof.take_requests(), now)

    def open_sequence(self) -> None:
        """Both ends agreed on numbered packets."""
        self._sequenced = SequencedIp()
        self._http3.allow_duplicates(self._stream_id, IP_PACKET_PREFIX, self._sequenced.duplication)

    def close(self) -> None:
        """The tunnel is over: nothing passes, and the connection need not know of its packets."""
        self._bypass.flows_in.clear()
        self._bypass.flows_out.clear()
        if self._sequenced is not None:
            self._http3.allow_duplicates(self._stream_id, IP_PACKET_PREFIX, None)

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        """Send what may pass of a batch from the device."""
        forwarder = self._forwarder
        if not forwarder.mtu:
            # The peer's SETTINGS may come after its request. Until then no size is too big.
            self.counters.count_drop(DropReason.NO_TUNNEL, count_packets(packets))
            return
        passed = forwarder.send_packets(packets, now)
        if passed:
            self._http3.send_http_datagrams(self._stream_id, IP_PACKET_PREFIX, passed, now)
        self._to_device += forwarder.take_replies_to_device()

    def receive_datagrams(self, payloads: Sequence[Parcel], now: Instant) -> None:
        """Take HTTP Datagrams of the peer."""
        self.stream.settle()
        packets: Sequence[Parcel] = [
            payload[1:] if isinstance(payload, bytes) else payload.stripped(1)
            for payload in payloads
            if (payload if isinstance(payload, bytes) else payload.head)[:1] == IP_PACKET_PREFIX
        ]
        if len(packets) != len(payloads):
            packets = self._decode_payloads(expand(payloads))
        if self.proof is not None and self.proof.state is MtuProofState.WAITING:
            packets = self.proof.take_answers(expand(packets))
        forwarder = self._forwarder
        self._to_device += forwarder.receive_packets(packets, now)
        self._send_unchecked(forwarder.take_replies_to_peer(), now)

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""
        if self.proof is not None:
            self.proof.handle_timeout(now)
            self._send_unchecked(self.proof.take_requests(), now)

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` is due."""
        return None if self.proof is None else self.proof.next_timeout()

    def take_ip_packets(self) -> list[Parcel]:
        """Return packets for the device: those of the peer that passed, and our own ICMP."""
        packets, self._to_device = self._to_device, []
        return packets

    def flush(self) -> None:
        """Send the capsules that were written since the last call."""
        data = self.stream.take_data()
        if data:
            send_data_if_open(self._http3, self._stream_id, data)

    def _decode_payloads(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Take the context ID off; count what is no IP packet."""
        packets = []
        for payload in payloads:
            try:
                context_id, offset = decode_context_id(payload)
                # The number 0 may come in more bytes than it needs (RFC 9000 s16).
                if context_id == IP_PACKET_CONTEXT:
                    packets.append(payload[offset:])
                elif context_id == SEQUENCED_IP_CONTEXT and self._sequenced is not None:
                    packet = self._sequenced.decode_payload(payload, offset)
                    if packet is not None:
                        packets.append(packet)
                    else:
                        self.counters.count_drop(DropReason.DUPLICATE)
                else:
                    # RFC 9484 s6: "either drop that datagram silently or buffer it".
                    self.counters.count_drop(DropReason.UNKNOWN_CONTEXT)
            except DecodeError:
                self.counters.count_drop(DropReason.UNKNOWN_CONTEXT)
        return packets

    def _send_unchecked(self, packets: Sequence[bytes], now: Instant) -> None:
        """Send packets of our own, which no rule concerns."""
        if packets:
            self._http3.send_http_datagrams(self._stream_id, IP_PACKET_PREFIX, packets, now)
