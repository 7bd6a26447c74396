"""One core from its first message to its end: greets it, answers it, hands on what it reports."""

import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, assert_never

import trio

from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.bus_names import TunnelState
from mqvpn_helper.interface.control_messages import (
    PROTOCOL_VERSION,
    SILENCE_LIMIT,
    CoreMessage,
    CoreRequest,
    Disconnect,
    Done,
    EventReport,
    FailureReport,
    FindLink,
    Hello,
    HelperMessage,
    LeaveNetwork,
    LinkFound,
    PathsReport,
    Refused,
    Start,
    StateReport,
    UsageReport,
    UseNetwork,
    UseServers,
)
from mqvpn_helper.session.core_link import CoreFaultError, CoreLink
from mqvpn_helper.session.core_process import CoreFiles, CoreLauncher, CoreProcess
from mqvpn_helper.session.secret_copy import SecretCopy

_LOGGER = logging.getLogger(__name__)

GREETING_LIMIT = 20.0
"""Seconds a new core has to say `Hello`."""
LEAVE_LIMIT = 8.0
"""Seconds a core has to end by itself after `Disconnect`."""
EXIT_LIMIT = 2.0
"""Seconds between the end of its control socket and that of the process."""
_QUEUED_COMMANDS = 64

CoreNews: TypeAlias = StateReport | PathsReport | EventReport | UsageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreRunParts:
    """What a run works with."""

    link: CoreLink
    """Our end of the control socket."""
    process: CoreProcess
    """The process at the other end."""
    start: Start
    """What it is to do."""
    answer: Callable[[CoreRequest], Awaitable[Done | LinkFound | Refused]]
    """Carries out, or refuses, what it asks for."""
    note: Callable[[CoreNews], None]
    """Told what it reports; must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreEnd:
    """How a run ended."""

    failure: FailureReport | None
    """It gave up and said why."""
    fault: str
    """Why it counts as dead, if it did not end in order."""
    was_up: bool
    """Its tunnel was up at some time."""


class CoreRun:
    """One core. C: `command`. Tasks: `run`."""

    def __init__(self, parts: CoreRunParts) -> None:
        """Prepare; nothing happens before `run`."""
        self._parts = parts
        self._commands, self._queue = trio.open_memory_channel[HelperMessage](_QUEUED_COMMANDS)
        self._has_started = trio.Event()
        self._failure: FailureReport | None = None
        self._fault = ""
        self._was_up = False

    def command(self, message: HelperMessage) -> None:
        """Tell the core something; left out when it does not keep up."""
        try:
            self._commands.send_nowait(message)
        except trio.WouldBlock:
            _LOGGER.warning("the core does not keep up with commands: one is left out")

    async def run(self, stop: trio.Event) -> CoreEnd:
        """Stay with the core until it has ended.

        Args:
            stop: when set, the core is asked to end.
        """
        is_asked_to_end = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_commands, nursery.cancel_scope)
                nursery.start_soon(self._end_when, stop, nursery.cancel_scope)
                await self._converse()
                nursery.cancel_scope.cancel()
            is_asked_to_end = stop.is_set()
        finally:
            self._parts.link.close()
            with trio.CancelScope(shield=True):
                code = await self._end_process()
        if self._failure is None and not self._fault and not is_asked_to_end:
            self._fault = _describe_exit(code)
        return CoreEnd(failure=self._failure, fault=self._fault, was_up=self._was_up)

    async def _converse(self) -> None:
        try:
            if not await self._greet():
                return
            while (message := await self._hear()) is not None:
                await self._handle(message)
        except CoreFaultError as error:
            self._fault = str(error)

    async def _hear(self) -> CoreMessage | None:
        with trio.move_on_after(SILENCE_LIMIT) as scope:
            return await self._parts.link.receive()
        if scope.cancelled_caught:
            raise CoreFaultError("the core is stuck")
        return None

    async def _greet(self) -> bool:
        link = self._parts.link
        with trio.move_on_after(GREETING_LIMIT) as scope:
            hello = await link.receive()
        if scope.cancelled_caught:
            raise CoreFaultError("the core says nothing")
        if hello is None:
            return False
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL_VERSION:
            raise CoreFaultError("the core belongs to another version of mqvpn")
        await link.send(self._parts.start)
        self._has_started.set()
        return True

    async def _handle(self, message: CoreMessage) -> None:
        match message:
            case UseServers() | UseNetwork() | LeaveNetwork() | FindLink():
                await self._parts.link.send(await self._parts.answer(message))
            case StateReport() | PathsReport() | EventReport() | UsageReport():
                if isinstance(message, StateReport) and message.state is TunnelState.UP:
                    self._was_up = True
                self._parts.note(message)
            case FailureReport():
                self._failure = message
            case Hello():
                raise CoreFaultError("the core greets twice")
            case _:
                assert_never(message)

    async def _send_commands(self, scope: trio.CancelScope) -> None:
        await self._has_started.wait()
        try:
            async for message in self._queue:
                await self._parts.link.send(message)
        except CoreFaultError as error:
            self._fault = str(error)
            scope.cancel()

    async def _end_when(self, stop: trio.Event, scope: trio.CancelScope) -> None:
        await stop.wait()
        self.command(Disconnect())
        await trio.sleep(LEAVE_LIMIT)
        _LOGGER.warning("the core does not end by itself and is killed")
        scope.cancel()

    async def _end_process(self) -> int:
        process = self._parts.process
        with trio.move_on_after(0 if self._fault else EXIT_LIMIT):
            return await process.wait()
        process.kill()
        return await process.wait()


async def start_core(
    launcher: CoreLauncher, tun: OpenedTun, secret: SecretCopy
) -> tuple[CoreLink, CoreProcess]:
    """Start a core that has a TUN device and can read a secret; return both ways to it.

    Raises:
        LaunchError: that is not possible here.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader = secret.open_reader()
    try:
        process = await launcher.launch(
            CoreFiles(tun=tun.fd, control=theirs.fileno(), secret=reader)
        )
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(reader)
        theirs.close()
    return CoreLink(ours), process


def _describe_exit(code: int) -> str:
    if code < 0:
        try:
            return f"the core was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"the core was ended by signal {-code}"
    return f"the core ended with code {code}"
