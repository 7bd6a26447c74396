"""FakeUdp: UDP sockets in memory, joined by a network that delivers at once and in order.

For loss, delay and everything else that happens to packets there is the simulator; this is for
tests of what lies between the sockets and the core.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import trio
from typing_extensions import override

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit
from mqvpn_core.runtime.packet_ports import DatagramSocket

_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, never bound


class FakeUdpNetwork:
    """Knows the sockets by their addresses."""

    def __init__(self) -> None:
        """Begin with no socket."""
        self._sockets: list[FakeUdp] = []

    def attach(self, joined: "FakeUdp") -> None:
        """Let a socket take part.

        Args:
            joined: the socket.
        """
        self._sockets.append(joined)

    def detach(self, gone: "FakeUdp") -> None:
        """Let a socket leave.

        Args:
            gone: the socket.
        """
        self._sockets.remove(gone)

    def carry(self, transmit: Transmit) -> None:
        """Hand what was sent to the socket it is for; without one it is lost.

        Args:
            transmit: what was sent.
        """
        remote = transmit.four_tuple.remote
        for one in self._sockets:
            bound = one.local_address
            if bound.port == remote.port and (
                bound.host == remote.host or bound.host in _WILDCARDS
            ):
                reverse = FourTuple(local=remote, remote=transmit.four_tuple.local)
                one.arrive(
                    ReceivedDatagrams(reverse, transmit.data, transmit.segment_size, transmit.ecn)
                )
                return


class FakeUdp(DatagramSocket):
    """A socket that remembers what it sent."""

    def __init__(self, local: SocketAddress, network: FakeUdpNetwork | None = None) -> None:
        """Bind the socket.

        Args:
            local: its address.
            network: where what it sends goes; nowhere when left out.
        """
        self.sent: list[Transmit] = []
        """Everything that was sent, in order."""
        self.is_closed = False
        """``close`` was called."""
        self._local = local
        self._network = network
        self._waiting: deque[ReceivedDatagrams] = deque()
        self._readable = trio.Event()
        self._writable = trio.Event()
        self._room: int | None = None
        self._largest: int | None = None
        self._refused: list[RefusedDatagram] = []
        if network is not None:
            network.attach(self)

    @property
    @override
    def local_address(self) -> SocketAddress:
        return self._local

    def arrive(self, batch: ReceivedDatagrams) -> None:
        """Let datagrams arrive.

        Args:
            batch: what one read will return.
        """
        self._waiting.append(batch)
        self._readable.set()

    def limit(self, room: int | None) -> None:
        """Let the kernel's buffer take only so many datagrams from now on.

        Args:
            room: number of datagrams; None for no limit.
        """
        self._room = room
        if room != 0:
            self._writable.set()

    def refuse_above(self, largest: int | None) -> None:
        """Let the link take no datagrams larger than this from now on.

        Args:
            largest: bytes of UDP payload; None for any.
        """
        self._largest = largest

    @override
    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            self._readable = trio.Event()
            await self._readable.wait()

    @override
    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()
        while self._room == 0:
            self._writable = trio.Event()
            await self._writable.wait()

    @override
    def receive(self, max_reads: int) -> list[ReceivedDatagrams]:
        return [self._waiting.popleft() for _ in range(min(max_reads, len(self._waiting)))]

    @override
    def send(self, transmits: Sequence[Transmit]) -> list[Transmit]:
        for index, transmit in enumerate(transmits):
            if self._largest is not None and transmit.segment_size > self._largest:
                self._refused.append(RefusedDatagram(transmit.four_tuple, transmit.segment_size))
                continue
            room_bytes = len(transmit.data)
            if self._room is not None:
                room_bytes = min(room_bytes, self._room * transmit.segment_size)
                self._room -= -(-room_bytes // transmit.segment_size)
            if room_bytes:
                self._deliver(replace(transmit, data=transmit.data[:room_bytes]))
            if room_bytes < len(transmit.data):
                rest = replace(transmit, data=transmit.data[room_bytes:])
                return [rest, *transmits[index + 1 :]]
        return []

    @override
    def take_refused(self) -> list[RefusedDatagram]:
        refused, self._refused = self._refused, []
        return refused

    @override
    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            if self._network is not None:
                self._network.detach(self)

    def _deliver(self, transmit: Transmit) -> None:
        self.sent.append(transmit)
        if self._network is not None:
            self._network.carry(transmit)
