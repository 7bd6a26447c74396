"""What the helper says about the tunnel, as one frozen value.

The bus is not trusted: a value of a wrong type counts as missing, numbers are kept in their range,
texts are shortened. Nothing here can raise.
"""

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from mqvpn_gui.model.plain_text import plain
from mqvpn_helper.interface import bus_interface as bus
from mqvpn_helper.interface.bus_names import TunnelState

MAX_PATHS = 64
"""Paths that are shown; a machine has few links, and each costs a card."""

_E = TypeVar("_E", bound=enum.Enum)
_MAX_ADDRESSES = 16
_MAX_NAMES = 256
_MAX_COUNT = 1 << 63


class LinkKind(enum.Enum):
    """What a network interface is, as the helper tells it."""

    WIRED = "wired"
    """A cable."""
    WIRELESS = "wireless"
    """Wi-Fi."""
    CELLULAR = "cellular"
    """LTE, 5G."""
    OTHER = "other"
    """Anything else."""


class PathState(enum.Enum):
    """What a path does, as the helper tells it."""

    VALIDATING = "validating"
    """Nobody has answered on it yet."""
    ACTIVE = "active"
    """It works."""
    SUSPECT = "suspect"
    """Nothing is acknowledged on it."""
    ABANDONING = "abandoning"
    """It was given up."""


class Role(enum.Enum):
    """What a path is for."""

    PRIMARY = "primary"
    """Carries traffic."""
    SECONDARY = "secondary"
    """Carries traffic when the primary ones are full."""
    BACKUP = "backup"
    """Carries traffic when the others fail."""
    NEVER = "never"
    """Is left alone."""


class KillSwitch(enum.Enum):
    """What happens to traffic outside the tunnel."""

    OFF = "off"
    """It passes."""
    STANDARD = "standard"
    """It is blocked while the user wants a tunnel."""
    ALWAYS = "always"
    """It is blocked from boot to shutdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathInfo:
    """One path."""

    interface: str
    """Its network interface."""
    kind: LinkKind = LinkKind.OTHER
    """What that is."""
    state: PathState = PathState.VALIDATING
    """What it does."""
    role: Role = Role.PRIMARY
    """What it is for."""
    rtt_ms: float = 0.0
    """Smoothed round-trip time."""
    jitter_ms: float = 0.0
    """Mean deviation of it."""
    loss: float = 0.0
    """Part of what was sent that got lost, 0 to 1."""
    rx_bps: int = 0
    """Bits a second received."""
    tx_bps: int = 0
    """Bits a second sent."""
    share: float = 0.0
    """Its part of the traffic, 0 to 1."""
    is_metered: bool = False
    """Whether traffic on it costs money."""
    mtu: int = 0
    """Largest UDP payload; 0: not known."""
    used_bytes: int = 0
    """What it carried this month."""
    cap_bytes: int = 0
    """What it may carry in a month; 0: no cap."""

    @property
    def is_measured(self) -> bool:
        """Whether its numbers are of now: not before it works, and not when it was given up."""
        return self.state in (PathState.ACTIVE, PathState.SUSPECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLists:
    """What goes beside the tunnel."""

    exclude: tuple[str, ...] = ()
    """Networks and hosts that stay beside it."""
    include: tuple[str, ...] = ()
    """The only networks and hosts that go into it; empty: all."""
    cgroups: tuple[str, ...] = ()
    """Control groups whose programs stay beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperState:
    """The whole state; `OFFLINE` while there is no helper."""

    is_present: bool = False
    """Whether the helper answers."""
    version: str = ""
    """Its version."""
    api_level: int = 0
    """Level of its interface."""
    state: TunnelState = TunnelState.OFF
    """State of the tunnel."""
    since: float = 0.0
    """When it became so, seconds since 1970; 0: not known."""
    owner: int = bus.NO_OWNER
    """User whose tunnel it is."""
    kill_switch: KillSwitch = KillSwitch.OFF
    """The kill switch in force."""
    dns_method: str = ""
    """How name resolution was changed; empty: it was not."""
    portal_interface: str = ""
    """Interface that is past the kill switch."""
    portal_until: float = 0.0
    """When that ends, seconds since 1970."""
    profile: str = ""
    """Name of the profile in use."""
    server: str = ""
    """The server."""
    tun_name: str = ""
    """The TUN device."""
    addresses: tuple[str, ...] = ()
    """Inner addresses."""
    split: SplitLists = field(default_factory=SplitLists)
    """What goes beside the tunnel."""
    paths: tuple[PathInfo, ...] = ()
    """The paths, ordered by interface."""
    error: tuple[str, str] = ("", "")
    """Name of the last error and its text; both empty: none."""

    @property
    def is_wanted(self) -> bool:
        """Whether somebody wants the tunnel up."""
        return self.state not in (TunnelState.OFF, TunnelState.ERROR, TunnelState.BLOCKED)

    @property
    def carries_traffic(self) -> bool:
        """Whether packets flow."""
        return self.state in (TunnelState.UP, TunnelState.DEGRADED)

    @property
    def working_paths(self) -> tuple[PathInfo, ...]:
        """The paths that carry traffic or could."""
        return tuple(path for path in self.paths if path.state is PathState.ACTIVE)

    def path(self, interface: str) -> PathInfo | None:
        """The path over an interface."""
        return next((path for path in self.paths if path.interface == interface), None)


OFFLINE = HelperState()
"""Nobody answers."""


def merged(state: HelperState, changed: Mapping[str, object]) -> HelperState:
    """Apply properties, all of them or only those that changed.

    Args:
        state: what was known.
        changed: values by name of property, as they came from the bus without their types.
    """
    fields: dict[str, object] = {"is_present": True}
    for name, value in changed.items():
        if name in _READERS:
            member, read = _READERS[name]
            fields[member] = read(value, state)
    return replace(state, **fields)  # type: ignore[arg-type]  # names and types: see _READERS


def with_statistics(state: HelperState, statistics: object) -> HelperState:
    """Apply the numbers of a ``Stats`` signal."""
    paths = paths_from(statistics, {path.interface: path for path in state.paths})
    return replace(state, paths=paths)


def paths_from(value: object, known: Mapping[str, PathInfo]) -> tuple[PathInfo, ...]:
    """Read paths by interface; what is missing of one stays as it was known."""
    if not isinstance(value, Mapping):
        return ()
    named = {plain(name, 32): fields for name, fields in value.items() if isinstance(name, str)}
    found = [
        _path_from(name, fields, known.get(name))
        for name, fields in sorted(named.items())
        if name and isinstance(fields, Mapping)
    ]
    return tuple(found[:MAX_PATHS])


def _path_from(name: str, fields: Mapping[str, object], known: PathInfo | None) -> PathInfo:
    before = known or PathInfo(interface=name)
    return PathInfo(
        interface=name,
        kind=_member(LinkKind, fields.get("kind"), before.kind),
        state=_member(PathState, fields.get("state"), before.state),
        role=_member(Role, fields.get("role"), before.role),
        rtt_ms=_number(fields.get("rtt_ms"), before.rtt_ms, 1e6),
        jitter_ms=_number(fields.get("jitter_ms"), before.jitter_ms, 1e6),
        loss=_number(fields.get("loss"), before.loss, 1.0),
        rx_bps=_count(fields.get("rx_bps"), before.rx_bps),
        tx_bps=_count(fields.get("tx_bps"), before.tx_bps),
        share=_number(fields.get("share"), before.share, 1.0),
        is_metered=_flag(fields.get("metered"), default=before.is_metered),
        mtu=_count(fields.get("mtu"), before.mtu),
        used_bytes=_count(fields.get("used_bytes"), before.used_bytes),
        cap_bytes=_count(fields.get("cap_bytes"), before.cap_bytes),
    )


def _member(kind: type[_E], value: object, default: _E) -> _E:
    try:
        return kind(value)
    except ValueError:
        return default


def _number(value: object, default: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return min(max(float(value), 0.0), most)


def _count(value: object, default: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return default
    return min(max(value, 0), _MAX_COUNT)


def _flag(value: object, *, default: bool) -> bool:
    return value if isinstance(value, bool) else default


def _addresses(value: object) -> tuple[str, ...]:
    texts = value if isinstance(value, list | tuple) else ()
    return tuple(plain(each, 64) for each in texts[:_MAX_ADDRESSES])


def _split(value: object) -> SplitLists:
    lists = value if isinstance(value, Mapping) else {}
    return SplitLists(
        exclude=_names(lists.get("split_exclude")),
        include=_names(lists.get("split_include")),
        cgroups=_names(lists.get("split_cgroups")),
    )


def _names(value: object) -> tuple[str, ...]:
    texts = value if isinstance(value, list | tuple) else ()
    return tuple(plain(each, 256) for each in texts[:_MAX_NAMES])


def _pair(value: object) -> tuple[str, str]:
    match value:
        case (name, text):
            return plain(name, 64), plain(text)
        case _:
            return "", ""


_Reader: TypeAlias = Callable[[object, HelperState], object]

# Properties that are not here are those of a newer helper.
_READERS: Mapping[str, tuple[str, _Reader]] = MappingProxyType(
    {
        bus.VERSION.name: ("version", lambda value, _: plain(value)),
        bus.API.name: ("api_level", lambda value, _: _count(value, 0)),
        bus.STATE.name: ("state", lambda value, now: _member(TunnelState, value, now.state)),
        bus.SINCE.name: ("since", lambda value, _: _count(value, 0) / 1e6),
        bus.OWNER.name: ("owner", lambda value, _: _count(value, bus.NO_OWNER)),
        bus.KILL_SWITCH.name: (
            "kill_switch",
            lambda value, now: _member(KillSwitch, value, now.kill_switch),
        ),
        bus.DNS_METHOD.name: ("dns_method", lambda value, _: plain(value)),
        bus.PORTAL_INTERFACE.name: ("portal_interface", lambda value, _: plain(value, 32)),
        bus.PORTAL_UNTIL.name: ("portal_until", lambda value, _: _count(value, 0) / 1e6),
        bus.PROFILE.name: ("profile", lambda value, _: plain(value)),
        bus.SERVER.name: ("server", lambda value, _: plain(value)),
        bus.TUN_NAME.name: ("tun_name", lambda value, _: plain(value, 32)),
        bus.ADDRESSES.name: ("addresses", lambda value, _: _addresses(value)),
        bus.SPLIT.name: ("split", lambda value, _: _split(value)),
        bus.PATHS.name: (
            "paths",
            lambda value, now: paths_from(value, {path.interface: path for path in now.paths}),
        ),
        bus.LAST_ERROR.name: ("error", lambda value, _: _pair(value)),
    }
)
