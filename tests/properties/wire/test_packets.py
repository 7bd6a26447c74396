"""IP packets and ICMP: totality, and that what we compose is correct by an independent sum."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.icmp import (
    IcmpCause,
    IcmpEcho,
    compose_icmp_echo,
    compose_icmp_error,
    decode_icmp_echo,
)
from mqvpn_core.wire.ip_packets import (
    decode_ip_header,
    decrement_hop_limit,
    has_valid_header_checksum,
    internet_checksum,
    with_decremented_hop_limit,
)
from tests.properties.wire.strategies import damaged
from tests.unit.wire.packets import Rare, checksum, ipv4, ipv6

pytestmark = pytest.mark.slow

next_headers = st.sampled_from((0, 43, 44, 51, 60, 6, 17, 1, 58)) | st.integers(0, 255)
addresses4 = st.integers(0, 2**32 - 1).map(lambda number: str(ip_address(number)))
addresses6 = st.integers(2**32, 2**128 - 1).map(lambda number: str(ip_address(number)))
packets4 = st.builds(
    ipv4,
    addresses4,
    addresses4,
    protocol=next_headers,
    ttl=st.integers(1, 255),
    payload=st.binary(max_size=80),
    rare=st.builds(
        Rare,
        fragment_field=st.integers(0, 0xFFFF),
        traffic_class=st.integers(0, 255),
        options=st.integers(0, 10).map(lambda words: bytes(4 * words)),
    ),
)
packets6 = st.builds(
    ipv6,
    addresses6,
    addresses6,
    next_header=st.sampled_from((6, 17, 58)),
    hop_limit=st.integers(1, 255),
    payload=st.binary(max_size=80),
)
extended6 = st.builds(
    ipv6, next_header=next_headers, payload=st.lists(next_headers, max_size=120).map(bytes)
)
hostile = st.binary(max_size=120) | damaged(packets4 | packets6 | extended6)


@given(hostile)
def test_any_bytes_are_a_decode_error_or_a_packet(data: bytes) -> None:
    with suppress(DecodeError):
        header = decode_ip_header(data)
        assert header == decode_ip_header(memoryview(data))
        assert 20 <= header.payload_offset <= header.total_length <= len(data)
        assert len(header.source) == len(header.destination) == (4 if header.version == 4 else 16)
        # What follows the packet has no influence.
        assert decode_ip_header(data[: header.total_length]) == header


@given(packets4 | packets6)
def test_decrement_keeps_everything_but_hop_limit_and_checksum(packet: bytes) -> None:
    before = decode_ip_header(packet)
    lower = with_decremented_hop_limit(packet)
    assert decode_ip_header(lower) == before._replace(hop_limit=before.hop_limit - 1)
    assert has_valid_header_checksum(packet)
    assert has_valid_header_checksum(lower)
    if before.version == 4:
        assert checksum(lower[: before.payload_offset]) == 0
    in_place = bytearray(packet)
    decrement_hop_limit(in_place)
    assert in_place == lower


@given(st.binary(max_size=300))
def test_checksum_equals_the_word_by_word_sum(data: bytes) -> None:
    assert internet_checksum(data) == checksum(data)


@given(hostile, st.sampled_from(IcmpCause))
def test_errors_are_correct_packets_or_none(data: bytes, cause: IcmpCause) -> None:
    router = ip_address("203.0.113.1" if data[:1] < b"\x50" else "2001:db8::1")
    mtu = 1280 if cause is IcmpCause.PACKET_TOO_BIG else 0
    try:
        answer = compose_icmp_error(cause, data, router, mtu=mtu)
    except DecodeError:
        return
    if answer is None:
        return
    offending, header = decode_ip_header(data), decode_ip_header(answer)
    assert (header.source, header.destination) == (router.packed, offending.source)
    assert header.total_length == len(answer) <= (576 if header.version == 4 else 1280)
    assert answer[header.payload_offset + 8 :] == data[: offending.total_length]
    assert has_valid_header_checksum(answer)
    # An error about this error would break RFC 1812 s4.3.2.7 and RFC 4443 s2.4 e.1.
    assert compose_icmp_error(cause, answer, router, mtu=mtu) is None


@given(
    st.builds(
        IcmpEcho,
        is_reply=st.booleans(),
        identifier=st.integers(0, 0xFFFF),
        sequence_number=st.integers(0, 0xFFFF),
        data=st.binary(max_size=100),
    ),
    st.tuples(addresses4, addresses4) | st.tuples(addresses6, addresses6),
)
def test_echo_round_trip(echo: IcmpEcho, ends: tuple[str, str]) -> None:
    packet = compose_icmp_echo(echo, ip_address(ends[0]), ip_address(ends[1]))
    assert decode_icmp_echo(packet, decode_ip_header(packet)) == echo


@given(hostile)
def test_any_packet_is_a_decode_error_or_perhaps_an_echo(data: bytes) -> None:
    with suppress(DecodeError):
        decode_icmp_echo(data, decode_ip_header(data))
