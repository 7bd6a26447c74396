"""What an HTTP/3 connection tells its owner, besides the events of the connection below it."""

from dataclasses import dataclass
from typing import TypeAlias

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import StreamId
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    HandshakeConfirmed,
    KeysUpdated,
    PathAbandoned,
    PathIdsAvailable,
    PathMigrated,
    PathMtuChanged,
    PathOpened,
    PathRecovered,
    PathStatusChanged,
    PathSuspected,
    PathUseChanged,
    PathValidated,
    TrafficMoved,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReceived:
    """The peer's SETTINGS frame arrived (RFC 9114 s7.2.4)."""

    extended_connect: bool
    """The peer takes extended CONNECT (RFC 9220 s3)."""
    h3_datagram: bool
    """The peer takes HTTP Datagrams in QUIC DATAGRAM frames (RFC 9297 s2.1.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadersReceived:
    """A header or trailer section of a request or a response."""

    stream_id: StreamId
    """The request stream."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Field names and values in order, pseudo-header fields included."""
    end_stream: bool
    """The peer finished its side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReceived:
    """Content of DATA frames."""

    stream_id: StreamId
    """The request stream."""
    data: bytes
    """The next bytes; may be empty when only the end is new."""
    end_stream: bool
    """The peer finished its side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDatagramsReceived:
    """HTTP Datagrams of one received batch that belong to one request."""

    stream_id: StreamId
    """The request stream."""
    payloads: tuple[Parcel, ...]
    """The payloads in order; the quarter stream ID is removed, a context ID is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReset:
    """The peer abandoned its side of a request stream (RESET_STREAM)."""

    stream_id: StreamId
    """The request stream."""
    error_code: int
    """HTTP/3 error code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStopped:
    """The peer reads no more of a request stream (STOP_SENDING)."""

    stream_id: StreamId
    """The request stream."""
    error_code: int
    """HTTP/3 error code."""


ConnectionEvent: TypeAlias = (
    HandshakeCompleted
    | HandshakeConfirmed
    | PathOpened
    | PathValidated
    | PathSuspected
    | PathRecovered
    | PathAbandoned
    | TrafficMoved
    | PathUseChanged
    | PathStatusChanged
    | PathIdsAvailable
    | PathMigrated
    | PathMtuChanged
    | KeysUpdated
    | ConnectionTerminated
)
"""Events about the connection and its paths: rare ones, none of them about streams or data."""

Http3Event: TypeAlias = (
    SettingsReceived
    | HeadersReceived
    | DataReceived
    | HttpDatagramsReceived
    | RequestReset
    | RequestStopped
    | ConnectionEvent
)
