"""Reads of a socket that are joined hold the same datagrams in the same order."""

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.runtime.joined_reads import join_reads

LOCAL = SocketAddress("192.0.2.1", 443)
ONE = FourTuple(LOCAL, SocketAddress("198.51.100.1", 1000))
OTHER = FourTuple(LOCAL, SocketAddress("198.51.100.2", 1000))


def read(four_tuple: FourTuple, data: bytes, size: int = 0, ecn: int = 0) -> ReceivedDatagrams:
    return ReceivedDatagrams(four_tuple, data, size or len(data), ecn)


def datagrams(reads: list[ReceivedDatagrams], four_tuple: FourTuple) -> list[tuple[bytes, int]]:
    return [
        (each.data[start : start + each.segment_size], each.ecn)
        for each in reads
        if each.four_tuple == four_tuple
        for start in range(0, len(each.data), each.segment_size)
    ]


def test_reads_of_two_peers_in_turn_become_two_batches() -> None:
    reads = [read(ONE, b"aabb", 2), read(OTHER, b"xx"), read(ONE, b"cc"), read(OTHER, b"yyz", 2)]
    assert join_reads(reads) == [read(ONE, b"aabbcc", 2), read(OTHER, b"xxyyz", 2)]


def test_nothing_follows_a_shorter_datagram_or_joins_a_longer_one() -> None:
    reads = [read(ONE, b"aab", 2), read(ONE, b"cc"), read(ONE, b"ddd"), read(ONE, b"ee")]
    assert join_reads(reads) == [
        read(ONE, b"aab", 2),
        read(ONE, b"cc"),
        read(ONE, b"dddee", 3),
    ]


def test_several_shorter_ones_are_a_batch_of_their_own() -> None:
    reads = [read(ONE, b"aaaa"), read(ONE, b"bcd", 1)]
    assert join_reads(reads) == reads


def test_marks_keep_reads_apart() -> None:
    reads = [read(ONE, b"aa"), read(ONE, b"bb", ecn=3)]
    assert join_reads(reads) == reads


@st.composite
def some_reads(draw: st.DrawFn) -> ReceivedDatagrams:
    size = draw(st.integers(1, 4))
    count = draw(st.integers(1, 4))
    length = size * count - draw(st.integers(0, size - 1))
    data = draw(st.binary(min_size=length, max_size=length))
    four_tuple = draw(st.sampled_from((ONE, OTHER)))
    return ReceivedDatagrams(four_tuple, data, min(size, length), draw(st.sampled_from((0, 3))))


@given(st.lists(some_reads(), max_size=12))
def test_the_same_datagrams_in_the_same_order(reads: list[ReceivedDatagrams]) -> None:
    joined = join_reads(reads)
    assert len(joined) <= len(reads)
    for four_tuple in (ONE, OTHER):
        assert datagrams(joined, four_tuple) == datagrams(reads, four_tuple)
