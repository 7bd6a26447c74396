"""The core's end of the control socket to the privileged helper.

Asks for changes of the machine and waits for the answer; reports without ever waiting: when the
helper does not keep up, the oldest reports are left out. When the socket closes there is nobody any
more who could restore the machine, so the core ends.
"""

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import trio

from mqvpn_core.errors import HelperError, HostError
from mqvpn_helper.interface.control_messages import (
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    CoreRequest,
    Disconnect,
    Done,
    EventReport,
    FailureReport,
    Hello,
    HelperMessage,
    LinkFound,
    PathsReport,
    Refused,
    Revalidate,
    SetPath,
    Start,
    StateReport,
    UsageReport,
    WantStats,
)
from mqvpn_helper.interface.core_coding import encode_core_message
from mqvpn_helper.interface.helper_coding import decode_helper_message
from mqvpn_helper.interface.members import MemberError

GREETING_PATIENCE = 20.0
"""Seconds the helper has to answer our greeting."""
MAX_WAITING_REPORTS = 256
"""Reports kept for a helper that does not keep up."""

Report: TypeAlias = StateReport | PathsReport | EventReport | UsageReport | FailureReport
HelperCommand: TypeAlias = SetPath | WantStats | Revalidate | Disconnect


class HelperLink:
    """The helper.

    A: `lost`. C: `greet` first, then `ask`, `report`, `next_command`. Tasks: `run`.
    """

    def __init__(self, control: socket.socket) -> None:
        """Take the inherited socket; it is closed by `close`."""
        control.setblocking(False)
        self.lost = trio.Event()
        """Set when the helper is gone."""
        self._socket = trio.socket.from_stdlib_socket(control)
        self._next_id = 1
        self._waiting: dict[int, trio.MemorySendChannel[Done | LinkFound | Refused]] = {}
        self._requests: deque[bytes] = deque()
        self._reports: deque[bytes] = deque(maxlen=MAX_WAITING_REPORTS)
        self._has_mail = trio.Event()
        self._is_idle = trio.Event()
        self._is_idle.set()
        self._commands, self._inbox = trio.open_memory_channel[HelperCommand](64)

    async def greet(self) -> Start:
        """Say hello and return what is to be done.

        Raises:
            HelperError: the helper is gone, or another version of it.
        """
        await self._send(encode_core_message(Hello(protocol=PROTOCOL_VERSION)))
        with trio.move_on_after(GREETING_PATIENCE):
            message = await self._receive()
            if isinstance(message, Start):
                return message
        raise HelperError("the helper does not say what to do")

    async def run(self) -> None:
        """Carry messages until the helper is gone."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_mail)
                while (message := await self._receive()) is not None:
                    self._take(message)
                nursery.cancel_scope.cancel()
        finally:
            self.lost.set()
            self._is_idle.set()
            for answer in self._waiting.values():
                answer.close()

    async def ask(self, make: Callable[[int], CoreRequest]) -> Done | LinkFound:
        """Ask for something and return the answer.

        Args:
            make: makes the request, given its number.

        Raises:
            HostError: it was refused, or the helper is gone.
        """
        number = self._next_id
        self._next_id += 1
        answer, answers = trio.open_memory_channel[Done | LinkFound | Refused](1)
        self._waiting[number] = answer
        try:
            self._requests.append(encode_core_message(make(number)))
            self._note_mail()
            reply = await answers.receive()
        except trio.EndOfChannel:
            raise HostError("the helper is gone") from None
        except MemberError as error:
            raise HostError(f"the helper cannot be asked for that: {error}") from error
        finally:
            del self._waiting[number]
        if isinstance(reply, Refused):
            raise HostError(reply.reason)
        return reply

    def report(self, message: Report) -> None:
        """Tell the helper something; never waits."""
        self._reports.append(encode_core_message(message))
        if not self.lost.is_set():
            self._note_mail()

    async def next_command(self) -> HelperCommand:
        """Wait for what the user wants."""
        return await self._inbox.receive()

    async def wait_sent(self) -> None:
        """Wait until everything is sent that was posted."""
        await self._is_idle.wait()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _take(self, message: HelperMessage) -> None:
        match message:
            case Done() | LinkFound() | Refused():
                answer = self._waiting.get(message.id)
                if answer is not None:
                    answer.send_nowait(message)
            case SetPath() | WantStats() | Revalidate() | Disconnect():
                with contextlib.suppress(trio.WouldBlock):  # nobody follows commands any more
                    self._commands.send_nowait(message)
            case Start():
                raise HelperError("the helper says twice what to do")

    def _note_mail(self) -> None:
        if self.lost.is_set():
            raise HostError("the helper is gone")
        self._is_idle = trio.Event()
        self._has_mail.set()

    async def _send_mail(self) -> None:
        while True:
            while self._requests or self._reports:
                await self._send((self._requests or self._reports).popleft())
            self._is_idle.set()
            self._has_mail = trio.Event()
            await self._has_mail.wait()

    async def _send(self, packet: bytes) -> None:
        try:
            await self._socket.send(packet)
        except OSError as error:
            raise HelperError("the helper has closed the control socket") from error

    async def _receive(self) -> HelperMessage | None:
        try:
            packet = await self._socket.recv(MAX_MESSAGE_BYTES + 1)
        except OSError:
            return None
        if not packet:
            return None
        try:
            return decode_helper_message(packet)
        except MemberError as error:
            raise HelperError(f"the helper sent what is no message: {error}") from error
