"""Fragments that any host can put together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.ip_fragments import split_ipv4_packet
from mqvpn_core.wire.ip_packets import (
    decode_ip_header,
    has_valid_header_checksum,
    internet_checksum,
)

SOURCE_ROUTE = bytes((131, 3, 4))  # copied into every fragment
TIMESTAMP = bytes((68, 4, 5, 0))  # in the first one only
NO_OPERATION = b"\1"


def packet_of(payload: bytes, *, options: bytes = b"", field: int = 0, ttl: int = 64) -> bytes:
    options += bytes(-len(options) % 4)
    header = bytearray(20) + options
    header[0] = 0x40 | len(header) // 4
    header[1] = 0x2E
    header[2:4] = (len(header) + len(payload)).to_bytes(2, "big")
    header[4:6] = b"id"
    header[6:8] = field.to_bytes(2, "big")
    header[8:10] = bytes((ttl, 17))
    header[12:20] = b"fromtodo"
    header[10:12] = internet_checksum(header).to_bytes(2, "big")
    return bytes(header) + payload


def put_together(fragments: tuple[bytes, ...], start: int = 0) -> tuple[bytes, bool]:
    """Return the payload, and whether more is to follow it."""
    payload = bytearray()
    more = True
    for fragment in fragments:
        header = decode_ip_header(fragment)
        assert header.total_length == len(fragment)
        assert has_valid_header_checksum(fragment)
        assert more
        assert (header.fragment_field & 0x1FFF) * 8 == start + len(payload)
        payload += fragment[header.payload_offset :]
        more = bool(header.fragment_field & 0x2000)
    return bytes(payload), more


@given(
    payload=st.binary(min_size=1, max_size=600),
    mtu=st.integers(68, 300),
    offset=st.integers(0, 0x1000),
    is_last=st.booleans(),
    options=st.sampled_from(
        [
            b"",
            TIMESTAMP,
            SOURCE_ROUTE,
            NO_OPERATION + TIMESTAMP + SOURCE_ROUTE,
            bytes((131, 39)) * 20,
        ]
    ),
)
def test_pieces_make_the_packet_again(
    payload: bytes, mtu: int, offset: int, is_last: bool, options: bytes
) -> None:
    payload = payload if is_last else payload + bytes(-len(payload) % 8)
    field = offset | (0 if is_last else 0x2000)
    packet = packet_of(payload, options=options, field=field)
    fragments = split_ipv4_packet(packet, mtu)
    assert max(map(len, fragments)) <= mtu
    assert put_together(fragments, offset * 8) == (payload, not is_last)
    for fragment in fragments:
        assert fragment[1:2] + fragment[4:6] + fragment[8:10] + fragment[12:20] == (
            packet[1:2] + packet[4:6] + packet[8:10] + packet[12:20]
        )


def test_no_more_pieces_than_needed() -> None:
    fragments = split_ipv4_packet(packet_of(bytes(4000)), 1400)
    assert [len(fragment) for fragment in fragments] == [1396, 1396, 1268]


def test_packet_that_fits_stays_as_it_is() -> None:
    packet = packet_of(bytes(1380))
    assert split_ipv4_packet(packet, 1400) == (packet,)
    assert split_ipv4_packet(packet_of(b""), 68) == (packet_of(b""),)


def test_only_copied_options_go_into_later_fragments() -> None:
    packet = packet_of(bytes(200), options=TIMESTAMP + NO_OPERATION + SOURCE_ROUTE)
    first, *later = split_ipv4_packet(packet, 100)
    assert first[20:28] == TIMESTAMP + NO_OPERATION + SOURCE_ROUTE
    assert {decode_ip_header(fragment).payload_offset for fragment in later} == {24}
    assert {fragment[20:24] for fragment in later} == {SOURCE_ROUTE + bytes(1)}


@pytest.mark.parametrize("options", [bytes((131, 1)), bytes((131, 9, 0, 0)), bytes((1, 1, 1, 131))])
def test_options_that_make_no_sense_are_not_copied(options: bytes) -> None:
    _, later, *_ = split_ipv4_packet(packet_of(bytes(200), options=options), 100)
    assert decode_ip_header(later).payload_offset == 20


def test_fragment_beyond_the_largest_packet() -> None:
    with pytest.raises(DecodeError, match="beyond the end"):
        split_ipv4_packet(packet_of(bytes(200), field=0x1FFF), 100)
