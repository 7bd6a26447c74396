"""Many deadlines, the earliest one cheap to find: for servers with many connections."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from mqvpn_core.ids import Instant

K = TypeVar("K", bound=Hashable)
_SLACK = 64


class DeadlineQueue(Generic[K]):
    """One deadline per key.

    A: `earliest`. C: `set`, `remove`. D: `take_next_due`, `take_due`.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._current: dict[K, Instant] = {}
        # Entries that were moved or removed stay in the heap until they surface.
        self._heap: list[tuple[Instant, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        """Return the number of keys that have a deadline."""
        return len(self._current)

    def set(self, key: K, deadline: Instant | None) -> None:
        """Move the deadline of ``key``; `None` means never."""
        if deadline is None:
            self._current.pop(key, None)
            return
        if self._current.get(key) == deadline:
            return
        self._current[key] = deadline
        self._serial += 1  # keys themselves need not be comparable
        heapq.heappush(self._heap, (deadline, self._serial, key))
        if len(self._heap) > 2 * len(self._current) + _SLACK:
            self._rebuild()

    def remove(self, key: K) -> None:
        """Forget ``key``."""
        self._current.pop(key, None)

    def earliest(self) -> Instant | None:
        """Return the earliest deadline."""
        while self._heap:
            deadline, _, key = self._heap[0]
            if self._current.get(key) == deadline:
                return deadline
            heapq.heappop(self._heap)
        return None

    def take_next_due(self, now: Instant) -> K | None:
        """Return the key whose deadline passed first, if one has; it has none any more."""
        deadline = self.earliest()
        if deadline is None or deadline > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._current[key]
        return key

    def take_due(self, now: Instant) -> list[K]:
        """Return the keys whose deadline has passed, earliest first; they have none any more."""
        due: list[K] = []
        while (key := self.take_next_due(now)) is not None:
            due.append(key)
        return due

    def _rebuild(self) -> None:
        self._heap = [
            (deadline, number, key) for number, (key, deadline) in enumerate(self._current.items())
        ]
        heapq.heapify(self._heap)
        self._serial = len(self._heap)
