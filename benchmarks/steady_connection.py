"""One TCP connection through the tunnel that is never idle, and whether it is ever reset."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from mqvpn_core.demo.namespaces import NetworkNamespace

_MESSAGE = bytes(512)
_PAUSE = 0.05
_PATIENCE = 60.0
"""Longer than anything that may happen to the tunnel: only TCP itself ends the connection."""


class SteadyConnection:
    """A dialogue of small messages; `steady_connection` makes one for the length of a block."""

    def __init__(self, client: NetworkNamespace, listener: socket.socket) -> None:
        """Connect and begin.

        Args:
            client: the machine that connects.
            listener: socket of the far host that accepts.
        """
        self.resets = 0
        self.exchanged = 0
        self._client = client
        self._listener = listener
        self._open: list[socket.socket] = []
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._talk, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the dialogue."""
        self._is_over.set()
        for connection in self._open:
            with suppress(OSError):  # it may be over already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _talk(self) -> None:
        """Connect, talk until the connection breaks, count that, and connect again."""
        while not self._is_over.is_set():
            # Connecting may take long, and the machine's own thread is needed meanwhile.
            with self._client.call(socket.socket) as connection:
                try:
                    self._exchange(connection)
                except OSError:
                    self.resets += not self._is_over.is_set()
            self._is_over.wait(_PAUSE)

    def _exchange(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE)
        self._open.append(connection)
        connection.connect(self._listener.getsockname())
        while not self._is_over.is_set():
            connection.sendall(_MESSAGE)
            left = len(_MESSAGE)
            while left:
                data = connection.recv(left)
                if not data:
                    raise ConnectionResetError
                left -= len(data)
            self.exchanged += 1
            self._is_over.wait(_PAUSE)

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._open.append(connection)
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


@contextmanager
def steady_connection(
    client: NetworkNamespace, far: NetworkNamespace, address: str
) -> Iterator[SteadyConnection]:
    """Hold a dialogue between a client and a host behind its tunnel for the length of a block."""
    with closing(far.call(lambda: socket.create_server((address, 0)))) as listener:
        listener.settimeout(0.25)
        running = SteadyConnection(client, listener)
        try:
            yield running
        finally:
            running.stop()


def _echo(connection: socket.socket) -> None:
    # An end of any kind is seen, and counted, by the client.
    with connection, suppress(OSError):
        connection.settimeout(_PATIENCE)
        while data := connection.recv(4096):
            connection.sendall(data)
