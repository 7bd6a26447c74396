"""Queues of a TUN device: the kernel gives packets only to those that are attached."""

import errno
import fcntl
import struct

_TUNSETQUEUE = 0x400454D9
_IFF_ATTACH_QUEUE = 0x0200
_IFF_DETACH_QUEUE = 0x0400
_IFREQ = struct.Struct("16sH22x")


def switch_queue(fd: int, *, is_attached: bool) -> None:
    """Have a queue take part or not; one that does already is left as it is.

    Without its queues a device stays: packets are lost until one is attached again.

    Args:
        fd: descriptor of the queue.
        is_attached: whether somebody reads it.
    """
    flag = _IFF_ATTACH_QUEUE if is_attached else _IFF_DETACH_QUEUE
    try:
        fcntl.ioctl(fd, _TUNSETQUEUE, _IFREQ.pack(b"", flag))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
