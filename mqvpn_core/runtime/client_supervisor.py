"""Carries out the tunnel's lifecycle: attempts one after another, and the host as it should be.

Owns the order of things; decides nothing (that is `mqvpn_core.tunnel.lifecycle`). The host is
restored exactly once, whichever way the run ends.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.ids import Instant
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.backoff import Backoff
from mqvpn_core.tunnel.lifecycle import (
    ApplyHost,
    AssignmentChanged,
    AttemptFailed,
    Blocked,
    CloseTunnel,
    Command,
    Connected,
    Connecting,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
    Event,
    Failure,
    FailureKind,
    HostRestored,
    Reconnecting,
    RestoreHost,
    StartAttempt,
    State,
    TunnelLost,
    TunnelUp,
    step,
)
from mqvpn_helper.interface.host_plan import HostPlan, HostReport

_log = logging.getLogger(__name__)

STABLE_AFTER = 10.0
"""Seconds a tunnel must have been up for its loss to begin a new series of delays."""
RESTORE_LIMIT = 15.0
"""Seconds that restoring the host may take, whatever else is being cancelled."""


class PlannedHost(Protocol):
    """What the supervisor needs of the host."""

    async def apply(self, plan: HostPlan) -> HostReport:
        """Make the host as the plan says."""

    async def undo(self) -> None:
        """Take back everything."""


class AttemptReporter(Protocol):
    """How an attempt tells what became of it."""

    async def up(self, assignment: Assignment) -> None:
        """Report that the tunnel is up; returns when the host carries it."""

    async def changed(self, assignment: Assignment) -> None:
        """Report that the assignment changed; returns when the host carries it."""


Attempt = Callable[[AttemptReporter], Awaitable[Failure]]
"""One attempt from name resolution to the end of its tunnel; returns why it ended.

It closes its connection in order when it is cancelled.
"""


def _note_nothing(before: State, event: Event, state: State, now: Instant) -> None:
    """Stand in for an observer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorParts:
    """What a supervisor works with."""

    host: PlannedHost
    """The machine."""
    attempt: Attempt
    """Makes one tunnel."""
    plan: Callable[[Assignment], HostPlan]
    """Says what the host must have for an assignment."""
    backoff: Backoff
    """Delays between attempts."""
    reconnect: bool
    """Try again after failures."""
    wait_for_reason: Callable[[], Awaitable[None]] = trio.sleep_forever
    """Returns when there is a reason to try again before the delay is over."""
    note: Callable[[State, Event, State, Instant], None] = _note_nothing
    """Told state, event and the state it led to; must not block."""


class ClientSupervisor:
    """One tunnel from the wish to connect to the restored host.

    A: `state`, `state_since`, `is_host_current`. C: `disconnect`. Tasks: `run`.
    """

    def __init__(self, parts: SupervisorParts) -> None:
        """Prepare; nothing happens before `run`."""
        self.state: State = Disconnected()
        """Where the lifecycle stands."""
        self.state_since: Instant = read_clock()
        """When it got there."""
        self.is_host_current = True
        """False while the host is being made what the state wants."""
        self._parts = parts
        self._inbox_in, self._inbox = trio.open_memory_channel[tuple[Event, trio.Event]](8)
        self._attempt_scope = trio.CancelScope()
        self._attempt_over = trio.Event()
        self._attempt_over.set()
        self._outage_since = self.state_since
        self._is_host_touched = False
        self._is_refused = False
        self._last_message = ""
        self._warned: set[str] = set()

    async def run(self) -> Failure | None:
        """Keep the tunnel up until `disconnect`, or until only the user can help.

        Returns:
            Why it ended; None when it was asked to.
        """
        try:
            async with trio.open_nursery() as nursery:
                await self._feed(ConnectRequested(reconnect=self._parts.reconnect), nursery)
                while not isinstance(self.state, Disconnected | Blocked):
                    event, done = await self._inbox.receive()
                    await self._feed(event, nursery)
                    done.set()
                await self._close_attempt()
                nursery.cancel_scope.cancel()
        finally:
            await self._restore_host()
        return self.state.cause if isinstance(self.state, Blocked) else None

    async def disconnect(self) -> None:
        """Ask for the end of the tunnel; `run` returns when it is there."""
        await self._inbox_in.send((DisconnectRequested(), trio.Event()))

    async def _feed(self, event: Event, nursery: trio.Nursery) -> None:
        """Step the lifecycle with an event and with what its commands cause."""
        pending: list[Event] = [event]
        while pending:
            before, happened = self.state, pending.pop(0)
            self.state, commands = step(before, happened)
            self._parts.note(before, happened, self.state, read_clock())
            if isinstance(happened, AttemptFailed | TunnelLost):
                self._is_refused = happened.failure.kind is FailureKind.CREDENTIALS
            if type(before) is not type(self.state):
                self._note_transition(before)
            for command in commands:
                consequence = await self._execute(command, nursery)
                if consequence is not None:
                    pending.append(consequence)

    def _note_transition(self, before: State) -> None:
        now = read_clock()
        if isinstance(self.state, Connected):
            self._last_message = ""
        elif isinstance(before, Connected):
            self._outage_since = now
            if now - self.state_since >= STABLE_AFTER:
                self._parts.backoff.reset()
        elif isinstance(self.state, Connecting):
            self._outage_since = now
            self._parts.backoff.reset()
        if isinstance(self.state, Reconnecting):
            _log.info("reconnecting; addresses and routes stay in place")
        _log.debug("%s -> %s", type(before).__name__, type(self.state).__name__)
        self.state_since = now

    async def _execute(self, command: Command, nursery: trio.Nursery) -> Event | None:
        match command:
            case StartAttempt():
                self._attempt_scope = trio.CancelScope()
                self._attempt_over = trio.Event()
                outage = read_clock() - self._outage_since
                delay = self._parts.backoff.next_delay(outage, is_refused=self._is_refused)
                nursery.start_soon(self._run_attempt, delay)
                return None
            case ApplyHost():
                return await self._apply_host(command.assignment)
            case CloseTunnel():
                await self._close_attempt()
                return None
            case RestoreHost():
                await self._restore_host()
                return HostRestored()
            case _:
                assert_never(command)

    async def _apply_host(self, assignment: Assignment) -> Event | None:
        self._is_host_touched = True
        self.is_host_current = False
        try:
            report = await self._parts.host.apply(self._parts.plan(assignment))
        except HostError as error:
            return TunnelLost(failure=Failure(kind=FailureKind.HOST, message=str(error)))
        finally:
            self.is_host_current = True
        for warning in report.warnings:
            if warning not in self._warned:
                _log.warning("%s", warning)
        self._warned.update(report.warnings)
        return None

    async def _close_attempt(self) -> None:
        self._attempt_scope.cancel()
        await self._attempt_over.wait()

    async def _restore_host(self) -> None:
        if not self._is_host_touched:
            return
        self._is_host_touched = False
        with trio.move_on_after(RESTORE_LIMIT, shield=True) as scope:
            await self._parts.host.undo()
        if scope.cancelled_caught:
            _log.error(
                "restoring addresses and routes took longer than %d s and was given up;"
                " the next start cleans up",
                RESTORE_LIMIT,
            )

    async def _run_attempt(self, delay: float) -> None:
        reporter = _Reporter(self._inbox_in)
        over = self._attempt_over
        failure: Failure | None = None
        try:
            with self._attempt_scope:
                with trio.move_on_after(delay):
                    await self._parts.wait_for_reason()
                failure = await self._attempt_safely(reporter)
        finally:
            over.set()
        if failure is None:
            return
        lost = reporter.was_up
        await reporter.report(
            TunnelLost(failure=failure) if lost else AttemptFailed(failure=failure)
        )
        if not isinstance(self.state, Blocked):
            self._log_failure(failure)

    async def _attempt_safely(self, reporter: AttemptReporter) -> Failure:
        try:
            return await self._parts.attempt(reporter)
        except Exception as error:  # noqa: BLE001 - fault boundary: the tunnel is lost, no more
            message = f"internal error: {_innermost(error)!r}"
            if message != self._last_message:
                _log.exception("internal error; the tunnel is made anew")
            return Failure(kind=FailureKind.LOST, message=message)

    def _log_failure(self, failure: Failure) -> None:
        if failure.message == self._last_message:
            _log.debug("again: %s", failure.message)
            return
        self._last_message = failure.message
        _log.warning("%s", failure.message)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Reporter:
    """Hands the events of one attempt to the supervisor and waits until they are dealt with."""

    def __init__(self, inbox: trio.MemorySendChannel[tuple[Event, trio.Event]]) -> None:
        self.was_up = False
        self._inbox = inbox

    async def up(self, assignment: Assignment) -> None:
        self.was_up = True
        await self.report(TunnelUp(assignment=assignment))

    async def changed(self, assignment: Assignment) -> None:
        await self.report(AssignmentChanged(assignment=assignment))

    async def report(self, event: Event) -> None:
        done = trio.Event()
        await self._inbox.send((event, done))
        await done.wait()
