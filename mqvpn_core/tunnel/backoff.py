"""How long to wait before the next attempt: pure, jittered, fed with outside entropy.

A server that restarts must be found again within two seconds of its return, so the delay stays
below one second for the first minutes of an outage. Only a long outage makes the client patient,
or a server that is there and refuses: asking it every second brings nothing but work.
"""

from collections.abc import Callable
from dataclasses import dataclass

_ENTROPY_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffConfig:
    """Delays in seconds; the defaults are the documented behaviour."""

    first: float = 0.1
    """Delay before the second attempt; the first one has none."""
    early_ceiling: float = 0.9
    """Largest delay while the outage is young."""
    early_period: float = 300.0
    """Age at which an outage stops being young."""
    growth: float = 1.6
    """Factor from one delay to the next."""
    ceiling: float = 30.0
    """Largest delay of all."""
    jitter: float = 0.25
    """Each delay is shortened by a random part of up to this fraction."""


class Backoff:
    """The delays of one outage; ask once per attempt, reset when the tunnel is up."""

    def __init__(self, config: BackoffConfig, entropy: Callable[[int], bytes]) -> None:
        """Start before the first attempt.

        Args:
            config: limits and growth.
            entropy: returns that many random bytes; seeded in tests.
        """
        self._config = config
        self._entropy = entropy
        self._early = 0.0
        self._late = config.early_ceiling
        self._refused = config.early_ceiling

    def reset(self) -> None:
        """Forget the outage: the next delay is none, the one after that the first."""
        self._early = 0.0
        self._late = self._config.early_ceiling
        self._refused = self._config.early_ceiling

    def next_delay(self, outage: float, *, is_refused: bool = False) -> float:
        """Return the delay before the next attempt.

        Args:
            outage: seconds since the tunnel was lost or first asked for.
            is_refused: the server answers, and does not accept the key.
        """
        config = self._config
        if is_refused:
            self._refused = min(self._refused * config.growth, config.ceiling)
            return self._jittered(self._refused)
        if outage >= config.early_period:
            self._late = min(self._late * config.growth, config.ceiling)
            return self._jittered(self._late)
        delay = self._early
        self._early = min(max(delay * config.growth, config.first), config.early_ceiling)
        return self._jittered(delay)

    def _jittered(self, delay: float) -> float:
        # Many clients lose one server at the same moment: they must not come back in step.
        share = int.from_bytes(self._entropy(_ENTROPY_BYTES), "big") / (1 << 8 * _ENTROPY_BYTES)
        return delay * (1.0 - self._config.jitter * share)
