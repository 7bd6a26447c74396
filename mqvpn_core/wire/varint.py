"""Variable-length integers of QUIC (RFC 9000 s16).

Owns the one integer encoding that frames, capsules and datagrams share. Encoding is always minimal;
decoding takes every legal size, because only frame types must be minimal (RFC 9000 s12.4).
"""

from typing import Final, TypeAlias

from mqvpn_core.errors import DecodeError, LocalProtocolError

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes that a decoder reads without owning them; a memoryview must have format ``B``."""

MAX_VARINT: Final = 2**62 - 1
"""Largest value the encoding can hold."""

_MAX_1_BYTE: Final = 2**6 - 1
_MAX_2_BYTES: Final = 2**14 - 1
_MAX_4_BYTES: Final = 2**30 - 1

# The two most significant bits of the first byte give the length (RFC 9000 s16, table 4).
_MARK_2_BYTES: Final = 0b01 << 14
_MARK_4_BYTES: Final = 0b10 << 30
_MARK_8_BYTES: Final = 0b11 << 62

_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(_MAX_1_BYTE + 1))


def varint_size(value: int) -> int:
    """Return how many bytes ``encode_varint`` needs for ``value``.

    Raises:
        LocalProtocolError: the value is negative or above ``MAX_VARINT``.
    """
    if 0 <= value <= _MAX_1_BYTE:
        return 1
    if 0 <= value <= _MAX_2_BYTES:
        return 2
    if 0 <= value <= _MAX_4_BYTES:
        return 4
    if 0 <= value <= MAX_VARINT:
        return 8
    raise LocalProtocolError(f"{value} does not fit a variable-length integer")


def encode_varint(value: int) -> bytes:
    """Encode ``value`` in the smallest legal form.

    Raises:
        LocalProtocolError: the value is negative or above ``MAX_VARINT``.
    """
    if 0 <= value <= _MAX_1_BYTE:
        return _ONE_BYTE[value]
    if 0 <= value <= _MAX_2_BYTES:
        return (value | _MARK_2_BYTES).to_bytes(2, "big")
    if 0 <= value <= _MAX_4_BYTES:
        return (value | _MARK_4_BYTES).to_bytes(4, "big")
    if 0 <= value <= MAX_VARINT:
        return (value | _MARK_8_BYTES).to_bytes(8, "big")
    raise LocalProtocolError(f"{value} does not fit a variable-length integer")


def decode_varint(data: Buffer, offset: int = 0) -> tuple[int, int]:
    """Decode the integer at ``offset``; return it and the offset behind it.

    Raises:
        DecodeError: the data ends before the integer does.
    """
    if offset >= len(data):
        raise DecodeError("variable-length integer is missing")
    first = data[offset]
    if first <= _MAX_1_BYTE:
        return first, offset + 1
    size = 1 << (first >> 6)
    end = offset + size
    if end > len(data):
        raise DecodeError("variable-length integer is truncated")
    # Clear the two length bits: they sit on top of a field of size * 8 bits.
    return int.from_bytes(data[offset:end], "big") & ((1 << (size * 8 - 2)) - 1), end
