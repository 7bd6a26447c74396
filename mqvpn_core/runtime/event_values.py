"""What a run tells about itself as it happens, as values and as JSON.

Times in details are milliseconds when the name says ``_ms``. Nothing secret and no inner address is
in here.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.json_members import JsonMembers


class EventKind(enum.Enum):
    """What happened."""

    CONNECTION_UP = "connection_up"
    """A tunnel is up."""
    CONNECTION_DOWN = "connection_down"
    """A tunnel is gone."""
    RECONNECTING = "reconnecting"
    """The connection is lost and will be made anew; addresses and routes stay."""
    PATH_ADDED = "path_added"
    """A path was opened; nobody has answered on it yet."""
    PATH_VALIDATED = "path_validated"
    """The other side has answered on a path."""
    PATH_MOVED = "path_moved"
    """A path has another address, as after a NAT rebinding."""
    PATH_SUSPECT = "path_suspect"
    """Nothing is acknowledged on a path."""
    PATH_RECOVERED = "path_recovered"
    """A suspected path works again."""
    PATH_ABANDONED = "path_abandoned"
    """A path was given up for good."""
    FAILOVER = "failover"
    """Traffic of a path that failed goes on over another one."""
    ROLE_CHANGED = "role_changed"
    """A path is used for something else, by our wish or the other side's."""
    MTU_CHANGED = "mtu_changed"
    """A path carries larger or smaller packets than thought."""
    KEY_UPDATED = "key_updated"
    """The connection has new keys."""


DEBUG_KINDS = frozenset({EventKind.MTU_CHANGED, EventKind.KEY_UPDATED})
"""Kinds that are shown on request only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreEvent:
    """One thing that happened."""

    number: int
    """Sequence number of the run, from 1, without gaps."""
    at: float
    """Seconds of a clock that never jumps; only differences mean something."""
    wall: float
    """Seconds since 1970 (UTC)."""
    kind: EventKind
    """What happened."""
    text: str
    """It in one line for people."""
    peer: str = ""
    """Server: the user, or the address, of the client it is about."""
    path: int | None = None
    """ID of the path it is about."""
    interface: str = ""
    """Network interface of that path, where known."""
    details: Mapping[str, str | int | float] = field(default_factory=lambda: MappingProxyType({}))
    """What belongs to the kind, such as ``gap_ms`` and ``to_path`` of a failover."""

    @property
    def is_debug(self) -> bool:
        """Of interest only to those who look for faults."""
        return self.kind in DEBUG_KINDS


def encode_event(event: CoreEvent) -> dict[str, JsonValue]:
    """Return an event as JSON values."""
    return {
        "number": event.number,
        "at": event.at,
        "wall": event.wall,
        "kind": event.kind.value,
        "text": event.text,
        "peer": event.peer,
        "path": event.path,
        "interface": event.interface,
        "details": dict(event.details),
    }


def decode_event(value: JsonValue) -> CoreEvent:
    """Read what `encode_event` wrote; names it does not know are ignored.

    Raises:
        DecodeError: a member is missing, has another type, or the kind is unknown.
    """
    members = JsonMembers.of(value)
    try:
        kind = EventKind(members.text("kind"))
    except ValueError:
        raise DecodeError("an event of an unknown kind") from None
    return CoreEvent(
        number=members.count("number"),
        at=members.number("at"),
        wall=members.number("wall"),
        kind=kind,
        text=members.text("text"),
        peer=members.text("peer"),
        path=None if members.value("path") is None else members.count("path"),
        interface=members.text("interface"),
        details=_decode_details(members.value("details")),
    )


def _decode_details(value: JsonValue) -> Mapping[str, str | int | float]:
    members = JsonMembers.of(value)
    details: dict[str, str | int | float] = {}
    for name in members.names():
        detail = members.value(name)
        if isinstance(detail, bool) or not isinstance(detail, str | int | float):
            raise DecodeError(f"{name} is neither text nor number")
        details[name] = detail
    return MappingProxyType(details)
