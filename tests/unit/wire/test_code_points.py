"""Numbers that peers see: spot checks against the registries, and that none is used twice."""

from enum import IntEnum

import pytest

from mqvpn_core.wire import code_points
from mqvpn_core.wire.code_points import (
    RESERVED_HTTP2_FRAME_TYPES,
    RESERVED_HTTP2_SETTINGS,
    CapsuleType,
    FrameType,
    Http3ErrorCode,
    Http3FrameType,
    Http3Setting,
    TransportErrorCode,
    TransportParameter,
)

ENUMS = [
    value
    for value in vars(code_points).values()
    if isinstance(value, type) and issubclass(value, IntEnum) and value is not IntEnum
]


def numbers(*members: IntEnum) -> list[int]:
    return [int(member) for member in members]


def test_multipath_numbers_are_those_of_draft_21() -> None:
    assert numbers(TransportParameter.INITIAL_MAX_PATH_ID) == [0x3E]
    assert numbers(
        FrameType.PATH_ACK,
        FrameType.PATH_ACK_ECN,
        FrameType.PATH_ABANDON,
        FrameType.PATH_STATUS_BACKUP,
        FrameType.PATH_STATUS_AVAILABLE,
        FrameType.PATH_NEW_CONNECTION_ID,
        FrameType.PATH_RETIRE_CONNECTION_ID,
        FrameType.MAX_PATH_ID,
        FrameType.PATHS_BLOCKED,
        FrameType.PATH_CIDS_BLOCKED,
    ) == [0x3E, 0x3F, 0x3E75, 0x3E76, 0x3E77, 0x3E78, 0x3E79, 0x3E7A, 0x3E7B, 0x3E7C]
    assert numbers(
        TransportErrorCode.APPLICATION_ABANDON_PATH,
        TransportErrorCode.PATH_RESOURCE_LIMIT_REACHED,
        TransportErrorCode.PATH_UNSTABLE_OR_POOR,
        TransportErrorCode.NO_CID_AVAILABLE_FOR_PATH,
    ) == [0x3E, 0x3E75, 0x3E76, 0x3E77]


def test_tunnel_numbers_are_those_of_the_registries() -> None:
    assert numbers(TransportParameter.MAX_DATAGRAM_FRAME_SIZE) == [0x20]
    assert numbers(FrameType.DATAGRAM, FrameType.DATAGRAM_WITH_LENGTH) == [0x30, 0x31]
    assert numbers(Http3Setting.ENABLE_CONNECT_PROTOCOL, Http3Setting.H3_DATAGRAM) == [0x08, 0x33]
    assert numbers(Http3ErrorCode.H3_DATAGRAM_ERROR, Http3ErrorCode.H3_MESSAGE_ERROR) == [
        0x33,
        0x10E,
    ]
    assert numbers(*CapsuleType) == [0, 1, 2, 3]


def test_reserved_numbers_are_not_in_use() -> None:
    assert not RESERVED_HTTP2_SETTINGS & set(Http3Setting)
    assert not RESERVED_HTTP2_FRAME_TYPES & set(Http3FrameType)


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_no_number_has_two_names(enum: type[IntEnum]) -> None:
    assert len(enum.__members__) == len(list(enum))
