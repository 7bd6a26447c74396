"""TunDevice: batches of IP packets from and to a TUN descriptor.

It knows nothing of what the packets mean.
"""

# walk: 1, 16 of 16

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import trio
from typing_extensions import override

from mqvpn_core.errors import HostLostError

_MAX_PACKET_BYTES = 65535


@dataclass(slots=True, kw_only=True)
class TunCounters:
    """What went through a TUN device since it was opened."""

    read_count: int = 0
    """Packets read."""
    read_bytes: int = 0
    """Bytes read."""
    written_count: int = 0
    """Packets written."""
    written_bytes: int = 0
    """Bytes written."""
    dropped_count: int = 0
    """Packets the kernel did not take: queue full, device down or not an IP packet."""


class PacketDevice(Protocol):
    """A device that gives and takes IP packets in batches."""

    @property
    def counters(self) -> TunCounters:
        """What went through so far."""
        ...

    async def wait_readable(self) -> None:
        """Wait until a packet can be read."""
        ...

    def read_packets(self, max_count: int) -> list[bytes]:
        """Return the packets that are there, at most ``max_count``."""
        ...

    def write_packets(self, packets: Sequence[bytes]) -> int:
        """Write packets and return how many of them were dropped."""
        ...

    def close(self) -> None:
        """Give the device back; harmless when done twice."""
        ...


class TunDevice(PacketDevice):
    """A TUN device by its descriptor, which it owns."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor.

        Args:
            fd: descriptor of a TUN device without packet information.
        """
        os.set_blocking(fd, False)
        self._fd = fd
        self._counters = TunCounters()

    @property
    @override
    def counters(self) -> TunCounters:
        return self._counters

    @override
    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._fd)

    @override
    def read_packets(self, max_count: int) -> list[bytes]:
        """Return the packets that are there, at most ``max_count``.

        Args:
            max_count: bound of the batch.

        Raises:
            HostLostError: the device has been removed.
        """
        packets: list[bytes] = []
        try:
            while len(packets) < max_count:
                packets.append(os.read(self._fd, _MAX_PACKET_BYTES))
        except BlockingIOError:
            pass
        except OSError as error:
            # What was read before counts; a device that is gone says so again at the next read.
            if not packets:
                raise HostLostError(f"the TUN device cannot be read: {_reason(error)}") from error
        self._counters.read_count += len(packets)
        self._counters.read_bytes += sum(map(len, packets))
        return packets

    @override
    def write_packets(self, packets: Sequence[bytes]) -> int:
        dropped_count = 0
        written_bytes = 0
        for packet in packets:
            try:
                written_bytes += os.write(self._fd, packet)
            except OSError:
                # EAGAIN and ENOBUFS: no room; EINVAL: not an IP packet; EIO: the device is down;
                # EBADFD: it is gone, which reading reports. An IP packet may always be lost.
                dropped_count += 1
        self._counters.written_count += len(packets) - dropped_count
        self._counters.written_bytes += written_bytes
        self._counters.dropped_count += dropped_count
        return dropped_count

    @override
    def close(self) -> None:
        """Close the descriptor, which removes the device; harmless when done twice."""
        if self._fd >= 0:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(self._fd)
            os.close(self._fd)
            self._fd = -1


def _reason(error: OSError) -> str:
    if error.errno == errno.EBADFD:
        return "it has been removed"
    return os.strerror(error.errno or 0)
