"""Folds what a client session tells into one current picture; a flood of changes costs nothing."""

from dataclasses import dataclass
from typing import Protocol, assert_never

import trio

from mqvpn_core.ids import Instant
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.masque.session_events import (
    AddressesChanged,
    IPInterface,
    MtuChanged,
    RoutesChanged,
    SessionEnded,
    SessionEvent,
    TunnelEstablished,
)


class SessionEvents(Protocol):
    """What is watched."""

    def next_event(self) -> SessionEvent | None:
        """Return the next event, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPicture:
    """What the proxy has given us at the moment."""

    addresses: tuple[IPInterface, ...]
    """Our inner addresses."""
    routes: RangeList
    """Destinations the proxy takes packets for."""
    mtu: int
    """Largest IP packet, in bytes."""


class SessionWatch:
    """Observer of one session.

    A: `picture`, `ended`. B: `look`. Tasks: `wait_change`.
    """

    def __init__(self, session: SessionEvents) -> None:
        """Watch ``session``."""
        self.picture: SessionPicture | None = None
        """What the tunnel has; None before it is up."""
        self.ended: SessionEnded | None = None
        """How it ended."""
        self._session = session
        self._changed = trio.Event()

    def look(self, now: Instant) -> None:
        """Take the session's events."""
        del now
        while (event := self._session.next_event()) is not None:
            self._take(event)
            self._changed.set()

    async def wait_change(self) -> None:
        """Wait until something changed since the last return."""
        await self._changed.wait()
        self._changed = trio.Event()

    def _take(self, event: SessionEvent) -> None:
        match event:
            case TunnelEstablished():
                self.picture = SessionPicture(
                    addresses=event.addresses, routes=event.routes, mtu=event.mtu
                )
            case AddressesChanged():
                self._redraw(addresses=event.addresses)
            case RoutesChanged():
                self._redraw(routes=event.routes)
            case MtuChanged():
                self._redraw(mtu=event.mtu)
            case SessionEnded():
                self.ended = event
            case _:
                assert_never(event)

    def _redraw(
        self,
        *,
        addresses: tuple[IPInterface, ...] | None = None,
        routes: RangeList | None = None,
        mtu: int | None = None,
    ) -> None:
        old = self.picture
        if old is None:
            return
        self.picture = SessionPicture(
            addresses=old.addresses if addresses is None else addresses,
            routes=old.routes if routes is None else routes,
            mtu=old.mtu if mtu is None else mtu,
        )
