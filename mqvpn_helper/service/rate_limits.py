"""How much one caller may ask: calls a time, calls at a time, and unanswered questions of polkit.

Counted by the caller's bus name first, which costs nothing to look at, and by its user once that
is known: a user may open many connections. No clock of its own.
"""

from collections import OrderedDict
from dataclasses import dataclass

_MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A token bucket."""

    burst: float
    """Calls at once."""
    rate: float
    """Calls a second in the long run."""


SENDER_LIMIT = RateLimit(burst=40, rate=20)
"""For one connection to the bus."""
USER_LIMIT = RateLimit(burst=80, rate=40)
"""For all connections of one user."""
BYTES_OF_ONE_CALL = 4096
"""Longer messages count as several calls: it takes time to decode them."""
MAX_CALLS_AT_ONCE = 8
"""Unfinished calls of one connection."""
MAX_CALLS_OF_USER = 16
"""Unfinished calls of one user."""


@dataclass(slots=True)
class _Bucket:
    """What is left, and when that was so."""

    tokens: float
    counted_at: float


class RateLimiter:
    """One bucket for each key; the least recently used are forgotten when there are too many."""

    def __init__(self, limit: RateLimit) -> None:
        """Start with full buckets."""
        self._limit = limit
        self._buckets: OrderedDict[str | int, _Bucket] = OrderedDict()

    def allow(self, key: str | int, now: float, cost: float = 1.0) -> bool:
        """Count one call; return whether it is within the limit.

        Args:
            key: whose call.
            now: the time.
            cost: as many calls as it counts for; more than a full bucket empties that.
        """
        cost = min(cost, self._limit.burst)
        bucket = self._buckets.pop(key, None) or _Bucket(self._limit.burst, now)
        self._buckets[key] = bucket
        if len(self._buckets) > _MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        passed = max(now - bucket.counted_at, 0.0)
        bucket.tokens = min(bucket.tokens + passed * self._limit.rate, self._limit.burst)
        bucket.counted_at = now
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True


class CallCounter:
    """Counts what is under way for each key."""

    def __init__(self, limit: int) -> None:
        """Start with nothing under way."""
        self._limit = limit
        self._counts: dict[str | int, int] = {}

    @property
    def total(self) -> int:
        """What is under way for all keys together."""
        return sum(self._counts.values())

    def begin(self, key: str | int) -> bool:
        """Count one more; return False, and count nothing, when that is too many."""
        count = self._counts.get(key, 0)
        if count >= self._limit:
            return False
        self._counts[key] = count + 1
        return True

    def end(self, key: str | int) -> None:
        """Count one less."""
        count = self._counts.pop(key)
        if count > 1:
            self._counts[key] = count - 1
