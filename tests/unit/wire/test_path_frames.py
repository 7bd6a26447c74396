"""Frames about paths: layouts byte by byte, truncation, and values that the RFCs forbid."""

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.wire.ack_frames import Ack, EcnCounts
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.path_frame_coding import decode_path_frame, encode_path_frame
from mqvpn_core.wire.path_frames import (
    MaxPathId,
    NewConnectionId,
    PathAbandon,
    PathAck,
    PathChallenge,
    PathCidsBlocked,
    PathFrame,
    PathNewConnectionId,
    PathResponse,
    PathRetireConnectionId,
    PathsBlocked,
    PathStatusAvailable,
    PathStatusBackup,
    RetireConnectionId,
)
from mqvpn_core.wire.varint import decode_varint

TOKEN = bytes(range(16))
TOKEN_HEX = TOKEN.hex()
ACK = Ack(ranges=((90, 100), (10, 20)), delay_raw=7, ecn=None)
ACK_ECN = Ack(ranges=((5, 9),), delay_raw=0, ecn=EcnCounts(1, 2, 3))

LAYOUTS: list[tuple[PathFrame, str]] = [
    (PathAck(path_id=PathId(3), ack=ACK), "3e 03 4064 07 01 0a 4044 0a"),
    (PathAck(path_id=PathId(0), ack=ACK_ECN), "3f 00 09 00 00 04 01 02 03"),
    (PathAbandon(path_id=PathId(1), error_code=0x3E76), "7e75 01 7e76"),
    (PathStatusBackup(path_id=PathId(2), sequence_number=64), "7e76 02 4040"),
    (PathStatusAvailable(path_id=PathId(2), sequence_number=5), "7e77 02 05"),
    (
        PathNewConnectionId(
            path_id=PathId(2**32 - 1),
            sequence_number=4,
            retire_prior_to=4,
            connection_id=b"\xab\xcd",
            stateless_reset_token=TOKEN,
        ),
        f"7e78 c0000000ffffffff 04 04 02 abcd {TOKEN_HEX}",
    ),
    (PathRetireConnectionId(path_id=PathId(1), sequence_number=2), "7e79 01 02"),
    (MaxPathId(maximum_path_id=7), "7e7a 07"),
    (MaxPathId(maximum_path_id=2**32), "7e7a c000000100000000"),
    (PathsBlocked(maximum_path_id=1), "7e7b 01"),
    (PathCidsBlocked(path_id=PathId(1), next_sequence_number=3), "7e7c 01 03"),
    (
        NewConnectionId(
            sequence_number=1,
            retire_prior_to=0,
            connection_id=bytes(20),
            stateless_reset_token=TOKEN,
        ),
        f"18 01 00 14 {'00' * 20} {TOKEN_HEX}",
    ),
    (
        NewConnectionId(
            sequence_number=0, retire_prior_to=0, connection_id=b"!", stateless_reset_token=TOKEN
        ),
        f"18 00 00 01 21 {TOKEN_HEX}",
    ),
    (RetireConnectionId(sequence_number=9), "19 09"),
    (PathChallenge(data=b"question"), "1a 7175657374696f6e"),
    (PathResponse(data=b"question"), "1b 7175657374696f6e"),
]
IDS = [f"{type(frame).__name__}-{index}" for index, (frame, _) in enumerate(LAYOUTS)]


@pytest.mark.parametrize(("frame", "layout"), LAYOUTS, ids=IDS)
def test_layout(frame: PathFrame, layout: str) -> None:
    data = bytes.fromhex(layout)
    assert encode_path_frame(frame) == data
    frame_type, offset = decode_varint(data, 0)
    assert decode_path_frame(frame_type, data, offset) == (frame, len(data))
    assert decode_path_frame(frame_type, memoryview(data + b"next"), offset) == (frame, len(data))


@pytest.mark.parametrize("layout", [layout for _, layout in LAYOUTS], ids=IDS)
def test_every_truncation_is_an_error(layout: str) -> None:
    data = bytes.fromhex(layout)
    frame_type, offset = decode_varint(data, 0)
    for length in range(offset, len(data)):
        with pytest.raises(DecodeError):
            decode_path_frame(frame_type, data[:length], offset)


def test_all_types_of_the_extension_are_covered() -> None:
    extension = {frame_type for frame_type in FrameType if frame_type >= FrameType.PATH_ACK}
    covered = {decode_varint(bytes.fromhex(layout), 0)[0] for _, layout in LAYOUTS}
    assert len(extension) == 10
    assert extension < covered


@pytest.mark.parametrize(
    "frame_type", [FrameType.PADDING, FrameType.ACK, 0x3E74, 0x3E7D, 2**62 - 1]
)
def test_other_types_are_an_error(frame_type: int) -> None:
    with pytest.raises(DecodeError, match="unknown frame type"):
        decode_path_frame(frame_type, bytes(100), 0)


@pytest.mark.parametrize("length", [0, 21, 255])
def test_mp_60_connection_id_length(length: int) -> None:
    body = bytes((1, 0, length)) + bytes(300)
    with pytest.raises(DecodeError, match="connection ID of"):
        decode_path_frame(FrameType.NEW_CONNECTION_ID, body, 0)
    with pytest.raises(DecodeError, match="connection ID of"):
        decode_path_frame(FrameType.PATH_NEW_CONNECTION_ID, b"\x01" + body, 0)


def test_mp_59_retire_prior_to_above_the_sequence_number() -> None:
    body = bytes((1, 2, 4)) + bytes(20)
    with pytest.raises(DecodeError, match="Retire Prior To"):
        decode_path_frame(FrameType.NEW_CONNECTION_ID, body, 0)
    with pytest.raises(DecodeError, match="Retire Prior To"):
        decode_path_frame(FrameType.PATH_NEW_CONNECTION_ID, b"\x01" + body, 0)


def connection_id_frame(
    connection_id: bytes = b"abcd", token: bytes = TOKEN, retire_prior_to: int = 0
) -> NewConnectionId:
    return NewConnectionId(
        sequence_number=3,
        retire_prior_to=retire_prior_to,
        connection_id=connection_id,
        stateless_reset_token=token,
    )


@pytest.mark.parametrize(
    "frame",
    [
        connection_id_frame(connection_id=b""),
        connection_id_frame(connection_id=bytes(21)),
        connection_id_frame(token=bytes(15)),
        connection_id_frame(retire_prior_to=4),
        PathChallenge(data=bytes(7)),
        PathResponse(data=bytes(9)),
        PathAbandon(path_id=PathId(-1), error_code=0),
        MaxPathId(maximum_path_id=2**62),
        PathAck(path_id=PathId(0), ack=Ack(ranges=(), delay_raw=0, ecn=None)),
    ],
)
def test_impossible_frames_are_our_own_mistake(frame: PathFrame) -> None:
    with pytest.raises(LocalProtocolError):
        encode_path_frame(frame)


def test_a_path_ack_keeps_all_its_ranges() -> None:
    step = 2**40
    ranges = tuple((largest - 2**35, largest) for largest in range(2**50, step, -step))
    frame = PathAck(path_id=PathId(5), ack=Ack(ranges=ranges, delay_raw=2**61, ecn=None))
    data = encode_path_frame(frame)
    assert decode_path_frame(FrameType.PATH_ACK, data, 1) == (frame, len(data))
