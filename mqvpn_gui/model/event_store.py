"""What happened, as records that are searched and filtered; bounded.

An event comes once, by signal or by ``GetEvents`` after a reconnection, and is known by its id.
"""

import enum
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mqvpn_gui.model.helper_state import MAX_PATHS, HelperState
from mqvpn_gui.model.plain_text import plain
from mqvpn_helper.interface.bus_names import BusEventKind

CAPACITY = 100_000
"""Events that are kept; the oldest make room."""

_MAX_DETAILS = 32
_NEW_TUNNEL = (BusEventKind.CONNECTED, BusEventKind.DISCONNECTED)


class EventGroup(enum.Enum):
    """What a user chooses from to see only some events."""

    ALL = "all"
    """Everything."""
    FAILOVER = "failover"
    """Traffic moved, or a path failed or recovered."""
    CONNECTION = "connection"
    """The tunnel came and went."""
    LINKS = "links"
    """Interfaces and paths came and went."""
    PROTECTION = "protection"
    """Kill switch, DNS, authentication."""


_GROUPS: Mapping[BusEventKind, EventGroup] = MappingProxyType(
    {
        BusEventKind.CONNECTED: EventGroup.CONNECTION,
        BusEventKind.DISCONNECTED: EventGroup.CONNECTION,
        BusEventKind.RECONNECTING: EventGroup.CONNECTION,
        BusEventKind.CORE_DIED: EventGroup.CONNECTION,
        BusEventKind.SERVER_CHANGED: EventGroup.CONNECTION,
        BusEventKind.SUSPENDED: EventGroup.CONNECTION,
        BusEventKind.RESUMED: EventGroup.CONNECTION,
        BusEventKind.LINK_ADDED: EventGroup.LINKS,
        BusEventKind.LINK_REMOVED: EventGroup.LINKS,
        BusEventKind.PATH_ADDED: EventGroup.LINKS,
        BusEventKind.PATH_UP: EventGroup.LINKS,
        BusEventKind.PATH_MOVED: EventGroup.LINKS,
        BusEventKind.ROLE_CHANGED: EventGroup.LINKS,
        BusEventKind.PATH_DOWN: EventGroup.FAILOVER,
        BusEventKind.RECOVERED: EventGroup.FAILOVER,
        BusEventKind.FAILOVER: EventGroup.FAILOVER,
        BusEventKind.KILLSWITCH: EventGroup.PROTECTION,
        BusEventKind.PORTAL: EventGroup.PROTECTION,
        BusEventKind.DNS: EventGroup.PROTECTION,
        BusEventKind.SPLIT: EventGroup.PROTECTION,
        BusEventKind.AUTH_FAILED: EventGroup.PROTECTION,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One thing that happened."""

    id: int
    """Its number; grows."""
    at: float
    """When, seconds since 1970."""
    kind: BusEventKind
    """What happened."""
    path: str = ""
    """Interface it is about; empty: none."""
    detail: Mapping[str, str | int | float] = field(default_factory=dict)
    """More of it."""

    @property
    def group(self) -> EventGroup:
        """Where it belongs; `EventGroup.ALL` when nowhere else."""
        return _GROUPS.get(self.kind, EventGroup.ALL)

    def text(self, name: str) -> str:
        """A detail that is a text; empty when it is missing."""
        value = self.detail.get(name, "")
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> float | None:
        """A detail that is a number; None when it is missing."""
        value = self.detail.get(name)
        return float(value) if isinstance(value, int | float) else None


def record_from(values: Mapping[str, object]) -> EventRecord | None:
    """Read an event as ``GetEvents`` returns it; None when it is not one.

    Args:
        values: id, time_us, kind, path and detail without their D-Bus types.
    """
    number, time_us = values.get("id"), values.get("time_us")
    if not isinstance(number, int) or not isinstance(time_us, int):
        return None
    try:
        kind = BusEventKind(values.get("kind"))
    except ValueError:
        kind = BusEventKind.OTHER
    given = values.get("detail")
    detail = given if isinstance(given, Mapping) else {}
    return EventRecord(
        id=number,
        at=time_us / 1e6,
        kind=kind,
        path=plain(values.get("path"), 32),
        detail=MappingProxyType(_details(detail)),
    )


def _details(given: Mapping[object, object]) -> dict[str, str | int | float]:
    kept: dict[str, str | int | float] = {}
    for name, value in list(given.items())[:_MAX_DETAILS]:
        if isinstance(value, bool) or not isinstance(name, str):
            continue
        if isinstance(value, int | float):
            kept[plain(name, 32)] = value
        elif isinstance(value, str):
            kept[plain(name, 32)] = plain(value)
    return kept


class Failovers:
    """The newest failover of each link, as long as it explains what is seen of the paths.

    A: `about`, `explaining`. C: `take`.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._newest: dict[str, EventRecord] = {}

    def take(self, record: EventRecord) -> None:
        """Take what happened, in its order."""
        if record.kind in _NEW_TUNNEL:
            self._newest.clear()
        elif record.kind is BusEventKind.FAILOVER:
            self._newest.pop(record.path, None)  # the newest one stands last
            self._newest[record.path] = record
            if len(self._newest) > MAX_PATHS:
                self._newest.pop(next(iter(self._newest)))

    def about(self, interface: str) -> EventRecord | None:
        """Return the newest failover that a link had a part in, as the lost one or the other."""
        for record in reversed(self._newest.values()):
            if interface in (record.path, record.text("to_interface")):
                return record
        return None

    def explaining(self, state: HelperState) -> EventRecord | None:
        """Return the newest failover whose link does not work again; None when all do."""
        working = {path.interface for path in state.working_paths}
        for record in reversed(self._newest.values()):
            if record.path not in working:
                return record if state.carries_traffic else None
        return None


class EventStore:
    """Keeps the newest events in the order of their numbers.

    A: `len()`, iteration, `failovers`. C: `add`, `note`, `begin_anew`.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Start empty.

        Args:
            capacity: how many are kept.
        """
        self.failovers = Failovers()
        """Those that explain what is seen."""
        self._records: deque[EventRecord] = deque(maxlen=capacity)
        self._last_id = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._records)

    def __iter__(self) -> Iterator[EventRecord]:
        """The oldest first."""
        return iter(self._records)

    def add(self, records: Iterable[EventRecord]) -> list[EventRecord]:
        """Add what is newer than the newest; return it."""
        new = []
        for record in records:
            if record.id > self._last_id:
                self._last_id = record.id
                self._records.append(record)
                self.failovers.take(record)
                new.append(record)
        return new

    def note(self, record: EventRecord) -> None:
        """Add what this program knows by itself; its number means nothing."""
        self._records.append(record)

    def begin_anew(self) -> None:
        """Take numbers from 1 again: the helper was started anew. What is known stays."""
        self._last_id = 0
