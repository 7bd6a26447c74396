"""Hop limits and sizes at either end, and the errors that senders get."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.forwarding import Drop, Forward, Forwarder, Reply, TunnelEnd
from mqvpn_core.masque.packet_filter import FilterRules
from mqvpn_core.wire.ip_packets import decode_ip_header, has_valid_header_checksum
from tests.unit.masque.forwarding_scene import (
    CLIENT_RECEIVES,
    CLIENT_SENDS,
    EVERY_WAY,
    EVERYWHERE,
    ME4,
    ME6,
    MTU,
    OTHER4,
    PROXY_RECEIVES,
    PROXY_SENDS,
    WEB4,
    WEB6,
    Direction,
    addresses_of,
    forwarder,
    icmp_of,
    reason_of,
)
from tests.unit.masque.samples import T0, at, ipv4_packet, ipv6_packet


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
