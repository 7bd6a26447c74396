"""The builder that the engine and our packetizer write frames into."""

import pytest

from mqvpn_core.quic.aioquic_bridge.path_builder import BuilderStop, PathPacketBuilder
from mqvpn_core.wire.code_points import FrameType

PING = bytes([FrameType.PING])


def builder(
    *, capacity: int = 1000, flight: int = 10_000, total: int | None = None
) -> PathPacketBuilder:
    return PathPacketBuilder(
        payload_capacity=capacity,
        packet_overhead=29,
        flight_budget=flight,
        total_budget=total,
        first_packet_number=7,
    )


def test_frames_fill_packets_in_order() -> None:
    made = builder(capacity=100)
    for size in (60, 60, 30):
        made.write_frame(bytes([size]) * size, is_ack_eliciting=True)
    made.finish()
    assert [len(packet.payload) for packet in made.packets] == [60, 90]
    assert all(packet.is_ack_eliciting and packet.is_in_flight for packet in made.packets)


def test_an_acknowledgement_is_neither_ack_eliciting_nor_in_flight() -> None:
    made = builder(flight=0)
    made.write_frame(b"\x02ack", is_ack_eliciting=False)
    made.note_acknowledgement(41)
    with pytest.raises(BuilderStop):
        made.write_frame(PING, is_ack_eliciting=True)
    made.finish()
    (packet,) = made.packets
    assert not packet.is_ack_eliciting
    assert not packet.is_in_flight
    assert packet.largest_acknowledged == 41


def test_nothing_is_written_beyond_the_congestion_window() -> None:
    made = builder(capacity=500, flight=600)
    made.write_frame(bytes(500), is_ack_eliciting=True)
    with pytest.raises(BuilderStop):
        made.write_frame(bytes(200), is_ack_eliciting=True)
    made.finish()
    assert [len(packet.payload) for packet in made.packets] == [500]


def test_nothing_is_written_beyond_the_amplification_limit() -> None:
    made = builder(capacity=500, total=300)
    made.write_frame(bytes(271), is_ack_eliciting=True)
    with pytest.raises(BuilderStop):
        made.write_frame(PING, is_ack_eliciting=True)
    made.finish()
    assert [len(packet.payload) for packet in made.packets] == [271]


def test_the_engine_may_go_on_with_a_packet_that_was_kept_open() -> None:
    made = builder()
    made.write_frame(b"\x02ack", is_ack_eliciting=False)
    made.keep_open()
    made.start_packet()
    assert made.packet_number == 7
    made.start_frame(FrameType.MAX_DATA, capacity=9).push_uint_var(5)
    made.start_packet()
    assert made.packet_is_empty
    assert made.packet_number == 8
    made.finish()
    assert [packet.payload for packet in made.packets] == [b"\x02ack\x10\x05"]


def test_a_frame_that_does_not_fit_leaves_no_trace() -> None:
    made = builder(capacity=64)
    made.start_packet()
    calls: list[object] = []
    with pytest.raises(BuilderStop):
        made.start_frame(FrameType.STREAM, capacity=65, handler=calls.append)
    made.finish()
    assert made.packets == []


def test_handlers_belong_to_the_packet_of_their_frame() -> None:
    made = builder(capacity=64)
    calls: list[object] = []
    made.write_frame(bytes(60), is_ack_eliciting=True, handler=(calls.append, ()))
    made.write_frame(bytes(60), is_ack_eliciting=True)
    made.finish()
    assert [len(packet.handlers) for packet in made.packets] == [1, 0]


def test_the_engine_hears_that_the_window_is_full() -> None:
    """Otherwise it takes a stream frame that does not fit for having nothing to send."""
    made = builder(flight=29 + 63)
    with pytest.raises(BuilderStop):
        made.start_packet()
    made.finish()
    assert made.packets == []
