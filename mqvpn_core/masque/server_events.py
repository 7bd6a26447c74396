"""What a server session tells the shell. Values only."""

import enum
from dataclasses import dataclass
from typing import TypeAlias

from mqvpn_core.ids import StreamId
from mqvpn_core.wire.address_capsules import IpAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthenticated:
    """A tunnel request came with valid credentials."""

    user: str | None
    """Who; None for the shared key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationFailed:
    """A tunnel request came without valid credentials."""

    peer_host: str
    """From where."""
    is_rate_limited: bool
    """It was not even looked at: too many failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelOpened:
    """A tunnel was accepted; packets for these addresses belong to this session."""

    stream_id: StreamId
    """The request stream."""
    user: str | None
    """Whose it is; None for the shared key."""
    addresses: tuple[IpAddress, ...]
    """The client's inner addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelAddressesChanged:
    """The client asked for other addresses and got them; this is the full list."""

    stream_id: StreamId
    """The request stream."""
    addresses: tuple[IpAddress, ...]
    """The client's inner addresses now."""


class TunnelCloseReason(enum.Enum):
    """Why a tunnel was closed."""

    CLOSED_BY_CLIENT = "closed by the client"
    PROTOCOL_ERROR = "the client broke the protocol"
    IPV6_MTU_TOO_SMALL = "1280 bytes do not fit"
    TAKEN_OVER = "the client came back on another connection"
    CONNECTION_LOST = "the connection ended"
    CLOSED_LOCALLY = "closed by the server"


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelClosed:
    """A tunnel is gone; its addresses are free, unless another session has them already."""

    stream_id: StreamId
    """The request stream."""
    user: str | None
    """Whose it was; None for the shared key."""
    reason: TunnelCloseReason
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRequested:
    """An ordinary request for the web site; answer with `respond` and `send_body`."""

    stream_id: StreamId
    """The request stream."""
    method: bytes
    """``:method``."""
    path: bytes
    """``:path``; empty for a CONNECT to somewhere else."""
    authority: bytes
    """``:authority``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRequestCancelled:
    """The client does not want the answer any more; do not send further."""

    stream_id: StreamId
    """The request stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameResolutionWanted:
    """A tunnel request names a host: resolve it (A and AAAA) and call `resolved`."""

    token: StreamId
    """To be given back."""
    name: str
    """The host name."""


class ResolutionFailure(enum.Enum):
    """Why a name has no address."""

    NOT_FOUND = "not found"
    TIMED_OUT = "timed out"


ServerSessionEvent: TypeAlias = (
    ClientAuthenticated
    | AuthenticationFailed
    | TunnelOpened
    | TunnelAddressesChanged
    | TunnelClosed
    | SiteRequested
    | SiteRequestCancelled
    | NameResolutionWanted
)
