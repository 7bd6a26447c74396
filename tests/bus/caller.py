"""One connection to the system bus, remote-controlled by a test: a JSON object a line, both ways.

Run as the user whose calls these are, so it imports nothing but jeepney. A value of D-Bus that JSON
does not have is written as an object: ``{"variant": [SIGNATURE, VALUE]}``, and a descriptor as
``{"pipe": TEXT}``, the read end of a pipe with that in it.
"""

import json
import os
import socket
import sys
import time
from itertools import count

from jeepney import DBusAddress, FileDescriptor, MatchRule, new_method_call
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
from jeepney.low_level import HeaderFields, Message, MessageFlag, MessageType

SIGNAL_PATIENCE = 30.0


class Connection:
    """The connection, and signals that nobody has asked for yet."""

    def __init__(self) -> None:
        self._bus = open_dbus_connection("SYSTEM", enable_fds=True)
        self._signals: list[Message] = []
        self._serials = count(1 << 20)  # far from those that the library counts

    def carry_out(self, request: dict[str, object]) -> dict[str, object]:
        match request:
            case {"call": str() as member}:
                return self._call(request, member)
            case {"signal": str() as member, "seconds": float() as seconds}:
                return self._signal(member, seconds)
            case {"listen": str() as path}:
                rule = MatchRule(type="signal", path=path)
                self._bus.send_and_get_reply(message_bus.AddMatch(rule))
                return {}
            case {"raw": str() as text, "fds": int() as count}:
                return self._send_raw(bytes.fromhex(text), count)
            case {"process": _}:
                return {"process": os.getpid()}
            case _:
                raise ValueError(request)

    def _call(self, request: dict[str, object], member: str) -> dict[str, object]:
        address = DBusAddress(
            str(request["path"]), bus_name=str(request["to"]), interface=str(request["interface"])
        )
        body = from_json(request["body"])
        assert isinstance(body, list)
        message = new_method_call(address, member, str(request["signature"]) or None, tuple(body))
        if request["interactive"]:
            message.header.flags |= MessageFlag.allow_interactive_authorization
        started = time.perf_counter()
        serial = next(self._serials)
        self._bus.send(message, serial=serial)
        for each in body:
            if isinstance(each, FileDescriptor):
                each.close()
        reply = self._bus.receive(timeout=200)
        while reply.header.fields.get(HeaderFields.reply_serial) != serial:
            self._signals.append(reply)
            reply = self._bus.receive(timeout=200)
        seconds = time.perf_counter() - started
        if reply.header.message_type is MessageType.error:
            name, text = reply.header.fields[HeaderFields.error_name], list(reply.body)
            return {"error": name, "text": str(text[0]) if text else "", "seconds": seconds}
        return {"reply": to_json(reply.body), "seconds": seconds}

    def _signal(self, member: str, seconds: float) -> dict[str, object]:
        deadline = time.perf_counter() + seconds
        while True:
            for message in self._signals:
                if message.header.fields.get(HeaderFields.member) == member:
                    self._signals.remove(message)
                    return {"body": to_json(message.body)}
            try:
                left = max(deadline - time.perf_counter(), 0)
                self._signals.append(self._bus.receive(timeout=left))
            except TimeoutError:
                return {"body": None}

    def _send_raw(self, data: bytes, count: int) -> dict[str, object]:
        """Send bytes of a test with some descriptors; tell whether the bus still lives with us."""
        ends = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
        try:
            if ends:
                sent = socket_send_fds(self._bus.sock.fileno(), data, ends)
                data = data[sent:]
            self._bus.sock.sendall(data)
        except OSError as error:
            return {"lost": str(error)}
        finally:
            for end in ends:
                os.close(end)
        return {}


def socket_send_fds(fd: int, data: bytes, fds: list[int]) -> int:
    with socket.socket(fileno=os.dup(fd)) as sock:
        return socket.send_fds(sock, [data], fds)


def from_json(value: object) -> object:
    match value:
        case {"variant": [str() as signature, inner]}:
            return signature, from_json(inner)
        case {"pipe": str() as text}:
            read_end, write_end = os.pipe()
            os.write(write_end, text.encode())
            os.close(write_end)
            return FileDescriptor(read_end)
        case dict():
            return {name: from_json(each) for name, each in value.items()}
        case list():
            return [from_json(each) for each in value]
        case _:
            return value


def to_json(value: object) -> object:
    match value:
        case FileDescriptor():
            with os.fdopen(value.to_raw_fd(), "rb") as file:
                return {"pipe": file.read().decode(errors="replace")}
        case dict():
            return {str(name): to_json(each) for name, each in value.items()}
        case list() | tuple():
            return [to_json(each) for each in value]
        case bytes():
            return value.hex()
        case _:
            return value


def main() -> None:
    connection = Connection()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(connection.carry_out(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
