"""HTTP/3 connections without QUIC: one that a test scripts, and two that are joined.

`FakeHttp3` has the shape of `mqvpn_core.masque.http3_port.Http3`. It hands out the events that a
test queues and records every command. `join` connects two of them, so that a client and a server
session talk to each other without a network: whatever one sends is an event of the other at once.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.quic.duplication import Duplication
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HeadersReceived,
    Http3Event,
    HttpDatagramsReceived,
    RequestReset,
    SettingsReceived,
)

HeaderPairs = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True, kw_only=True)
class SentStream:
    """What was sent on one request stream."""

    headers: list[tuple[tuple[bytes, bytes], ...]] = field(default_factory=list)
    """Header sections in order."""
    data: bytes = b""
    """Content of all DATA frames since the last `take_data`."""
    datagrams: list[bytes] = field(default_factory=list)
    """HTTP Datagram payloads, context ID included."""
    duplications: dict[bytes, Duplication] = field(default_factory=dict)
    """How datagrams may be sent twice, by what is in front of their payload."""
    is_finished: bool = False
    """FIN was sent."""
    aborted_with: int | None = None
    """Error code of our reset."""
    is_stopped: bool = False
    """The peer reads no more (STOP_SENDING): sending fails."""

    def take_data(self) -> bytes:
        """Return the content and forget it."""
        data, self.data = self.data, b""
        return data

    @property
    def status(self) -> bytes | None:
        """``:status`` of the last header section."""
        return dict(self.headers[-1]).get(b":status") if self.headers else None

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The last header section."""
        return dict(self.headers[-1])


class FakeHttp3:
    """A scripted HTTP/3 connection.

    Tests queue events with `receive` and read `streams`, `closed_with`.
    """

    def __init__(self, *, datagram_room: int = 1400) -> None:
        """Start without SETTINGS.

        Args:
            datagram_room: largest HTTP Datagram payload.
        """
        self.peer_settings: SettingsReceived | None = None
        self.datagram_room = datagram_room
        self.has_datagram_frames = True
        self.path_mtu_is_settled = True
        self.unacknowledged: dict[StreamId, int] = {}
        self.streams: dict[StreamId, SentStream] = {}
        self.closed_with: tuple[int, str] | None = None
        self._events: deque[Http3Event] = deque()
        self._next_stream = StreamId(0)
        self._peer: FakeHttp3 | None = None

    @property
    def may_send_datagrams(self) -> bool:
        """Both sides sent SETTINGS_H3_DATAGRAM=1 and the peer's transport parameter allows it."""
        settings = self.peer_settings
        return settings is not None and settings.h3_datagram and self.has_datagram_frames

    def receive(self, *events: Http3Event) -> None:
        """Queue events for the session."""
        for event in events:
            if isinstance(event, SettingsReceived):
                self.peer_settings = event
            self._events.append(event)

    def receive_settings(self, *, extended_connect: bool = True, h3_datagram: bool = True) -> None:
        """Queue the peer's SETTINGS."""
        self.receive(SettingsReceived(extended_connect=extended_connect, h3_datagram=h3_datagram))

    def sent(self, stream_id: int = 0) -> SentStream:
        """Return what was sent on a stream."""
        return self.streams.setdefault(StreamId(stream_id), SentStream())

    def max_datagram_payload(self, stream_id: StreamId) -> int:
        """Return the scripted size."""
        del stream_id
        return self.datagram_room

    def unsent_bytes(self, stream_id: StreamId) -> int:
        """Return the scripted number."""
        return self.unacknowledged.get(stream_id, 0)

    def open_request(self, headers: HeaderPairs, *, end_stream: bool = False) -> StreamId:
        """Record a request."""
        stream_id = self._next_stream
        self._next_stream = StreamId(stream_id + 4)
        self.send_headers(stream_id, headers, end_stream=end_stream)
        return stream_id

    def send_headers(
        self, stream_id: StreamId, headers: HeaderPairs, *, end_stream: bool = False
    ) -> None:
        """Record a header section."""
        stream = self._writable(stream_id)
        stream.headers.append(tuple(headers))
        stream.is_finished = end_stream
        self._pass_on(
            HeadersReceived(stream_id=stream_id, headers=tuple(headers), end_stream=end_stream)
        )

    def send_data(self, stream_id: StreamId, data: bytes, *, end_stream: bool = False) -> None:
        """Record content."""
        stream = self._writable(stream_id)
        stream.data += data
        stream.is_finished = end_stream
        self._pass_on(DataReceived(stream_id=stream_id, data=data, end_stream=end_stream))

    def send_http_datagrams(
        self, stream_id: StreamId, context_prefix: bytes, payloads: Sequence[Parcel], now: Instant
    ) -> None:
        """Record HTTP Datagrams; those that are too large are dropped, as in the real one."""
        del now
        fitting = [
            context_prefix + payload
            for payload in expand(payloads)
            if len(context_prefix) + len(payload) <= self.datagram_room
        ]
        self.sent(stream_id).datagrams += fitting
        if fitting:
            self._pass_on(HttpDatagramsReceived(stream_id=stream_id, payloads=tuple(fitting)))

    def allow_duplicates(
        self, stream_id: StreamId, context_prefix: bytes, duplication: Duplication | None
    ) -> None:
        """Record what may be sent twice."""
        duplications = self.sent(stream_id).duplications
        if duplication is None:
            duplications.pop(context_prefix, None)
        else:
            duplications[context_prefix] = duplication

    def abort_stream(self, stream_id: StreamId, error_code: int) -> None:
        """Record a reset."""
        stream = self.sent(stream_id)
        if stream.aborted_with is None:
            stream.aborted_with = int(error_code)
            self._pass_on(RequestReset(stream_id=stream_id, error_code=int(error_code)))

    def close(self, error_code: int, reason: str) -> None:
        """Record the close; the session gets ConnectionTerminated as from the real one."""
        if self.closed_with is not None:
            return
        self.closed_with = (int(error_code), reason)
        ended = ConnectionTerminated(
            error_code=int(error_code), reason=reason, by_peer=False, is_application=True
        )
        self.receive(ended)
        self._pass_on(
            ConnectionTerminated(
                error_code=int(error_code), reason=reason, by_peer=True, is_application=True
            )
        )

    def next_event(self) -> Http3Event | None:
        """Return the next queued event."""
        return self._events.popleft() if self._events else None

    def _writable(self, stream_id: StreamId) -> SentStream:
        stream = self.sent(stream_id)
        if stream.is_finished or stream.is_stopped or stream.aborted_with is not None:
            raise LocalProtocolError(f"stream {stream_id} takes no more")
        return stream

    def _pass_on(self, event: Http3Event) -> None:
        if self._peer is not None:
            self._peer.receive(event)


def join(client: FakeHttp3, server: FakeHttp3) -> None:
    """Connect two fakes and exchange SETTINGS."""
    client._peer, server._peer = server, client  # noqa: SLF001 - both are of this class
    client.receive_settings()
    server.receive_settings(extended_connect=False)
