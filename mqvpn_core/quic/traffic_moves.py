"""Measures how long traffic stood still when a path failed and another one took over.

Only looks: at the state of the paths and at when each of them last carried DATAGRAM frames. Told
the time like everything else; costs a glance at each path when nothing is wrong.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.events import Event, TrafficMoved
from mqvpn_core.quic.paths import Path

RECENT_USE = 2.0
"""Seconds: a path that has carried no data for longer was not in use when it failed."""

SILENCE = "it is silent"
"""Reason of a failure that nobody has explained."""

MAX_OUTAGES = 64
"""Failures that wait for traffic to go on; more than any number of links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outage:
    """A path that failed while it was in use."""

    path_id: PathId
    began_at: Instant
    noticed_at: Instant
    reason: str


class TrafficMoves:
    """Turns failures of paths in use into `TrafficMoved`.

    A failure is the suspicion of a path, or its abandonment when it was not suspected before. The
    gap begins with the last sign of life: the last packet that came on the path or the last
    acknowledgement of one sent on it. If that was answered in full, so that nobody missed anything
    yet, it begins with the first packet that stayed unanswered, or with the failure when there is
    none. It ends when the first DATAGRAM frame after the failure leaves or arrives on a path that
    works. A path that recovers before that had no successor, and no gap is told.

    B: look. D: events, put into the queue given.
    """

    def __init__(self, events: deque[Event]) -> None:
        """Tell through this queue."""
        self._events = events
        self._failed: set[PathId] = set()
        self._outages: dict[PathId, _Outage] = {}

    @property
    def is_waiting(self) -> bool:
        """Some traffic has not gone on yet."""
        return bool(self._outages)

    def look(self, paths: Collection[Path], now: Instant) -> None:
        """Compare the paths with what they were at the last call."""
        for path in paths:
            if path.is_suspect or path.is_abandoned:
                break
        else:
            if not self._failed and not self._outages:
                return  # as nearly always: this runs with every batch
        failed = {path.path_id for path in paths if path.is_suspect or path.is_abandoned}
        if failed != self._failed:
            self._note_changes(paths, failed, now)
        if self._outages:
            self._find_successors(paths, now)

    def _note_changes(self, paths: Collection[Path], failed: set[PathId], now: Instant) -> None:
        for path in paths:
            if path.path_id in failed:
                if path.path_id not in self._failed and path.was_in_use(now - RECENT_USE):
                    self._outages[path.path_id] = _outage(path, now)
            else:
                self._outages.pop(path.path_id, None)
        while len(self._outages) > MAX_OUTAGES:
            del self._outages[next(iter(self._outages))]
        self._failed = failed

    def _find_successors(self, paths: Collection[Path], now: Instant) -> None:
        working = [path for path in paths if path.path_id not in self._failed]
        for outage in list(self._outages.values()):
            successor = next((path for path in working if path.was_in_use(outage.noticed_at)), None)
            if successor is not None:
                del self._outages[outage.path_id]
                self._events.append(
                    TrafficMoved(
                        path_id=outage.path_id,
                        to_path_id=successor.path_id,
                        gap=now - outage.began_at,
                        reason=outage.reason,
                    )
                )


def _outage(path: Path, now: Instant) -> _Outage:
    began_at = now
    if path.has_unanswered:
        began_at = max(path.last_received_at, path.unanswered_since)
    return _Outage(
        path_id=path.path_id,
        began_at=began_at,
        noticed_at=now,
        reason=path.abandon_reason or SILENCE,
    )
