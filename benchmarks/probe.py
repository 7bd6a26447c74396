"""A steady stream of small packets both ways, and the silences in it.

100 datagrams a second leave the client and 100 the far host. The kernel's time of arrival counts,
so it does not matter how late this process reads them. What is sent late is not sent at all:
a late sender would look like a silent network.
"""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from mqvpn_core.demo.namespaces import NetworkNamespace

INTERVAL = 0.01
"""Seconds between two packets of one direction."""

_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 4 << 20
_POLL = 0.25
_PAYLOAD = struct.Struct("!Q52x")
"""A number, and as much as a voice packet has besides."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """What arrived at one end."""

    arrivals: list[float] = field(default_factory=list)
    """When each packet arrived, seconds of the wall clock."""
    sent_at: list[float] = field(default_factory=list)
    """When each packet was sent at the other end."""

    def gap(self, since: float, until: float) -> float:
        """The longest silence that ended after ``since`` or had not ended at ``until``."""
        edges = [time for time in self.arrivals if time <= until]
        start = max((time for time in edges if time <= since), default=since)
        inside = [start, *(time for time in edges if time > since), until]
        return max(later - earlier for earlier, later in itertools.pairwise(inside))

    def sender_stall(self, since: float, until: float) -> float:
        """The longest pause of the sender in that time: how far `gap` can be wrong."""
        inside = [time for time in self.sent_at if since <= time <= until]
        pauses = (later - earlier for earlier, later in itertools.pairwise(inside))
        return max(pauses, default=0.0)

    def has_arrived_since(self, moment: float, count: int) -> bool:
        """Whether at least so many packets arrived after a moment."""
        return len(self.arrivals) >= count and self.arrivals[-count] > moment


class Probe:
    """The running streams; `probe` makes one for the length of a block."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        """Start to send and to listen.

        Args:
            near: the client's socket, connected to the far host.
            far: the far host's socket.
        """
        self.up = Stream()
        self.down = Stream()
        self._near = near
        self._far = far
        self._peer: tuple[str, int] | None = None
        self._is_over = threading.Event()
        works = (self._send, self._listen_near, self._listen_far)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the streams."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def forget(self) -> None:
        """Drop what was recorded; call it between measurements to keep the lists short."""
        for stream in (self.up, self.down):
            del stream.arrivals[:-1], stream.sent_at[:-1]

    def _send(self) -> None:
        number = 0
        due = time.perf_counter()
        while not self._is_over.is_set():
            now = time.perf_counter()
            if now < due:
                time.sleep(due - now)
            due = max(due + INTERVAL, time.perf_counter())
            packet = _PAYLOAD.pack(number)
            number += 1
            _try_to_send(self._near, packet, None, self.up)
            if self._peer is not None:
                _try_to_send(self._far, packet, self._peer, self.down)

    def _listen_near(self) -> None:
        while not self._is_over.is_set():
            _receive(self._near, self.down)

    def _listen_far(self) -> None:
        # The address of the client as the far host sees it: there may be a NAT between.
        while not self._is_over.is_set():
            self._peer = _receive(self._far, self.up) or self._peer


@contextmanager
def probe(client: NetworkNamespace, far: NetworkNamespace, address: str) -> Iterator[Probe]:
    """Hold a probe between a client and a host behind its tunnel for the length of a block."""
    with closing(far.call(_udp_socket)) as there, closing(client.call(_udp_socket)) as here:
        there.bind((address, 0))
        here.connect(there.getsockname())
        running = Probe(here, there)
        try:
            yield running
        finally:
            running.stop()


def wall_clock() -> float:
    """The clock that the kernel stamps packets with, in seconds."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def _udp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    made.settimeout(_POLL)
    return made


def _try_to_send(
    sender: socket.socket, packet: bytes, peer: tuple[str, int] | None, stream: Stream
) -> None:
    stream.sent_at.append(wall_clock())
    try:
        if peer is None:
            sender.send(packet)
        else:
            sender.sendto(packet, peer)
    except OSError:
        return  # an error that the network reported; what counts is what arrives


def _receive(receiver: socket.socket, stream: Stream) -> tuple[str, int] | None:
    try:
        _, control, _, sender = receiver.recvmsg(_PAYLOAD.size, 64)
    except OSError:  # nothing came, or the network reported an error
        return None
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("qq", value)
            stream.arrivals.append(seconds + nanoseconds / 1e9)
    return sender[0], sender[1]
