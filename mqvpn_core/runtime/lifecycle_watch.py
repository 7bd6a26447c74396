"""Tells the event log what becomes of a client's tunnel as a whole."""

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.event_values import EventKind
from mqvpn_core.tunnel.lifecycle import (
    AttemptFailed,
    Blocked,
    Connected,
    Connecting,
    Disconnected,
    Disconnecting,
    Event,
    Failure,
    FailureKind,
    Reconnecting,
    State,
    TunnelLost,
)

_MILLISECONDS = 1000.0


class LifecycleWatch:
    """Observer of one lifecycle. B: `note`."""

    def __init__(self, log: EventLog, server: str) -> None:
        """Tell ``log`` of the tunnel to ``server``."""
        self._log = log
        self._server = server
        self._lost_at: Instant | None = None
        self._told_refusal = ""

    def note(self, before: State, event: Event, state: State, now: Instant) -> None:
        """Take note that ``event`` has led from one state to another."""
        if type(before) is type(state):
            if isinstance(state, Reconnecting) and isinstance(event, AttemptFailed):
                self._note_refusal(event.failure, now)
            return
        self._told_refusal = ""
        match state:
            case Connected():
                self._note_up(now)
            case Reconnecting():
                self._lost_at = now
                text = "the connection is lost, reconnecting; addresses and routes stay"
                details: dict[str, str | int | float] = {}
                if isinstance(event, TunnelLost):
                    text = f"reconnecting, addresses and routes stay: {event.failure.message}"
                    details = {"reason": event.failure.message}
                self._record(EventKind.RECONNECTING, text, details, now)
            case Blocked():
                text = f"stopped, it takes the user: {state.cause.message}"
                self._record(EventKind.CONNECTION_DOWN, text, {"reason": state.cause.message}, now)
            case Disconnecting() | Disconnected():
                if isinstance(before, Connected | Reconnecting):
                    self._record(EventKind.CONNECTION_DOWN, "disconnected", {}, now)
            case Connecting():
                pass  # of interest when it has led somewhere

    def _note_refusal(self, failure: Failure, now: Instant) -> None:
        """Tell once that a server which had accepted the key does so no more."""
        if failure.kind is FailureKind.CREDENTIALS and failure.message != self._told_refusal:
            self._told_refusal = failure.message
            text = f"the server accepts this key no more; asking it seldom now: {failure.message}"
            self._record(EventKind.RECONNECTING, text, {"reason": failure.message}, now)

    def _note_up(self, now: Instant) -> None:
        text = f"connected to {self._server}"
        details: dict[str, str | int | float] = {"server": self._server}
        if self._lost_at is not None:
            gap = now - self._lost_at
            text += f" again after {gap:.1f} s"
            details["gap_ms"] = gap * _MILLISECONDS
            self._lost_at = None
        self._record(EventKind.CONNECTION_UP, text, details, now)

    def _record(
        self, kind: EventKind, text: str, details: dict[str, str | int | float], now: Instant
    ) -> None:
        # The log has lines of its own about the tunnel, with more in them.
        self._log.record(kind, text, now, details=details, is_logged=False)
