"""TunDevice: batches of IP packets from and to a TUN descriptor.

Where the device has a header for offloads in front of each packet, the host hands over the packets
of a flow as one (TSO, USO), and takes them as one; the kernel of the data plane splits and joins
them. It knows nothing of what the packets mean.
"""

# walk: 1, 16 of 16

import errno
import fcntl
import os
import select
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from typing_extensions import override

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.errors import HostLostError
from mqvpn_core.runtime.descriptor_wait import DescriptorWait
from mqvpn_core.runtime.freed_memory import keep_freed_memory
from mqvpn_core.runtime.packet_ports import MAX_READ_BYTES

_MAX_FRAME_BYTES = 65535 + kernel.FRAME_HEADER_BYTES
_TUNSETOFFLOAD = 0x400454D0
_TUNGETIFF = 0x800454D2
_IFREQ = struct.Struct("16sH22x")
_IFF_VNET_HDR = 0x4000
# linux/if_tun.h: checksums, TSO4, TSO6 and ECN with it; USO4 and USO6 (Linux 6.2).
_TCP_OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08
_UDP_OFFLOADS = 0x20 | 0x40


class PacketDevice(Protocol):
    """A device that gives and takes IP packets in batches."""

    async def wait_readable(self) -> None:
        """Wait until a packet can be read."""
        ...

    def read_packets(self, max_count: int) -> Sequence[Parcel]:
        """Return what up to ``max_count`` reads give."""
        ...

    def write_packets(self, packets: Sequence[Parcel]) -> int:
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
            fd: descriptor of a TUN device without packet information; it may have the header for
                offloads.

        Raises:
            HostError: the process has too many descriptors.
        """
        self._incoming = DescriptorWait(select.EPOLLIN)
        os.set_blocking(fd, False)
        keep_freed_memory()
        self._fd = fd
        self._has_frames = _has_offload_header(fd)
        self._joins = self._has_frames and kernel.WANTS_OFFLOADS
        # The native kernel's reader, where it is in use.
        make_reader = kernel.make_frame_reader if self._has_frames else None
        self._reader = None if make_reader is None else make_reader()
        self._joins_udp = self._joins and _enable_offloads(fd)

    def fileno(self) -> int:
        """Return the descriptor, for whoever waits for many at once."""
        return self._fd

    def open_bypass(self) -> kernel.Bypass | None:
        """Return somebody who forwards packets from and to this device; None where nobody can.

        It has to be closed before the device.
        """
        if kernel.make_bypass is None or not self._joins:
            return None
        return kernel.make_bypass(self._fd, self._joins_udp)

    @override
    async def wait_readable(self) -> None:
        await self._incoming.wait(self._fd)

    @override
    def read_packets(self, max_count: int) -> Sequence[Parcel]:
        """Return what up to ``max_count`` reads give.

        Args:
            max_count: bound of the batch.

        Raises:
            HostLostError: the device has been removed.
        """
        packets: Sequence[Parcel]
        if self._reader is not None:
            packets, _, _, number = self._reader.read(self._fd, max_count, MAX_READ_BYTES)
            if number and not packets:
                raise lost_device(OSError(number, os.strerror(number)))
        else:
            reads = self._read_one_by_one(max_count)
            packets = kernel.split_frames(reads) if self._has_frames else reads
        return packets

    def _read_one_by_one(self, max_count: int) -> list[bytes]:
        reads: list[bytes] = []
        room = MAX_READ_BYTES
        try:
            while len(reads) < max_count and room > 0:
                data = os.read(self._fd, _MAX_FRAME_BYTES)
                reads.append(data)
                room -= len(data)
        except BlockingIOError:
            pass
        except OSError as error:
            # What was read before counts; a device that is gone says so again at the next read.
            if not reads:
                raise lost_device(error) from error
        return reads

    @override
    def write_packets(self, packets: Sequence[Parcel]) -> int:
        if self._joins and kernel.write_joined is not None:
            return kernel.write_joined(self._fd, packets, self._joins_udp)[1]
        return self._write_each(packets)

    def _write_each(self, packets: Sequence[Parcel]) -> int:
        """Write packets one by one; return how many were not."""
        frames = expand(packets)
        if self._has_frames:
            frames = kernel.plain_frames(frames)
        dropped_count = 0
        for frame in frames:
            try:
                os.write(self._fd, frame)
            except OSError:
                # EAGAIN and ENOBUFS: no room; EINVAL: not an IP packet; EIO: the device is down;
                # EBADFD: it is gone, which reading reports. An IP packet may always be lost.
                dropped_count += 1
        return dropped_count

    @override
    def close(self) -> None:
        """Close the descriptor, which removes the device; harmless when done twice."""
        if self._fd >= 0:
            self._incoming.close()
            os.close(self._fd)
            self._fd = -1


def _has_offload_header(fd: int) -> bool:
    with suppress(OSError):
        reply = fcntl.ioctl(fd, _TUNGETIFF, _IFREQ.pack(b"", 0))
        return bool(_IFREQ.unpack(reply)[1] & _IFF_VNET_HDR)
    return False


def _enable_offloads(fd: int) -> bool:
    """Let the host hand over packets unsplit, as far as it can; tell whether also those of UDP."""
    for flags in (_TCP_OFFLOADS | _UDP_OFFLOADS, _TCP_OFFLOADS):
        with suppress(OSError):
            fcntl.ioctl(fd, _TUNSETOFFLOAD, flags)
            return bool(flags & _UDP_OFFLOADS)
    return False


def lost_device(error: OSError) -> HostLostError:
    """Make the exception for a device that cannot be read."""
    gone = error.errno == errno.EBADFD
    reason = "it has been removed" if gone else os.strerror(error.errno or 0)
    return HostLostError(f"the TUN device cannot be read: {reason}")
