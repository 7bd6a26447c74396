"""The life of the tunnel, as the user sees it: a pure reducer.

``step(state, event)`` gives the next state and the commands to carry out, in order. Rules:

* Once a tunnel was up, nothing but the user takes its addresses and routes from the host: they
  stay through ``Reconnecting``, so that inner TCP connections survive an outage.
* The host is touched only when the assignment differs from what the host already has.
* Before the first success a failure that waiting cannot cure (wrong key, missing permission)
  ends in ``Blocked``; afterwards every failure is retried, because the server worked before and
  giving up would send the user's traffic outside the tunnel.
* ``Blocked`` waits for the user; nothing leaves it by itself.

The machine knows no clock: the shell delays ``StartAttempt`` with `mqvpn_core.tunnel.backoff`.
"""

import enum
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.tunnel.assignment import Assignment


class FailureKind(enum.Enum):
    """Why an attempt failed or a tunnel was lost."""

    NAME_NOT_FOUND = "name not found"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    CREDENTIALS = "credentials"
    REFUSED = "refused"
    LOST = "lost"
    HOST = "host"


_INCURABLE = frozenset({FailureKind.CREDENTIALS, FailureKind.HOST})
"""Failures of a first attempt that waiting does not cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure, in a form that can be shown to the user."""

    kind: FailureKind
    """The class of failure; decides whether to try again."""
    message: str
    """What happened and what to do about it, one line."""
    may_retry: bool = True
    """The peer or the session did not rule out a further attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """No tunnel, nothing changed on the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """First attempts; the host is still as the user left it."""

    attempt: int
    """Number of the attempt that is running or about to start, from 1."""
    reconnect: bool
    """The user wants further attempts after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """Packets flow."""

    assignment: Assignment
    """What the host was last told to have."""
    reconnect: bool
    """The user wants further attempts after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnecting:
    """The connection is lost; addresses and routes stay on the host."""

    assignment: Assignment
    """What the host still has."""
    attempt: int
    """Number of the attempt that is running or about to start, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnecting:
    """The user wants out; the host is being restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Stopped by something that only the user can cure."""

    cause: Failure
    """What to tell the user."""


State: TypeAlias = Disconnected | Connecting | Connected | Reconnecting | Disconnecting | Blocked


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequested:
    """The user wants the tunnel."""

    reconnect: bool
    """Try again after failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """The attempt ended before the tunnel was up."""

    failure: Failure
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelUp:
    """The proxy accepted the request and assigned an address."""

    assignment: Assignment
    """What it gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentChanged:
    """The proxy changed addresses, routes or packet size of the live tunnel."""

    assignment: Assignment
    """What holds now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelLost:
    """The tunnel was up and is gone."""

    failure: Failure
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectRequested:
    """The user wants the tunnel taken down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRestored:
    """Addresses and routes are as before the tunnel."""


Event: TypeAlias = (
    ConnectRequested
    | AttemptFailed
    | TunnelUp
    | AssignmentChanged
    | TunnelLost
    | DisconnectRequested
    | HostRestored
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAttempt:
    """Connect, after the delay that belongs to this attempt."""

    attempt: int
    """Number of the attempt, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyHost:
    """Make the host carry this assignment."""

    assignment: Assignment
    """Addresses, routes and packet size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTunnel:
    """End the connection or the running attempt in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreHost:
    """Take back every change to the host, then report `HostRestored`."""


Command: TypeAlias = StartAttempt | ApplyHost | CloseTunnel | RestoreHost
Step: TypeAlias = tuple[State, tuple[Command, ...]]


def step(state: State, event: Event) -> Step:
    """Return the state after ``event`` and the commands to carry out, in order.

    Raises:
        LocalProtocolError: the event cannot happen in this state.
    """
    match state:
        case Disconnected():
            return _from_disconnected(state, event)
        case Connecting():
            return _from_connecting(state, event)
        case Connected():
            return _from_connected(state, event)
        case Reconnecting():
            return _from_reconnecting(state, event)
        case Disconnecting():
            return _from_disconnecting(state, event)
        case Blocked():
            return _from_blocked(state, event)
        case _:
            assert_never(state)


def _from_disconnected(state: Disconnected, event: Event) -> Step:
    match event:
        case ConnectRequested():
            return _first_attempt(event)
        case DisconnectRequested():
            return state, ()
        case AttemptFailed() | TunnelUp() | AssignmentChanged() | TunnelLost() | HostRestored():
            raise _impossible(state, event)
        case _:
            assert_never(event)


def _from_connecting(state: Connecting, event: Event) -> Step:
    match event:
        case AttemptFailed():
            failure = event.failure
            curable = failure.may_retry and failure.kind not in _INCURABLE
            if not (state.reconnect and curable):
                return Blocked(cause=failure), ()
            attempt = state.attempt + 1
            return (
                Connecting(attempt=attempt, reconnect=True),
                (StartAttempt(attempt=attempt),),
            )
        case TunnelUp():
            return (
                Connected(assignment=event.assignment, reconnect=state.reconnect),
                (ApplyHost(assignment=event.assignment),),
            )
        case DisconnectRequested():
            return _leave()
        case ConnectRequested() | AssignmentChanged() | TunnelLost() | HostRestored():
            raise _impossible(state, event)
        case _:
            assert_never(event)


def _from_connected(state: Connected, event: Event) -> Step:
    match event:
        case AssignmentChanged():
            return _hold(state, event.assignment, reconnect=state.reconnect)
        case TunnelLost():
            # A host that refuses the plan would refuse it again after the next connection.
            if not state.reconnect or event.failure.kind is FailureKind.HOST:
                return Blocked(cause=event.failure), ()
            return (
                Reconnecting(assignment=state.assignment, attempt=1),
                (StartAttempt(attempt=1),),
            )
        case DisconnectRequested():
            return _leave()
        case ConnectRequested() | AttemptFailed() | TunnelUp() | HostRestored():
            raise _impossible(state, event)
        case _:
            assert_never(event)


def _from_reconnecting(state: Reconnecting, event: Event) -> Step:
    match event:
        case AttemptFailed():
            attempt = state.attempt + 1
            return (
                Reconnecting(assignment=state.assignment, attempt=attempt),
                (StartAttempt(attempt=attempt),),
            )
        case TunnelUp():
            return _hold(state, event.assignment, reconnect=True)
        case DisconnectRequested():
            return _leave()
        case ConnectRequested() | AssignmentChanged() | TunnelLost() | HostRestored():
            raise _impossible(state, event)
        case _:
            assert_never(event)


def _from_disconnecting(state: Disconnecting, event: Event) -> Step:
    match event:
        case HostRestored():
            return Disconnected(), ()
        case AttemptFailed() | TunnelUp() | AssignmentChanged() | TunnelLost():
            # The attempt or the tunnel was still busy when the user asked to leave.
            return state, ()
        case DisconnectRequested():
            return state, ()
        case ConnectRequested():
            raise _impossible(state, event)
        case _:
            assert_never(event)


def _from_blocked(state: Blocked, event: Event) -> Step:
    match event:
        case ConnectRequested():
            return _first_attempt(event)
        case DisconnectRequested():
            return Disconnecting(), (RestoreHost(),)
        case AttemptFailed() | TunnelUp() | AssignmentChanged() | TunnelLost() | HostRestored():
            raise _impossible(state, event)
        case _:
            assert_never(event)


def _first_attempt(event: ConnectRequested) -> Step:
    return (
        Connecting(attempt=1, reconnect=event.reconnect),
        (StartAttempt(attempt=1),),
    )


def _hold(state: Connected | Reconnecting, assignment: Assignment, *, reconnect: bool) -> Step:
    commands: tuple[Command, ...] = ()
    if assignment != state.assignment:
        commands = (ApplyHost(assignment=assignment),)
    return Connected(assignment=assignment, reconnect=reconnect), commands


def _leave() -> Step:
    return Disconnecting(), (CloseTunnel(), RestoreHost())


def _impossible(state: State, event: Event) -> LocalProtocolError:
    return LocalProtocolError(
        f"{type(event).__name__} cannot happen while {type(state).__name__.lower()}"
    )
