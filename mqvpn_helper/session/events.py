"""What a tunnel session tells the service, as values; the service makes D-Bus out of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import DetailValue, PathReport
from mqvpn_helper.interface.host_plan import DnsMethod, IPInterface, KillSwitchMode


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionError:
    """Why a session ended, or could not begin."""

    kind: BusError
    """What went wrong."""
    text: str
    """It in one line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The tunnel is in another state."""

    state: TunnelState
    """The new state."""
    reason: str = ""
    """Why, for people; may be empty."""
    error: SessionError | None = None
    """What has to be put right by the user, when the kill switch blocks for that reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressesAssigned:
    """The device has these addresses now; none after the tunnel is gone."""

    tun_name: str
    """The device."""
    addresses: tuple[IPInterface, ...]
    """Its addresses."""
    mtu: int
    """Its MTU in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStats:
    """Paths as they are now."""

    paths: tuple[PathReport, ...]
    """All of them."""
    is_periodic: bool
    """The answer to `TunnelSession.request_stats`; else the state of a path has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReported:
    """Something that a user may want to know."""

    kind: BusEventKind
    """What happened."""
    path: str = ""
    """Network interface it is about; empty for none."""
    detail: Mapping[str, DetailValue] = field(default_factory=lambda: MappingProxyType({}))
    """More about it; ``text`` is one line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsNeeded:
    """The secret is missing or was refused; `TunnelSession.provide_secrets` takes a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitchChanged:
    """This kill switch is in force now."""

    mode: KillSwitchMode
    """When it blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsApplied:
    """Name servers were set, or taken back."""

    method: DnsMethod
    """How it was done; NONE: nothing of ours is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The session is over and the machine is restored, as far as the kill switch lets it."""

    error: SessionError | None
    """Why it gave up; None: it was asked to end."""


SessionEvent: TypeAlias = (
    StateChanged
    | AddressesAssigned
    | PathStats
    | EventReported
    | SecretsNeeded
    | KillSwitchChanged
    | DnsApplied
    | Ended
)
"""Everything a session tells."""
