"""aioquic's HTTP/3 with what CONNECT-IP needs: datagram setting, stream errors, bounded buffers."""

from collections.abc import Sequence
from typing import TypeAlias

from aioquic.h3 import events as aioquic_events
from aioquic.h3.connection import (
    H3Connection,
    H3Stream,
    MessageError,
    ProtocolError,
    Setting,
    stream_is_request_response,
)
from aioquic.h3.exceptions import H3Error
from aioquic.quic import events as quic_events
from typing_extensions import override

from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import StreamId
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.events import StopSendingReceived, StreamDataReceived, StreamReset
from mqvpn_core.quic.http3_events import DataReceived, HeadersReceived, RequestReset
from mqvpn_core.wire.code_points import Http3ErrorCode

StreamOutcome: TypeAlias = HeadersReceived | DataReceived | RequestReset
"""What stream data can turn out to be; a malformed message looks like a reset by the peer."""

_MALFORMED = int(Http3ErrorCode.H3_MESSAGE_ERROR)

_MANY_ABORTED = 512  # several times the streams that a peer may have open

MAX_BUFFERED_BYTES = 64 * 1024
"""Most bytes of an unfinished frame on one stream: bounds header sections (RFC 9114 s4.2.2)."""


class H3Adapter(H3Connection):
    """HTTP/3 over an engine; events in and out are ours."""

    def __init__(self, engine: EngineConnection) -> None:
        self._engine = engine
        self._aborted: set[int] = set()
        super().__init__(engine)

    @override
    def _init_connection(self) -> None:
        self._max_push_id = None  # no server push: MAX_PUSH_ID is never sent (RFC 9114 s7.2.7)
        super()._init_connection()

    @override
    def _get_local_settings(self) -> dict[int, int]:
        return {**super()._get_local_settings(), Setting.H3_DATAGRAM: 1}

    def is_aborted(self, stream_id: int) -> bool:
        """We have given the stream up; what the peer still says about it is no news."""
        return stream_id in self._aborted

    def receive(
        self, event: StreamDataReceived | StreamReset | StopSendingReceived
    ) -> list[StreamOutcome]:
        """Process a stream event.

        Raises:
            RemoteProtocolError: a connection error of HTTP/3; nothing may be received afterwards.
        """
        try:
            match event:
                case StreamDataReceived():
                    return self._receive_data(event)
                case StreamReset():
                    self._aborted.discard(event.stream_id)
                    self._receive_stream_reset(event.stream_id)
                case StopSendingReceived():
                    self._receive_stop_sending(event.stream_id)
        except ProtocolError as error:
            raise RemoteProtocolError(int(error.error_code), error.reason_phrase) from error
        return []

    def send_request_headers(
        self, stream_id: int, headers: Sequence[tuple[bytes, bytes]], *, end_stream: bool
    ) -> None:
        """Send a header or trailer section.

        Raises:
            LocalProtocolError: the stream's state does not allow it.
        """
        try:
            self.send_headers(stream_id, list(headers), end_stream)
        except (H3Error, ProtocolError, RuntimeError, ValueError) as error:
            raise LocalProtocolError(f"cannot send headers on stream {stream_id}") from error

    def send_body(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        """Send a DATA frame.

        Raises:
            LocalProtocolError: the stream's state does not allow it.
        """
        try:
            self.send_data(stream_id, data, end_stream)
        except (H3Error, ProtocolError, RuntimeError, ValueError) as error:
            raise LocalProtocolError(f"cannot send data on stream {stream_id}") from error

    def _receive_data(self, event: StreamDataReceived) -> list[StreamOutcome]:
        if event.stream_id in self._aborted:
            if event.end_stream:
                self._aborted.discard(event.stream_id)
            return []
        native = quic_events.StreamDataReceived(
            data=event.data, end_stream=event.end_stream, stream_id=event.stream_id
        )
        try:
            received = self._receive_stream_data(native)
        except MessageError:
            if not stream_is_request_response(event.stream_id):
                raise
            # RFC 9114 s4.1.2: malformed requests and responses are stream errors
            self.abort(event.stream_id, _MALFORMED)
            return [RequestReset(stream_id=event.stream_id, error_code=_MALFORMED)]
        stream: H3Stream | None = self._stream.get(event.stream_id)
        if stream is not None and len(stream.buffer) > MAX_BUFFERED_BYTES:
            raise RemoteProtocolError(
                Http3ErrorCode.H3_EXCESSIVE_LOAD, "a frame is larger than we buffer"
            )
        return [ours for theirs in received if (ours := _translate(theirs)) is not None]

    def abort(self, stream_id: int, error_code: int) -> None:
        """Reset our side of a stream and ask the peer to stop sending on it."""
        if not self._engine.has_stream(stream_id) or stream_id in self._aborted:
            return
        if len(self._aborted) >= _MANY_ABORTED:
            # The peer had finished with some of them before: it says nothing more about those.
            self._aborted = {
                aborted for aborted in self._aborted if self._engine.has_stream(aborted)
            }
        self._aborted.add(stream_id)
        self._stream.pop(stream_id, None)
        # RFC 9204 s2.2.2.2: the peer's encoder must not wait for a section we shall never decode.
        cancellation = self._decoder.cancel_stream(stream_id)
        if self._local_decoder_stream_id is not None:
            self._engine.send_stream_data(self._local_decoder_stream_id, cancellation)
        self._engine.reset_stream(stream_id, error_code)
        self._engine.stop_stream(stream_id, error_code)


def _translate(event: aioquic_events.H3Event) -> HeadersReceived | DataReceived | None:
    match event:
        case aioquic_events.HeadersReceived(push_id=None):
            return HeadersReceived(
                stream_id=StreamId(event.stream_id),
                headers=tuple(event.headers),
                end_stream=event.stream_ended,
            )
        case aioquic_events.DataReceived(push_id=None):
            return DataReceived(
                stream_id=StreamId(event.stream_id), data=event.data, end_stream=event.stream_ended
            )
        case _:
            return None  # push and WebTransport are not ours
