"""Sealed bytes on their way to the sockets; keeps what a full socket buffer did not take.

The backlog is small on purpose: it is meant for one scheduling hiccup. What does not fit is
dropped here and recovered by QUIC, as if the network had lost it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import trio

from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.udp_datagrams import RefusedDatagram, Transmit
from mqvpn_core.runtime.packet_ports import DatagramSocket

MAX_BACKLOG = 128
"""Transmits kept for one socket."""
_BATCH = 32


@dataclass(slots=True, kw_only=True)
class SendLosses:
    """Transmits that no socket has got."""

    no_room_count: int = 0
    """Too many waited for theirs already."""
    no_socket_count: int = 0
    """Theirs was closed, as that of a link that is gone."""


class Outbox:
    """Sends each transmit on the socket its local address names.

    A: `losses`. C: `send`, `add`, `remove`. D: `take_refused`. Tasks: `run`, or `flush` for each
    socket.
    """

    def __init__(self, sockets: Iterable[DatagramSocket]) -> None:
        """Take the sockets of one driver; they stay the caller's to close."""
        self.losses = SendLosses()
        self._lanes = [_Lane(socket) for socket in sockets]
        self._by_local: dict[SocketAddress, _Lane | None] = {}

    def send(self, transmits: Sequence[Transmit]) -> None:
        """Send now what the sockets take, keep a little, drop and count the rest."""
        start = 0
        while start < len(transmits):
            local = transmits[start].four_tuple.local
            end = start + 1
            while end < len(transmits) and transmits[end].four_tuple.local == local:
                end += 1
            lane = self._lane_of(local)
            if lane is None:
                self.losses.no_socket_count += end - start
            else:
                self.losses.no_room_count += lane.send(transmits[start:end])
            start = end

    def take_refused(self) -> list[RefusedDatagram]:
        """Return what was too large for a link since the last call."""
        return [refused for lane in self._lanes for refused in lane.socket.take_refused()]

    def add(self, socket: DatagramSocket) -> None:
        """Take one more socket."""
        self._lanes.append(_Lane(socket))
        self._by_local.clear()

    def remove(self, socket: DatagramSocket) -> None:
        """Forget a socket and what waits for it; harmless when done twice."""
        self._lanes = [lane for lane in self._lanes if lane.socket is not socket]
        self._by_local.clear()

    async def flush(self, socket: DatagramSocket) -> None:
        """Send the backlog of one socket as it becomes writable, until cancelled."""
        for lane in self._lanes:
            if lane.socket is socket:
                await lane.run()

    async def run(self) -> None:
        """Send all backlogs as their sockets become writable, until cancelled."""
        async with trio.open_nursery() as nursery:
            for lane in self._lanes:
                nursery.start_soon(lane.run)

    def _lane_of(self, local: SocketAddress) -> "_Lane | None":
        try:
            return self._by_local[local]
        except KeyError:
            lane = self._by_local[local] = self._find_lane(local)
            return lane

    def _find_lane(self, local: SocketAddress) -> "_Lane | None":
        # A server's wildcard socket answers for every local address of its family and port.
        wildcard = SocketAddress("::" if ":" in local.host else "0.0.0.0", local.port)  # noqa: S104 - compared, not bound
        for wanted in (local, wildcard):
            # The newest of several: one that lingers behind its path must not take its packets.
            for lane in reversed(self._lanes):
                if lane.socket.local_address == wanted:
                    return lane
        return None


class _Lane:
    """One socket with its backlog."""

    def __init__(self, socket: DatagramSocket) -> None:
        self.socket = socket
        self._backlog: deque[Transmit] = deque()
        self._filled = trio.Event()

    def send(self, transmits: Sequence[Transmit]) -> int:
        """Send or keep; return how many were dropped."""
        if not self._backlog:
            rest = self.socket.send(transmits)
            if not rest:
                return 0
        else:
            # Sealed, so that they count one by one towards the limit.
            rest = [each for transmit in transmits for each in transmit.sealed()]
        room = MAX_BACKLOG - len(self._backlog)
        self._backlog.extend(rest[:room])
        self._filled.set()
        return max(0, len(rest) - room)

    async def run(self) -> None:
        while True:
            await self._filled.wait()
            await self.socket.wait_writable()
            self._flush()

    def _flush(self) -> None:
        while self._backlog:
            batch = list(islice(self._backlog, _BATCH))
            rest = self.socket.send(batch)
            for _ in range(len(batch) - len(rest)):
                self._backlog.popleft()
            if rest:
                # A socket may cut a transmit in two: what it gave back replaces the head.
                for _ in range(len(rest)):
                    self._backlog.popleft()
                self._backlog.extendleft(reversed(rest))
                return
        self._filled = trio.Event()
