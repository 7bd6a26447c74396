"""Who wants to hear signals, and how often statistics; pure, time is an argument."""

from collections.abc import Callable
from dataclasses import dataclass

from mqvpn_helper.interface.bus_names import MAX_STATS_INTERVAL_MS, MIN_STATS_INTERVAL_MS

MAX_SUBSCRIBERS = 64
"""Of all users together."""
MAX_SUBSCRIBERS_OF_USER = 16
"""Connections of one user that may subscribe."""
_MILLISECONDS = 1000
_EARLY = 0.5  # of an interval: statistics come by the clock of the core, not by ours


@dataclass(slots=True, kw_only=True)
class Subscriber:
    """One connection that wants to hear."""

    sender: str
    """Its name on the bus."""
    uid: int
    """Its user."""
    interval: float | None
    """Seconds between statistics; None: it wants none."""
    due_at: float
    """When it is to get them next."""


class Subscriptions:
    """All subscribers.

    A: `count`, `insiders`, `shortest_interval`. C: `put`, `remove`, `take_due`.
    """

    def __init__(self) -> None:
        """Start with nobody."""
        self._subscribers: dict[str, Subscriber] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._subscribers)

    def put(self, sender: str, uid: int, interval_ms: int, now: float) -> bool:
        """Add a subscriber or change what it wants; return False when there are too many."""
        if sender not in self._subscribers:
            of_user = sum(1 for each in self._subscribers.values() if each.uid == uid)
            if self.count >= MAX_SUBSCRIBERS or of_user >= MAX_SUBSCRIBERS_OF_USER:
                return False
        bounded = min(max(interval_ms, MIN_STATS_INTERVAL_MS), MAX_STATS_INTERVAL_MS)
        interval = bounded / _MILLISECONDS if interval_ms else None
        self._subscribers[sender] = Subscriber(
            sender=sender, uid=uid, interval=interval, due_at=now
        )
        return True

    def remove(self, sender: str) -> bool:
        """Remove a subscriber; return whether it was one."""
        return self._subscribers.pop(sender, None) is not None

    def has(self, sender: str) -> bool:
        """Return whether this connection subscribed."""
        return sender in self._subscribers

    def insiders(self, may_see: Callable[[int], bool]) -> list[str]:
        """Return the names of those whose user may see what is private."""
        return [each.sender for each in self._subscribers.values() if may_see(each.uid)]

    def shortest_interval(self, may_see: Callable[[int], bool]) -> float | None:
        """Return how often statistics are wanted; None: by nobody."""
        return min(
            (
                each.interval
                for each in self._subscribers.values()
                if each.interval is not None and may_see(each.uid)
            ),
            default=None,
        )

    def take_due(self, may_see: Callable[[int], bool], now: float) -> list[str]:
        """Return who gets statistics now, and count that as done."""
        due: list[str] = []
        for each in self._subscribers.values():
            if each.interval is None or not may_see(each.uid):
                continue
            if now >= each.due_at - each.interval * _EARLY:
                each.due_at = max(each.due_at + each.interval, now)
                due.append(each.sender)
        return due
