"""Drives nodes over real UDP sockets on the loopback interface, in real time."""

import select
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.testing.simulator import Node

_LONGEST_SLEEP = 0.05
_LARGEST_DATAGRAM = 65_535


def real_now() -> Instant:
    """Read the clock."""
    return Instant(time.monotonic())  # noqa: TID251 - these tests are about real sockets


class Loopback:
    """A few nodes, each with one socket on 127.0.0.1, driven in turn by one loop."""

    def __init__(self) -> None:
        self._sockets: dict[socket.socket, Node] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sock in self._sockets:
            sock.close()

    def open_socket(self) -> tuple[socket.socket, SocketAddress]:
        """Bind a socket to a free port."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        return sock, SocketAddress(*sock.getsockname())

    def add(self, node: Node, sock: socket.socket) -> None:
        """Let a node use a socket."""
        self._sockets[sock] = node

    def run_until(self, goal: Callable[[], bool], *, limit: float) -> None:
        """Drive everybody until the goal is reached; fail after ``limit`` seconds."""
        deadline = real_now() + limit
        while True:
            for sock, node in self._sockets.items():
                self._drain(sock, node)
            if goal():
                return
            now = real_now()
            assert now < deadline, "goal not reached in time"
            timeouts = [node.next_timeout() for node in self._sockets.values()]
            wake_at = min(timeout for timeout in [*timeouts, deadline] if timeout is not None)
            sleep = min(max(wake_at - now, 0.0), _LONGEST_SLEEP)
            readable, _, _ = select.select(list(self._sockets), [], [], sleep)
            for sock in readable:
                self._read(sock, self._sockets[sock])
            for node in self._sockets.values():
                timeout = node.next_timeout()
                if timeout is not None and timeout <= real_now():
                    node.handle_timeout(real_now())

    def _read(self, sock: socket.socket, node: Node) -> None:
        local = SocketAddress(*sock.getsockname())
        while True:
            try:
                data, remote = sock.recvfrom(_LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            four_tuple = FourTuple(local, SocketAddress(*remote))
            node.receive_datagrams(ReceivedDatagrams(four_tuple, data, len(data), 0), real_now())

    def _drain(self, sock: socket.socket, node: Node) -> None:
        while True:
            transmits = node.transmits(real_now())
            for transmit in transmits:
                for start in range(0, len(transmit.data), transmit.segment_size):
                    segment = transmit.data[start : start + transmit.segment_size]
                    sock.sendto(segment, transmit.four_tuple.remote)
            if not node.handle_events(real_now()) and not transmits:
                return
