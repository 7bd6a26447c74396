"""When to update our 1-RTT keys (RFC 9001 s6)."""

from collections import deque

from mqvpn_core.ids import Instant
from mqvpn_core.quic.events import Event, KeysUpdated
from mqvpn_core.quic.protection import PacketProtection


class KeyUpdates:
    """Starts updates on request, by age, and before the AEAD limit; tells about all of them."""

    def __init__(
        self, protection: PacketProtection, interval: float | None, events: deque[Event]
    ) -> None:
        self._protection = protection
        self._interval = interval
        self._events = events
        self._is_wanted = False
        self._last_at: Instant | None = None

    def request(self) -> None:
        """Update as soon as the rules allow."""
        self._is_wanted = True

    def run(self, now: Instant, largest_probe_timeout: float) -> None:
        """Start an update if one is wanted and allowed."""
        if self._last_at is None:
            self._last_at = now
        is_old = self._interval is not None and now >= self._last_at + self._interval
        if not (self._is_wanted or is_old or self._protection.needs_update):
            return
        if self._protection.may_initiate_update(now, largest_probe_timeout):
            self._protection.initiate_update(now)
            self._is_wanted = False
            self.tell(now)

    def tell(self, now: Instant) -> None:
        """Turn updates that have happened, on either side's initiative, into events."""
        for phase, locally in self._protection.take_update_events():
            self._last_at = now
            self._events.append(KeysUpdated(key_phase=phase, initiated_locally=locally))
