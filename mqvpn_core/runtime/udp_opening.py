"""Opening a UDP socket the way QUIC wants it: bound, non-blocking, never fragmenting, with ECN.

The platform's numbers are here; what goes through the socket is `udp_sockets`.
"""

import errno
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress

SOL_UDP = 17
"""Level of UDP's own options and control messages."""
UDP_GRO = 104
"""Option: deliver several datagrams at once; control message: the length of each."""
IP_PKTINFO = 8
"""Option and control message: which local address an IPv4 datagram is for or from."""

_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_IPV6_DONTFRAG = 62
_PMTUDISC_PROBE = 3
SO_SNDBUFFORCE = 32
"""Option of privileged processes: a send buffer above the machine's limit."""
SO_RCVBUFFORCE = 33
"""The same for receiving."""
SEND_BUFFER_BYTES = 4 << 20
"""Buffer for what is to leave."""
RECEIVE_BUFFER_BYTES = 16 << 20
"""Buffer for what arrives: 30 ms of 4 Gbit/s. Others keep a thread from the processor for half of
that, and after losses the window of whoever sends takes seconds to grow again."""

_SO_MARK = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpOptions:
    """How to open a UDP socket."""

    interface: str | None = None
    """Send and receive over this link only (SO_BINDTODEVICE)."""
    mark: int | None = None
    """Mark of every packet (SO_MARK, a privilege of CAP_NET_ADMIN)."""
    receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES
    """Wanted kernel buffer for what arrives; the kernel may give less."""
    send_buffer_bytes: int = SEND_BUFFER_BYTES
    """The same for what is to leave."""
    segmentation: bool = True
    """Let the kernel split and join datagrams (GSO, GRO) where it can."""
    is_shared: bool = False
    """Sockets of several processes of one user have this address together (SO_REUSEPORT)."""
    descriptor: int | None = None
    """A socket that was opened and bound before, to be used as it is; taken over."""


def open_udp(local: SocketAddress, options: UdpOptions) -> socket.socket:
    """Open and bind a socket.

    Args:
        local: address to bind to; port 0 lets the kernel choose. A wildcard host makes the kernel
            say for each datagram which local address it is for.
        options: how to open it.

    Raises:
        HostError: the address cannot be had; the message says why.
    """
    if options.descriptor is not None:
        return socket.socket(fileno=options.descriptor)
    address = ip_address(local.host)
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise HostError(f"cannot open a UDP socket: {_reason(error)}") from error
    try:
        if options.interface is not None:
            name = options.interface.encode()
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        if options.mark is not None:
            opened.setsockopt(socket.SOL_SOCKET, _SO_MARK, options.mark)
        if options.is_shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if isinstance(address, IPv6Address):
            _configure_ipv6(opened, wants_local_address=address.is_unspecified)
            # A link-local address means nothing without its link.
            needs_link = address.is_link_local and options.interface is not None
            link = socket.if_nametoindex(options.interface or "") if needs_link else 0
            opened.bind((local.host, local.port, 0, link))
        else:
            _configure_ipv4(opened, wants_local_address=address.is_unspecified)
            opened.bind((local.host, local.port))
    except OSError as error:
        opened.close()
        over = f" over {options.interface}" if options.interface else ""
        raise HostError(
            f"cannot use UDP address {local.host} port {local.port}{over}: {_reason(error)}"
        ) from error
    _configure_common(opened, options)
    return opened


def _configure_ipv4(opened: socket.socket, *, wants_local_address: bool) -> None:
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    # Don't Fragment, and no belief in ICMP: the size is found out by our own probes.
    opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    if wants_local_address:
        opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _configure_ipv6(opened: socket.socket, *, wants_local_address: bool) -> None:
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
    opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
    if wants_local_address:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def _configure_common(opened: socket.socket, options: UdpOptions) -> None:
    set_buffer(opened, SO_RCVBUFFORCE, socket.SO_RCVBUF, options.receive_buffer_bytes)
    set_buffer(opened, SO_SNDBUFFORCE, socket.SO_SNDBUF, options.send_buffer_bytes)
    if options.segmentation:
        # Kernels before 5.0 do not know it and deliver each datagram by itself.
        with suppress(OSError):
            opened.setsockopt(SOL_UDP, UDP_GRO, 1)


def set_buffer(opened: socket.socket, forced: int, plain: int, wanted_bytes: int) -> None:
    """Ask for a buffer of a socket, as large as we are allowed to."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, forced, wanted_bytes)
    except PermissionError:
        # Only a privileged process gets past the machine's limit (net.core.rmem_max).
        opened.setsockopt(socket.SOL_SOCKET, plain, wanted_bytes)


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "another program uses it"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case errno.EACCES | errno.EPERM:
            return "permission denied (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
        case errno.ENODEV:
            return "there is no such interface"
        case _:
            return os.strerror(error.errno or 0)
