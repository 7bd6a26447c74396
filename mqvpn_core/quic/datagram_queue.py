"""DATAGRAM payloads that wait for a path: bounded in bytes and in age, oldest dropped first.

# walk: 5 of 16

The queue stands in front of the choice of a path, so a dying path strands nothing. An IP packet
that is late is worth less than none: when the paths are slower than what comes in, waiting longer
only adds delay for all packets behind it.
"""

from collections import deque
from collections.abc import Sequence

from mqvpn_core.ids import Instant

DEFAULT_MAX_BYTES = 2 * 1024 * 1024
"""Ten milliseconds at 1.6 Gbit/s: room for a burst of super-packets, and little standing delay."""
DEFAULT_MAX_AGE = 0.2
"""Seconds; the longest delay the queue may add, about what an inner TCP takes for a lost packet."""

_FRAME_TYPE_BYTES = 1


class DatagramQueue:
    """First in, first out.

    Reads: ``len``, ``waiting_bytes``, ``head_frame_bytes``, the drop counters.
    Writes: ``push``, ``pull_batch``. Sizes are those of DATAGRAM frames without a length field:
    one byte of frame type, the prefix and the payload (RFC 9221 s4).
    """

    def __init__(
        self, *, max_bytes: int = DEFAULT_MAX_BYTES, max_age: float = DEFAULT_MAX_AGE
    ) -> None:
        """Start empty.

        Args:
            max_bytes: frame bytes to hold at most.
            max_age: seconds after which a payload is dropped.
        """
        self.waiting_bytes = 0
        self.too_big_count = 0
        self.overflow_count = 0
        self.expired_count = 0
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._items: deque[tuple[bytes, bytes]] = deque()
        # One entry for each push: when it happened and how many of its payloads are left.
        self._pushes: deque[tuple[Instant, int]] = deque()
        self._left_of_first_push = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def dropped_count(self) -> int:
        """Payloads dropped for any reason."""
        return self.too_big_count + self.overflow_count + self.expired_count

    @property
    def head_frame_bytes(self) -> int | None:
        """Size of the frame that would leave first, None when empty."""
        if not self._items:
            return None
        prefix, payload = self._items[0]
        return _FRAME_TYPE_BYTES + len(prefix) + len(payload)

    def push(self, prefix: bytes, payloads: Sequence[bytes], now: Instant) -> None:
        """Queue payloads; the oldest give way when there is no room.

        Args:
            prefix: bytes in front of each payload, as quarter stream ID and context ID.
            payloads: the rest of each DATAGRAM frame.
            now: the time.
        """
        if not payloads:
            return
        self._items.extend([(prefix, payload) for payload in payloads])
        if not self._pushes:
            self._left_of_first_push = len(payloads)
        self._pushes.append((now, len(payloads)))
        self.waiting_bytes += sum(map(len, payloads)) + len(payloads) * (
            _FRAME_TYPE_BYTES + len(prefix)
        )
        while self.waiting_bytes > self._max_bytes:
            self._drop_first()
            self.overflow_count += 1

    def pull_batch(
        self, *, max_frame_bytes: int, budget_bytes: int, max_count: int, now: Instant
    ) -> list[tuple[bytes, bytes]]:
        """Take payloads from the head, each with its prefix.

        Payloads that waited too long and those that do not fit a packet are dropped on the way.

        Args:
            max_frame_bytes: room for frames in one packet of the path.
            budget_bytes: frame bytes to take at most.
            max_count: payloads to take at most.
            now: the time.
        """
        self._expire(now)
        items: list[tuple[bytes, bytes]] = []
        queue = self._items
        while queue and len(items) < max_count:
            prefix, payload = queue[0]
            size = _FRAME_TYPE_BYTES + len(prefix) + len(payload)
            if size > max_frame_bytes:
                self._drop_first()
                self.too_big_count += 1
                continue
            if size > budget_bytes:
                break
            budget_bytes -= size
            items.append(self._drop_first())
        return items

    def _expire(self, now: Instant) -> None:
        while self._pushes and now - self._pushes[0][0] > self._max_age:
            count = self._left_of_first_push
            for _ in range(count):
                self._drop_first()
            self.expired_count += count

    def _drop_first(self) -> tuple[bytes, bytes]:
        item = self._items.popleft()
        self.waiting_bytes -= _FRAME_TYPE_BYTES + len(item[0]) + len(item[1])
        self._left_of_first_push -= 1
        if not self._left_of_first_push:
            self._pushes.popleft()
            self._left_of_first_push = self._pushes[0][1] if self._pushes else 0
        return item
