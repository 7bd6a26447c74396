"""Integers and frames: what goes in comes out, and hostile bytes are a DecodeError or nothing."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.ack_frames import Ack, decode_ack, encode_ack_body
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.http_datagrams import decode_context_id, decode_stream_id
from mqvpn_core.wire.path_frame_coding import decode_path_frame, encode_path_frame
from mqvpn_core.wire.path_frames import (
    PathFrame,
)
from mqvpn_core.wire.varint import decode_varint, encode_varint, varint_size
from tests.properties.wire.strategies import acks, damaged, path_frames, varints

pytestmark = pytest.mark.slow


@given(varints, st.binary(max_size=4), st.binary(max_size=4))
def test_varint_round_trip(value: int, before: bytes, after: bytes) -> None:
    encoded = encode_varint(value)
    assert len(encoded) == varint_size(value)
    assert decode_varint(before + encoded + after, len(before)) == (
        value,
        len(before) + len(encoded),
    )


@given(acks, st.binary(max_size=4))
def test_ack_round_trip(ack: Ack, after: bytes) -> None:
    body = encode_ack_body(ack.ranges, ack.delay_raw, ack.ecn, max_bytes=10_000)
    assert decode_ack(body + after, 0, with_ecn=ack.ecn is not None) == (ack, len(body))


@given(acks, st.integers(50, 300))
def test_ack_keeps_its_newest_ranges_and_its_limit(ack: Ack, max_bytes: int) -> None:
    body = encode_ack_body(ack.ranges, ack.delay_raw, ack.ecn, max_bytes=max_bytes)
    assert len(body) <= max_bytes
    kept, _ = decode_ack(body, 0, with_ecn=ack.ecn is not None)
    assert kept.ranges == ack.ranges[: len(kept.ranges)]
    assert (kept.delay_raw, kept.ecn) == (ack.delay_raw, ack.ecn)


@given(path_frames, st.binary(max_size=4))
def test_frame_round_trip(frame: PathFrame, after: bytes) -> None:
    data = encode_path_frame(frame)
    frame_type, offset = decode_varint(data, 0)
    assert decode_path_frame(frame_type, data + after, offset) == (frame, len(data))


@given(damaged(path_frames.map(encode_path_frame)), st.integers(0, 3))
def test_damaged_frames_are_a_decode_error_or_a_frame(data: bytes, offset: int) -> None:
    with suppress(DecodeError):
        frame_type, start = decode_varint(data, offset)
        frame, end = decode_path_frame(frame_type, data, start)
        assert start <= end <= len(data)
        again = encode_path_frame(frame)
        # Minimal integers never take more room than those that came.
        assert len(again) <= end - offset
        _, start = decode_varint(again, 0)
        assert decode_path_frame(frame_type, again, start) == (frame, len(again))


@given(st.sampled_from(list(FrameType)), st.binary(max_size=60))
def test_any_bytes_are_a_decode_error_or_a_frame(frame_type: FrameType, data: bytes) -> None:
    with suppress(DecodeError):
        decode_path_frame(frame_type, data, 0)
    for with_ecn in (False, True):
        with suppress(DecodeError):
            ack, end = decode_ack(data, 0, with_ecn=with_ecn)
            assert end <= len(data)
            edges = [edge for smallest, largest in ack.ranges for edge in (largest, smallest)]
            assert edges == sorted(edges, reverse=True)
            assert edges[-1] >= 0


@given(st.binary(max_size=20))
def test_any_bytes_are_a_decode_error_or_a_datagram(data: bytes) -> None:
    with suppress(DecodeError):
        stream_id, offset = decode_stream_id(data)
        assert stream_id % 4 == 0
        _, end = decode_context_id(data, offset)
        assert end <= len(data)
