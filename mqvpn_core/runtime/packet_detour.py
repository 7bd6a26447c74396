"""Packets that the TUN device gave to one worker although another one has the client.

The kernel gives a packet to the queue that last wrote a packet of the same flow, which is nearly
always the queue of the client's worker: clients begin most flows, and answer in all. The first
packets of the others, and those of flows that go one way only, come by chance; whoever gets them
passes them on here, to the inbox of their worker.
"""

import errno
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_network

import trio

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets, expand
from mqvpn_core.masque.client_table import ClientTable
from mqvpn_core.runtime.worker_messages import AddressMoved, IPAddress

MAX_READS = 64
"""Frames taken from the inbox at once."""

_MAX_FRAME_BYTES = 65536 + kernel.FRAME_HEADER_BYTES


class PacketDetour:
    """The ways from this worker to the others, and from them to here.

    A: `lost_count`. C: `note`, `send`. D: `deliver`. Tasks wait in `wait_readable`.
    """

    def __init__(
        self, own: int, inbox: socket.socket, outboxes: Sequence[socket.socket | None]
    ) -> None:
        """Begin with no client known.

        Args:
            own: number of this worker.
            inbox: gives frames for this worker, one a message.
            outboxes: takes frames for each worker; None for this one.
        """
        self.lost_count = 0
        """Packets that could not be passed on."""
        self._own = own
        self._inbox = inbox
        self._outboxes = outboxes
        self._is_delivering = False
        self._workers: dict[IPAddress, int] = {}
        self._table: ClientTable[IPAddress] = ClientTable()

    def note(self, moved: AddressMoved) -> None:
        """Take note of who has an address."""
        if moved.worker is None or moved.worker == self._own:
            self._table.remove(moved.address)
            self._workers.pop(moved.address, None)
        else:
            self._table.assign(moved.address, [ip_network(moved.address)])
            self._workers[moved.address] = moved.worker

    def send(self, packets: Sequence[Parcel]) -> int:
        """Pass on what is some other worker's; return how many packets were nobody's."""
        if self._is_delivering:
            # Two workers that disagree for a moment must not play ball with them.
            return count_packets(packets)
        batches, strays = self._table.dispatch(packets)
        for address, batch in batches.items():
            self._send_to(self._workers[address], batch)
        return count_packets(strays)

    async def wait_readable(self) -> None:
        """Wait until another worker has passed on something."""
        await trio.lowlevel.wait_readable(self._inbox)

    def deliver(self, take: Callable[[Sequence[Parcel]], None]) -> None:
        """Give away what others have passed on; none of it is passed on again."""
        self._is_delivering = True
        try:
            take(self._receive())
        finally:
            self._is_delivering = False

    def _receive(self) -> Sequence[Parcel]:
        frames: list[bytes] = []
        while len(frames) < MAX_READS:
            try:
                frames.append(self._inbox.recv(_MAX_FRAME_BYTES, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
        return kernel.split_frames(frames)

    def _send_to(self, worker: int, packets: Sequence[Parcel]) -> None:
        outbox = self._outboxes[worker]
        if outbox is None:
            self.lost_count += count_packets(packets)
            return
        if kernel.WANTS_OFFLOADS:
            frames: Sequence[bytes] = kernel.join_packets(packets, True)
        else:
            frames = kernel.plain_frames(expand(packets))
        for frame in frames:
            try:
                outbox.send(frame, socket.MSG_DONTWAIT)
            except OSError as error:
                # Full, or the other worker is being started again: an IP packet may be lost.
                if error.errno not in {errno.EAGAIN, errno.ENOBUFS, errno.EPIPE}:
                    raise
                self.lost_count += kernel.packets_in(frame)
