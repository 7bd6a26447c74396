"""The last events, for whoever asks later; each belongs to the user of its tunnel."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from mqvpn_helper.interface.bus_names import MAX_EVENTS, BusEventKind
from mqvpn_helper.interface.control_messages import DetailValue


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One event."""

    id: int
    """Its number, from 1."""
    time_us: int
    """When, microseconds since 1970."""
    owner: int
    """User ID of the tunnel's owner."""
    kind: BusEventKind
    """What happened."""
    path: str
    """Network interface it is about; empty for none."""
    detail: Mapping[str, DetailValue]
    """More about it."""


class EventStore:
    """A ring of the newest events. A: `after`. C: `add`."""

    def __init__(self) -> None:
        """Start empty."""
        self._events: deque[StoredEvent] = deque(maxlen=MAX_EVENTS)
        self._last_id = 0

    def add(
        self,
        kind: BusEventKind,
        *,
        time_us: int,
        owner: int,
        path: str,
        detail: Mapping[str, DetailValue],
    ) -> StoredEvent:
        """Keep an event; the oldest one makes room."""
        self._last_id += 1
        event = StoredEvent(
            id=self._last_id, time_us=time_us, owner=owner, kind=kind, path=path, detail=detail
        )
        self._events.append(event)
        return event

    def after(self, number: int, *, limit: int, owner: int | None) -> list[StoredEvent]:
        """Return events in order.

        Args:
            number: those after this id.
            limit: at most so many.
            owner: of this user only; None: of all.
        """
        found = (
            event
            for event in self._events
            if event.id > number and (owner is None or event.owner == owner)
        )
        return list(islice(found, limit))
