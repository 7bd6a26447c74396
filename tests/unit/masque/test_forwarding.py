"""Which packets pass at either end, and what the others get."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.forwarding import Decision, Drop, Forward, Forwarder, Reply, Split, TunnelEnd
from mqvpn_core.masque.packet_filter import FilterRules
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.wire.ip_packets import decode_ip_header, has_valid_header_checksum
from tests.unit.masque.samples import (
    T0,
    TCP,
    UDP,
    at,
    echo_packet,
    ipv4_packet,
    ipv6_packet,
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


@UP
def test_packets_of_the_client_pass(way: Direction) -> None:
    for packet in (
        ipv4_packet(ME4, WEB4),
        ipv4_packet(ME4, WEB4, protocol=132, ttl=1),
        ipv6_packet(ME6, WEB6),
        ipv6_packet(ME6, WEB6, hop_limit=1, extension=HOP_BY_HOP),
        echo_packet(ME4, WEB4),
    ):
        assert reason_of(way.decide(packet)) is None


@DOWN
def test_packets_for_the_client_pass(way: Direction) -> None:
    for packet in (
        ipv4_packet(WEB4, ME4),
        ipv6_packet(WEB6, ME6),
        ipv6_packet(WEB6, ME6, extension=HOP_BY_HOP),
        echo_packet("10.0.0.1", ME4),
    ):
        assert reason_of(way.decide(packet)) is None


@EVERY_WAY
@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x45", id="one byte"),
        pytest.param(bytes(60), id="version 0"),
        pytest.param(bytes((0x50,)) + bytes(59), id="version 5"),
        pytest.param(ipv4_packet(ME4, WEB4)[:19], id="cut ipv4 header"),
        pytest.param(ipv6_packet(ME6, WEB6)[:39], id="cut ipv6 header"),
        pytest.param(b"\x44" + ipv4_packet(ME4, WEB4)[1:], id="ihl 4"),
        pytest.param(b"\x4f" + ipv4_packet(ME4, WEB4, size=50)[1:], id="ihl beyond the packet"),
        pytest.param(ipv4_packet(ME4, WEB4)[:-1], id="ipv4 total length beyond the datagram"),
        pytest.param(ipv6_packet(ME6, WEB6)[:-1], id="ipv6 length beyond the datagram"),
        pytest.param(
            ipv6_packet(ME6, WEB6, protocol=0, extension=HOP_BY_HOP, size=48), id="cut extension"
        ),
    ],
)
def test_checklist_49_what_is_no_packet_is_dropped(way: Direction, packet: bytes) -> None:
    assert way.decide(packet) == Drop(reason=DropReason.MALFORMED)
    made = forwarder(way.end)
    good = (
        ipv4_packet(ME4, WEB4) if way in {CLIENT_SENDS, PROXY_RECEIVES} else ipv4_packet(WEB4, ME4)
    )
    assert way.pass_on(made, [good, packet, good]) == [good, good]
    assert made.counters.drops == {DropReason.MALFORMED: 1}


@UP
def test_trailing_bytes_are_cut_off(way: Direction) -> None:
    for packet in (ipv4_packet(ME4, WEB4), ipv6_packet(ME6, WEB6)):
        decision = way.decide(packet + b"trailer")
        assert isinstance(decision, Forward)
        assert decision.packet == packet


@UP
@pytest.mark.parametrize(
    ("packet", "icmp"),
    [
        (ipv4_packet(OTHER4, WEB4), (3, 13)),
        (ipv4_packet(WEB4, WEB4), (3, 13)),
        (ipv6_packet(OTHER6, WEB6), (1, 5)),
        (ipv6_packet("2001:db8::99", WEB6), (1, 5)),
    ],
)
def test_checklist_56_55_spoofed_sources_are_dropped(
    way: Direction, packet: bytes, icmp: tuple[int, int]
) -> None:
    decision = way.decide(packet)
    assert reason_of(decision) is DropReason.SPOOFED_SOURCE
    assert icmp_of(decision) == icmp


@DOWN
def test_checklist_56_packets_from_our_own_addresses_are_spoofed(way: Direction) -> None:
    for packet in (ipv4_packet(ME4, ME4), ipv6_packet(ME6, ME6)):
        assert reason_of(way.decide(packet)) is DropReason.SPOOFED_SOURCE


@UP
@pytest.mark.parametrize(
    ("packet", "icmp"),
    [(ipv4_packet(ME4, WEB4), (3, 0)), (ipv6_packet(ME6, WEB6), (1, 0))],
)
def test_checklist_55_no_route(way: Direction, packet: bytes, icmp: tuple[int, int]) -> None:
    decision = way.decide(packet, far=(route("203.0.113.0/24"), route("2001:db8:1::/48")))
    assert reason_of(decision) is DropReason.NO_ROUTE
    assert icmp_of(decision) == icmp


@DOWN
def test_destinations_that_are_not_assigned(way: Direction) -> None:
    for packet in (ipv4_packet(WEB4, OTHER4), ipv6_packet(WEB6, OTHER6)):
        assert reason_of(way.decide(packet)) is DropReason.NOT_ASSIGNED


@pytest.mark.parametrize(
    ("packet", "icmp"),
    [(ipv4_packet(ME4, OTHER4), (3, 13)), (ipv6_packet(ME6, OTHER6), (1, 1))],
)
def test_checklist_55_another_clients_address_is_prohibited(
    packet: bytes, icmp: tuple[int, int]
) -> None:
    decision = PROXY_RECEIVES.decide(packet)
    assert reason_of(decision) is DropReason.PROHIBITED
    assert icmp_of(decision) == icmp
    assert reason_of(PROXY_SENDS.decide(ipv4_packet(OTHER4, ME4))) is DropReason.PROHIBITED
    # The server itself is no other client.
    assert reason_of(PROXY_RECEIVES.decide(ipv4_packet(ME4, "10.0.0.1"))) is None


@UP
def test_checklist_34_47_scope_by_protocol_walks_extension_headers(way: Direction) -> None:
    only_udp = (route("::/0", None, UDP),)
    only_tcp = (route("::/0", None, TCP),)
    packet = ipv6_packet(ME6, WEB6, protocol=UDP, extension=HOP_BY_HOP)
    assert reason_of(way.decide(packet, far=only_udp)) is None
    decision = way.decide(packet, far=only_tcp)
    assert reason_of(decision) is DropReason.OUT_OF_SCOPE
    assert icmp_of(decision) == (1, 1)


@UP
def test_checklist_47_a_remembered_flow_opens_no_hole_for_extension_headers(
    way: Direction,
) -> None:
    made = forwarder(way.end, far=(route("::/0", None, UDP),))
    udp = ipv6_packet(ME6, WEB6, protocol=UDP, extension=HOP_BY_HOP)
    tcp = ipv6_packet(ME6, WEB6, protocol=TCP, extension=HOP_BY_HOP)
    assert way.pass_on(made, [udp, udp, tcp, udp, tcp]) == [udp, udp, udp]
    assert made.counters.drops == {DropReason.OUT_OF_SCOPE: 2}


@UP
def test_checklist_34_icmp_is_always_in_scope(way: Direction) -> None:
    far = (route("0.0.0.0/0", None, TCP), route("::/0", None, TCP))
    assert reason_of(way.decide(echo_packet(ME4, WEB4), far=far)) is None
    assert reason_of(way.decide(echo_packet(ME6, WEB6), far=far)) is None
    assert reason_of(way.decide(ipv4_packet(ME4, WEB4), far=far)) is DropReason.OUT_OF_SCOPE


@DOWN
def test_checklist_55_icmp_is_taken_from_any_source(way: Direction) -> None:
    far = (route("203.0.113.0/24", None, TCP),)
    assert reason_of(way.decide(echo_packet(WEB4, ME4), far=far)) is None
    for packet in (
        ipv4_packet(WEB4, ME4, protocol=TCP),
        ipv4_packet("203.0.113.9", ME4, protocol=UDP),
    ):
        assert reason_of(way.decide(packet, far=far)) is DropReason.UNEXPECTED_SOURCE
    inside = ipv4_packet("203.0.113.9", ME4, protocol=TCP)
    assert reason_of(way.decide(inside, far=far)) is None


@EVERY_WAY
@pytest.mark.parametrize(
    ("address", "as_source", "as_destination"),
    [
        ("169.254.7.7", DropReason.LINK_LOCAL, DropReason.LINK_LOCAL),
        ("fe80::7", DropReason.LINK_LOCAL, DropReason.LINK_LOCAL),
        ("febf::7", DropReason.LINK_LOCAL, DropReason.LINK_LOCAL),
        ("224.0.0.251", DropReason.SPECIAL_ADDRESS, DropReason.MULTICAST),
        ("239.1.1.1", DropReason.SPECIAL_ADDRESS, DropReason.MULTICAST),
        ("ff02::16", DropReason.SPECIAL_ADDRESS, DropReason.MULTICAST),
        ("ff0e::1", DropReason.SPECIAL_ADDRESS, DropReason.MULTICAST),
        ("255.255.255.255", DropReason.SPECIAL_ADDRESS, DropReason.MULTICAST),
        ("127.0.0.1", DropReason.SPECIAL_ADDRESS, DropReason.SPECIAL_ADDRESS),
        ("0.0.0.0", DropReason.SPECIAL_ADDRESS, DropReason.SPECIAL_ADDRESS),  # noqa: S104 - no bind
        ("0.1.2.3", DropReason.SPECIAL_ADDRESS, DropReason.SPECIAL_ADDRESS),
        ("240.0.0.1", DropReason.SPECIAL_ADDRESS, DropReason.SPECIAL_ADDRESS),
        ("::", DropReason.SPECIAL_ADDRESS, DropReason.SPECIAL_ADDRESS),
        ("::1", DropReason.SPECIAL_ADDRESS, DropReason.SPECIAL_ADDRESS),
        ("::ffff:198.51.100.7", DropReason.SPECIAL_ADDRESS, DropReason.SPECIAL_ADDRESS),
    ],
)
def test_checklist_51_link_local_and_special_addresses_are_never_forwarded(
    way: Direction, address: str, as_source: DropReason, as_destination: DropReason
) -> None:
    is_ipv6 = ":" in address
    build = ipv6_packet if is_ipv6 else ipv4_packet
    is_up = way in {CLIENT_SENDS, PROXY_RECEIVES}
    me, web = (ME6, WEB6) if is_ipv6 else (ME4, WEB4)
    other_end = (web, me)[not is_up]
    # No ICMP either: no error may go to such an address, and none about multicast.
    assert way.decide(build(address, other_end)) == Drop(reason=as_source)
    if is_up:
        assert way.decide(build(me, address)) == Drop(reason=as_destination)
    else:
        assert way.decide(build(web, address)) == Drop(reason=as_destination)


def test_directed_broadcast_into_the_pool_is_dropped() -> None:
    packet = ipv4_packet(ME4, "10.0.0.255")
    assert PROXY_RECEIVES.decide(packet) == Drop(reason=DropReason.MULTICAST)


def test_checklist_51_link_local_noise_is_dropped_and_the_tunnel_stays() -> None:
    made = forwarder(TunnelEnd.PROXY)
    report = ipv6_packet("fe80::1", "ff02::16", protocol=58, hop_limit=1, extension=HOP_BY_HOP)
    good = ipv6_packet(ME6, WEB6)
    assert made.receive_packets([report, report, good], T0) == [good]
    assert made.counters.drops == {DropReason.LINK_LOCAL: 2}
    assert made.take_replies_to_peer() == []


@pytest.mark.parametrize("end", list(TunnelEnd))
def test_checklist_51_52_echo_to_all_nodes_is_answered(end: TunnelEnd) -> None:
    made = forwarder(end)
    data = bytes(range(256)) * 4 + bytes(208)
    packet = echo_packet("fe80::99", "ff02::1", data=data)
    assert len(packet) == 1280
    assert made.receive_packets([packet], T0) == []
    (reply,) = made.take_replies_to_peer()
    own = "fd00::1" if end is TunnelEnd.PROXY else ME6
    assert reply == echo_packet(own, "fe80::99", data=data, reply=True)
    assert made.counters.echo_reply_count == 1
    assert made.counters.drops == {}


def test_checklist_52_an_answer_that_does_not_fit_is_not_sent() -> None:
    made = forwarder(TunnelEnd.PROXY, mtu=1279)
    made.receive_packets([echo_packet("fe80::99", "ff02::1", data=bytes(1232))], T0)
    assert made.take_replies_to_peer() == []
    assert made.counters.drops == {DropReason.TOO_BIG: 1}


@pytest.mark.parametrize(
    "packet",
    [
        echo_packet("fe80::99", "ff02::2"),
        echo_packet("fe80::99", "ff02::1", reply=True),
        echo_packet("::", "ff02::1"),
        echo_packet("ff02::1", "ff02::1"),
        echo_packet("fe80::99", "ff02::1")[:-1] + b"!",
        ipv6_packet("fe80::99", "ff02::1"),
        echo_packet("10.0.0.2", "224.0.0.1"),
    ],
)
def test_other_link_local_packets_are_not_answered(packet: bytes) -> None:
    made = forwarder(TunnelEnd.PROXY)
    assert made.receive_packets([packet], T0) == []
    assert made.take_replies_to_peer() == []


def test_checklist_51_echo_to_a_link_local_address_is_answered_from_it() -> None:
    made = forwarder(TunnelEnd.CLIENT)
    made.receive_packets([echo_packet("fe80::99", "fe80::5")], T0)
    assert made.take_replies_to_peer() == [echo_packet("fe80::5", "fe80::99", reply=True)]


@pytest.mark.parametrize(
    ("way", "packet"),
    [
        (CLIENT_SENDS, ipv4_packet(ME4, WEB4, ttl=7)),
        (PROXY_RECEIVES, ipv4_packet(ME4, WEB4, ttl=7)),
        (PROXY_SENDS, ipv4_packet(WEB4, ME4, ttl=7)),
        (CLIENT_RECEIVES, ipv4_packet(WEB4, ME4, ttl=7)),
        (PROXY_SENDS, ipv6_packet(WEB6, ME6, hop_limit=1)),
    ],
)
def test_checklist_50_the_kernel_has_decremented_already(way: Direction, packet: bytes) -> None:
    decision = way.decide(packet)
    assert isinstance(decision, Forward)
    assert decision.packet == packet


@pytest.mark.parametrize(
    ("packet", "hop_limit_at"), [(ipv4_packet(WEB4, ME4), 8), (ipv6_packet(WEB6, ME6), 7)]
)
def test_checklist_50_without_a_kernel_encapsulation_decrements(
    packet: bytes, hop_limit_at: int
) -> None:
    made = forwarder(TunnelEnd.PROXY, decrements_hop_limit=True)
    for _ in range(2):  # the second time the flow is known
        (sent,) = expand(made.send_packets([packet], T0))
        assert sent[hop_limit_at] == packet[hop_limit_at] - 1
        assert has_valid_header_checksum(sent)
        assert decode_ip_header(sent)._replace(hop_limit=64) == decode_ip_header(packet)
    # Decapsulation never decrements.
    up = ipv4_packet(ME4, WEB4)
    assert made.receive_packets([up], T0) == [up]


def test_checklist_50_own_packets_are_not_decremented() -> None:
    proxy = forwarder(TunnelEnd.PROXY, decrements_hop_limit=True)
    client = forwarder(TunnelEnd.CLIENT, decrements_hop_limit=True)
    from_proxy = ipv4_packet("10.0.0.1", ME4, ttl=1)
    from_client = ipv4_packet(ME4, WEB4, ttl=1)
    assert proxy.send_packets([from_proxy], T0) == [from_proxy]
    assert client.send_packets([from_client], T0) == [from_client]


@pytest.mark.parametrize(
    ("packet", "icmp"),
    [
        (ipv4_packet(WEB4, ME4, ttl=1), (11, 0)),
        (ipv4_packet(WEB4, ME4, ttl=0), (11, 0)),
        (ipv6_packet(WEB6, ME6, hop_limit=1), (3, 0)),
    ],
)
def test_checklist_50_a_hop_limit_that_is_used_up(packet: bytes, icmp: tuple[int, int]) -> None:
    made = forwarder(TunnelEnd.PROXY, decrements_hop_limit=True)
    decision = made.decide_to_send(packet, T0)
    assert reason_of(decision) is DropReason.HOP_LIMIT
    assert icmp_of(decision) == icmp


@EVERY_WAY
def test_checklist_50_hop_limit_zero_never_passes(way: Direction) -> None:
    pairs = [(ME4, WEB4), (ME6, WEB6)]
    if way in {CLIENT_RECEIVES, PROXY_SENDS}:
        pairs = [(WEB4, ME4), (WEB6, ME6)]
    good = [ipv4_packet(*pairs[0]), ipv6_packet(*pairs[1])]
    dead = [ipv4_packet(*pairs[0], ttl=0), ipv6_packet(*pairs[1], hop_limit=0)]
    made = forwarder(way.end)
    assert way.pass_on(made, [*good, *dead, *good]) == [*good, *good]
    assert made.counters.drops == {DropReason.HOP_LIMIT: 2}


@pytest.mark.parametrize(
    ("way", "packet", "icmp"),
    [
        (CLIENT_SENDS, ipv4_packet(ME4, WEB4, size=1401), (3, 4)),
        (PROXY_SENDS, ipv4_packet(WEB4, ME4, size=1500), (3, 4)),
        (CLIENT_SENDS, ipv6_packet(ME6, WEB6, size=1401), (2, 0)),
        (PROXY_SENDS, ipv6_packet(WEB6, ME6, size=1500), (2, 0)),
    ],
)
def test_checklist_54_55_too_big(way: Direction, packet: bytes, icmp: tuple[int, int]) -> None:
    decision = way.decide(packet)
    assert reason_of(decision) is DropReason.TOO_BIG
    assert icmp_of(decision) == icmp
    assert isinstance(decision, Reply)
    offset = decode_ip_header(decision.packet).payload_offset
    assert int.from_bytes(decision.packet[offset + 4 : offset + 8], "big") == MTU
    # The host would refuse a packet from one of its own addresses: it comes from where the packet
    # went.
    source, destination = addresses_of(packet)
    assert addresses_of(decision.packet) == (destination, source)


def test_checklist_54_the_size_that_just_fits_passes_also_when_known() -> None:
    made = forwarder(TunnelEnd.CLIENT)
    fits, too_big = ipv4_packet(ME4, WEB4, size=1400), ipv4_packet(ME4, WEB4, size=1401)
    assert made.send_packets([fits, too_big, fits], T0) == [fits, fits]
    made.change_mtu(1300)
    assert made.send_packets([fits], T0) == []
    assert len(made.take_replies_to_device()) == 2
    assert made.take_replies_to_device() == []


@pytest.mark.parametrize("end", TunnelEnd)
def test_checklist_54_what_may_be_split_is_split(end: TunnelEnd) -> None:
    """RFC 1812 s5.2.6: only "don't fragment" makes a router send packet-too-big."""
    source, destination = (ME4, WEB4) if end is TunnelEnd.CLIENT else (WEB4, ME4)
    made = forwarder(end)
    packet = ipv4_packet(source, destination, size=4000, dont_fragment=False)
    small = ipv4_packet(source, destination, size=1400, dont_fragment=False)
    sent = made.send_packets([small, packet, small, packet], T0)
    assert [len(piece) for piece in sent] == [1400, *(pieces := [1396, 1396, 1248]), 1400, *pieces]
    assert sent[0] == sent[4] == small
    assert made.counters.sent_packet_count == 8
    assert made.counters.sent_bytes == sum(map(len, sent))
    assert made.counters.drops == {}
    assert made.take_replies_to_device() == []


def test_impossible_fragment_is_not_split() -> None:
    packet = bytearray(ipv4_packet(ME4, WEB4, size=3000, dont_fragment=False))
    packet[6:8] = (0x1FFF).to_bytes(2, "big")
    made = forwarder(TunnelEnd.CLIENT)
    assert made.send_packets([bytes(packet)], T0) == []
    assert made.counters.drops == {DropReason.MALFORMED: 1}


def test_packets_too_big_for_us_to_send_may_be_received() -> None:
    packet = ipv4_packet(WEB4, ME4, size=9000)
    assert forwarder(TunnelEnd.CLIENT).receive_packets([packet], T0) == [packet]


def test_packet_too_big_never_names_less_than_ipv6_needs() -> None:
    made = forwarder(TunnelEnd.PROXY, mtu=1000)
    decision = made.decide_to_send(ipv6_packet(WEB6, ME6, size=1300), T0)
    assert isinstance(decision, Reply)
    assert int.from_bytes(decision.packet[44:48], "big") == 1280


def test_errors_go_back_where_the_packet_came_from() -> None:
    made = forwarder(TunnelEnd.PROXY)
    made.receive_packets([ipv4_packet(ME4, OTHER4)], T0)
    assert made.take_replies_to_device() == []
    (reply,) = made.take_replies_to_peer()
    assert addresses_of(reply) == (ip_address("10.0.0.1"), ip_address(ME4))
    made.send_packets([ipv4_packet(WEB4, OTHER4)], T0)
    assert made.take_replies_to_peer() == []
    (reply,) = made.take_replies_to_device()
    assert addresses_of(reply) == (ip_address(OTHER4), ip_address(WEB4))


def test_no_error_about_an_error() -> None:
    made = forwarder(TunnelEnd.CLIENT)
    decision = made.decide_to_send(ipv4_packet(ME4, WEB4, size=1500), T0)
    assert isinstance(decision, Reply)
    error = decision.packet
    proxy = forwarder(TunnelEnd.PROXY)
    assert proxy.decide_to_receive(error, T0) == Drop(reason=DropReason.SPOOFED_SOURCE)


def test_errors_are_limited_in_rate() -> None:
    made = forwarder(TunnelEnd.PROXY)
    flood = [ipv4_packet(ME4, OTHER4)] * 200
    made.receive_packets(flood, T0)
    assert len(made.take_replies_to_peer()) == 50
    assert made.counters.icmp_suppressed_count == 150
    assert made.counters.drops == {DropReason.PROHIBITED: 200}
    made.receive_packets(flood, at(0.125))
    assert len(made.take_replies_to_peer()) == 12
    made.receive_packets(flood, at(100))
    assert len(made.take_replies_to_peer()) == 50


def test_new_rules_forget_what_passed_before() -> None:
    made = forwarder(TunnelEnd.CLIENT)
    packet = ipv4_packet(ME4, WEB4)
    back = ipv4_packet(WEB4, ME4)
    assert made.send_packets([packet], T0) == [packet]
    assert made.receive_packets([back], T0) == [back]
    made.change_rules(FilterRules(near=(), far=()), ())
    assert made.send_packets([packet], T0) == []
    assert made.receive_packets([back], T0) == []


def test_known_flows_are_bounded_and_counted_right() -> None:
    made = forwarder(TunnelEnd.CLIENT)
    packets = [ipv4_packet(ME4, str(IPv4Address(0x0B000000 + n))) for n in range(5000)]
    assert made.send_packets(packets, T0) == packets
    assert made.send_packets(packets[:10], T0) == packets[:10]
    assert len(made._known_out) <= 2048
    assert made.counters.sent_packet_count == 5010
    assert made.counters.sent_bytes == 5010 * 60


def test_nothing_passes_before_there_are_rules() -> None:
    made = Forwarder(TunnelEnd.CLIENT)
    assert made.send_packets([ipv4_packet(ME4, WEB4)], T0) == []
    assert made.receive_packets([ipv4_packet(WEB4, ME4)], T0) == []
    assert made.mtu == 0


def test_prefixes_longer_than_one_address() -> None:
    made = Forwarder(TunnelEnd.PROXY)
    made.change_rules(
        FilterRules(near=(ip_network("10.8.0.0/16"), ip_network("fd08::/64")), far=EVERYWHERE), ()
    )
    for source in ("10.8.0.0", "10.8.255.255"):
        assert isinstance(made.decide_to_receive(ipv4_packet(source, WEB4), T0), Forward)
    assert isinstance(made.decide_to_receive(ipv6_packet("fd08::ffff", WEB6), T0), Forward)
    for source in ("10.9.0.0", "10.7.255.255"):
        assert (
            reason_of(made.decide_to_receive(ipv4_packet(source, WEB4), T0))
            is DropReason.SPOOFED_SOURCE
        )
    outside = made.decide_to_receive(ipv6_packet("fd08:0:0:1::", WEB6), T0)
    assert reason_of(outside) is DropReason.SPOOFED_SOURCE


def test_checklist_50_every_assigned_source_is_the_clients_own() -> None:
    made = Forwarder(TunnelEnd.CLIENT, decrements_hop_limit=True)
    rules = FilterRules(near=(ip_network("10.8.0.0/16"),), far=EVERYWHERE)
    made.change_rules(rules, (ip_address("10.8.0.1"),))
    made.change_mtu(MTU)
    packet = ipv4_packet("10.8.7.7", WEB4, ttl=1)
    assert made.send_packets([packet], T0) == [packet]
