"""Integers of QUIC: vectors of RFC 9000 appendix A.1 and the edges of each length."""

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.varint import MAX_VARINT, decode_varint, encode_varint, varint_size

RFC_VECTORS = [
    ("c2197c5eff14e88c", 151_288_809_941_952_652),
    ("9d7f3e7d", 494_878_333),
    ("7bbd", 15_293),
    ("25", 37),
]


@pytest.mark.parametrize(("encoded", "value"), RFC_VECTORS)
def test_vectors_of_rfc_9000(encoded: str, value: int) -> None:
    data = bytes.fromhex(encoded)
    assert encode_varint(value) == data
    assert decode_varint(data) == (value, len(data))


def test_a_longer_form_than_needed_is_legal_on_receipt() -> None:
    # RFC 9000 appendix A.1: "the two-byte sequence 0x4025 also decodes to 37"
    assert decode_varint(bytes.fromhex("4025")) == (37, 2)
    assert decode_varint(bytes.fromhex("80000025")) == (37, 4)
    assert decode_varint(bytes.fromhex("c000000000000025")) == (37, 8)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 1),
        (63, 1),
        (64, 2),
        (16_383, 2),
        (16_384, 4),
        (2**30 - 1, 4),
        (2**30, 8),
        (MAX_VARINT, 8),
    ],
)
def test_the_smallest_form_is_sent(value: int, size: int) -> None:
    assert varint_size(value) == len(encode_varint(value)) == size
    assert decode_varint(encode_varint(value)) == (value, size)


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1])
def test_values_that_do_not_fit_are_our_own_mistake(value: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_varint(value)
    with pytest.raises(LocalProtocolError):
        varint_size(value)


@pytest.mark.parametrize("encoded", [encoded for encoded, _ in RFC_VECTORS])
def test_every_truncation_is_an_error(encoded: str) -> None:
    data = bytes.fromhex(encoded)
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            decode_varint(data[:length])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_read_at_any_offset(
    kind: type[bytes] | type[bytearray] | type[memoryview],
) -> None:
    data = kind(bytes.fromhex("ff7bbd25"))
    assert decode_varint(data, 1) == (15_293, 3)
    assert decode_varint(data, 3) == (37, 4)
    with pytest.raises(DecodeError):
        decode_varint(data, 4)
