"""The 1-RTT frame loop: which frames are the engine's, which are ours (RFC 9000 s12.4, s19).

Ours (ACK, connection IDs, path validation, DATAGRAM) come back as values; the engine's are handled
on the spot, in order.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from aioquic._buffer import Buffer, BufferReadError
from aioquic.quic.connection import QuicConnectionError, QuicNetworkPath, QuicReceiveContext
from aioquic.quic.stream import StreamFinishedError
from aioquic.tls import Epoch

from mqvpn_core.errors import DecodeError, RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.wire.ack_frames import Ack, decode_ack
from mqvpn_core.wire.code_points import FrameType, TransportErrorCode
from mqvpn_core.wire.path_frame_coding import decode_path_frame
from mqvpn_core.wire.path_frames import (
    PathFrame,
)
from mqvpn_core.wire.varint import decode_varint, varint_size

OwnFrame: TypeAlias = Ack | PathFrame

_EngineHandler: TypeAlias = Callable[[QuicReceiveContext, int, Buffer], None]

_OWN_PATH_FRAMES = frozenset(
    {
        FrameType.NEW_CONNECTION_ID,
        FrameType.RETIRE_CONNECTION_ID,
        FrameType.PATH_CHALLENGE,
        FrameType.PATH_RESPONSE,
    }
)
_MULTIPATH_FRAMES = frozenset(
    {
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
    }
)
_NOT_ACK_ELICITING = frozenset(
    {
        FrameType.PATH_ACK,
        FrameType.PATH_ACK_ECN,
        FrameType.PADDING,
        FrameType.ACK,
        FrameType.ACK_ECN,
        FrameType.CONNECTION_CLOSE,
        FrameType.CONNECTION_CLOSE_APPLICATION,
    }
)
# RFC 9000 s9.1
_PROBING = frozenset(
    {
        FrameType.PADDING,
        FrameType.NEW_CONNECTION_ID,
        FrameType.PATH_NEW_CONNECTION_ID,
        FrameType.PATH_CHALLENGE,
        FrameType.PATH_RESPONSE,
    }
)


@dataclass(slots=True, kw_only=True)
class PacketFrames:
    """What one 1-RTT packet held."""

    own_frames: list[OwnFrame] = field(default_factory=list)
    """Frames that our transport has to act on, in order."""
    datagrams: list[bytes] = field(default_factory=list)
    """DATAGRAM payloads."""
    is_ack_eliciting: bool = False
    """Must be acknowledged."""
    is_probing: bool = True
    """Holds nothing but probing frames (RFC 9000 s9.1)."""
    touched_engine: bool = False
    """The engine handled a frame and may have something to send or to tell."""


class FrameTable:
    """Dispatches the frames of 1-RTT packets of one connection."""

    def __init__(self, engine: EngineConnection, *, offers_multipath: bool) -> None:
        self._engine = engine
        self._own_path_frames: frozenset[int] = _OWN_PATH_FRAMES
        if offers_multipath:
            # RFC 10069 s4: in Initial and Handshake packets they are a PROTOCOL_VIOLATION, not
            # unknown: the engine's own table has to know that they exist.
            engine.refuse_before_one_rtt(_MULTIPATH_FRAMES)
        # The context's network path only matters to frames that are ours.
        self._path = QuicNetworkPath(addr=None, is_validated=True)
        self._engine_handlers: dict[int, _EngineHandler] = {
            FrameType.PING: engine._handle_ping_frame,
            FrameType.RESET_STREAM: engine._handle_reset_stream_frame,
            FrameType.STOP_SENDING: engine._handle_stop_sending_frame,
            FrameType.CRYPTO: engine._handle_crypto_frame,
            FrameType.NEW_TOKEN: self._handle_new_token,
            FrameType.MAX_DATA: engine._handle_max_data_frame,
            FrameType.MAX_STREAM_DATA: engine._handle_max_stream_data_frame,
            FrameType.MAX_STREAMS_BIDI: engine._handle_max_streams_bidi_frame,
            FrameType.MAX_STREAMS_UNI: engine._handle_max_streams_uni_frame,
            FrameType.DATA_BLOCKED: engine._handle_data_blocked_frame,
            FrameType.STREAM_DATA_BLOCKED: engine._handle_stream_data_blocked_frame,
            FrameType.STREAMS_BLOCKED_BIDI: engine._handle_streams_blocked_frame,
            FrameType.STREAMS_BLOCKED_UNI: engine._handle_streams_blocked_frame,
            FrameType.CONNECTION_CLOSE: engine._handle_connection_close_frame,
            FrameType.CONNECTION_CLOSE_APPLICATION: engine._handle_connection_close_frame,
            FrameType.HANDSHAKE_DONE: engine._handle_handshake_done_frame,
        }
        for stream_type in range(FrameType.STREAM, FrameType.STREAM_LAST + 1):
            self._engine_handlers[stream_type] = engine._handle_stream_frame

    def enable_multipath(self) -> None:
        """Both sides have the extension: its frames are known from now on."""
        self._own_path_frames = _OWN_PATH_FRAMES | _MULTIPATH_FRAMES

    def handle(self, payload: bytes, host_cid: bytes, now: Instant) -> PacketFrames:
        """Handle all frames of one packet.

        Raises:
            RemoteProtocolError: with the code that the RFC names for what the peer did wrong.
        """
        if not payload:
            # RFC 9000 s12.4: a packet without frames is a PROTOCOL_VIOLATION
            raise RemoteProtocolError(TransportErrorCode.PROTOCOL_VIOLATION, "packet has no frames")
        frames = PacketFrames()
        offset = 0
        end = len(payload)
        while offset < end:
            frame_type = payload[offset]
            if frame_type == FrameType.DATAGRAM_WITH_LENGTH:
                # As nearly always: small IP packets that share a QUIC packet.
                after = _take_datagrams(payload, offset, frames.datagrams)
                if after > offset:
                    frames.is_ack_eliciting = True
                    frames.is_probing = False
                    offset = after
                    continue
            if frame_type == 0:
                offset = _skip_padding(payload, offset)
            else:
                offset = self._handle_next(payload, offset, frames, host_cid, now)
        return frames

    def _handle_next(
        self, payload: bytes, offset: int, frames: PacketFrames, host_cid: bytes, now: Instant
    ) -> int:
        """Handle the frame at `offset`, note what kind it is, return where the next one starts."""
        frame_type = payload[offset]
        try:
            if frame_type >= 0x40:  # noqa: PLR2004 - a varint of more than one byte
                frame_type = _long_frame_type(payload, offset)
            after = self._handle_frame(frame_type, payload, offset, frames, host_cid, now)
        except (DecodeError, BufferReadError) as error:
            # RFC 9000 s20.1: "badly formatted" frame
            raise RemoteProtocolError(
                TransportErrorCode.FRAME_ENCODING_ERROR,
                f"frame 0x{frame_type:x} cannot be parsed",
            ) from error
        except QuicConnectionError as error:
            raise RemoteProtocolError(error.error_code, error.reason_phrase) from error
        if frame_type not in _NOT_ACK_ELICITING:
            frames.is_ack_eliciting = True
        if frame_type not in _PROBING:
            frames.is_probing = False
        return after

    def _handle_frame(
        self,
        frame_type: int,
        payload: bytes,
        offset: int,
        frames: PacketFrames,
        host_cid: bytes,
        now: Instant,
    ) -> int:
        """Handle the frame at `offset` and return where the next one starts."""
        if frame_type in (FrameType.DATAGRAM, FrameType.DATAGRAM_WITH_LENGTH):
            return _take_datagram(frame_type, payload, offset + 1, frames.datagrams)
        if frame_type in (FrameType.ACK, FrameType.ACK_ECN):
            ack, after = decode_ack(payload, offset + 1, with_ecn=frame_type == FrameType.ACK_ECN)
            frames.own_frames.append(ack)
            return after
        if frame_type in self._own_path_frames:
            own, after = decode_path_frame(frame_type, payload, offset + varint_size(frame_type))
            frames.own_frames.append(own)
            return after
        handler = self._engine_handlers.get(frame_type)
        if handler is None:
            # RFC 9000 s12.4: "An endpoint MUST treat the receipt of a frame of unknown type as a
            # connection error of type FRAME_ENCODING_ERROR."
            raise RemoteProtocolError(
                TransportErrorCode.FRAME_ENCODING_ERROR, f"unknown frame type 0x{frame_type:x}"
            )
        frames.touched_engine = True
        buffer = Buffer(data=payload[offset + 1 :])
        context = QuicReceiveContext(
            epoch=Epoch.ONE_RTT,
            host_cid=host_cid,
            network_path=self._path,
            quic_logger_frames=None,
            time=now,
            version=self._engine.negotiated_version,
        )
        # The stream's state may be gone already: a late retransmission, nothing to do. The handler
        # has read the whole frame before it looks the stream up.
        with contextlib.suppress(StreamFinishedError):
            handler(context, frame_type, buffer)
        return offset + 1 + buffer.tell()

    def _handle_new_token(
        self, context: QuicReceiveContext, frame_type: int, buffer: Buffer
    ) -> None:
        start = buffer.tell()
        if buffer.pull_uint_var() == 0 and self._engine.is_client:
            # RFC 9000 s19.7: "A client MUST treat receipt of a NEW_TOKEN frame with an empty Token
            # field as a connection error of type FRAME_ENCODING_ERROR."
            raise RemoteProtocolError(
                TransportErrorCode.FRAME_ENCODING_ERROR, "NEW_TOKEN without a token"
            )
        buffer.seek(start)
        self._engine._handle_new_token_frame(context, frame_type, buffer)


def _skip_padding(payload: bytes, offset: int) -> int:
    stripped = payload[offset:].lstrip(b"\0")
    return len(payload) - len(stripped)


def _long_frame_type(payload: bytes, offset: int) -> int:
    frame_type, after = decode_varint(payload, offset)
    if after - offset != varint_size(frame_type):
        # RFC 9000 s12.4: "the frame type field uses the shortest possible encoding ... MAY treat
        # ... as a connection error of type PROTOCOL_VIOLATION"
        raise RemoteProtocolError(
            TransportErrorCode.PROTOCOL_VIOLATION, "frame type is not in its shortest encoding"
        )
    return frame_type


def _take_datagrams(payload: bytes, offset: int, into: list[bytes]) -> int:
    """Take DATAGRAM frames in a row whose lengths have one or two bytes; return where they end."""
    last = len(payload) - 2
    while offset < last and payload[offset] == 0x31:  # noqa: PLR2004 - DATAGRAM with length
        length = payload[offset + 1]
        start = offset + 2
        # The two upper bits are 00 for one byte and 01 for two (RFC 9000 s16).
        if length >= 0x40:  # noqa: PLR2004 - see above
            if length >= 0x80:  # noqa: PLR2004 - see above
                break
            length = (length & 0x3F) << 8 | payload[start]
            start += 1
        stop = start + length
        if stop > last + 2:
            break
        into.append(payload[start:stop])
        offset = stop
    return offset


def _take_datagram(frame_type: int, payload: bytes, offset: int, into: list[bytes]) -> int:
    if frame_type == FrameType.DATAGRAM:
        into.append(payload[offset:])
        return len(payload)
    length, start = decode_varint(payload, offset)
    if start + length > len(payload):
        raise DecodeError("DATAGRAM frame is cut short")
    into.append(payload[start : start + length])
    return start + length
