"""More downloads at once than one link carries: there is something to do for each."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mqvpn_core.demo.namespaces import NetworkNamespace
from mqvpn_core.demo.programs import WEB_PORT
from mqvpn_core.demo.topology import WEB_IPV4

_WORKERS = 8
_BYTES = 1_000_000
_REQUEST = f"GET /bytes/{_BYTES} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".encode()
_PATIENCE = 10.0
_PAUSE = 0.05


class Fetching:
    """Downloads one after the other in each of a few threads, until it is stopped."""

    def __init__(self, client: NetworkNamespace) -> None:
        """Begin.

        Args:
            client: the machine that downloads from the web host.
        """
        self._client = client
        self._is_over = threading.Event()
        self._open: dict[int, socket.socket] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True)
            for number in range(_WORKERS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End it."""
        self._is_over.set()
        for connection in list(self._open.values()):
            with suppress(OSError):  # it may be over already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        while not self._is_over.is_set():
            with self._client.call(socket.socket) as connection:
                self._open[number] = connection
                try:
                    _fetch(connection)
                except OSError:  # there may be no link at all
                    self._is_over.wait(_PAUSE)


@contextmanager
def fetching(client: NetworkNamespace) -> Iterator[Fetching]:
    """Keep a client downloading for the length of a block."""
    running = Fetching(client)
    try:
        yield running
    finally:
        running.stop()


def _fetch(connection: socket.socket) -> None:
    connection.settimeout(_PATIENCE)
    connection.connect((WEB_IPV4, WEB_PORT))
    connection.sendall(_REQUEST)
    while connection.recv(1 << 16):
        pass
