"""HTTP/3 on one connection: requests, settings, HTTP Datagrams (RFC 9114, RFC 9220, RFC 9297 s2).

Checks what aioquic leaves out: extended CONNECT before SETTINGS, quarter stream IDs, HEADERS after
CONNECT. What a request means is the masque rooms' business.
"""

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.quic.aioquic_bridge.h3 import H3Adapter
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.duplication import Duplication
from mqvpn_core.quic.events import (
    DatagramsReceived,
    Event,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from mqvpn_core.quic.http3_events import (
    ConnectionEvent,
    HeadersReceived,
    Http3Event,
    HttpDatagramsReceived,
    RequestReset,
    RequestStopped,
    SettingsReceived,
)
from mqvpn_core.wire.code_points import Http3ErrorCode, Http3Setting
from mqvpn_core.wire.http_datagrams import decode_stream_id, encode_stream_id

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

MAX_UNSEEN_NOTICES = 256
"""Events that wait for one watcher of the connection; older ones are forgotten."""

_REQUEST_STREAM_MASK = 0x3


class Http3Connection:
    """HTTP/3 over a MultipathConnection.

    A: peer_settings, may_send_datagrams, max_datagram_payload, path_mtu_is_settled, unsent_bytes
    C: open_request, send_headers, send_data, send_http_datagrams, allow_duplicates,
       abort_stream, close, watch
    D: next_event; draining it also processes what the connection received
    """

    def __init__(self, connection: MultipathConnection) -> None:
        self.peer_settings: SettingsReceived | None = None
        self._connection = connection
        self._engine = connection.engine
        self._h3: H3Adapter | None = None
        self._events: deque[Http3Event] = deque()
        self._watchers: list[deque[ConnectionEvent]] = []
        # CONNECT streams on which nothing but DATA may follow (RFC 9114 s4.4).
        self._data_only: set[StreamId] = set()
        self._connect_streams: set[StreamId] = set()

    @property
    def may_send_datagrams(self) -> bool:
        """Both sides sent SETTINGS_H3_DATAGRAM=1 (RFC 9297 s2.1.1)."""
        return (
            self.peer_settings is not None
            and self.peer_settings.h3_datagram
            and self._engine.peer_datagram_frame_limit > 0
        )

    @property
    def path_mtu_is_settled(self) -> bool:
        """`max_datagram_payload` is not expected to change soon."""
        return self._connection.path_mtu_is_settled

    def max_datagram_payload(self, stream_id: StreamId) -> int:
        """Largest HTTP Datagram payload, context ID included, that one packet carries now."""
        quarter = len(encode_stream_id(stream_id))
        return max(0, self._connection.max_datagram_payload - quarter)

    def unsent_bytes(self, stream_id: StreamId) -> int:
        """Bytes given to `send_data` that the peer has not acknowledged."""
        return self._engine.unsent_bytes(stream_id)

    def open_request(self, headers: Headers, *, end_stream: bool = False) -> StreamId:
        """Client: start a request.

        Raises:
            LocalProtocolError: the headers break the rules for CONNECT, or the peer has not said
                yet that it takes extended CONNECT.
        """
        fields = dict(headers)
        is_connect = fields.get(b":method") == b"CONNECT"
        self._check_request(fields, is_connect=is_connect)
        stream_id = StreamId(self._engine.get_next_available_stream_id())
        if is_connect:
            self._connect_streams.add(stream_id)
        self._adapter().send_request_headers(stream_id, headers, end_stream=end_stream)
        self._connection.note_stream_activity()
        return stream_id

    def send_headers(
        self, stream_id: StreamId, headers: Headers, *, end_stream: bool = False
    ) -> None:
        """Send a response, an interim response or trailers.

        Raises:
            LocalProtocolError: the stream's state does not allow it.
        """
        self._adapter().send_request_headers(stream_id, headers, end_stream=end_stream)
        self._connection.note_stream_activity()

    def send_data(self, stream_id: StreamId, data: bytes, *, end_stream: bool = False) -> None:
        """Send content.

        Raises:
            LocalProtocolError: the stream's state does not allow it.
        """
        self._adapter().send_body(stream_id, data, end_stream=end_stream)
        self._connection.note_stream_activity()

    def send_http_datagrams(
        self, stream_id: StreamId, context_prefix: bytes, payloads: Sequence[Parcel], now: Instant
    ) -> None:
        """Queue HTTP Datagrams for a request; each is `context_prefix` + payload.

        # walk: 4 of 16

        Dropped when the peer takes none or the stream is gone (RFC 9297 s2.1).
        """
        if self.may_send_datagrams and self._engine.has_stream(stream_id):
            prefix = encode_stream_id(stream_id) + context_prefix
            self._connection.queue_datagrams(prefix, payloads, now)

    def allow_duplicates(
        self, stream_id: StreamId, context_prefix: bytes, duplication: Duplication | None
    ) -> None:
        """Let HTTP Datagrams be sent on two paths where the scheduler wants that.

        Args:
            stream_id: the request.
            context_prefix: as given to `send_http_datagrams`.
            duplication: how the second copy is told from another datagram; None ends it.
        """
        quarter = encode_stream_id(stream_id)
        if duplication is not None:
            next_prefix = duplication.next_prefix
            duplication = Duplication(
                may_duplicate=duplication.may_duplicate,
                next_prefix=lambda: quarter + next_prefix(),
                prefix_bytes=len(quarter) + duplication.prefix_bytes,
            )
        self._connection.allow_duplicates(quarter + context_prefix, duplication)

    def abort_stream(self, stream_id: StreamId, error_code: int) -> None:
        """Reset our side and ask the peer to stop (RFC 9114 s4.1.1)."""
        self._data_only.discard(stream_id)
        self._connect_streams.discard(stream_id)
        if self._h3 is not None:
            self._h3.abort(stream_id, error_code)
            self._connection.note_stream_activity()

    def close(self, error_code: int, reason: str) -> None:
        """Close the whole connection."""
        self._connection.close(error_code, reason)

    def next_event(self) -> Http3Event | None:
        """Oldest event not handed out yet."""
        if self._h3 is None and self._connection.alpn:
            self._adapter()  # sends our SETTINGS as early as the handshake allows
        while not self._events:
            event = self._connection.next_event()
            if event is None:
                return None
            try:
                self._process(event)
            except RemoteProtocolError as error:
                # RFC 9114 s8: connection errors of HTTP/3 are application errors
                self._connection.close(error.error_code, error.reason)
        return self._events.popleft()

    def watch(self) -> deque[ConnectionEvent]:
        """Return a queue of its own for whoever watches the connection and its paths.

        It gets, while `next_event` is drained, every event from now on that is not about streams
        or data; `next_event` hands them out as well. Who is slow to empty it misses the oldest.
        """
        queue: deque[ConnectionEvent] = deque(maxlen=MAX_UNSEEN_NOTICES)
        self._watchers.append(queue)
        return queue

    def _process(self, event: Event) -> None:
        match event:
            case DatagramsReceived():
                self._on_datagrams(event.payloads)
            case StreamDataReceived() | StreamReset() | StopSendingReceived():
                self._on_stream_event(event)
            case _:
                self._events.append(event)
                for queue in self._watchers:
                    queue.append(event)

    def _on_stream_event(
        self, event: StreamDataReceived | StreamReset | StopSendingReceived
    ) -> None:
        adapter = self._adapter()
        if isinstance(event, StreamReset):
            self._data_only.discard(event.stream_id)
        is_old_news = adapter.is_aborted(event.stream_id)
        received = adapter.receive(event)
        self._connection.note_stream_activity()
        if self.peer_settings is None and adapter.received_settings is not None:
            self._on_settings(adapter.received_settings)
        for item in received:
            if isinstance(item, HeadersReceived):
                self._check_headers(item)
            self._events.append(item)
        if event.stream_id & _REQUEST_STREAM_MASK or is_old_news:
            return
        match event:
            case StreamReset():
                self._events.append(
                    RequestReset(stream_id=event.stream_id, error_code=event.error_code)
                )
            case StopSendingReceived():
                self._events.append(
                    RequestStopped(stream_id=event.stream_id, error_code=event.error_code)
                )
            case StreamDataReceived():
                if event.end_stream:
                    self._data_only.discard(event.stream_id)

    def _on_settings(self, settings: dict[int, int]) -> None:
        self.peer_settings = SettingsReceived(
            extended_connect=settings.get(Http3Setting.ENABLE_CONNECT_PROTOCOL) == 1,
            h3_datagram=settings.get(Http3Setting.H3_DATAGRAM) == 1,
        )
        self._events.append(self.peer_settings)

    def _check_headers(self, event: HeadersReceived) -> None:
        """Refuse a second header section on a CONNECT stream."""
        stream_id = event.stream_id
        if stream_id in self._data_only:
            # RFC 9114 s4.4: frames other than DATA on a CONNECT stream are a connection error
            raise RemoteProtocolError(
                Http3ErrorCode.H3_FRAME_UNEXPECTED, "HEADERS after CONNECT was accepted"
            )
        fields = dict(event.headers)
        if self._connection.is_client:
            is_final = not fields.get(b":status", b"").startswith(b"1")
            if stream_id in self._connect_streams and is_final and not event.end_stream:
                self._data_only.add(stream_id)
        elif fields.get(b":method") == b"CONNECT" and not event.end_stream:
            self._data_only.add(stream_id)

    def _on_datagrams(self, payloads: tuple[Parcel, ...]) -> None:
        """Sort DATAGRAM payloads by request stream; mostly they are all of one."""
        by_stream: dict[StreamId, list[Parcel]] = {}
        for payload in payloads:
            if not isinstance(payload, bytes):
                # The payloads of a train have the same bytes in front.
                first = payload.head[0]
                if first < 0x40:  # noqa: PLR2004 - one-byte varint
                    by_stream.setdefault(StreamId(first * 4), []).append(payload.stripped(1))
                else:
                    for single in expand((payload,)):
                        stream_id, rest = self._decode_stream_id(single)
                        by_stream.setdefault(stream_id, []).append(rest)
                continue
            # The usual case costs one look: a quarter stream ID below 64 is one byte.
            if payload and payload[0] < 0x40:  # noqa: PLR2004 - one-byte varint
                stream_id, rest = StreamId(payload[0] * 4), payload[1:]
            else:
                stream_id, rest = self._decode_stream_id(payload)
            by_stream.setdefault(stream_id, []).append(rest)
        for stream_id, group in by_stream.items():
            if self._engine.has_stream(stream_id):
                self._events.append(
                    HttpDatagramsReceived(stream_id=stream_id, payloads=tuple(group))
                )
                continue
            if not self._connection.is_client and not self._engine.may_have_stream(stream_id):
                # RFC 9297 s2.1: "beyond the stream limit": H3_ID_ERROR
                raise RemoteProtocolError(
                    Http3ErrorCode.H3_ID_ERROR, "datagram for a stream beyond the limit"
                )
            # RFC 9297 s2.1: unknown or closed: dropped

    def _decode_stream_id(self, payload: bytes) -> tuple[StreamId, bytes]:
        try:
            stream_id, offset = decode_stream_id(payload)
        except DecodeError as error:
            # RFC 9297 s2.1: also when it is above 2^60-1
            raise RemoteProtocolError(Http3ErrorCode.H3_DATAGRAM_ERROR, str(error)) from error
        return stream_id, payload[offset:]

    def _check_request(self, fields: dict[bytes, bytes], *, is_connect: bool) -> None:
        has_protocol = b":protocol" in fields
        if has_protocol and not is_connect:
            raise LocalProtocolError(":protocol goes with CONNECT only (RFC 8441 s4)")
        if has_protocol:
            if self.peer_settings is None or not self.peer_settings.extended_connect:
                # RFC 8441 s3: not before SETTINGS_ENABLE_CONNECT_PROTOCOL=1 has been received
                raise LocalProtocolError("the server has not offered extended CONNECT")
            if not all(fields.get(name) for name in (b":scheme", b":path", b":authority")):
                raise LocalProtocolError("extended CONNECT needs :scheme, :path and :authority")
        elif is_connect and (b":scheme" in fields or b":path" in fields):
            raise LocalProtocolError("CONNECT has no :scheme and no :path (RFC 9114 s4.4)")

    def _adapter(self) -> H3Adapter:
        if self._h3 is None:
            if not self._connection.alpn:
                raise LocalProtocolError("the handshake has not got to HTTP/3 yet")
            self._h3 = H3Adapter(self._engine)
            self._connection.note_stream_activity()
        return self._h3
