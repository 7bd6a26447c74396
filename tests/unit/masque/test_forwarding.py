"""Which packets pass at either end: where they come from, where they go, and for whom."""

import pytest

from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.forwarding import Drop, Forward, TunnelEnd
from tests.unit.masque.forwarding_scene import (
    CLIENT_SENDS,
    DOWN,
    EVERY_WAY,
    HOP_BY_HOP,
    ME4,
    ME6,
    OTHER4,
    OTHER6,
    PROXY_RECEIVES,
    PROXY_SENDS,
    UP,
    WEB4,
    WEB6,
    Direction,
    forwarder,
    icmp_of,
    reason_of,
)
from tests.unit.masque.samples import T0, TCP, UDP, echo_packet, ipv4_packet, ipv6_packet, route


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
