"""The part of an HTTP/3 connection that the sessions use, and nothing more of QUIC.

`mqvpn_core.quic.http3.Http3Connection` has this shape; so has the fake that the tests of this room
script. Owns sending on a stream that may be gone: a peer's STOP_SENDING takes effect at once, its
event comes later.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.quic.duplication import Duplication
from mqvpn_core.quic.http3_events import Http3Event, SettingsReceived

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class Http3(Protocol):
    """One HTTP/3 connection, either role."""

    @property
    def peer_settings(self) -> SettingsReceived | None:
        """The peer's SETTINGS, once they arrived."""

    @property
    def may_send_datagrams(self) -> bool:
        """HTTP Datagrams may be sent in QUIC DATAGRAM frames (RFC 9297 s2.1.1)."""

    @property
    def path_mtu_is_settled(self) -> bool:
        """`max_datagram_payload` is not expected to change soon."""

    def max_datagram_payload(self, stream_id: StreamId) -> int:
        """Return the largest HTTP Datagram payload that every usable path carries now."""

    def unsent_bytes(self, stream_id: StreamId) -> int:
        """Return the stream bytes handed over and not acknowledged yet."""

    def open_request(self, headers: Headers, *, end_stream: bool = False) -> StreamId:
        """Client: start a request."""

    def send_headers(
        self, stream_id: StreamId, headers: Headers, *, end_stream: bool = False
    ) -> None:
        """Server: send the response's header section."""

    def send_data(self, stream_id: StreamId, data: bytes, *, end_stream: bool = False) -> None:
        """Send DATA on a request stream."""

    def send_http_datagrams(
        self, stream_id: StreamId, context_prefix: bytes, payloads: Sequence[Parcel], now: Instant
    ) -> None:
        """Queue HTTP Datagrams, each ``context_prefix`` followed by one payload."""

    def allow_duplicates(
        self, stream_id: StreamId, context_prefix: bytes, duplication: Duplication | None
    ) -> None:
        """Let HTTP Datagrams be sent on two paths where the scheduler wants that; None ends it."""

    def abort_stream(self, stream_id: StreamId, error_code: int) -> None:
        """Reset both directions of a request stream."""

    def close(self, error_code: int, reason: str) -> None:
        """Close the whole connection with an HTTP/3 error code."""

    def next_event(self) -> Http3Event | None:
        """Return the next event, or None."""


def send_data_if_open(
    http3: Http3, stream_id: StreamId, data: bytes, *, end_stream: bool = False
) -> bool:
    """Send DATA; tell whether the stream still took it."""
    try:
        http3.send_data(stream_id, data, end_stream=end_stream)
    except LocalProtocolError:
        return False
    return True


def send_headers_if_open(
    http3: Http3, stream_id: StreamId, headers: Headers, *, end_stream: bool = False
) -> bool:
    """Send a header section; tell whether the stream still took it."""
    try:
        http3.send_headers(stream_id, headers, end_stream=end_stream)
    except LocalProtocolError:
        return False
    return True
