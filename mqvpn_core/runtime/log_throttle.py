"""Keeps what strangers can cause from filling the log."""

import logging

from mqvpn_core.ids import Instant

_MINUTE = 60.0


class LogThrottle:
    """Lets a number of lines a minute through and says how many it kept back."""

    def __init__(self, *, per_minute: float) -> None:
        """Start with a full allowance."""
        self._limit = per_minute
        self._allowance = per_minute
        self._updated = Instant(0.0)
        self._kept_back = 0

    def warn(self, log: logging.Logger, message: str, *values: object, now: Instant) -> None:
        """Log a warning, or count it."""
        refill = (now - self._updated) * self._limit / _MINUTE
        self._allowance = min(self._limit, self._allowance + refill)
        self._updated = now
        if self._allowance < 1.0:
            self._kept_back += 1
            return
        self._allowance -= 1.0
        log.warning(message, *values)
        if self._kept_back:
            log.warning("%d more like this were not logged", self._kept_back)
            self._kept_back = 0
