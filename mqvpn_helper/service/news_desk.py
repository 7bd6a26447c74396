"""What a session tells, put where it belongs: properties, the event store, signals."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import assert_never

import trio

from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import DetailValue, PathReport
from mqvpn_helper.interface.host_plan import DnsMethod
from mqvpn_helper.service.announcer import Announcer
from mqvpn_helper.service.event_store import EventStore
from mqvpn_helper.service.metered_links import MeteredLinks
from mqvpn_helper.service.property_board import PropertyBoard
from mqvpn_helper.service.rate_limits import RateLimit, RateLimiter
from mqvpn_helper.service.variants import path_variants
from mqvpn_helper.session.events import (
    AddressesAssigned,
    DnsApplied,
    Ended,
    EventReported,
    KillSwitchChanged,
    PathStats,
    SecretsNeeded,
    SessionError,
    SessionEvent,
    StateChanged,
)

_log = logging.getLogger(__name__)

_EVENT_LIMIT = RateLimit(burst=200, rate=20)
_NOTHING: Mapping[str, DetailValue] = MappingProxyType({})


class NewsDesk:
    """Receives the news of sessions. C: `receive`, `show_state`, `show_paths`, `tell`."""

    def __init__(
        self,
        board: PropertyBoard,
        events: EventStore,
        announcer: Announcer,
        metered: MeteredLinks,
        wall_clock_us: Callable[[], int],
    ) -> None:
        """Take where news go.

        Args:
            board: the properties.
            events: the last events.
            announcer: sends signals.
            metered: knows which links cost money.
            wall_clock_us: microseconds since 1970.
        """
        self._board = board
        self._events = events
        self._announcer = announcer
        self._metered = metered
        self._wall_clock_us = wall_clock_us
        self._paths: Sequence[PathReport] = ()
        self._event_limit = RateLimiter(_EVENT_LIMIT)

    def receive(self, news: SessionEvent, *, owner: int, profile: str) -> None:
        """Take a piece of news of the running session.

        Args:
            news: what it tells.
            owner: whose session.
            profile: name of its profile.
        """
        match news:
            case StateChanged():
                self.show_state(news.state, news.error)
            case AddressesAssigned():
                self._board.put(table.TUN_NAME, news.tun_name if news.addresses else "")
                self._board.put(table.ADDRESSES, [str(each) for each in news.addresses])
            case PathStats(is_periodic=True):
                paths = self._with_costs(news.paths)
                self._announcer.tell_stats(paths, self._wall_clock_us())
            case PathStats():
                self._paths = news.paths
                self._metered.note(each.interface for each in news.paths)
                self.show_paths()
            case EventReported():
                self.tell(news.kind, owner=owner, path=news.path, detail=news.detail)
            case SecretsNeeded():
                self._announcer.ask_secrets(profile)
            case KillSwitchChanged():
                mode = news.mode.value
                self._board.put(table.KILL_SWITCH, mode)
                self.tell(BusEventKind.KILLSWITCH, owner=owner, detail={"mode": mode})
            case DnsApplied():
                method = "" if news.method is DnsMethod.NONE else news.method.value
                self._board.put(table.DNS_METHOD, method)
                self.tell(BusEventKind.DNS, owner=owner, detail={"method": method})
            case Ended():
                state = TunnelState.ERROR if news.error else TunnelState.OFF
                self.show_state(state, news.error)
            case _:
                assert_never(news)

    def show_state(self, state: TunnelState, error: SessionError | None) -> None:
        """Show the state of the tunnel, and why it is so if that is an error."""
        self._announcer.stop_asking()
        if self._board.value(table.STATE) != state.value:
            self._board.put(table.STATE, state.value)
            self._board.put(table.SINCE, self._wall_clock_us())
        if error is not None:
            self._board.put(table.LAST_ERROR, (error.kind.value, error.text))
        elif state in (TunnelState.CONNECTING, TunnelState.UP):
            self._board.put(table.LAST_ERROR, ("", ""))

    def show_paths(self) -> None:
        """Show the paths as they were told last, with what is known of their costs now."""
        paths = {each.interface: path_variants(each) for each in self._with_costs(self._paths)}
        self._board.put(table.PATHS, paths)

    def _with_costs(self, paths: Sequence[PathReport]) -> list[PathReport]:
        return [
            replace(each, metered=each.metered or self._metered.has(each.interface))
            for each in paths
        ]

    def tell(
        self,
        kind: BusEventKind,
        *,
        owner: int,
        path: str = "",
        detail: Mapping[str, DetailValue] = _NOTHING,
    ) -> None:
        """Keep an event and tell subscribers."""
        # A core that is not itself any more must not drown those who listen.
        if not self._event_limit.allow(owner, trio.current_time()):
            _log.debug("an event too many: %s", kind)
            return
        event = self._events.add(
            kind, time_us=self._wall_clock_us(), owner=owner, path=path, detail=detail
        )
        self._announcer.tell_event(event)
