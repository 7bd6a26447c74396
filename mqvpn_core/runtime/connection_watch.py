"""Watches one connection: samples its paths and turns its events into lines of the event log.

All wording of path events is here. What a peer can cause is limited in number, so that a hostile
one neither fills the log nor pushes out what happened to others.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    HandshakeConfirmed,
    KeysUpdated,
    PathAbandoned,
    PathIdsAvailable,
    PathMigrated,
    PathMtuChanged,
    PathOpened,
    PathRecovered,
    PathStatusChanged,
    PathSuspected,
    PathUseChanged,
    PathValidated,
    TrafficMoved,
)
from mqvpn_core.quic.http3_events import ConnectionEvent
from mqvpn_core.quic.statistics import ConnectionStatistics, PathStatistics
from mqvpn_core.quic.traffic_moves import SILENCE
from mqvpn_core.runtime.address_text import address_text
from mqvpn_core.runtime.event_log import EventLog, EventSubject
from mqvpn_core.runtime.event_values import EventKind
from mqvpn_core.runtime.path_meter import PathMeasures, PathMeter

BURST = 60
"""Events of one connection that are told at once."""
PER_SECOND = 1.0
"""Events a second that are told in the long run."""

_MAX_NAMES = 64
_MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedSide:
    """How to name what is watched."""

    is_client: bool
    """We are the client of this connection."""
    interface_of: Callable[[FourTuple], str]
    """Network interface that a four-tuple leaves by; empty where unknown."""
    peer: Callable[[], str | None]
    """Server: whose connection it is, or None as long as nothing shall be told; client: empty."""


class WatchedConnection(Protocol):
    """What is needed of a QUIC connection."""

    def statistics(self) -> ConnectionStatistics:
        """Take a snapshot of the numbers."""


@dataclass(frozen=True, slots=True)
class _Name:
    text: str
    interface: str


class ConnectionWatch:
    """Observer of one connection: `mqvpn_core.runtime.client_driver.SessionObserver`.

    A: `measure`. B: `look`.
    """

    def __init__(
        self,
        connection: WatchedConnection,
        news: deque[ConnectionEvent],
        log: EventLog,
        side: WatchedSide,
    ) -> None:
        """Watch a connection.

        Args:
            connection: whose paths to measure.
            news: its events, from `Http3Connection.watch`.
            log: where they go.
            side: how to name things.
        """
        self._connection = connection
        self._news = news
        self._log = log
        self._side = side
        self._meter = PathMeter()
        self._names: dict[PathId, _Name] = {}
        self._allowance = float(BURST)
        self._refilled_at = Instant(0.0)
        self._kept_back = 0

    def look(self, now: Instant) -> None:
        """Take a sample if it is time, and record what has happened."""
        self._meter.look(self._take_statistics, now)
        while self._news:
            self._record(self._news.popleft(), now)

    def measure(
        self, paths: tuple[PathStatistics, ...], now: Instant
    ) -> Mapping[PathId, PathMeasures]:
        """Return what the paths did of late."""
        return self._meter.measure(paths, now)

    def _take_statistics(self) -> tuple[PathStatistics, ...]:
        return self._connection.statistics().paths

    def _record(self, event: ConnectionEvent, now: Instant) -> None:
        match event:
            case HandshakeCompleted() | HandshakeConfirmed() | PathIdsAvailable():
                pass
            case ConnectionTerminated():
                pass  # the end of the tunnel is told where its meaning is known
            case KeysUpdated():
                who = "us" if event.initiated_locally else "the other side"
                text = f"new keys (update {event.key_phase}, started by {who})"
                self._tell(EventKind.KEY_UPDATED, text, None, now)
            case PathOpened():
                name = self._learn_name(event.path_id, event.four_tuple)
                self._tell(EventKind.PATH_ADDED, f"{name} is being tried", event.path_id, now)
            case PathValidated():
                name = self._learn_name(event.path_id, event.four_tuple)
                self._tell(EventKind.PATH_VALIDATED, f"{name} works", event.path_id, now)
            case PathMigrated():
                self._record_migration(event, now)
            case _:
                self._record_change(event, now)

    def _record_change(
        self,
        event: PathSuspected
        | PathRecovered
        | PathAbandoned
        | TrafficMoved
        | PathUseChanged
        | PathStatusChanged
        | PathMtuChanged,
        now: Instant,
    ) -> None:
        path_id = event.path_id
        name = self._name(path_id).text
        match event:
            case PathSuspected():
                text = f"{name} is silent"
                details = {"silent_ms": event.silent_for * _MILLISECONDS}
                self._tell(EventKind.PATH_SUSPECT, text, path_id, now, details)
            case PathRecovered():
                text = f"{name} answers again after {_span(event.silent_for)}"
                details = {"silent_ms": event.silent_for * _MILLISECONDS}
                self._tell(EventKind.PATH_RECOVERED, text, path_id, now, details)
            case PathAbandoned():
                self._record_end(event, now)
            case TrafficMoved():
                self._record_failover(event, now)
            case PathUseChanged():
                text = f"{name} is used as {event.use.value} now"
                self._tell(
                    EventKind.ROLE_CHANGED,
                    text,
                    path_id,
                    now,
                    {"role": event.use.value, "by": "us"},
                )
            case PathStatusChanged():
                self._record_wish(event, now)
            case PathMtuChanged():
                text = f"{name} carries packets of {event.max_datagram_size} bytes"
                details = {"bytes": event.max_datagram_size}
                self._tell(EventKind.MTU_CHANGED, text, path_id, now, details)
            case _:
                assert_never(event)

    def _record_failover(self, event: TrafficMoved, now: Instant) -> None:
        name, successor = self._name(event.path_id).text, self._name(event.to_path_id).text
        if name == successor:
            name, successor = f"path {event.path_id}", f"path {event.to_path_id}"
        failed = "is silent" if event.reason == SILENCE else f"is given up ({event.reason})"
        text = f"{name} {failed}, continuing on {successor}, gap {_span(event.gap)}"
        details: dict[str, str | int | float] = {
            "gap_ms": event.gap * _MILLISECONDS,
            "to_path": event.to_path_id,
            "to_interface": self._name(event.to_path_id).interface,
            "reason": event.reason,
        }
        self._tell(EventKind.FAILOVER, text, event.path_id, now, details)

    def _record_end(self, event: PathAbandoned, now: Instant) -> None:
        self._tell(
            EventKind.PATH_ABANDONED,
            f"{self._name(event.path_id).text} is given up: {event.reason}",
            event.path_id,
            now,
            {
                "error_code": event.error_code,
                "by": "peer" if event.by_peer else "us",
                "reason": event.reason,
            },
        )

    def _record_wish(self, event: PathStatusChanged, now: Instant) -> None:
        who = "server" if self._side.is_client else "client"
        role = "backup" if event.is_backup else "available"
        name = self._name(event.path_id).text
        wish = "would rather not be sent to over" if event.is_backup else "takes everything over"
        self._tell(
            EventKind.ROLE_CHANGED,
            f"the {who} {wish} {name}",
            event.path_id,
            now,
            {"role": role, "by": "peer"},
        )

    def _record_migration(self, event: PathMigrated, now: Instant) -> None:
        old_name = self._name(event.path_id).text
        self._learn_name(event.path_id, event.new)
        old, new = (event.old.local, event.new.local)
        if old == new:
            old, new = (event.old.remote, event.new.remote)
        text = f"{old_name} moved from {address_text(old)} to {address_text(new)}"
        details = {"from": address_text(old), "to": address_text(new)}
        self._tell(EventKind.PATH_MOVED, text, event.path_id, now, details)

    def _tell(
        self,
        kind: EventKind,
        text: str,
        path_id: PathId | None,
        now: Instant,
        details: Mapping[str, str | int | float] | None = None,
    ) -> None:
        """Record an event, unless there were too many."""
        peer = self._side.peer()
        if peer is None:
            return
        self._allowance = min(BURST, self._allowance + (now - self._refilled_at) * PER_SECOND)
        self._refilled_at = now
        if self._allowance < 1.0:
            self._kept_back += 1
            return
        self._allowance -= 1.0
        all_details = dict(details or {})
        if self._kept_back:
            all_details["left_out"] = self._kept_back
            text += f" ({self._kept_back} events before this are left out)"
            self._kept_back = 0
        interface = "" if path_id is None else self._name(path_id).interface
        self._log.record(
            kind,
            f"{peer}: {text}" if peer else text,
            now,
            subject=EventSubject(peer=peer, path=path_id, interface=interface),
            details=all_details,
        )

    def _name(self, path_id: PathId) -> _Name:
        """Return how to call a path; path 0 has no event that tells where it leads."""
        if path_id not in self._names:
            for path in self._take_statistics():
                if path.path_id == path_id:
                    self._learn_name(path_id, path.four_tuple)
        return self._names.get(path_id) or _Name(f"path {path_id}", "")

    def _learn_name(self, path_id: PathId, four_tuple: FourTuple) -> str:
        interface = self._side.interface_of(four_tuple)
        self._names.pop(path_id, None)
        if interface:
            text = interface
        elif self._side.is_client:
            text = f"path {path_id}"
        else:
            text = f"path {path_id} from {four_tuple.remote.host}"
        self._names[path_id] = _Name(text, interface)
        while len(self._names) > _MAX_NAMES:
            # The newest stay: an abandoned path may still be spoken of, but not for long.
            del self._names[next(iter(self._names))]
        return text


def _span(seconds: float) -> str:
    return f"{seconds * _MILLISECONDS:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
