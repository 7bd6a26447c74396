"""FakeTun: a TUN device in memory, with the kernel's side in the hands of the test."""

from collections import deque
from collections.abc import Sequence

import trio
from typing_extensions import override

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.tun_device import PacketDevice


class FakeTun(PacketDevice):
    """A device that reads what ``route`` put in and keeps what was written."""

    def __init__(self, *, queue_length: int = 500) -> None:
        """Begin with empty queues.

        Args:
            queue_length: packets the kernel's side takes before it drops.
        """
        self.written: list[bytes] = []
        """Packets the device took; tests may empty it."""
        self.is_closed = False
        """``close`` was called."""
        self._queue_length = queue_length
        self._waiting: deque[bytes] = deque()
        self._readable = trio.Event()
        self._is_removed = False

    def route(self, packets: Sequence[bytes]) -> None:
        """Let the machine send packets into the device.

        Args:
            packets: IP packets.
        """
        self._waiting.extend(packets)
        self._readable.set()

    def remove(self) -> None:
        """Let the device disappear, as when an administrator deletes it."""
        self._is_removed = True
        self._readable.set()

    @override
    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._waiting and not self._is_removed:
            self._readable = trio.Event()
            await self._readable.wait()

    @override
    def read_packets(self, max_count: int) -> list[bytes]:
        if self._is_removed:
            raise HostError("the TUN device cannot be read: it has been removed")
        return [self._waiting.popleft() for _ in range(min(max_count, len(self._waiting)))]

    @override
    def write_packets(self, packets: Sequence[Parcel]) -> int:
        dropped_count = 0
        for packet in expand(packets):
            # The kernel takes nothing that is not an IP packet by its first four bits.
            is_ip = packet[:1] and packet[0] >> 4 in {4, 6}
            if not is_ip or len(self.written) >= self._queue_length or self._is_removed:
                dropped_count += 1
                continue
            self.written.append(packet)
        return dropped_count

    @override
    def close(self) -> None:
        self.is_closed = True
