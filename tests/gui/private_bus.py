"""A message bus of the test's own, and a helper on it that says what the test wants."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jeepney import (
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.fds import FileDescriptor
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.wrappers import DBusAddress

from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import (
    BUS_NAME,
    INTERFACE_NAME,
    OBJECT_PATH,
    PROPERTIES_INTERFACE,
)

_CONFIGURATION = """\
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""
_PATIENCE = 10.0

_RESULTS = {method.name: method.output_signature for method in table.METHODS}


@contextmanager
def message_bus_daemon(directory: Path) -> Iterator[str]:
    """Run a bus for the length of a block; gives the path of its socket."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("needs the package dbus-daemon")
    path = directory / "bus"
    path.unlink(missing_ok=True)
    configuration = directory / "bus.conf"
    configuration.write_text(_CONFIGURATION.format(path=path))
    daemon = subprocess.Popen(  # noqa: S603 - the bus of the system
        [program, f"--config-file={configuration}", "--nofork", "--nopidfile"],
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _PATIENCE  # noqa: TID251 - a real program is started
        while not _answers(path):
            assert time.monotonic() < deadline, "no bus"  # noqa: TID251 - as above
            time.sleep(0.01)
        yield str(path)
    finally:
        daemon.terminate()
        daemon.wait()


def _answers(path: Path) -> bool:
    """Whether somebody listens; the file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class BusHelper:
    """Answers on the bus in a thread of its own, and notes what it was asked."""

    def __init__(self, bus_path: str, properties: dict[str, tuple[str, object]]) -> None:
        """Take the helper's name.

        Args:
            bus_path: socket of the bus.
            properties: what it says of itself, with D-Bus types.
        """
        self.bus_path = bus_path
        """Where it is."""
        self.properties = properties
        self.errors: dict[str, str] = {}
        """Methods that fail, with the name of the error."""
        self.report = b"{}"
        """What it tells about the machine."""
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        self.events: list[dict[str, tuple[str, object]]] = []
        self._lock = threading.Lock()
        self._connection: DBusConnection = open_dbus_connection(f"unix:path={bus_path}", True)
        self.unique_name: str = self._connection.unique_name
        """Its name on the bus."""
        reply = self._connection.send_and_get_reply(message_bus.RequestName(BUS_NAME))
        assert reply.body == (1,)
        self._is_over = threading.Event()
        self._serials = itertools.count(10_000)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def change(self, **properties: tuple[str, object]) -> None:
        """Say that properties have changed."""
        self.properties |= properties
        self._emit(
            PROPERTIES_INTERFACE, "PropertiesChanged", "sa{sv}as", (INTERFACE_NAME, properties, [])
        )

    def signal(self, signal: table.Signal, *arguments: object) -> None:
        """Send a signal of the helper's own; an event is there to be read from then on as well."""
        if signal is table.EVENT:
            types = {each.name: each.signature for each in signal.arguments}
            given = zip(types.items(), arguments, strict=True)
            self.events.append({name: (kind, value) for (name, kind), value in given})
        self._emit(INTERFACE_NAME, signal.name, signal.signature, arguments)

    def die(self) -> None:
        """End as a crashed process does: the connection is simply gone."""
        self._is_over.set()
        self._thread.join()
        self._connection.close()

    def _emit(self, interface: str, name: str, signature: str, body: tuple[object, ...]) -> None:
        message = new_signal(DBusAddress(OBJECT_PATH, BUS_NAME, interface), name, signature, body)
        with self._lock:
            self._connection.send(message, serial=next(self._serials))

    def _serve(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                message = self._connection.receive(timeout=0.02)
                if message.header.message_type is MessageType.method_call:
                    reply = self._reply(message)
                    with self._lock:
                        self._connection.send(reply, serial=next(self._serials))
                    for each in reply.body:
                        if isinstance(each, FileDescriptor):
                            each.close()

    def _reply(self, message: Message) -> Message:
        method = str(message.header.fields[HeaderFields.member])
        self.asked.append((method, tuple(_readable(each) for each in message.body)))
        if method in self.errors:
            return new_error(message, self.errors[method], "s", (f"{method} failed",))
        if method == table.GET_ALL.name:
            return new_method_return(message, "a{sv}", (self.properties,))
        if method == table.GET_EVENTS.name:
            return new_method_return(message, "aa{sv}", (self.events,))
        if method == table.CONNECT.name:
            return new_method_return(message, "o", ("/org/mqvpn/session/1",))
        if method == table.COLLECT_DIAGNOSTICS.name:
            return new_method_return(message, "h", (_pipe_with(self.report),))
        assert _RESULTS.get(method) == "", method
        return new_method_return(message)


def _pipe_with(data: bytes) -> FileDescriptor:
    """A pipe with something short in it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(data)
    return FileDescriptor(reading)


def _readable(argument: object) -> object:
    """An argument, with what is in the pipe in place of a descriptor."""
    if not isinstance(argument, FileDescriptor):
        return argument
    with os.fdopen(argument.to_raw_fd(), "rb") as pipe:
        return pipe.read()
