"""ACK bodies: range arithmetic, hostile counts, and what is left out when room is short."""

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.ack_frames import Ack, EcnCounts, decode_ack, encode_ack_body
from mqvpn_core.wire.varint import MAX_VARINT, encode_varint

ROOMY = 10_000


def integers(*values: int) -> bytes:
    return b"".join(map(encode_varint, values))


def test_the_formulas_of_rfc_9000_s19_3_1() -> None:
    # Largest 100, first range 10 -> 90..100; gap 3 -> 85 is next; range 5 -> 80..85.
    data = integers(100, 7, 1, 10, 3, 5)
    ack, offset = decode_ack(b"\x02" + data + b"rest", 1)
    assert ack == Ack(ranges=((90, 100), (80, 85)), delay_raw=7, ecn=None)
    assert offset == 1 + len(data)
    assert encode_ack_body(ack.ranges, 7, max_bytes=ROOMY) == data


def test_ecn_counts_follow_only_when_the_type_says_so() -> None:
    data = integers(5, 0, 0, 5, 1, 2, 3)
    assert decode_ack(data, 0) == (Ack(ranges=((0, 5),), delay_raw=0, ecn=None), 4)
    ecn = EcnCounts(ect0=1, ect1=2, ce=3)
    assert decode_ack(data, 0, with_ecn=True) == (Ack(ranges=((0, 5),), delay_raw=0, ecn=ecn), 7)
    assert encode_ack_body([(0, 5)], 0, ecn, max_bytes=ROOMY) == data


@pytest.mark.parametrize(
    "fields",
    [
        (5, 0, 0, 6),  # first range reaches -1
        (5, 0, 1, 0, 4, 0),  # 5, then largest is -1
        (5, 0, 1, 0, 3, 1),  # 5, then 0 down to -1
        (0, 0, 1, 0, 0, 0),
        (MAX_VARINT, 0, 1, MAX_VARINT, MAX_VARINT, MAX_VARINT),
    ],
)
def test_a_negative_packet_number_is_an_error(fields: tuple[int, ...]) -> None:
    with pytest.raises(DecodeError, match="negative"):
        decode_ack(integers(*fields), 0)


def test_packet_number_zero_is_not_negative() -> None:
    ack, _ = decode_ack(integers(5, 0, 1, 0, 3, 0), 0)
    assert ack.ranges == ((5, 5), (0, 0))


@pytest.mark.parametrize("with_ecn", [False, True])
def test_every_truncation_is_an_error(with_ecn: bool) -> None:
    data = integers(1000, 70, 2, 10, 300, 5, 1, 1) + (integers(100, 2, 70) if with_ecn else b"")
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            decode_ack(data[:length], 0, with_ecn=with_ecn)
    assert decode_ack(data, 0, with_ecn=with_ecn)[1] == len(data)


def test_an_absurd_range_count_fails_at_once() -> None:
    with pytest.raises(DecodeError, match="fewer ranges"):
        decode_ack(integers(5, 0, MAX_VARINT, 0) + bytes(1000), 0)
    with pytest.raises(DecodeError, match="fewer ranges"):
        decode_ack(integers(5, 0, 3, 0) + bytes(5), 0)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    assert decode_ack(kind(integers(9, 1, 0, 2)), 0)[0].ranges == ((7, 9),)


def test_the_oldest_ranges_give_way() -> None:
    ranges = [(largest, largest) for largest in range(1000, 0, -10)]
    whole = encode_ack_body(ranges, 0, max_bytes=ROOMY)
    for max_bytes in range(5, len(whole) + 1):
        body = encode_ack_body(ranges, 0, max_bytes=max_bytes)
        assert max_bytes - 3 <= len(body) <= max_bytes
        ack, offset = decode_ack(body, 0)
        assert offset == len(body)
        assert list(ack.ranges) == ranges[: len(ack.ranges)]
    assert encode_ack_body(ranges, 0, max_bytes=len(whole)) == whole


def test_the_count_of_ranges_may_take_the_last_byte() -> None:
    ranges = [(largest, largest) for largest in range(200, 0, -3)]
    # 64 further ranges would need a count of two bytes: with one byte less only 63 fit.
    exact = encode_ack_body(ranges[:65], 0, max_bytes=ROOMY)
    assert encode_ack_body(ranges, 0, max_bytes=len(exact)) == exact
    smaller, _ = decode_ack(encode_ack_body(ranges, 0, max_bytes=len(exact) - 1), 0)
    assert len(smaller.ranges) == 64
    last_of_one_byte = encode_ack_body(ranges[:64], 0, max_bytes=ROOMY)
    assert encode_ack_body(ranges, 0, max_bytes=len(last_of_one_byte)) == last_of_one_byte


def test_ecn_counts_are_never_dropped() -> None:
    ranges = [(largest, largest) for largest in range(60, 0, -3)]
    ecn = EcnCounts(1, 1, 1)
    ack, _ = decode_ack(encode_ack_body(ranges, 0, ecn, max_bytes=9), 0, with_ecn=True)
    assert ack.ecn == ecn
    assert ack.ranges == ((60, 60), (57, 57))


@pytest.mark.parametrize(
    ("ranges", "max_bytes"),
    [
        ([], ROOMY),
        ([(5, 5)], 3),
        ([(5, 4)], ROOMY),  # upside down
        ([(5, 9), (0, 4)], ROOMY),  # adjacent: one range
        ([(0, 4), (6, 9)], ROOMY),  # ascending
        ([(5, 9), (3, 2)], ROOMY),
    ],
)
def test_impossible_ranges_are_our_own_mistake(
    ranges: list[tuple[int, int]], max_bytes: int
) -> None:
    with pytest.raises(LocalProtocolError):
        encode_ack_body(ranges, 0, max_bytes=max_bytes)
