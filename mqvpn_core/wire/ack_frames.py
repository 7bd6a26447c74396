"""The body that ACK and PATH_ACK have in common (RFC 9000 s19.3).

Owns the range arithmetic. Knows nothing of packet number spaces: whether the packets were ever sent
is for the caller. A DecodeError here is always FRAME_ENCODING_ERROR.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.varint import Buffer, decode_varint, encode_varint, varint_size


class EcnCounts(NamedTuple):
    """Packets received with each ECN codepoint, since the start of the packet number space."""

    ect0: int
    """Marked ECT(0)."""
    ect1: int
    """Marked ECT(1)."""
    ce: int
    """Marked ECN-CE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What ACK says, and PATH_ACK behind its path ID."""

    ranges: tuple[tuple[int, int], ...]
    """(smallest, largest) packet numbers, both inclusive, largest first; never empty."""
    delay_raw: int
    """ACK Delay as sent: microseconds divided by 2 to the peer's ack_delay_exponent."""
    ecn: EcnCounts | None
    """The counts of an ACK with ECN."""


def decode_ack(data: Buffer, offset: int, *, with_ecn: bool = False) -> tuple[Ack, int]:
    """Decode the body of ACK: everything behind the frame type (RFC 9000 s19.3).

    Args:
        data: where the frame is.
        offset: where Largest Acknowledged starts.
        with_ecn: the frame type says that ECN counts follow.

    Returns:
        The value and the offset behind the frame.

    Raises:
        DecodeError: the frame is truncated or names a negative packet number.
    """
    largest, offset = decode_varint(data, offset)
    delay_raw, offset = decode_varint(data, offset)
    range_count, offset = decode_varint(data, offset)
    length, offset = decode_varint(data, offset)
    # Each further range takes two bytes at least; an absurd count fails before any work.
    if range_count * 2 > len(data) - offset:
        raise DecodeError("ACK has fewer ranges than announced")
    smallest = largest - length
    ranges = [(smallest, largest)]
    for _ in range(range_count):
        gap, offset = decode_varint(data, offset)
        length, offset = decode_varint(data, offset)
        largest = smallest - gap - 2
        smallest = largest - length
        ranges.append((smallest, largest))
    # RFC 9000 s19.3.1: "If any computed packet number is negative, an endpoint MUST generate a
    # connection error of type FRAME_ENCODING_ERROR." Numbers only fall, so the last one tells.
    if smallest < 0:
        raise DecodeError("ACK names a negative packet number")
    ecn = None
    if with_ecn:
        ect0, offset = decode_varint(data, offset)
        ect1, offset = decode_varint(data, offset)
        ce, offset = decode_varint(data, offset)
        ecn = EcnCounts(ect0, ect1, ce)
    return Ack(ranges=tuple(ranges), delay_raw=delay_raw, ecn=ecn), offset


def encode_ack_body(
    ranges: Iterable[tuple[int, int]],
    delay_raw: int,
    ecn: EcnCounts | None = None,
    *,
    max_bytes: int,
) -> bytes:
    """Encode ACK without its type; the oldest ranges that do not fit are left out.

    Args:
        ranges: (smallest, largest) packet numbers, both inclusive, largest first, never adjacent.
        delay_raw: ACK Delay, already divided by the scale of our ack_delay_exponent.
        ecn: counts to append; the frame type must say so.
        max_bytes: room for the result.

    Raises:
        LocalProtocolError: there is no range, the order is wrong or not even the first range fits.
    """
    iterator = iter(ranges)
    first = next(iterator, None)
    if first is None:
        raise LocalProtocolError("an ACK needs at least one range")
    smallest, largest = first
    head = encode_varint(largest) + encode_varint(delay_raw)
    first_range = encode_varint(largest - smallest)
    tail = b"" if ecn is None else b"".join(encode_varint(count) for count in ecn)
    room = max_bytes - len(head) - len(first_range) - len(tail)
    pieces = list(_fitting_ranges(smallest, iterator, room))
    count = encode_varint(len(pieces))
    if room < len(count):
        raise LocalProtocolError("no room for the first range of an ACK")
    return b"".join((head, count, first_range, *pieces, tail))


def _fitting_ranges(smallest: int, ranges: Iterator[tuple[int, int]], room: int) -> Iterator[bytes]:
    """Yield gap and length of each further range while they, and their count, fit the room."""
    for count, (next_smallest, next_largest) in enumerate(ranges, start=1):
        gap = encode_varint(smallest - next_largest - 2)
        piece = gap + encode_varint(next_largest - next_smallest)
        room -= len(piece)
        if room < varint_size(count):
            return
        yield piece
        smallest = next_smallest
