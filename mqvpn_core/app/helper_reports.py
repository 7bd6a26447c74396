"""What a core tells the helper about its tunnel: state, paths and events, in the helper's words."""

from collections.abc import Mapping
from types import MappingProxyType

import trio

from mqvpn_core.app.client_parts import ClientParts
from mqvpn_core.app.path_status import path_statuses
from mqvpn_core.ids import Instant
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.event_values import CoreEvent, EventKind
from mqvpn_core.runtime.helper_link import HelperLink
from mqvpn_core.runtime.status_values import PathStatus
from mqvpn_core.tunnel.lifecycle import Connected, Reconnecting
from mqvpn_core.tunnel.link_rules import dial_targets
from mqvpn_core.tunnel.link_table import LinkMedium
from mqvpn_core.tunnel.link_usage import cap_of
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    HEARTBEAT,
    MAX_DETAILS,
    MAX_PATHS,
    MAX_USED_LINKS,
    DetailValue,
    EventReport,
    LinkKind,
    LinkUsage,
    PathReport,
    PathsReport,
    PathState,
    PathUse,
    StateReport,
    UsageReport,
)
from mqvpn_helper.interface.control_packets import link_name, one_line

LOOK_INTERVAL = 0.1
"""Seconds between two looks at the tunnel when nothing makes itself known."""
USAGE_INTERVAL = 10.0
"""Seconds between two reports of what links have carried."""
GRACE = 3.0
"""Seconds a path may be missing before the tunnel counts as degraded."""
_BITS = 8
_PAGE = 100

_KINDS: Mapping[EventKind, BusEventKind] = MappingProxyType(
    {
        EventKind.CONNECTION_UP: BusEventKind.CONNECTED,
        EventKind.CONNECTION_DOWN: BusEventKind.DISCONNECTED,
        EventKind.RECONNECTING: BusEventKind.RECONNECTING,
        EventKind.PATH_ADDED: BusEventKind.PATH_ADDED,
        EventKind.PATH_VALIDATED: BusEventKind.PATH_UP,
        EventKind.PATH_MOVED: BusEventKind.PATH_MOVED,
        EventKind.PATH_SUSPECT: BusEventKind.PATH_DOWN,
        EventKind.PATH_RECOVERED: BusEventKind.RECOVERED,
        EventKind.PATH_ABANDONED: BusEventKind.PATH_DOWN,
        EventKind.FAILOVER: BusEventKind.FAILOVER,
        EventKind.ROLE_CHANGED: BusEventKind.ROLE_CHANGED,
    }
)
_MEDIA: Mapping[LinkMedium, LinkKind] = MappingProxyType(
    {
        LinkMedium.WIRED: LinkKind.WIRED,
        LinkMedium.WIRELESS: LinkKind.WIRELESS,
        LinkMedium.CELLULAR: LinkKind.CELLULAR,
    }
)
_STATES: Mapping[str, PathState] = MappingProxyType({state.value: state for state in PathState})


class HelperReporter:
    """Reports of one client. C: `want_stats`. Tasks: `run`."""

    def __init__(self, link: HelperLink, parts: ClientParts) -> None:
        """Report on this client over that link."""
        self._link = link
        self._parts = parts
        self._state: TunnelState | None = None
        self._told_event = 0
        self._told_states: tuple[tuple[str, PathState, PathUse, int], ...] = ()
        self._missing_since: Instant | None = None
        self._interval = 0.0
        self._stats_at: float = read_clock()
        self._usage_at: float = read_clock()
        self._heartbeat_at: float = read_clock()
        self._told_usage = parts.usage.usage

    def want_stats(self, interval: float) -> None:
        """Report paths at an interval in seconds from now on; 0 for changes only."""
        self._interval = interval
        self._stats_at = read_clock()

    async def run(self) -> None:
        """Report until cancelled."""
        try:
            while True:
                self._look(read_clock())
                with trio.move_on_after(LOOK_INTERVAL):
                    await self._parts.events.wait_after(self._told_event)
        finally:
            self._parts.usage.count()
            self._tell_usage()

    def _look(self, now: Instant) -> None:
        reason = self._tell_events()
        paths = self._paths(now)
        state = self._read_state(paths, now)
        if state is not self._state or now >= self._heartbeat_at:
            self._state = state
            self._heartbeat_at = now + HEARTBEAT
            self._link.report(StateReport(state=state, reason=one_line(reason)))
        states = tuple((path.interface, path.state, path.role, path.cap_bytes) for path in paths)
        is_due = self._interval > 0 and now >= self._stats_at
        if is_due:
            self._stats_at = now + self._interval
        if is_due or states != self._told_states:
            self._told_states = states
            self._link.report(PathsReport(paths=paths, is_periodic=is_due))
        if now >= self._usage_at:
            self._usage_at = now + USAGE_INTERVAL
            self._tell_usage()

    def _tell_usage(self) -> None:
        usage = self._parts.usage.usage
        if usage != self._told_usage:
            self._told_usage = usage
            named = [each for each in usage.bytes_by_link.items() if link_name(each[0])]
            counts = tuple(sorted(named))[:MAX_USED_LINKS]
            told = LinkUsage(month=usage.month, bytes_by_link=counts)
            self._link.report(UsageReport(usage=told))

    def _tell_events(self) -> str:
        """Tell of what happened since the last time; return the last event in words."""
        page = self._parts.events.page_after(self._told_event, limit=_PAGE)
        self._told_event = page.last
        for event in page.events:
            report = event_report(event)
            if report is not None:
                self._link.report(report)
        return page.events[-1].text if page.events else ""

    def _read_state(self, paths: tuple[PathReport, ...], now: Instant) -> TunnelState:
        supervisor = self._parts.supervisor
        if isinstance(supervisor.state, Reconnecting):
            return TunnelState.RECONNECTING
        if not isinstance(supervisor.state, Connected) or not supervisor.is_host_current:
            return TunnelState.CONNECTING
        if any(path.state is PathState.SUSPECT for path in paths):
            return TunnelState.DEGRADED
        working = {path.interface for path in paths if path.state is PathState.ACTIVE}
        if self._wanted() <= working:
            self._missing_since = None
            return TunnelState.UP
        if self._missing_since is None:
            self._missing_since = now
        is_over = now >= self._missing_since + GRACE
        return TunnelState.DEGRADED if is_over else TunnelState.UP

    def _wanted(self) -> set[str]:
        parts = self._parts
        targets = dial_targets(
            parts.links.table, parts.board.rules, parts.attempts.server_addresses
        )
        return {target.link.name for target in targets}

    def _paths(self, now: Instant) -> tuple[PathReport, ...]:
        attempts = self._parts.attempts
        if attempts.live is None or attempts.live_watch is None:
            return ()
        dialled, _ = attempts.live
        statuses = path_statuses(
            dialled.connection,
            attempts.live_watch,
            lambda four_tuple: dialled.link_names.get(four_tuple.local, ""),
            now,
        )
        return tuple(
            self._report(status, state)
            for status in statuses
            if (state := _STATES.get(status.state)) is not None
        )[:MAX_PATHS]

    def _report(self, status: PathStatus, state: PathState) -> PathReport:
        link = self._parts.links.table.named(status.interface)
        kind = LinkKind.OTHER if link is None else _MEDIA.get(link.medium, LinkKind.OTHER)
        usage = self._parts.usage
        return PathReport(
            interface=link_name(status.interface),
            kind=kind,
            state=state,
            role=PathUse(status.use),
            rtt_ms=status.srtt_ms,
            jitter_ms=status.jitter_ms,
            loss=min(max(status.loss, 0.0), 1.0),
            rx_bps=int(status.rx_rate * _BITS),
            tx_bps=int(status.tx_rate * _BITS),
            share=min(max(status.share, 0.0), 1.0),
            metered=kind is LinkKind.CELLULAR,
            mtu=status.mtu,
            used_bytes=usage.usage.bytes_by_link.get(status.interface, 0),
            cap_bytes=cap_of(status.interface, usage.caps),
        )


def event_report(event: CoreEvent) -> EventReport | None:
    """Return an event in the helper's words; None for one that is of no interest to users."""
    kind = _KINDS.get(event.kind)
    if kind is None:
        return None
    detail: dict[str, DetailValue] = {"text": one_line(event.text)}
    for name, value in event.details.items():
        if len(detail) < MAX_DETAILS:
            detail[name] = one_line(value) if isinstance(value, str) else value
    return EventReport(kind=kind, path=link_name(event.interface), detail=detail)
