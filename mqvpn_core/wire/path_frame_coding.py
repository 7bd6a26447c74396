"""Bytes to the frames about paths and their connection IDs, and back.

Knows nothing of limits that depend on the connection: whether a path ID or sequence number is in
range is for the caller, who has to choose the error code. A DecodeError here is always
FRAME_ENCODING_ERROR. The body of PATH_ACK is in ``ack_frames``.

The decoder starts behind the frame type and returns the value and the offset behind the frame; the
encoder writes the frame type as well.
"""

from collections.abc import Callable
from typing import Final, assert_never

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.wire.ack_frames import decode_ack, encode_ack_body
from mqvpn_core.wire.code_points import FrameType
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
from mqvpn_core.wire.varint import Buffer, decode_varint, encode_varint

MAX_CONNECTION_ID_BYTES: Final = 20
"""Longest connection ID of QUIC version 1 (RFC 9000 s17.2)."""

STATELESS_RESET_TOKEN_BYTES: Final = 16
"""Length of a stateless reset token (RFC 9000 s10.3)."""

PATH_CHALLENGE_BYTES: Final = 8
"""Length of the data in PATH_CHALLENGE and PATH_RESPONSE (RFC 9000 s19.17)."""


def _path_and_number(data: Buffer, offset: int) -> tuple[PathId, int, int]:
    """Decode the two fields that most frames have; the third value is the offset behind them."""
    path_id, offset = decode_varint(data, offset)
    number, offset = decode_varint(data, offset)
    return PathId(path_id), number, offset


def _decode_path_ack(data: Buffer, offset: int) -> tuple[PathAck, int]:
    path_id, offset = decode_varint(data, offset)
    ack, offset = decode_ack(data, offset)
    return PathAck(path_id=PathId(path_id), ack=ack), offset


def _decode_path_ack_with_ecn(data: Buffer, offset: int) -> tuple[PathAck, int]:
    path_id, offset = decode_varint(data, offset)
    ack, offset = decode_ack(data, offset, with_ecn=True)
    return PathAck(path_id=PathId(path_id), ack=ack), offset


def _decode_path_abandon(data: Buffer, offset: int) -> tuple[PathAbandon, int]:
    path_id, error_code, offset = _path_and_number(data, offset)
    return PathAbandon(path_id=path_id, error_code=error_code), offset


def _decode_path_status_available(data: Buffer, offset: int) -> tuple[PathStatusAvailable, int]:
    path_id, sequence_number, offset = _path_and_number(data, offset)
    return PathStatusAvailable(path_id=path_id, sequence_number=sequence_number), offset


def _decode_path_status_backup(data: Buffer, offset: int) -> tuple[PathStatusBackup, int]:
    path_id, sequence_number, offset = _path_and_number(data, offset)
    return PathStatusBackup(path_id=path_id, sequence_number=sequence_number), offset


def _decode_new_connection_id(data: Buffer, offset: int) -> tuple[NewConnectionId, int]:
    sequence_number, offset = decode_varint(data, offset)
    retire_prior_to, offset = decode_varint(data, offset)
    # RFC 9000 s19.15: a greater Retire Prior To "MUST be treated as a connection error of type
    # FRAME_ENCODING_ERROR".
    if retire_prior_to > sequence_number:
        raise DecodeError("Retire Prior To exceeds the sequence number")
    if offset >= len(data):
        raise DecodeError("connection ID is missing")
    length = data[offset]
    # RFC 9000 s19.15: "Values less than 1 and greater than 20 are invalid".
    if not 1 <= length <= MAX_CONNECTION_ID_BYTES:
        raise DecodeError(f"connection ID of {length} bytes")
    connection_id, offset = _take(data, offset + 1, length)
    token, offset = _take(data, offset, STATELESS_RESET_TOKEN_BYTES)
    frame = NewConnectionId(
        sequence_number=sequence_number,
        retire_prior_to=retire_prior_to,
        connection_id=connection_id,
        stateless_reset_token=token,
    )
    return frame, offset


def _decode_path_new_connection_id(data: Buffer, offset: int) -> tuple[PathNewConnectionId, int]:
    path_id, offset = decode_varint(data, offset)
    fields, offset = _decode_new_connection_id(data, offset)
    frame = PathNewConnectionId(
        path_id=PathId(path_id),
        sequence_number=fields.sequence_number,
        retire_prior_to=fields.retire_prior_to,
        connection_id=fields.connection_id,
        stateless_reset_token=fields.stateless_reset_token,
    )
    return frame, offset


def _decode_retire_connection_id(data: Buffer, offset: int) -> tuple[RetireConnectionId, int]:
    sequence_number, offset = decode_varint(data, offset)
    return RetireConnectionId(sequence_number=sequence_number), offset


def _decode_path_retire_connection_id(
    data: Buffer, offset: int
) -> tuple[PathRetireConnectionId, int]:
    path_id, sequence_number, offset = _path_and_number(data, offset)
    return PathRetireConnectionId(path_id=path_id, sequence_number=sequence_number), offset


def _decode_max_path_id(data: Buffer, offset: int) -> tuple[MaxPathId, int]:
    maximum_path_id, offset = decode_varint(data, offset)
    return MaxPathId(maximum_path_id=maximum_path_id), offset


def _decode_paths_blocked(data: Buffer, offset: int) -> tuple[PathsBlocked, int]:
    maximum_path_id, offset = decode_varint(data, offset)
    return PathsBlocked(maximum_path_id=maximum_path_id), offset


def _decode_path_cids_blocked(data: Buffer, offset: int) -> tuple[PathCidsBlocked, int]:
    path_id, next_sequence_number, offset = _path_and_number(data, offset)
    return PathCidsBlocked(path_id=path_id, next_sequence_number=next_sequence_number), offset


def _decode_path_challenge(data: Buffer, offset: int) -> tuple[PathChallenge, int]:
    challenge, offset = _take(data, offset, PATH_CHALLENGE_BYTES)
    return PathChallenge(data=challenge), offset


def _decode_path_response(data: Buffer, offset: int) -> tuple[PathResponse, int]:
    response, offset = _take(data, offset, PATH_CHALLENGE_BYTES)
    return PathResponse(data=response), offset


def _take(data: Buffer, offset: int, length: int) -> tuple[bytes, int]:
    """Copy ``length`` bytes out of the data."""
    end = offset + length
    if end > len(data):
        raise DecodeError(f"field of {length} bytes is truncated")
    return bytes(data[offset:end]), end


_DECODERS: Final[dict[int, Callable[[Buffer, int], tuple[PathFrame, int]]]] = {
    FrameType.NEW_CONNECTION_ID: _decode_new_connection_id,
    FrameType.RETIRE_CONNECTION_ID: _decode_retire_connection_id,
    FrameType.PATH_CHALLENGE: _decode_path_challenge,
    FrameType.PATH_RESPONSE: _decode_path_response,
    FrameType.PATH_ACK: _decode_path_ack,
    FrameType.PATH_ACK_ECN: _decode_path_ack_with_ecn,
    FrameType.PATH_ABANDON: _decode_path_abandon,
    FrameType.PATH_STATUS_BACKUP: _decode_path_status_backup,
    FrameType.PATH_STATUS_AVAILABLE: _decode_path_status_available,
    FrameType.PATH_NEW_CONNECTION_ID: _decode_path_new_connection_id,
    FrameType.PATH_RETIRE_CONNECTION_ID: _decode_path_retire_connection_id,
    FrameType.MAX_PATH_ID: _decode_max_path_id,
    FrameType.PATHS_BLOCKED: _decode_paths_blocked,
    FrameType.PATH_CIDS_BLOCKED: _decode_path_cids_blocked,
}


def decode_path_frame(frame_type: int, data: Buffer, offset: int) -> tuple[PathFrame, int]:
    """Decode a frame that starts, behind its type, at ``offset``.

    Raises:
        DecodeError: the type is not one of ours, or the frame breaks its format.
    """
    decoder = _DECODERS.get(frame_type)
    if decoder is None:
        raise DecodeError(f"unknown frame type 0x{frame_type:x}")
    return decoder(data, offset)


def encode_path_frame(frame: PathFrame) -> bytes:
    """Encode a frame, type included. A PATH_ACK keeps all its ranges.

    Raises:
        LocalProtocolError: a field is outside its legal range.
    """
    match frame:
        case PathAck():
            return _encode_path_ack(frame)
        case NewConnectionId() | PathNewConnectionId():
            return _encode_new_connection_id(frame)
        case PathChallenge():
            return _encode_challenge(FrameType.PATH_CHALLENGE, frame.data)
        case PathResponse():
            return _encode_challenge(FrameType.PATH_RESPONSE, frame.data)
        case _:
            return b"".join(map(encode_varint, _fields_of(frame)))


def _fields_of(
    frame: PathAbandon
    | PathStatusAvailable
    | PathStatusBackup
    | RetireConnectionId
    | PathRetireConnectionId
    | MaxPathId
    | PathsBlocked
    | PathCidsBlocked,
) -> tuple[int, ...]:
    """Return type and fields of a frame that consists of integers only."""
    fields: tuple[int, ...]
    match frame:
        case PathAbandon():
            fields = FrameType.PATH_ABANDON, frame.path_id, frame.error_code
        case PathStatusAvailable():
            fields = FrameType.PATH_STATUS_AVAILABLE, frame.path_id, frame.sequence_number
        case PathStatusBackup():
            fields = FrameType.PATH_STATUS_BACKUP, frame.path_id, frame.sequence_number
        case RetireConnectionId():
            fields = FrameType.RETIRE_CONNECTION_ID, frame.sequence_number
        case PathRetireConnectionId():
            fields = FrameType.PATH_RETIRE_CONNECTION_ID, frame.path_id, frame.sequence_number
        case MaxPathId():
            fields = FrameType.MAX_PATH_ID, frame.maximum_path_id
        case PathsBlocked():
            fields = FrameType.PATHS_BLOCKED, frame.maximum_path_id
        case PathCidsBlocked():
            fields = FrameType.PATH_CIDS_BLOCKED, frame.path_id, frame.next_sequence_number
        case _:
            assert_never(frame)
    return fields


def _encode_path_ack(frame: PathAck) -> bytes:
    ack = frame.ack
    frame_type = FrameType.PATH_ACK if ack.ecn is None else FrameType.PATH_ACK_ECN
    # Two integers of at most 8 bytes a range, and at most 7 more in front and behind: all fit.
    max_bytes = 16 * len(ack.ranges) + 64
    body = encode_ack_body(ack.ranges, ack.delay_raw, ack.ecn, max_bytes=max_bytes)
    return encode_varint(frame_type) + encode_varint(frame.path_id) + body


def _encode_new_connection_id(frame: NewConnectionId | PathNewConnectionId) -> bytes:
    connection_id = frame.connection_id
    if not 1 <= len(connection_id) <= MAX_CONNECTION_ID_BYTES:
        raise LocalProtocolError(f"connection ID of {len(connection_id)} bytes")
    if len(frame.stateless_reset_token) != STATELESS_RESET_TOKEN_BYTES:
        raise LocalProtocolError("a stateless reset token has 16 bytes")
    if frame.retire_prior_to > frame.sequence_number:
        raise LocalProtocolError("Retire Prior To exceeds the sequence number")
    match frame:
        case NewConnectionId():
            head = encode_varint(FrameType.NEW_CONNECTION_ID)
        case PathNewConnectionId():
            head = encode_varint(FrameType.PATH_NEW_CONNECTION_ID) + encode_varint(frame.path_id)
        case _:
            assert_never(frame)
    return b"".join(
        (
            head,
            encode_varint(frame.sequence_number),
            encode_varint(frame.retire_prior_to),
            bytes((len(connection_id),)),
            connection_id,
            frame.stateless_reset_token,
        )
    )


def _encode_challenge(frame_type: FrameType, data: bytes) -> bytes:
    if len(data) != PATH_CHALLENGE_BYTES:
        raise LocalProtocolError("a path challenge has 8 bytes")
    return encode_varint(frame_type) + data
