"""Packing DATAGRAM frames and grouping sealed packets for GSO."""

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.dataplane.kernel import SealedRun
from mqvpn_core.dataplane.parcels import payload_per_packet
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.datagram_packing import (
    MAX_SEGMENTS,
    MAX_TRANSMIT_BYTES,
    group_segments,
    join_like_runs,
    pack_datagrams,
)
from mqvpn_core.wire.varint import decode_varint

FOUR_TUPLE = FourTuple(SocketAddress("10.0.0.1", 1), SocketAddress("10.0.0.2", 443))
CAPACITY = 1171


def unpack(payload: bytes) -> list[bytes]:
    """Read DATAGRAM frames as a receiver does (RFC 9221 s4)."""
    frames = []
    offset = 0
    while offset < len(payload):
        frame_type = payload[offset]
        if frame_type == 0x30:
            frames.append(payload[offset + 1 :])
            break
        assert frame_type == 0x31
        length, start = decode_varint(payload, offset + 1)
        frames.append(payload[start : start + length])
        assert len(frames[-1]) == length
        offset = start + length
    return frames


@given(st.lists(st.binary(max_size=CAPACITY - 3), min_size=1, max_size=40))
def test_packed_datagrams_come_out_whole_in_order_and_fit(payloads: list[bytes]) -> None:
    items = [(b"\x05\x00", payload) for payload in payloads]
    packed = pack_datagrams(items, CAPACITY)
    assert all(len(packet) <= CAPACITY for packet, _ in packed)
    packets = payload_per_packet(packet for packet, _ in packed)
    assert [frame for packet in packets for frame in unpack(packet)] == [
        b"\x05\x00" + payload for payload in payloads
    ]
    assert [item for _, held in packed for item in held] == items


def test_small_datagrams_share_a_packet_and_a_full_one_stands_alone() -> None:
    small = [(b"\0\0", bytes(50))] * 10
    full = [(b"\0\0", bytes(CAPACITY - 3))]
    assert len(pack_datagrams(small, CAPACITY)) == 1
    assert len(pack_datagrams(full + small, CAPACITY)) == 2
    assert len(pack_datagrams(full, CAPACITY)[0][0]) == CAPACITY


@given(st.lists(st.integers(min_value=21, max_value=1472), max_size=200))
def test_groups_hold_equal_segments_but_the_last_and_lose_nothing(sizes: list[int]) -> None:
    sealed = [bytes([index % 256]) * size for index, size in enumerate(sizes)]
    transmits = group_segments(FOUR_TUPLE, sealed)
    rebuilt = []
    for transmit in transmits:
        size = transmit.segment_size
        assert len(transmit.data) <= MAX_TRANSMIT_BYTES
        segments = [transmit.data[i : i + size] for i in range(0, len(transmit.data), size)]
        assert len(segments) <= MAX_SEGMENTS
        rebuilt += segments
    assert rebuilt == sealed


def test_a_burst_of_equal_packets_is_one_transmit() -> None:
    transmits = group_segments(FOUR_TUPLE, [bytes(1000)] * 40 + [bytes(10)])
    assert [len(transmit.data) for transmit in transmits] == [40010]


def test_runs_of_one_size_are_one_thing_up_to_a_shorter_packet() -> None:
    sizes = [(3, 10, 30), (2, 10, 20), (2, 10, 15), (4, 10, 40), (1, 9, 9), (2, 10, 20)]
    runs = [SealedRun(bytes(total), size, count) for count, size, total in sizes]
    assert join_like_runs(runs) == [(10, 7, 65), (10, 4, 40), (9, 1, 9), (10, 2, 20)]
    assert join_like_runs([]) == []
