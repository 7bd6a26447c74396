"""What a connection tells its owner, in the order it happened. All values are frozen."""

from dataclasses import dataclass
from typing import TypeAlias

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import FourTuple, PathId, StreamId
from mqvpn_core.quic.path_use import PathUse


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeCompleted:
    """TLS is finished: the peer is authenticated and 1-RTT data may flow (RFC 9001 s4.1.1)."""

    alpn: str
    """The protocol both sides agreed on."""
    session_resumed: bool
    """The handshake used a session ticket."""
    multipath: bool
    """Both sides sent ``initial_max_path_id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeConfirmed:
    """The peer is known to have finished the handshake as well (RFC 9001 s4.1.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDataReceived:
    """In-order bytes of a stream."""

    stream_id: StreamId
    """The stream."""
    data: bytes
    """The next bytes; may be empty when only the end is new."""
    end_stream: bool
    """The peer finished its side (FIN)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReset:
    """The peer abandoned its sending side (RESET_STREAM)."""

    stream_id: StreamId
    """The stream."""
    error_code: int
    """Application error code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSendingReceived:
    """The peer no longer reads what we send (STOP_SENDING)."""

    stream_id: StreamId
    """The stream."""
    error_code: int
    """Application error code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramsReceived:
    """DATAGRAM payloads of one received batch, in arrival order (RFC 9221)."""

    payloads: tuple[Parcel, ...]
    """The payloads, without frame header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathValidated:
    """PATH_RESPONSE proved that the peer owns this network path (RFC 9000 s8.2)."""

    path_id: PathId
    """The path."""
    four_tuple: FourTuple
    """The network path it now uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOpened:
    """A path with a new path ID exists; it is not validated yet."""

    path_id: PathId
    """The path."""
    four_tuple: FourTuple
    """The network path it uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSuspected:
    """Nothing sent on the path is acknowledged: it gets no new traffic but probes."""

    path_id: PathId
    """The path."""
    silent_for: float
    """Seconds since the last packet arrived on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRecovered:
    """A suspected path acknowledges again."""

    path_id: PathId
    """The path."""
    silent_for: float
    """Seconds for which nothing had arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathAbandoned:
    """A path is given up for good; its path ID is never used again (RFC 10069 s3.4)."""

    path_id: PathId
    """The path."""
    error_code: int
    """Why, as PATH_ABANDON says it."""
    by_peer: bool
    """The peer gave it up first."""
    reason: str
    """Why, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficMoved:
    """Traffic of a path that failed goes on over another one; see `traffic_moves` for the gap."""

    path_id: PathId
    """The path that failed."""
    to_path_id: PathId
    """The path that carries data now."""
    gap: float
    """Seconds for which the traffic stood still."""
    reason: str
    """How the path failed, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathUseChanged:
    """We use a path for something else from now on."""

    path_id: PathId
    """The path."""
    use: PathUse
    """What for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStatusChanged:
    """The peer would rather, or would rather not, be sent to on this path (RFC 10069 s4.3)."""

    path_id: PathId
    """The path."""
    is_backup: bool
    """PATH_STATUS_BACKUP rather than PATH_STATUS_AVAILABLE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathIdsAvailable:
    """`open_path`, which failed for want of a path ID or connection ID, may succeed now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMigrated:
    """A path moved to another four-tuple, as after a NAT rebinding (RFC 9000 s9.3)."""

    path_id: PathId
    """The path; its ID and packet numbers are unchanged."""
    old: FourTuple
    """The network path it used."""
    new: FourTuple
    """The network path it uses now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMtuChanged:
    """DPLPMTUD found another maximum packet size (RFC 9000 s14.3)."""

    path_id: PathId
    """The path."""
    max_datagram_size: int
    """Largest UDP payload the path carries, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysUpdated:
    """1-RTT keys changed (RFC 9001 s6)."""

    key_phase: int
    """Number of updates so far."""
    initiated_locally: bool
    """We started this update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTerminated:
    """The connection is over; always the last event."""

    error_code: int
    """Transport or application error code; 0 (or H3_NO_ERROR) for a clean end."""
    reason: str
    """Reason phrase of whoever closed, or our own words (idle timeout, stateless reset)."""
    by_peer: bool
    """The peer closed or reset the connection."""
    is_application: bool
    """``error_code`` is an application (HTTP/3) code rather than a transport code."""


Event: TypeAlias = (
    HandshakeCompleted
    | HandshakeConfirmed
    | StreamDataReceived
    | StreamReset
    | StopSendingReceived
    | DatagramsReceived
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
