"""The two integers in front of a tunnelled payload: quarter stream ID and context ID.

Owns the quarter stream ID of an HTTP/3 datagram (RFC 9297 s2.1) and the context ID behind it
(RFC 9484 s5, s6). Knows nothing of which streams and contexts exist.
"""

from functools import lru_cache
from typing import Final

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.ids import ContextId, StreamId
from mqvpn_core.wire.varint import Buffer, decode_varint, encode_varint

IP_PACKET_CONTEXT: Final = ContextId(0)
"""Context ID of a payload that is one whole IP packet (RFC 9484 s6)."""

MAX_QUARTER_STREAM_ID: Final = 2**60 - 1
"""Largest quarter stream ID (RFC 9297 s2.1)."""


def decode_stream_id(data: Buffer) -> tuple[StreamId, int]:
    """Decode the quarter stream ID of a QUIC DATAGRAM payload.

    Returns:
        The stream ID (four times the encoded number) and the offset of the HTTP datagram payload.

    Raises:
        DecodeError: the number is truncated or too large: connection error H3_DATAGRAM_ERROR.
    """
    quarter, offset = decode_varint(data, 0)
    # RFC 9297 s2.1: "Receipt of an HTTP/3 Datagram that includes a larger value MUST be treated as
    # an HTTP/3 connection error of type H3_DATAGRAM_ERROR".
    if quarter > MAX_QUARTER_STREAM_ID:
        raise DecodeError(f"quarter stream ID {quarter} is too large")
    return StreamId(quarter * 4), offset


@lru_cache(maxsize=256)
def encode_stream_id(stream_id: StreamId) -> bytes:
    """Encode the quarter stream ID of a request stream.

    Raises:
        LocalProtocolError: only client-initiated bidirectional streams have one.
    """
    if stream_id % 4 != 0:
        raise LocalProtocolError(f"stream {stream_id} carries no HTTP datagrams")
    return encode_varint(stream_id // 4)


def decode_context_id(data: Buffer, offset: int = 0) -> tuple[ContextId, int]:
    """Decode the context ID at ``offset``; return it and the offset of the payload.

    Raises:
        DecodeError: it is truncated or missing.
    """
    context_id, offset = decode_varint(data, offset)
    return ContextId(context_id), offset


def encode_context_id(context_id: ContextId) -> bytes:
    """Encode a context ID, to be put in front of the payload."""
    return encode_varint(context_id)
