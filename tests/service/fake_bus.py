"""A message bus in this process: one helper is connected, everybody else is made up by the test.

It answers what the helper asks of the bus and of polkit, and otherwise only carries messages.
"""

import os
import socket
from array import array
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import trio
from jeepney import DBusAddress, new_error, new_method_call, new_method_return, new_signal
from jeepney.fds import FileDescriptor
from jeepney.low_level import HeaderFields, Message, MessageFlag, MessageType, Parser

from mqvpn_helper.interface.bus_interface import METHODS
from mqvpn_helper.interface.bus_names import BUS_NAME, INTERFACE_NAME, OBJECT_PATH

HELPER = ":1.1"
"""Name of the helper's connection."""
BUS = "org.freedesktop.DBus"
_SIGNATURES = {method.name: method.input_signature for method in METHODS}


class CallFailedError(Exception):
    """The helper answered with an error."""

    def __init__(self, message: Message) -> None:
        self.name = str(message.header.fields[HeaderFields.error_name])
        self.text = str(message.body[0])
        super().__init__(f"{self.name}: {self.text}")


class FakeBus:
    """One connection at a Unix socket.

    A: `broadcast`, `requested_name`, `polkit_questions`. C: `caller`, `drop`. Tasks: `serve`.
    """

    def __init__(self, path: Path) -> None:
        self.address = f"unix:path={path}"
        self.broadcast: list[Message] = []
        self.requested_name = trio.Event()
        self.released_name = trio.Event()
        self.polkit_questions: list[tuple[str, str, int]] = []
        self.polkit_answers: dict[str, tuple[bool, bool]] = {}
        self.is_polkit_silent = False
        self.has_polkit = True
        self.unanswered: list[Message] = []
        self.cancelled_questions: list[str] = []
        self.matches: list[str] = []
        self.logind_locks = 0
        self.metered: dict[str, int] | None = None
        """What NetworkManager says of links; None: it does not run."""
        self._path = path
        self._users: dict[str, int] = {}
        self._inboxes: dict[str, list[Message]] = defaultdict(list)
        self._news = trio.Event()
        self._turn = trio.Lock()
        self._numbers = count(2)
        self._serials = count(1000)
        self._stream: trio.SocketStream | None = None

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Wait for the helper and carry its messages."""
        plain = socket.socket(socket.AF_UNIX)
        plain.bind(str(self._path))  # trio would do this in a thread, and its clock would not wait
        plain.listen()
        with trio.socket.from_stdlib_socket(plain) as listener:
            task_status.started()
            connection, _ = await listener.accept()
        with connection:
            self._stream = trio.SocketStream(connection)
            await self._authenticate()
            await self._carry(connection)

    def caller(self, uid: int) -> "FakeCaller":
        """Return a new connection of a user."""
        name = f":1.{next(self._numbers)}"
        self._users[name] = uid
        return FakeCaller(self, name)

    async def drop(self, caller: "FakeCaller") -> None:
        """Let a connection go."""
        del self._users[caller.name]
        await self.send_signal(BUS, BUS, "NameOwnerChanged", "sss", (caller.name, caller.name, ""))

    async def send_signal(
        self, sender: str, interface: str, member: str, signature: str, body: tuple[object, ...]
    ) -> None:
        """Send the helper a signal."""
        message = new_signal(DBusAddress("/x", interface=interface), member, signature, body)
        message.header.fields[HeaderFields.sender] = sender
        await self.send(message)

    async def send(self, message: Message, *, serial: int | None = None) -> int:
        """Give the helper a message."""
        number = next(self._serials) if serial is None else serial
        fds = array("i")
        data = message.serialise(serial=number, fds=fds)
        await self.send_bytes(data, fds)
        return number

    async def send_bytes(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Give the helper bytes."""
        assert self._stream is not None
        async with self._turn:
            if fds:
                control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]
                sent = await self._stream.socket.sendmsg([data], control)
                data = data[sent:]
            await self._stream.send_all(data)

    async def next_message(self, name: str, *, reply_to: int | None = None) -> Message:
        """Return the next message for a connection, or the reply to a call of it."""
        while True:
            for message in self._inboxes[name]:
                is_reply = message.header.fields.get(HeaderFields.reply_serial)
                if is_reply == reply_to:
                    self._inboxes[name].remove(message)
                    return message
            await self.wait_news()

    async def wait_news(self) -> None:
        """Wait for the next message of the helper."""
        self._news = trio.Event()
        await self._news.wait()

    async def answer_late(self) -> None:
        """Let polkit answer what it has been silent about."""
        self.is_polkit_silent = False
        waiting, self.unanswered = self.unanswered, []
        for call in waiting:
            await self._answer_as_polkit(call)

    async def _authenticate(self) -> None:
        stream = self._stream
        assert stream is not None
        received = b""
        while not received.endswith(b"BEGIN\r\n"):
            received += bytes(await stream.receive_some(1))
            if received.endswith(b"\r\n"):
                if b"AUTH" in received:
                    await stream.send_all(b"OK 0123\r\n")
                    received = b""
                elif b"NEGOTIATE" in received:
                    await stream.send_all(b"AGREE_UNIX_FD\r\n")
                    received = b""

    async def _carry(self, connection: trio.socket.SocketType) -> None:
        parser = Parser()
        while True:
            data, ancillary, _, _ = await connection.recvmsg(4096, 1024)
            if not data:
                return
            parser.add_data(data, FileDescriptor.from_ancdata(ancillary))
            while (message := parser.get_next_message()) is not None:
                await self._take(message)

    async def _take(self, message: Message) -> None:
        fields = message.header.fields
        destination = fields.get(HeaderFields.destination)
        fields[HeaderFields.sender] = HELPER
        match message.header.message_type, destination:
            case MessageType.method_call, str():
                await self._answer(message)
            case MessageType.signal, None:
                self.broadcast.append(message)
            case _, str():
                self._inboxes[destination].append(message)
            case _:
                raise AssertionError(message)
        self._news.set()

    async def _answer(self, call: Message) -> None:
        destination = str(call.header.fields[HeaderFields.destination])
        if "PolicyKit" in destination and self.has_polkit:
            await self._answer_as_polkit(call)
        elif "login1" in destination:
            await self._answer_as_logind(call)
        elif "NetworkManager" in destination and self.metered is not None:
            await self._answer_as_network_manager(call, self.metered)
        else:
            await self._answer_as_bus(call)

    async def _answer_as_bus(self, call: Message) -> None:
        member = str(call.header.fields[HeaderFields.member])
        match member, call.body:
            case "Hello", _:
                await self._reply(call, "s", (HELPER,))
            case (("RequestName" | "ReleaseName"), _):
                await self._reply(call, "u", (1,))
                (self.requested_name if member == "RequestName" else self.released_name).set()
            case "GetConnectionUnixUser", (str() as name,) if name in self._users:
                await self._reply(call, "u", (self._users[name],))
            case "NameHasOwner", (str() as name,):
                await self._reply(call, "b", (name in self._users,))
            case "GetNameOwner", ("org.freedesktop.login1",):
                await self._reply(call, "s", (":1.0",))
            case (("AddMatch" | "RemoveMatch"), (str() as rule,)):
                (self.matches.append if member == "AddMatch" else self.matches.remove)(rule)
                await self._reply(call, None, ())
            case _:
                error = new_error(call, f"{BUS}.Error.Failed", "s", ("no",))
                error.header.fields[HeaderFields.sender] = BUS
                await self.send(error)

    async def _answer_as_logind(self, call: Message) -> None:
        assert call.header.fields[HeaderFields.member] == "Inhibit"
        self.logind_locks += 1
        lock = os.open(os.devnull, os.O_RDONLY)
        await self._reply(call, "h", (lock,))
        os.close(lock)

    async def _answer_as_network_manager(self, call: Message, metered: dict[str, int]) -> None:
        assert call.header.flags & MessageFlag.no_auto_start
        path = str(call.header.fields[HeaderFields.path])
        match call.header.fields[HeaderFields.member], call.body:
            case "GetDeviceByIpIface", (str() as link,) if link in metered:
                await self._reply(call, "o", (f"/devices/{link}",))
            case "Get", ("org.freedesktop.NetworkManager.Device", "Metered"):
                await self._reply(call, "v", (("u", metered[path.rpartition("/")[2]]),))
            case _:
                await self.send(new_error(call, f"{BUS}.Error.Failed", "s", ("unknown device",)))

    async def _answer_as_polkit(self, call: Message) -> None:
        match call.body:
            case (str() as identity,):
                self.cancelled_questions.append(identity)
            case (subject, str() as action, _, int() as flags, _) if not self.is_polkit_silent:
                await self._decide(call, subject, action, flags)
            case _:
                self.unanswered.append(call)

    async def _decide(self, call: Message, subject: object, action: str, flags: int) -> None:
        match subject:
            case ("system-bus-name", {"name": ("s", str() as name)}):
                self.polkit_questions.append((name, action, flags))
            case _:
                raise AssertionError(subject)
        is_granted, is_challenge = self.polkit_answers.get(action, (False, True))
        await self._reply(call, "(bba{ss})", ((is_granted, is_challenge, {}),))

    async def _reply(self, call: Message, signature: str | None, body: tuple[object, ...]) -> None:
        reply = new_method_return(call, signature, body)
        reply.header.fields[HeaderFields.sender] = BUS
        await self.send(reply)


class FakeCaller:
    """A connection of some user. C: `call`, `send_call`. A: `next_signal`."""

    def __init__(self, bus: FakeBus, name: str) -> None:
        self.name = name
        self._bus = bus

    async def call(
        self,
        member: str,
        *body: object,
        interface: str | None = INTERFACE_NAME,
        signature: str | None = None,
        is_interactive: bool = False,
    ) -> tuple[object, ...]:
        """Call a method of the helper and return what it returns."""
        given = _SIGNATURES.get(member, "") if signature is None else signature
        message = self.make_call(member, given, body, interface=interface)
        if is_interactive:
            message.header.flags |= MessageFlag.allow_interactive_authorization
        serial = await self._bus.send(message)
        reply = await self._bus.next_message(self.name, reply_to=serial)
        if reply.header.message_type is MessageType.error:
            raise CallFailedError(reply)
        return reply.body

    async def properties(self) -> dict[str, object]:
        """Return all properties that this caller may see."""
        (values,) = await self.call(
            "GetAll",
            INTERFACE_NAME,
            interface="org.freedesktop.DBus.Properties",
            signature="s",
        )
        assert isinstance(values, dict)
        return {name: value for name, (_, value) in values.items()}

    def make_call(
        self,
        member: str,
        signature: str,
        body: tuple[object, ...],
        *,
        interface: str | None = INTERFACE_NAME,
        path: str = OBJECT_PATH,
    ) -> Message:
        """Return a call of this caller that is not sent yet."""
        address = DBusAddress(path, bus_name=BUS_NAME, interface=interface)
        message = new_method_call(address, member, signature or None, body)
        message.header.fields[HeaderFields.sender] = self.name
        return message

    async def next_signal(self, member: str) -> tuple[object, ...]:
        """Return the next signal of this name that is addressed to this caller."""
        while True:
            message = await self._bus.next_message(self.name)
            if message.header.fields[HeaderFields.member] == member:
                return message.body
