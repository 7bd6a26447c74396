"""What a packet holds, in short, for traces: names as in qlog, no contents, no secrets.

Total: frames that cannot be read end the list with an entry that says so. Knows the frames of
RFC 9000 s19, RFC 9221 and RFC 10069; never used to act on a packet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.ack_frames import Ack, decode_ack
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.path_frame_coding import decode_path_frame
from mqvpn_core.wire.path_frames import (
    PathAck,
    PathFrame,
)
from mqvpn_core.wire.varint import decode_varint

FrameField: TypeAlias = bool | int | float | str | tuple[tuple[int, int], ...]
"""A value in a summary."""

_ACK_DELAY_UNIT = 8 / 1000  # RFC 9000 s18.2: the exponent is 3 unless a peer says otherwise
_STREAM_FIN, _STREAM_LENGTH, _STREAM_OFFSET = 0x01, 0x02, 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSummary:
    """One frame, or several of a kind in a row."""

    name: str
    """Type of the frame, as qlog calls it."""
    values: Mapping[str, FrameField]
    """What is worth knowing of it."""


def summarise_frames(payload: bytes) -> tuple[FrameSummary, ...]:
    """Return what the frames of one packet are, in order."""
    summaries: list[FrameSummary] = []
    offset = 0
    while offset < len(payload):
        try:
            frame_type, start = decode_varint(payload, offset)
            summary, offset = _summarise(frame_type, payload, start)
        except DecodeError:
            values = {"frame_type_bytes": payload[offset], "length": len(payload) - offset}
            summaries.append(FrameSummary(name="unknown", values=values))
            break
        if summaries and summary.name == "datagram" == summaries[-1].name:
            summary = _joined(summaries.pop(), summary)
        summaries.append(summary)
    return tuple(summaries)


def _summarise(frame_type: int, payload: bytes, start: int) -> tuple[FrameSummary, int]:
    if frame_type == FrameType.PADDING:
        rest = payload[start:].lstrip(b"\0")
        end = len(payload) - len(rest)
        return FrameSummary(name="padding", values={"length": end - start + 1}), end
    if frame_type in (FrameType.DATAGRAM, FrameType.DATAGRAM_WITH_LENGTH):
        length, begin = len(payload) - start, start
        if frame_type == FrameType.DATAGRAM_WITH_LENGTH:
            length, begin = decode_varint(payload, start)
        end = _checked(payload, begin + length)
        return FrameSummary(name="datagram", values={"count": 1, "length": length}), end
    if frame_type in (FrameType.ACK, FrameType.ACK_ECN):
        ack, end = decode_ack(payload, start, with_ecn=frame_type == FrameType.ACK_ECN)
        return FrameSummary(name="ack", values=_ack_values(ack)), end
    if FrameType.STREAM <= frame_type <= FrameType.STREAM_LAST:
        return _summarise_stream(frame_type, payload, start)
    reader = _READERS.get(frame_type)
    if reader is not None:
        name, read = reader
        values, end = read(payload, start)
        return FrameSummary(name=name, values=values), end
    frame, end = decode_path_frame(frame_type, payload, start)
    return _summarise_path_frame(frame), end


def _joined(first: FrameSummary, second: FrameSummary) -> FrameSummary:
    values = {name: _number(first, name) + _number(second, name) for name in ("count", "length")}
    return FrameSummary(name=first.name, values=values)


def _number(summary: FrameSummary, name: str) -> int:
    value = summary.values[name]
    assert isinstance(value, int)
    return value


def _ack_values(ack: Ack) -> dict[str, FrameField]:
    values: dict[str, FrameField] = {
        "ack_delay": ack.delay_raw * _ACK_DELAY_UNIT,
        "acked_ranges": tuple(reversed(ack.ranges)),
    }
    if ack.ecn is not None:
        values |= {"ect0": ack.ecn.ect0, "ect1": ack.ecn.ect1, "ce": ack.ecn.ce}
    return values


def _summarise_stream(frame_type: int, payload: bytes, start: int) -> tuple[FrameSummary, int]:
    stream_id, position = decode_varint(payload, start)
    offset = 0
    if frame_type & _STREAM_OFFSET:
        offset, position = decode_varint(payload, position)
    length = len(payload) - position
    if frame_type & _STREAM_LENGTH:
        length, position = decode_varint(payload, position)
    values: dict[str, FrameField] = {"stream_id": stream_id, "offset": offset, "length": length}
    if frame_type & _STREAM_FIN:
        values["fin"] = True
    return FrameSummary(name="stream", values=values), _checked(payload, position + length)


def _summarise_path_frame(frame: PathFrame) -> FrameSummary:
    """Take the names from the class: they are those of the specification."""
    words = "".join(f"_{char.lower()}" if char.isupper() else char for char in type(frame).__name__)
    values: dict[str, FrameField] = {}
    for member in fields(frame):
        value = getattr(frame, member.name)
        if isinstance(value, int):
            values[member.name] = value
        elif member.name in ("connection_id", "data"):
            values[member.name] = bytes(value).hex()
    if isinstance(frame, PathAck):
        values |= _ack_values(frame.ack)
    return FrameSummary(name=words.removeprefix("_"), values=values)


_Reader: TypeAlias = Callable[[bytes, int], tuple[dict[str, FrameField], int]]


def _numbers(*names: str) -> _Reader:
    """Return a reader of frames that hold nothing but integers."""

    def read(payload: bytes, offset: int) -> tuple[dict[str, FrameField], int]:
        values: dict[str, FrameField] = {}
        for name in names:
            values[name], offset = decode_varint(payload, offset)
        return values, offset

    return read


def _with_data(*names: str) -> _Reader:
    """Return a reader of frames that end with a length and so many bytes."""
    read_numbers = _numbers(*names)

    def read(payload: bytes, offset: int) -> tuple[dict[str, FrameField], int]:
        values, offset = read_numbers(payload, offset)
        length, offset = decode_varint(payload, offset)
        return values | {"length": length}, _checked(payload, offset + length)

    return read


def _streams(stream_type: str) -> _Reader:
    """Return a reader of frames about the number of streams of a kind."""
    read_limit = _numbers("maximum")

    def read(payload: bytes, offset: int) -> tuple[dict[str, FrameField], int]:
        values, offset = read_limit(payload, offset)
        return {"stream_type": stream_type, **values}, offset

    return read


def _close(error_space: str, *names: str) -> _Reader:
    """Return a reader of CONNECTION_CLOSE."""
    read_numbers = _numbers(*names)

    def read(payload: bytes, offset: int) -> tuple[dict[str, FrameField], int]:
        values, offset = read_numbers(payload, offset)
        length, offset = decode_varint(payload, offset)
        end = _checked(payload, offset + length)
        reason = payload[offset:end].decode("utf-8", "replace")
        return {"error_space": error_space, **values, "reason": reason}, end

    return read


def _checked(payload: bytes, end: int) -> int:
    if end > len(payload):
        raise DecodeError("a frame is longer than its packet")
    return end


_READERS: Mapping[int, tuple[str, _Reader]] = {
    FrameType.PING: ("ping", _numbers()),
    FrameType.RESET_STREAM: ("reset_stream", _numbers("stream_id", "error_code", "final_size")),
    FrameType.STOP_SENDING: ("stop_sending", _numbers("stream_id", "error_code")),
    FrameType.CRYPTO: ("crypto", _with_data("offset")),
    FrameType.NEW_TOKEN: ("new_token", _with_data()),
    FrameType.MAX_DATA: ("max_data", _numbers("maximum")),
    FrameType.MAX_STREAM_DATA: ("max_stream_data", _numbers("stream_id", "maximum")),
    FrameType.MAX_STREAMS_BIDI: ("max_streams", _streams("bidirectional")),
    FrameType.MAX_STREAMS_UNI: ("max_streams", _streams("unidirectional")),
    FrameType.DATA_BLOCKED: ("data_blocked", _numbers("limit")),
    FrameType.STREAM_DATA_BLOCKED: ("stream_data_blocked", _numbers("stream_id", "limit")),
    FrameType.STREAMS_BLOCKED_BIDI: ("streams_blocked", _streams("bidirectional")),
    FrameType.STREAMS_BLOCKED_UNI: ("streams_blocked", _streams("unidirectional")),
    FrameType.CONNECTION_CLOSE: (
        "connection_close",
        _close("transport", "error_code", "trigger_frame_type"),
    ),
    FrameType.CONNECTION_CLOSE_APPLICATION: (
        "connection_close",
        _close("application", "error_code"),
    ),
    FrameType.HANDSHAKE_DONE: ("handshake_done", _numbers()),
}
