"""What helper and core say to one another over the inherited control socket, as values.

`mqvpn_helper.interface.control_coding` turns them into packets and back. The core asks and reports,
the helper answers and commands. The helper trusts nothing that the core says: there is no message
that names a file, a program, an interface to change or a rule; a core can only say what the server
gave it, and what it sees.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.host_plan import IPAddress, IPInterface, IPNetwork
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PathPolicy

PROTOCOL_VERSION = 1
"""Both sides come out of one installation; another number means that it was replaced meanwhile."""
MAX_MESSAGE_BYTES = 65536
"""Longest packet in either direction."""
MAX_ROUTES = 1024
"""Routes in one request."""
MAX_ADDRESSES = 16
"""Addresses in one request."""
MAX_USED_LINKS = 64
"""Links whose usage is kept."""
MAX_PATHS = 64
"""Paths in one report."""
MAX_NAMED = 256
"""Addresses of names of one kind in one request."""
MAX_LINKS = 32
"""Links in one request."""
MAX_DETAILS = 16
"""Details of one event."""

HEARTBEAT = 5.0
"""Seconds after which a core repeats its state when nothing else was to be said."""
SILENCE_LIMIT = 30.0
"""Seconds of silence after which a core counts as stuck."""

DetailValue: TypeAlias = bool | int | float | str
"""What a detail of an event can be."""


class LinkKind(enum.Enum):
    """What a network interface is made of."""

    WIRED = "wired"
    """A cable."""
    WIRELESS = "wireless"
    """Wi-Fi."""
    CELLULAR = "cellular"
    """A mobile network."""
    OTHER = "other"
    """Anything else, or not known."""


class PathState(enum.Enum):
    """How a path is."""

    VALIDATING = "validating"
    """Nobody has answered yet."""
    ACTIVE = "active"
    """It works."""
    SUSPECT = "suspect"
    """Nothing is acknowledged on it."""
    ABANDONING = "abandoning"
    """It is being given up."""


class PathUse(enum.Enum):
    """What a path is used for."""

    PRIMARY = "primary"
    """Whenever it can."""
    SECONDARY = "secondary"
    """When no primary one has room."""
    BACKUP = "backup"
    """When no other one works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUsage:
    """What links have carried in one calendar month, for data caps."""

    month: str = ""
    """The month, ``YYYY-MM``; empty before anything was counted."""
    bytes_by_link: tuple[tuple[str, int], ...] = ()
    """Bytes by name of the link, both directions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReport:
    """One path as the core describes it; the names are those of the D-Bus interface."""

    interface: str
    """Network interface."""
    kind: LinkKind
    """What that is made of."""
    state: PathState
    """How it is."""
    role: PathUse
    """What it is used for."""
    rtt_ms: float
    """Smoothed round-trip time."""
    jitter_ms: float
    """Its mean deviation."""
    loss: float
    """Share of packets lost lately, 0 to 1."""
    rx_bps: int
    """Bits received a second."""
    tx_bps: int
    """Bits sent a second."""
    share: float
    """Its part of all traffic, 0 to 1."""
    metered: bool
    """Its traffic is said to cost money."""
    mtu: int
    """Largest UDP payload it carries."""
    used_bytes: int
    """What it carried in this calendar month."""
    cap_bytes: int = 0
    """What it may carry in a month; 0 for no cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Core: I run. The first message; the helper answers by `Start`."""

    protocol: int
    """`PROTOCOL_VERSION` of the core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseServers:
    """Core: these are the server's addresses, let me reach them."""

    id: int
    """Number of the request, for the answer."""
    addresses: tuple[IPAddress, ...]
    """All that are known now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseNetwork:
    """Core: the server has assigned this, put it in force."""

    id: int
    """Number of the request, for the answer."""
    mtu: int
    """MTU of the tunnel."""
    addresses: tuple[IPInterface, ...]
    """Addresses of the device."""
    routes: tuple[IPNetwork, ...]
    """Destinations that the server carries."""
    links: tuple[str, ...] = ()
    """Physical links that may be used."""
    excluded: tuple[IPAddress, ...] = ()
    """Where the names lead that the user excludes."""
    included: tuple[IPAddress, ...] = ()
    """Where the names lead that the user includes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveNetwork:
    """Core: the tunnel is over, take back what `UseNetwork` had put in force."""

    id: int
    """Number of the request, for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindLink:
    """Core: by which link is this address reached beside the tunnel?"""

    id: int
    """Number of the request, for the answer."""
    address: IPAddress
    """Where to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReport:
    """Core: the tunnel is in this state; repeated as a sign of life."""

    state: TunnelState
    """CONNECTING, UP, DEGRADED or RECONNECTING."""
    reason: str = ""
    """Why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsReport:
    """Core: paths as they are now."""

    paths: tuple[PathReport, ...]
    """All of them."""
    is_periodic: bool
    """Because of `WantStats`; else the state of a path has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReport:
    """Core: something happened."""

    kind: BusEventKind
    """What."""
    path: str = ""
    """Network interface it is about; empty for none."""
    detail: Mapping[str, DetailValue] = field(default_factory=lambda: MappingProxyType({}))
    """More about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Core: links have carried this much by now; keep it for the core after me."""

    usage: LinkUsage
    """All links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReport:
    """Core: I give up, only the user can help. The last message."""

    kind: BusError
    """What went wrong."""
    text: str
    """It in one line for people."""


CoreMessage: TypeAlias = (
    Hello
    | UseServers
    | UseNetwork
    | LeaveNetwork
    | FindLink
    | StateReport
    | PathsReport
    | EventReport
    | UsageReport
    | FailureReport
)
"""Everything a core says."""

CoreRequest: TypeAlias = UseServers | UseNetwork | LeaveNetwork | FindLink
"""What the helper answers, by `Done`, `LinkFound` or `Refused`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Helper: make this tunnel."""

    profile: Profile
    """What the user wants, without what only the helper needs."""
    tun_name: str
    """The device whose descriptor the core has."""
    ifindex: int
    """Its index."""
    instance: str
    """Random name of this machine's tunnel, by which the server finds its addresses again."""
    servers: tuple[IPAddress, ...]
    """Addresses of the server that are allowed already."""
    usage: LinkUsage = field(default_factory=LinkUsage)
    """What links have carried before."""
    name_servers: tuple[IPAddress, ...] = ()
    """Whom the kill switch lets it ask for the server's address, port 53; none: as the system does.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Helper: the request is carried out."""

    id: int
    """Number of the request."""
    warnings: tuple[str, ...] = ()
    """What did not go quite as wished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFound:
    """Helper: the answer to `FindLink`."""

    id: int
    """Number of the request."""
    ifindex: int
    """Index of the link; 0: none leads there."""
    name: str = ""
    """Name of the link."""
    source: IPAddress | None = None
    """Address to send from."""
    mtu: int = 0
    """MTU of the link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Helper: the request is not carried out."""

    id: int
    """Number of the request."""
    reason: str
    """Why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPath:
    """Helper: the user wants this of an interface."""

    interface: str
    """Name or pattern."""
    policy: PathPolicy
    """What it may be used for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantStats:
    """Helper: report paths at this interval."""

    interval: float
    """Seconds; 0: no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revalidate:
    """Helper: the machine was asleep, or the network is another one: look at every path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """Helper: end the tunnel in order, and yourself."""


HelperMessage: TypeAlias = (
    Start | Done | LinkFound | Refused | SetPath | WantStats | Revalidate | Disconnect
)
"""Everything a helper says."""
