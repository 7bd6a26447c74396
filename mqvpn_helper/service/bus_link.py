"""The helper's connection to the bus: replies to who waits for them, all else to one place.

Two tasks: one reads, one writes. `BusLink.post` never waits, so nothing that is said on the bus
can hold up the tunnel; a bus that does not read any more is given up.
"""

import array
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Self

import trio
from jeepney.auth import BEGIN, Authenticator
from jeepney.bus import get_bus
from jeepney.bus_messages import MatchRule, message_bus
from jeepney.low_level import HeaderFields, Message, MessageType

from mqvpn_helper.service.message_stream import (
    Arrival,
    Incoming,
    MessageStream,
    UndecodableError,
    Unreadable,
)

_log = logging.getLogger(__name__)

_MAX_WAITING_BYTES = 4 * 1024 * 1024
_MAX_FDS = 256  # of one recvmsg; the bus allows 16 a message
_AUTHENTICATION_SECONDS = 10
_WRITE_SECONDS = 30


class BusLostError(Exception):
    """There is no connection to the bus, or not any more."""


class BusReplyError(Exception):
    """Somebody answered a call of ours with an error."""

    def __init__(self, name: str, text: str) -> None:
        """Take the error's name and text."""
        super().__init__(f"{name}: {text}")
        self.name = name
        """Name of the error on the bus."""
        self.text = text
        """What it says."""


@dataclass(slots=True)
class _Waiter:
    """Somebody who waits for a reply."""

    arrived: trio.Event = field(default_factory=trio.Event)
    reply: Arrival | None = None


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """Bytes to be written, with descriptors of their own."""

    data: bytes
    fds: "array.array[int]"


class BusLink:
    """One connection to a message bus.

    A: ``unique_name``. C: `post`, `call`, `add_match`, `drain`. Tasks: `run`, which hands on what
    comes. Open it as an asynchronous context.
    """

    def __init__(self, address: str = "SYSTEM") -> None:
        """Take the address of the bus, or ``SYSTEM``."""
        self.unique_name = ""
        """Our name on the bus."""
        self._address = address
        self._stream = MessageStream()
        self._serials = count(1)
        self._waiters: dict[int, _Waiter] = {}
        self._outgoing: deque[_Outgoing] = deque()
        self._waiting_bytes = 0
        self._news = trio.Event()
        self._is_idle = trio.Event()
        self._socket: trio.socket.SocketType | None = None

    async def __aenter__(self) -> Self:
        """Connect and prove who we are.

        Raises:
            BusLostError: there is no bus, or it does not want us.
        """
        try:
            with trio.fail_after(_AUTHENTICATION_SECONDS):
                self._socket = await _open_socket(get_bus(self._address))
        except (OSError, ValueError, RuntimeError, trio.TooSlowError) as error:
            raise BusLostError(f"no connection to the message bus: {error}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._stream.close()
        for each in self._outgoing:
            _close_all(each.fds)
        self._outgoing.clear()
        if self._socket is not None:
            self._socket.close()

    async def run(
        self,
        receive: Callable[[Incoming | Unreadable], None],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Say hello, then hand every call and every signal to ``receive``, which must not wait.

        Args:
            receive: owns the message it gets; replies are not among them.
            task_status: started once we have a name.

        Raises:
            BusLostError: the connection is gone.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, receive)
                nursery.start_soon(self._write)
                (name,) = await self.call(message_bus.Hello())
                assert isinstance(name, str)
                self.unique_name = name
                task_status.started()
        except* (OSError, trio.ClosedResourceError) as errors:
            raise BusLostError("the message bus is gone") from errors

    def post(self, message: Message) -> int:
        """Send a message as soon as possible; return its serial.

        Descriptors in its body are closed once they are sent. While the bus does not read at all,
        messages are dropped; `run` gives up on it in the end.
        """
        serial = next(self._serials)
        outgoing = _Outgoing(b"", array.array("i"))
        try:
            data = message.serialise(serial=serial, fds=outgoing.fds)
        except BaseException:
            _close_all(outgoing.fds)
            raise
        if self._waiting_bytes + len(data) > _MAX_WAITING_BYTES:
            _close_all(outgoing.fds)
            _log.warning("dropping a message: the bus does not read")
            return serial
        self._outgoing.append(_Outgoing(data, outgoing.fds))
        self._waiting_bytes += len(data)
        self._news.set()
        return serial

    async def call(self, message: Message) -> tuple[object, ...]:
        """Call a method of somebody else and return the body of the reply.

        Raises:
            BusReplyError: it answered with an error, or with what cannot be read.
        """
        incoming = await self.call_for_fds(message)
        try:
            return incoming.decode()
        except UndecodableError as error:
            raise BusReplyError("", str(error)) from error
        finally:
            incoming.close()

    async def call_for_fds(self, message: Message) -> Incoming:
        """Do the same when descriptors are expected, which the caller takes or closes."""
        waiter = _Waiter()
        serial = self.post(message)
        self._waiters[serial] = waiter
        try:
            await waiter.arrived.wait()
        finally:
            del self._waiters[serial]
        assert waiter.reply is not None
        if isinstance(waiter.reply, Unreadable):
            raise BusReplyError("", waiter.reply.reason)
        if waiter.reply.header.message_type is MessageType.error:
            raise _reply_error(waiter.reply)
        return waiter.reply

    async def add_match(self, rule: MatchRule) -> None:
        """Ask the bus for signals that fit a rule."""
        await self.call(message_bus.AddMatch(rule))

    async def drain(self) -> None:
        """Wait until everything that was posted is written."""
        while self._outgoing:
            self._is_idle = trio.Event()
            await self._is_idle.wait()

    async def _read(self, receive: Callable[[Incoming | Unreadable], None]) -> None:
        assert self._socket is not None
        space = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
        while True:
            data, ancillary, flags, _ = await self._socket.recvmsg(
                self._stream.wanted, space, socket.MSG_CMSG_CLOEXEC
            )
            fds = _received_fds(ancillary)
            if not data or flags & socket.MSG_CTRUNC:
                _close_all(fds)
                raise BusLostError("the message bus closed the connection")
            arrival = self._stream.receive_bytes(data, fds)
            if arrival is not None:
                self._hand_on(arrival, receive)

    def _hand_on(self, arrival: Arrival, receive: Callable[[Incoming | Unreadable], None]) -> None:
        header = arrival.header
        if header is None:
            return
        if header.message_type in (MessageType.method_call, MessageType.signal):
            receive(arrival)
            return
        serial = header.fields.get(HeaderFields.reply_serial)
        waiter = self._waiters.get(serial) if isinstance(serial, int) else None
        if waiter is not None:
            waiter.reply = arrival
            waiter.arrived.set()
        elif isinstance(arrival, Incoming):
            arrival.close()

    async def _write(self) -> None:
        while True:
            while self._outgoing:
                with trio.move_on_after(_WRITE_SECONDS) as patience:
                    await self._write_one(self._outgoing[0])
                if patience.cancelled_caught:
                    raise BusLostError("the message bus does not read")
                self._waiting_bytes -= len(self._outgoing.popleft().data)
            self._is_idle.set()
            self._news = trio.Event()
            await self._news.wait()

    async def _write_one(self, outgoing: _Outgoing) -> None:
        assert self._socket is not None
        rest = memoryview(outgoing.data)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, outgoing.fds)] if outgoing.fds else []
        while rest:
            sent = await self._socket.sendmsg([rest], control)
            rest, control = rest[sent:], []
            _close_all(outgoing.fds)


def _reply_error(reply: Incoming) -> BusReplyError:
    try:
        body = reply.decode()
    except UndecodableError:
        body = ()
    finally:
        reply.close()
    text = body[0] if body and isinstance(body[0], str) else ""
    return BusReplyError(str(reply.header.fields.get(HeaderFields.error_name, "")), text)


async def _open_socket(address: str) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.connect(address)
        stream = trio.SocketStream(sock)
        await stream.send_all(b"\0")
        authenticator = Authenticator(enable_fds=True, inc_null_byte=False)
        for line in authenticator:
            await stream.send_all(line)
            authenticator.feed(bytes(await stream.receive_some(4096)))
        await stream.send_all(BEGIN)
    except BaseException:
        sock.close()
        raise
    return sock


def _received_fds(ancillary: Sequence[tuple[int, int, bytes]]) -> "array.array[int]":
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds


def _close_all(fds: "array.array[int]") -> None:
    while fds:
        os.close(fds.pop())
