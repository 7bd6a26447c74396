"""TUN devices: create one and hand over its file descriptor.

The device is not persistent: it lives exactly as long as the descriptor, so that a crashed owner
leaves neither device nor addresses nor routes through it behind.
"""

import errno
import fcntl
import os
import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from mqvpn_helper.host.failures import HostChangeError

_TUN_CLONE_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_MULTI_QUEUE = 0x0100
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFF_TUN_EXCL = 0x8000
_BUSY = frozenset({errno.EBUSY, errno.EEXIST})
_IFREQ = struct.Struct("16sH22x")
_SIOCSIFTXQLEN = 0x8943
_IFREQ_QUEUE = struct.Struct("16si20x")

_NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
# "all" and "default" are the names of the kernel's own sysctl directories.
_RESERVED_NAMES = frozenset({"all", "default", "lo"})
_AUTOMATIC_NAME = "mqvpn%d"

QUEUE_PACKETS = 2000
"""What the device holds until the core reads it. The kernel's 500 are too few for some TCP flows
that start together; more would delay what the core, whose queue is fairer, cannot send anyway."""


class TunBusyError(HostChangeError):
    """The name is taken, perhaps by a process that is about to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedTun:
    """A TUN device that exists while its descriptor is open."""

    fd: int
    """Non-blocking descriptor, one IP packet per read and write; the receiver owns it."""
    name: str
    """Name the kernel gave the device."""
    ifindex: int
    """Index of the device."""
    further_queues: tuple[int, ...] = ()
    """Descriptors like ``fd``: each gets its share of the packets, and all can write."""


def check_tun_name(name: str) -> None:
    """Refuse a name that is not safe in sysctl paths, nftables text and file names.

    Args:
        name: wanted name of the device.

    Raises:
        HostChangeError: the name cannot be used.
    """
    if _NAME_PATTERN.fullmatch(name) is None or name in _RESERVED_NAMES:
        raise HostChangeError(
            f"{name!r} cannot name a TUN device: use 1 to 15 letters, digits, '_', '-' or '.', "
            "beginning with a letter or digit"
        )


def open_tun(name: str | None, *, queue_count: int = 1, vnet_header: bool = False) -> OpenedTun:
    """Create a TUN device and return its descriptor.

    Args:
        name: wanted name; None lets the kernel choose ``mqvpn0``, ``mqvpn1`` and so on.
        queue_count: descriptors to open for it.
        vnet_header: put a ``virtio_net_hdr`` in front of every packet (offloads).

    Raises:
        HostChangeError: no TUN support, no permission, or the name is taken.
    """
    if name is not None:
        check_tun_name(name)
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_TUN_EXCL
    if queue_count > 1:
        flags |= _IFF_MULTI_QUEUE
    if vnet_header:
        flags |= _IFF_VNET_HDR
    opened: list[int] = []
    try:
        actual_name = _open_queue(name or _AUTOMATIC_NAME, flags, opened)
        while len(opened) < queue_count:
            _open_queue(actual_name, flags & ~_IFF_TUN_EXCL, opened)
        _set_queue_length(actual_name)
        return OpenedTun(
            fd=opened[0],
            name=actual_name,
            ifindex=socket.if_nametoindex(actual_name),
            further_queues=tuple(opened[1:]),
        )
    except OSError as error:
        for fd in opened:
            os.close(fd)
        if not opened:
            raise HostChangeError(_explain_open(error)) from error
        kind = TunBusyError if error.errno in _BUSY else HostChangeError
        raise kind(_explain_ioctl(error, name)) from error


def _open_queue(name: str, flags: int, opened: list[int]) -> str:
    """Open a descriptor, put it into ``opened``, and return the name of the device."""
    fd = os.open(_TUN_CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    opened.append(fd)
    reply = fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode("ascii"), flags))
    given: bytes = _IFREQ.unpack(reply)[0]
    return given.split(b"\0", 1)[0].decode("ascii")


def _set_queue_length(name: str) -> None:
    request = _IFREQ_QUEUE.pack(name.encode("ascii"), QUEUE_PACKETS)
    # A kernel that does not know how loses some packets more.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, _SIOCSIFTXQLEN, request)


def _explain_open(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            advice = "it does not exist: load the module (modprobe tun), or give the container it"
        case errno.ENODEV | errno.ENXIO:
            advice = "the kernel has no TUN support: load the module (modprobe tun)"
        case errno.EPERM | errno.EACCES:
            advice = "permission denied: run as root, or allow the device in the container"
        case _:
            advice = os.strerror(error.errno or 0)
    return f"cannot open {_TUN_CLONE_DEVICE}: {advice}"


def _explain_ioctl(error: OSError, name: str | None) -> str:
    wanted = name or "a TUN device"
    match error.errno:
        case errno.EPERM | errno.EACCES:
            advice = "permission denied: root or CAP_NET_ADMIN is needed"
        case number if number in _BUSY:
            advice = "an interface of that name exists already; choose another name"
        case _:
            advice = os.strerror(error.errno or 0)
    return f"cannot create {wanted}: {advice}"
