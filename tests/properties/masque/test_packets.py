"""Forwarding: what is remembered is decided like what is looked at, and junk does no harm."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.masque.forwarding import Forward, Forwarder, Reply, TunnelEnd
from mqvpn_core.masque.packet_filter import FilterRules
from mqvpn_core.wire.ip_packets import decode_ip_header
from tests.unit.masque.samples import T0, echo_packet, ipv4_packet, ipv6_packet, route

pytestmark = pytest.mark.slow

ADDRESSES_4 = ["10.0.0.2", "10.0.0.3", "198.51.100.7", "203.0.113.7", "169.254.1.1", "224.0.0.1"]
ADDRESSES_6 = ["fd00::2", "fd00::3", "2001:db8::7", "fe80::7", "ff02::1", "::1"]
HOP_BY_HOP = bytes((0, 0, 1, 4, 0, 0, 0, 0))

protocols = st.sampled_from([1, 6, 17, 44, 58, 59, 132])
good_packets = st.one_of(
    st.builds(
        ipv4_packet,
        st.sampled_from(ADDRESSES_4),
        st.sampled_from(ADDRESSES_4),
        protocol=protocols,
        ttl=st.integers(0, 3),
        size=st.sampled_from([20, 60, 1300, 1301]),
        dont_fragment=st.booleans(),
    ),
    st.builds(
        ipv6_packet,
        st.sampled_from(ADDRESSES_6),
        st.sampled_from(ADDRESSES_6),
        protocol=protocols,
        hop_limit=st.integers(0, 3),
        size=st.sampled_from([48, 80, 1300, 1301]),
        extension=st.sampled_from([b"", HOP_BY_HOP]),
    ),
    st.builds(echo_packet, st.sampled_from(ADDRESSES_6), st.sampled_from(ADDRESSES_6)),
    st.builds(echo_packet, st.sampled_from(ADDRESSES_4), st.sampled_from(ADDRESSES_4)),
)


@st.composite
def damaged_packets(draw: st.DrawFn) -> bytes:
    packet = bytearray(draw(good_packets))
    for _ in range(draw(st.integers(0, 3))):
        packet[draw(st.integers(0, min(60, len(packet)) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(0, len(packet)))]) + draw(st.binary(max_size=4))


packets = good_packets | damaged_packets() | st.binary(max_size=80)


def forwarder(end: TunnelEnd, *, decrements: bool) -> Forwarder:
    made = Forwarder(end, decrements_hop_limit=decrements)
    made.change_rules(
        FilterRules(
            near=(ip_network("10.0.0.2/32"), ip_network("fd00::2/128")),
            far=(
                route("198.51.100.0/24"),
                route("203.0.113.0/24", None, 17),
                route("2001:db8::/32", None, 6),
            ),
            prohibited=(route("198.51.100.128/25"),),
        ),
        (ip_address("10.0.0.1"), ip_address("fd00::1")),
    )
    made.change_mtu(1300)
    return made


@given(
    batch=st.lists(packets, max_size=12),
    end=st.sampled_from(TunnelEnd),
    decrements=st.booleans(),
    sending=st.booleans(),
)
def test_known_flows_are_judged_like_unknown_ones(
    batch: list[bytes], end: TunnelEnd, *, decrements: bool, sending: bool
) -> None:
    made = forwarder(end, decrements=decrements)
    judge = forwarder(end, decrements=decrements)
    expected = []
    for packet in batch * 2:
        decision = (judge.decide_to_send if sending else judge.decide_to_receive)(packet, T0)
        if isinstance(decision, Forward):
            expected.append(decision.packet)
    handle = made.send_packets if sending else made.receive_packets
    got = handle(batch, T0) + handle(batch, T0)
    assert got == expected
    counters = made.counters
    passed = counters.sent_packet_count + counters.received_packet_count
    assert passed + sum(counters.drops.values()) + counters.echo_reply_count == len(batch) * 2


@given(packet=packets, end=st.sampled_from(TunnelEnd), sending=st.booleans())
def test_decisions_are_well_formed(packet: bytes, end: TunnelEnd, *, sending: bool) -> None:
    made = forwarder(end, decrements=False)
    decision = (made.decide_to_send if sending else made.decide_to_receive)(packet, T0)
    if isinstance(decision, Reply):
        answered = decode_ip_header(packet)
        header = decode_ip_header(decision.packet)
        assert header.total_length == len(decision.packet)
        assert header.destination == answered.source
        assert header.protocol in {1, 58}
        # Nobody is answered with more than was sent, but for the headers of an error.
        assert len(decision.packet) <= len(packet) + 48
    elif isinstance(decision, Forward):
        header = decode_ip_header(decision.packet)
        assert header.total_length == len(decision.packet)
        assert packet.startswith(decision.packet)
        assert header.hop_limit > 0
