"""A forwarder at either end, the ways through it, and what decisions say."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.forwarding import Decision, Forward, Forwarder, Reply, Split, TunnelEnd
from mqvpn_core.masque.packet_filter import FilterRules
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.wire.ip_packets import decode_ip_header
from tests.unit.masque.samples import (
    T0,
    route,
)

ME4, ME6 = "10.0.0.2", "fd00::2"
WEB4, WEB6 = "198.51.100.7", "2001:db8::7"
OTHER4, OTHER6 = "10.0.0.9", "fd00::9"
HOP_BY_HOP = bytes((0, 0, 1, 4, 0, 0, 0, 0))
EVERYWHERE = (route("0.0.0.0/0"), route("::/0"))
MTU = 1400


def forwarder(
    end: TunnelEnd,
    *,
    far: RangeList = EVERYWHERE,
    mtu: int = MTU,
    decrements_hop_limit: bool = False,
) -> Forwarder:
    made = Forwarder(end, decrements_hop_limit=decrements_hop_limit)
    is_proxy = end is TunnelEnd.PROXY
    local = (ip_address("10.0.0.1"), ip_address("fd00::1"))
    made.change_rules(
        FilterRules(
            near=(ip_network(ME4), ip_network(ME6)),
            far=far,
            prohibited=(route("10.0.0.2", "10.0.0.255"), route("fd00::2", "fd00::ffff"))
            if is_proxy
            else (),
            broadcasts=frozenset({ip_address("10.0.0.255").packed}) if is_proxy else frozenset(),
        ),
        local if is_proxy else (ip_address(ME4), ip_address(ME6)),
    )
    made.change_mtu(mtu)
    return made


@dataclass(frozen=True)
class Direction:
    """A way through the tunnel, as one of its ends sees it."""

    end: TunnelEnd
    is_sending: bool

    def decide(self, packet: bytes, *, far: RangeList = EVERYWHERE) -> Decision:
        made = forwarder(self.end, far=far)
        return (
            made.decide_to_send(packet, T0)
            if self.is_sending
            else made.decide_to_receive(packet, T0)
        )

    def pass_on(self, made: Forwarder, packets: list[bytes]) -> list[bytes]:
        if self.is_sending:
            return expand(made.send_packets(packets, T0))
        return expand(made.receive_packets(packets, T0))


CLIENT_SENDS = Direction(TunnelEnd.CLIENT, is_sending=True)
PROXY_RECEIVES = Direction(TunnelEnd.PROXY, is_sending=False)
PROXY_SENDS = Direction(TunnelEnd.PROXY, is_sending=True)
CLIENT_RECEIVES = Direction(TunnelEnd.CLIENT, is_sending=False)

UP = pytest.mark.parametrize(
    "way", [pytest.param(CLIENT_SENDS, id="client"), pytest.param(PROXY_RECEIVES, id="proxy")]
)
DOWN = pytest.mark.parametrize(
    "way", [pytest.param(CLIENT_RECEIVES, id="client"), pytest.param(PROXY_SENDS, id="proxy")]
)
EVERY_WAY = pytest.mark.parametrize(
    "way",
    [
        pytest.param(CLIENT_SENDS, id="client sends"),
        pytest.param(CLIENT_RECEIVES, id="client receives"),
        pytest.param(PROXY_SENDS, id="proxy sends"),
        pytest.param(PROXY_RECEIVES, id="proxy receives"),
    ],
)


def reason_of(decision: Decision) -> DropReason | None:
    return None if isinstance(decision, Forward | Split) else decision.reason


def icmp_of(decision: Decision) -> tuple[int, int]:
    """Return ICMP type and code of a reply."""
    assert isinstance(decision, Reply)
    offset = decode_ip_header(decision.packet).payload_offset
    return decision.packet[offset], decision.packet[offset + 1]


def addresses_of(packet: bytes) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    header = decode_ip_header(packet)
    return ip_address(header.source), ip_address(header.destination)
