"""Quarter stream IDs and context IDs."""

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.ids import ContextId, StreamId
from mqvpn_core.wire.http_datagrams import (
    IP_PACKET_CONTEXT,
    MAX_QUARTER_STREAM_ID,
    decode_context_id,
    decode_stream_id,
    encode_context_id,
    encode_stream_id,
)
from mqvpn_core.wire.varint import encode_varint


@pytest.mark.parametrize(
    ("stream_id", "encoded"), [(0, "00"), (4, "01"), (252, "3f"), (256, "4040")]
)
def test_the_quarter_of_the_stream_id_is_sent(stream_id: int, encoded: str) -> None:
    assert encode_stream_id(StreamId(stream_id)).hex() == encoded
    assert decode_stream_id(bytes.fromhex(encoded) + b"\x00") == (stream_id, len(encoded) // 2)


def test_checklist_11_largest_quarter_stream_id() -> None:
    assert decode_stream_id(encode_varint(MAX_QUARTER_STREAM_ID)) == (2**62 - 4, 8)
    assert encode_stream_id(StreamId(2**62 - 4)) == encode_varint(MAX_QUARTER_STREAM_ID)


@pytest.mark.parametrize("quarter", [2**60, 2**62 - 1])
def test_checklist_11_too_large_quarter_stream_id(quarter: int) -> None:
    with pytest.raises(DecodeError, match="too large"):
        decode_stream_id(encode_varint(quarter) + b"\x00")


@pytest.mark.parametrize("data", [b"", b"\x40", b"\x80\x00\x00", b"\xc0" + bytes(6)])
def test_checklist_11_too_short_to_parse(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_stream_id(data)


@pytest.mark.parametrize("stream_id", [1, 2, 3, 7, -4, -1])
def test_other_streams_carry_no_datagrams(stream_id: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_stream_id(StreamId(stream_id))


def test_checklist_48_context_id() -> None:
    assert encode_context_id(IP_PACKET_CONTEXT) == b"\x00"
    assert decode_context_id(b"\x00\x45") == (IP_PACKET_CONTEXT, 1)
    assert decode_context_id(b"\x01\x40\x40\x45", 1) == (64, 3)
    assert decode_context_id(encode_context_id(ContextId(2**62 - 1))) == (2**62 - 1, 8)


def test_checklist_48_empty_payload_is_legal() -> None:
    assert decode_context_id(b"\x00") == (0, 1)


@pytest.mark.parametrize("data", [b"", b"\x40", b"\xc0"])
def test_a_datagram_without_context_id_is_an_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_context_id(data)
