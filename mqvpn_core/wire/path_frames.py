"""Frames about paths and their connection IDs, as values; ``path_frame_coding`` has their bytes.

NEW_CONNECTION_ID, RETIRE_CONNECTION_ID, PATH_CHALLENGE and PATH_RESPONSE (RFC 9000 s19.15-19.18)
and the nine frames of the multipath extension (RFC 10069).
"""

from dataclasses import dataclass
from typing import TypeAlias

from mqvpn_core.ids import PathId
from mqvpn_core.wire.ack_frames import Ack


@dataclass(frozen=True, slots=True, kw_only=True)
class PathAck:
    """PATH_ACK: an ACK for the packet number space of one path."""

    path_id: PathId
    """The path whose packets are acknowledged."""
    ack: Ack
    """What is acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathAbandon:
    """PATH_ABANDON: the sender gives up a path."""

    path_id: PathId
    """The path."""
    error_code: int
    """Why; 0 for no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStatusAvailable:
    """PATH_STATUS_AVAILABLE: the sender likes to receive on this path."""

    path_id: PathId
    """The path."""
    sequence_number: int
    """Grows with each status of this path, whichever of the two frames carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStatusBackup:
    """PATH_STATUS_BACKUP: the sender would rather not receive on this path."""

    path_id: PathId
    """The path."""
    sequence_number: int
    """Grows with each status of this path, whichever of the two frames carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnectionId:
    """NEW_CONNECTION_ID: one more connection ID for path 0."""

    sequence_number: int
    """Number of the connection ID."""
    retire_prior_to: int
    """Connection IDs with a smaller number have to be retired."""
    connection_id: bytes
    """The connection ID, 1 to 20 bytes."""
    stateless_reset_token: bytes
    """Its 16-byte token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathNewConnectionId:
    """PATH_NEW_CONNECTION_ID: one more connection ID for one path."""

    path_id: PathId
    """The only path the connection ID may be used on."""
    sequence_number: int
    """Number of the connection ID among those of the path."""
    retire_prior_to: int
    """Connection IDs of the path with a smaller number have to be retired."""
    connection_id: bytes
    """The connection ID, 1 to 20 bytes."""
    stateless_reset_token: bytes
    """Its 16-byte token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireConnectionId:
    """RETIRE_CONNECTION_ID: the sender no longer uses a connection ID of path 0."""

    sequence_number: int
    """Number of the connection ID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRetireConnectionId:
    """PATH_RETIRE_CONNECTION_ID: the sender no longer uses a connection ID of a path."""

    path_id: PathId
    """The path."""
    sequence_number: int
    """Number of the connection ID among those of the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPathId:
    """MAX_PATH_ID: the highest path ID the sender accepts."""

    maximum_path_id: int
    """The limit, inclusive; as sent, so it may exceed 2**32 - 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsBlocked:
    """PATHS_BLOCKED: the sender would open a path but for the receiver's limit."""

    maximum_path_id: int
    """The limit when the frame was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathCidsBlocked:
    """PATH_CIDS_BLOCKED: the sender has no unused connection ID for a path."""

    path_id: PathId
    """The path."""
    next_sequence_number: int
    """Number of the connection ID it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChallenge:
    """PATH_CHALLENGE: a question that only the owner of the address can answer."""

    data: bytes
    """8 unpredictable bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathResponse:
    """PATH_RESPONSE: the answer to PATH_CHALLENGE."""

    data: bytes
    """The 8 bytes of the question."""


PathFrame: TypeAlias = (
    PathAck
    | PathAbandon
    | PathStatusAvailable
    | PathStatusBackup
    | NewConnectionId
    | PathNewConnectionId
    | RetireConnectionId
    | PathRetireConnectionId
    | MaxPathId
    | PathsBlocked
    | PathCidsBlocked
    | PathChallenge
    | PathResponse
)
"""Every one of them."""
