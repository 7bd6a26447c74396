"""Frames in short: what each type shows, and that nothing it cannot read stops it."""

from collections.abc import Mapping

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.wire.ack_frames import Ack, EcnCounts
from mqvpn_core.wire.frame_summaries import FrameField, FrameSummary, summarise_frames
from mqvpn_core.wire.path_frame_coding import encode_path_frame
from mqvpn_core.wire.path_frames import (
    MaxPathId,
    NewConnectionId,
    PathAbandon,
    PathAck,
    PathChallenge,
    PathFrame,
    PathStatusBackup,
)


def shown(payload: bytes) -> list[tuple[str, Mapping[str, FrameField]]]:
    return [(frame.name, frame.values) for frame in summarise_frames(payload)]


@pytest.mark.parametrize(
    ("payload", "name", "values"),
    [
        (b"\x01", "ping", {}),
        (b"\x00\x00\x00", "padding", {"length": 3}),
        (
            bytes([0x02, 9, 2, 1, 1, 0, 3]),
            "ack",
            {"ack_delay": 0.016, "acked_ranges": ((3, 6), (8, 9))},
        ),
        (
            bytes([0x03, 9, 0, 0, 0, 1, 2, 3]),
            "ack",
            {"ack_delay": 0.0, "acked_ranges": ((9, 9),), "ect0": 1, "ect1": 2, "ce": 3},
        ),
        (
            bytes([0x04, 4, 5, 6]),
            "reset_stream",
            {"stream_id": 4, "error_code": 5, "final_size": 6},
        ),
        (bytes([0x05, 4, 5]), "stop_sending", {"stream_id": 4, "error_code": 5}),
        (bytes([0x06, 7, 2]) + b"ab", "crypto", {"offset": 7, "length": 2}),
        (bytes([0x07, 2]) + b"ab", "new_token", {"length": 2}),
        (b"\x08\x04abc", "stream", {"stream_id": 4, "offset": 0, "length": 3}),
        (
            bytes([0x0F, 4, 9, 2]) + b"ab",
            "stream",
            {"stream_id": 4, "offset": 9, "length": 2, "fin": True},
        ),
        (bytes([0x10, 9]), "max_data", {"maximum": 9}),
        (bytes([0x11, 4, 9]), "max_stream_data", {"stream_id": 4, "maximum": 9}),
        (bytes([0x12, 9]), "max_streams", {"stream_type": "bidirectional", "maximum": 9}),
        (bytes([0x13, 9]), "max_streams", {"stream_type": "unidirectional", "maximum": 9}),
        (bytes([0x14, 9]), "data_blocked", {"limit": 9}),
        (bytes([0x15, 4, 9]), "stream_data_blocked", {"stream_id": 4, "limit": 9}),
        (bytes([0x16, 9]), "streams_blocked", {"stream_type": "bidirectional", "maximum": 9}),
        (
            bytes([0x1C, 10, 6, 2]) + b"no",
            "connection_close",
            {"error_space": "transport", "error_code": 10, "trigger_frame_type": 6, "reason": "no"},
        ),
        (
            bytes([0x1D, 10, 1]) + b"\xff",
            "connection_close",
            {"error_space": "application", "error_code": 10, "reason": "\ufffd"},
        ),
        (b"\x1e", "handshake_done", {}),
        (b"\x30abc", "datagram", {"count": 1, "length": 3}),
    ],
)
def test_each_frame_shows_what_matters(
    payload: bytes, name: str, values: Mapping[str, FrameField]
) -> None:
    assert shown(payload) == [(name, values)]


@pytest.mark.parametrize(
    ("frame", "name", "values"),
    [
        (
            PathAck(
                path_id=PathId(2), ack=Ack(ranges=((4, 5),), delay_raw=0, ecn=EcnCounts(1, 0, 0))
            ),
            "path_ack",
            {
                "path_id": 2,
                "ack_delay": 0.0,
                "acked_ranges": ((4, 5),),
                "ect0": 1,
                "ect1": 0,
                "ce": 0,
            },
        ),
        (
            PathAbandon(path_id=PathId(1), error_code=0x3E76),
            "path_abandon",
            {"path_id": 1, "error_code": 0x3E76},
        ),
        (
            PathStatusBackup(path_id=PathId(1), sequence_number=3),
            "path_status_backup",
            {"path_id": 1, "sequence_number": 3},
        ),
        (MaxPathId(maximum_path_id=9), "max_path_id", {"maximum_path_id": 9}),
        (PathChallenge(data=b"12345678"), "path_challenge", {"data": "3132333435363738"}),
    ],
)
def test_multipath_frames_have_the_names_of_the_specification(
    frame: PathFrame, name: str, values: Mapping[str, FrameField]
) -> None:
    assert shown(encode_path_frame(frame)) == [(name, values)]


def test_reset_tokens_are_not_shown() -> None:
    frame = NewConnectionId(
        sequence_number=1,
        retire_prior_to=0,
        connection_id=b"\x01" * 8,
        stateless_reset_token=b"\x02" * 16,
    )
    assert shown(encode_path_frame(frame)) == [
        (
            "new_connection_id",
            {"sequence_number": 1, "retire_prior_to": 0, "connection_id": "01" * 8},
        )
    ]


def test_datagrams_in_a_row_are_counted() -> None:
    payload = b"\x31\x02ab" + b"\x31\x03abc" + b"\x01" + b"\x30abcd"
    assert shown(payload) == [
        ("datagram", {"count": 2, "length": 5}),
        ("ping", {}),
        ("datagram", {"count": 1, "length": 4}),
    ]


@pytest.mark.parametrize(
    "payload", [b"\x21", b"\x06\x00\x05ab", b"\x31\x05ab", b"\x40", b"\x02\x00", b"\x1c\x00"]
)
def test_what_cannot_be_read_ends_the_list(payload: bytes) -> None:
    first, last = summarise_frames(b"\x01" + payload)
    assert first == FrameSummary(name="ping", values={})
    assert last.name == "unknown"
    assert last.values["length"] == len(payload)
