"""Words of the path policy: one path as it sees it, the facts it is told, and its commands."""

from dataclasses import dataclass
from typing import TypeAlias

from mqvpn_core.config import LinkRole
from mqvpn_core.ids import IfIndex, PathId
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.link_table import Link, LinkTable, Way
from mqvpn_helper.interface.host_plan import IPAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class PathView:
    """One path of the connection as the policy sees it."""

    ifindex: IfIndex
    """Link it is bound to."""
    source: IPAddress
    """Local address."""
    server: IPAddress
    """Address of the server it leads to."""
    role: LinkRole
    """What the connection was told it is for."""
    is_validated: bool = False
    """The server has answered on it."""
    is_broken: bool = False
    """Its link or address went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksChanged:
    """The table of links is another one."""

    table: LinkTable
    """The links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesChanged:
    """The user wants something else, or a data cap was reached."""

    rules: LinkRules
    """What holds now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeDone:
    """The handshake is confirmed."""

    is_multipath: bool
    """The connection takes further paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStarted:
    """A path exists: the first one, or one that was commanded."""

    path_id: PathId
    """The path."""
    view: PathView
    """What it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningFailed:
    """A path that was commanded could not be started or moved."""

    ifindex: IfIndex
    """Link it was for."""
    for_want_of_ids: bool
    """No path ID was free; the link is not to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathIdsFreed:
    """A path ID may be free again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathProved:
    """The server has answered on a path."""

    path_id: PathId
    """The path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEnded:
    """The connection has given a path up, by itself or because the server did."""

    path_id: PathId
    """The path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCame:
    """A pause may be over."""


WorldEvent: TypeAlias = LinksChanged | RulesChanged | HandshakeDone | PathIdsFreed | TimeCame
PathEvent: TypeAlias = PathStarted | OpeningFailed | PathProved | PathEnded
Event: TypeAlias = WorldEvent | PathEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPath:
    """Open a path; `PathStarted` or `OpeningFailed` tells what came of it."""

    link: Link
    """Link to bind to."""
    way: Way
    """Source address and address of the server."""
    role: LinkRole
    """What it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigratePath:
    """Move a path to another link or address; the answer is that of `OpenPath`."""

    path_id: PathId
    """The path."""
    link: Link
    """Link to bind to."""
    way: Way
    """Source address and address of the server."""
    role: LinkRole
    """What it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosePath:
    """Give a path up."""

    path_id: PathId
    """The path."""
    error_code: int
    """Why, for PATH_ABANDON."""
    reason: str
    """Why, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPathUse:
    """Change what a path is for."""

    path_id: PathId
    """The path."""
    role: LinkRole
    """What it is for; never `LinkRole.NEVER`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndConnection:
    """No link may be used any more: the connection must not go on."""

    reason: str
    """Why, one line."""


Command: TypeAlias = OpenPath | MigratePath | ClosePath | SetPathUse | EndConnection
