"""How many ICMP errors one end of one tunnel may send (RFC 4443 s2.4 f, RFC 1812 s4.3.2.8)."""

from typing import Final

from mqvpn_core.ids import Instant

_RATE: Final = 100.0
"""Errors a second in the long run: a bulk sender still learns a new MTU at once."""
_BURST: Final = 50.0


class IcmpLimiter:
    """A token bucket; full at the start."""

    __slots__ = ("_since", "_tokens")

    def __init__(self) -> None:
        """Start full."""
        self._tokens = _BURST
        self._since: Instant | None = None

    def may_send(self, now: Instant) -> bool:
        """Take one token; False when there is none."""
        if self._since is not None:
            self._tokens = min(_BURST, self._tokens + max(0.0, now - self._since) * _RATE)
        self._since = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
