"""The last events of a run, and whoever follows them.

A ring: recording never waits and never grows. Readers keep a number of their own; one that is too
slow finds that the oldest events are gone and is told how many it missed.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

import trio

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.event_values import CoreEvent, EventKind

_log = logging.getLogger(__name__)

CAPACITY = 1000
"""Events kept."""

_NO_DETAILS: Mapping[str, str | int | float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events in order."""

    events: tuple[CoreEvent, ...]
    """The events."""
    missed: int
    """How many before the first were forgotten without having been read."""
    last: int
    """Number to go on after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSubject:
    """Whom or what an event is about."""

    peer: str = ""
    """Server: the client."""
    path: int | None = None
    """Path ID."""
    interface: str = ""
    """Its network interface."""


NOBODY = EventSubject()
"""About the run as a whole."""


class EventLog:
    """Keeps the newest events.

    A: `last_number`, `page_after`. C: `record`. Tasks: `wait_after`.
    """

    def __init__(
        self, wall_clock: Callable[[], float], *, log_level: int, capacity: int = CAPACITY
    ) -> None:
        """Start empty.

        Args:
            wall_clock: returns seconds since 1970.
            log_level: level at which events go to the log as well; those for debugging never do.
            capacity: how many are kept.
        """
        self.last_number = 0
        """Number of the newest event; 0 before the first."""
        self._wall_clock = wall_clock
        self._log_level = log_level
        self._events: deque[CoreEvent] = deque(maxlen=capacity)
        self._news = trio.Event()

    def record(
        self,
        kind: EventKind,
        text: str,
        now: Instant,
        *,
        subject: EventSubject = NOBODY,
        details: Mapping[str, str | int | float] = _NO_DETAILS,
        is_logged: bool = True,
    ) -> None:
        """Add an event; the oldest one makes room.

        Args:
            kind: what happened.
            text: it in words.
            now: when.
            subject: whom it is about.
            details: what programs want to know of it.
            is_logged: it goes to the log as well, which has no better line of its own about it.
        """
        self.last_number += 1
        event = CoreEvent(
            number=self.last_number,
            at=now,
            wall=self._wall_clock(),
            kind=kind,
            text=text,
            peer=subject.peer,
            path=subject.path,
            interface=subject.interface,
            details=details,
        )
        self._events.append(event)
        if is_logged:
            _log.log(logging.DEBUG if event.is_debug else self._log_level, "%s", text)
        self._news.set()
        self._news = trio.Event()

    def page_after(self, number: int, *, limit: int, with_debug: bool = False) -> EventPage:
        """Return at most ``limit`` events after this number, the oldest first.

        A number that was never given, as it comes from an earlier run, counts as 0.
        """
        if number > self.last_number:
            number = 0
        oldest = self.last_number - len(self._events) + 1
        first = max(number + 1, oldest)
        taken = tuple(islice(self._events, first - oldest, first - oldest + limit))
        return EventPage(
            events=tuple(event for event in taken if with_debug or not event.is_debug),
            missed=first - number - 1,
            last=taken[-1].number if taken else self.last_number,
        )

    async def wait_after(self, number: int) -> None:
        """Wait until there is an event after this number."""
        while self.last_number <= number:
            await self._news.wait()
