"""UdpSocket: batches of UDP datagrams from and to one local address.

Segmentation (GSO, GRO), ECN marks, the real local address of a
wildcard socket, and what the network or the kernel refuses: all as values and counters, never as
exceptions. It knows nothing of what the datagrams mean.

A packet larger than the link's MTU is refused rather than fragmented, so that the probes of
RFC 8899 mean something (RFC 9000 s14: QUIC packets must not be fragmented).
"""

# walk: 9, 10 of 16

import errno
import logging
import select
import socket
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias

from typing_extensions import override

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.bypass import SocketCounts
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit
from mqvpn_core.runtime.descriptor_wait import DescriptorWait
from mqvpn_core.runtime.joined_reads import join_reads
from mqvpn_core.runtime.packet_ports import MAX_READ_BYTES, DatagramSocket
from mqvpn_core.runtime.udp_opening import (
    IP_PKTINFO,
    RECEIVE_BUFFER_BYTES,
    SO_RCVBUFFORCE,
    SOL_UDP,
    UDP_GRO,
    UdpOptions,
    open_udp,
    set_buffer,
)

_log = logging.getLogger(__name__)

_UDP_SEGMENT = 103  # linux/udp.h; the socket module does not name it

_PKTINFO4 = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16si")
_U16 = struct.Struct("=H")
_INT = struct.Struct("=i")

_READ_BYTES = 65536
_CONTROL_BYTES = (
    socket.CMSG_SPACE(_PKTINFO6.size) + socket.CMSG_SPACE(_INT.size) + socket.CMSG_SPACE(_INT.size)
)
_MAX_CACHED = 4096
_ECN_MASK = 0b11
# As a plain number: an enumeration would be asked at every read.
_TRUNCATED = int(socket.MSG_TRUNC)
# The traffic class comes as one byte (IPv4) or as an int (IPv6).
_LOWEST_BYTE = 0 if sys.byteorder == "little" else -1

_ControlMessage: TypeAlias = tuple[int, int, bytes]
_Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

# An error of the socket itself rather than of one datagram: a bug or a closed socket.
_FATAL_ERRORS = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EFAULT})


@dataclass(slots=True, kw_only=True)
class UdpCounters:
    """What went through a UDP socket since it was opened."""

    received_count: int = 0
    """UDP datagrams received."""
    received_bytes: int = 0
    """UDP payload bytes received."""
    sent_count: int = 0
    """UDP datagrams the kernel took."""
    sent_bytes: int = 0
    """UDP payload bytes the kernel took."""
    unusable_count: int = 0
    """Reads thrown away because they were empty or did not fit."""
    receive_errors: Counter[int] = field(default_factory=Counter)
    """Failed reads by errno, such as ECONNREFUSED from an ICMP message."""
    send_errors: Counter[int] = field(default_factory=Counter)
    """Datagrams lost at sending by errno: EMSGSIZE means too big for the link."""


class UdpSocket(DatagramSocket):
    """A bound, non-blocking UDP socket.

    A socket bound to a wildcard address serves every address of its family: what it receives names
    the address the peer used, and what it sends leaves from ``four_tuple.local``.
    """

    def __init__(self, local: SocketAddress, options: UdpOptions) -> None:
        """Open and bind the socket.

        Args:
            local: address to bind to; port 0 lets the kernel choose.
            options: how to open it.

        Raises:
            HostError: the address cannot be had; the message says why.
        """
        address = ip_address(local.host)
        self._is_ipv6 = isinstance(address, IPv6Address)
        self._is_wildcard = address.is_unspecified
        self._counters = UdpCounters()
        self._segmentation = options.segmentation
        self._ecn = 0
        self._traffic_class = socket.IPV6_TCLASS if self._is_ipv6 else socket.IP_TOS
        self._packet_info = socket.IPV6_PKTINFO if self._is_ipv6 else IP_PKTINFO
        # By the remote address and the raw control message: parsing once a peer is enough.
        self._four_tuples: dict[tuple[_Address, bytes], FourTuple] = {}
        self._peers: dict[kernel.PeerKey, FourTuple] = {}
        self._keys: dict[FourTuple, kernel.PeerKey] = {}
        # The native kernel's reader, where it is in use.
        self._reader = None if kernel.make_datagram_reader is None else _shared_reader()
        self._sources: dict[str, tuple[_ControlMessage, ...]] = {}
        self._together: dict[tuple[str, int], tuple[_ControlMessage, ...]] = {}
        self._destinations: dict[FourTuple, kernel.Destination] = {}
        self._refused: dict[RefusedDatagram, None] = {}
        self._incoming = DescriptorWait(select.EPOLLIN)
        self._room = DescriptorWait(select.EPOLLOUT)
        self._socket = open_udp(local, options)
        bound = self._socket.getsockname()
        self._local_address = SocketAddress(host=bound[0], port=bound[1])

    @property
    @override
    def local_address(self) -> SocketAddress:
        return self._local_address

    @property
    def counters(self) -> UdpCounters:
        """What went through so far."""
        return self._counters

    def set_receive_buffer(self, wanted_bytes: int | None) -> None:
        """Change the kernel's buffer for what arrives; None gives back the usual one."""
        wanted = RECEIVE_BUFFER_BYTES if wanted_bytes is None else wanted_bytes
        set_buffer(self._socket, SO_RCVBUFFORCE, socket.SO_RCVBUF, wanted)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._socket.fileno() < 0

    def fileno(self) -> int:
        """Return the descriptor, for whoever waits for many sockets at once."""
        return self._socket.fileno()

    @override
    async def wait_readable(self) -> None:
        await self._incoming.wait(self._socket.fileno())

    @override
    async def wait_writable(self) -> None:
        await self._room.wait(self._socket.fileno())

    @override
    def receive(self, max_reads: int) -> list[ReceivedDatagrams]:
        if self._reader is not None:
            return self._read_together(self._reader, max_reads)
        return join_reads(self._read_one_by_one(max_reads))

    def _read_together(
        self, reader: kernel.DatagramReader, max_reads: int
    ) -> list[ReceivedDatagrams]:
        """Read many datagrams with each system call; those of a peer come joined."""
        reads: list[ReceivedDatagrams] = []
        counters = self._counters
        batches, unusable_count, errors = reader.read(
            self._socket.fileno(), max_reads, MAX_READ_BYTES
        )
        if unusable_count or errors:
            counters.unusable_count += unusable_count
            counters.receive_errors.update(errors)
        for key, data, segment_size, ecn in batches:
            size = len(data)
            counters.received_count += -(-size // segment_size)
            counters.received_bytes += size
            four_tuple = self._peers.get(key)
            if four_tuple is None:
                four_tuple = self._learn_peer(key)
            reads.append(ReceivedDatagrams(four_tuple, data, segment_size, ecn))
        return reads

    def _read_one_by_one(self, max_reads: int) -> list[ReceivedDatagrams]:
        reads: list[ReceivedDatagrams] = []
        room = MAX_READ_BYTES
        while max_reads > 0 and room > 0:
            max_reads -= 1
            try:
                data, control, flags, remote = self._socket.recvmsg(_READ_BYTES, _CONTROL_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _FATAL_ERRORS:
                    raise
                self._counters.receive_errors[error.errno or 0] += 1
                continue
            if flags & _TRUNCATED or not data:
                self._counters.unusable_count += 1
                continue
            room -= len(data)
            reads.append(self._received(data, control, remote))
        return reads

    @override
    def send(self, transmits: Sequence[Transmit]) -> list[Transmit]:
        for index, transmit in enumerate(transmits):
            if transmit.flight is not None:
                rest = self._send_flight(transmit, transmit.flight)
            else:
                rest = self._send_sealed([transmit])
            if rest:
                behind = transmits[index + 1 :]
                return [*rest, *(each for other in behind for each in other.sealed())]
        return []

    @property
    def splits_what_it_sends(self) -> bool:
        """Segmentation works here, as far as is known."""
        return self._segmentation

    def peer_key(self, four_tuple: FourTuple) -> kernel.PeerKey | None:
        """Return what the kernel's reader calls a peer that datagrams have come from."""
        return self._keys.get(four_tuple)

    def destination(self, four_tuple: FourTuple) -> kernel.Destination:
        """Return what the kernel calls where datagrams for a peer go."""
        try:
            return self._destinations[four_tuple]
        except KeyError:
            return self._learn_destination(four_tuple)

    def received(
        self, key: kernel.PeerKey, data: kernel.ReceivedBytes, segment_size: int, ecn: int
    ) -> ReceivedDatagrams:
        """Take what somebody else has read from this socket; `note_bypassed` counts it."""
        four_tuple = self._peers.get(key) or self._learn_peer(key)
        return ReceivedDatagrams(four_tuple, data, segment_size, ecn)

    def note_bypassed(self, counts: SocketCounts) -> None:
        """Count what somebody else has read and sent."""
        _, received_count, received_bytes, sent_count, sent_bytes, unusable_count, errors = counts
        counters = self._counters
        counters.received_count += received_count
        counters.received_bytes += received_bytes
        counters.sent_count += sent_count
        counters.sent_bytes += sent_bytes
        counters.unusable_count += unusable_count
        counters.receive_errors.update(errors)

    @override
    def take_refused(self) -> list[RefusedDatagram]:
        if not self._refused:
            return []
        refused, self._refused = list(self._refused), {}
        return refused

    @override
    def close(self) -> None:
        self._incoming.close()
        self._room.close()
        self._socket.close()

    def _received(
        self, data: bytes, control: list[_ControlMessage], remote: _Address
    ) -> ReceivedDatagrams:
        segment_size = len(data)
        ecn = 0
        local = b""
        for level, kind, value in control:
            if level == SOL_UDP:
                if kind == UDP_GRO:
                    segment_size = _INT.unpack(value)[0]
            elif kind == self._traffic_class:
                ecn = value[_LOWEST_BYTE] & _ECN_MASK
            elif kind == self._packet_info:
                local = value
        self._counters.received_count += -(-len(data) // segment_size)
        self._counters.received_bytes += len(data)
        four_tuple = self._four_tuples.get((remote, local))
        if four_tuple is None:
            four_tuple = self._learn(remote, local)
        return ReceivedDatagrams(four_tuple, data, segment_size, ecn)

    def _learn(self, remote: _Address, packet_info: bytes) -> FourTuple:
        if len(self._four_tuples) >= _MAX_CACHED:
            self._four_tuples.clear()
        if not packet_info:
            host = self._local_address.host
        elif self._is_ipv6:
            host = socket.inet_ntop(socket.AF_INET6, _PKTINFO6.unpack(packet_info)[0])
        else:
            host = socket.inet_ntop(socket.AF_INET, _PKTINFO4.unpack(packet_info)[1])
        four_tuple = self._four_tuples[remote, packet_info] = FourTuple(
            local=SocketAddress(host=host, port=self._local_address.port),
            remote=SocketAddress(host=remote[0], port=remote[1]),
        )
        return four_tuple

    def _learn_peer(self, key: kernel.PeerKey) -> FourTuple:
        if len(self._peers) >= _MAX_CACHED:
            self._peers.clear()
            self._keys.clear()
        remote, port, scope, local = key
        host = _host(remote)
        if scope:
            # As the socket module writes it, and wants it for sending.
            host = f"{host}%{socket.if_indextoname(scope)}"
        four_tuple = self._peers[key] = FourTuple(
            local=SocketAddress(
                host=_host(local) if local else self._local_address.host,
                port=self._local_address.port,
            ),
            remote=SocketAddress(host=host, port=port),
        )
        self._keys[four_tuple] = key
        return four_tuple

    def _send_flight(self, transmit: Transmit, flight: kernel.Flight) -> list[Transmit]:
        """Seal and send; return what there was no room for, sealed."""
        count = error = 0
        if self._segmentation:
            if transmit.ecn != self._ecn:
                self._mark(transmit.ecn)
            destination = self.destination(transmit.four_tuple)
            count, packets, sent_bytes, error = flight.send(self._socket.fileno(), destination)
            self._note_sent(packets, sent_bytes)
            if not error:
                return []
        # Whatever is the matter, the other way knows what to do about it.
        return self._send_sealed(transmit.sealed(count))

    def _send_sealed(self, transmits: Sequence[Transmit]) -> list[Transmit]:
        for index, transmit in enumerate(transmits):
            rest = self._send_one(transmit)
            if rest is not None:
                return [rest, *transmits[index + 1 :]]
        return []

    def _learn_destination(self, four_tuple: FourTuple) -> kernel.Destination:
        if len(self._destinations) >= _MAX_CACHED:
            self._destinations.clear()
        host, _, link = four_tuple.remote.host.partition("%")
        is_bound = not self._is_wildcard or four_tuple.local.host == self._local_address.host
        known = self._destinations[four_tuple] = (
            ip_address(host).packed,
            four_tuple.remote.port,
            socket.if_nametoindex(link) if link else 0,
            b"" if is_bound else ip_address(four_tuple.local.host).packed,
        )
        return known

    def _send_one(self, transmit: Transmit) -> Transmit | None:
        """Send what one transmit holds; return what there was no room for."""
        data, size, four_tuple = transmit.data, transmit.segment_size, transmit.four_tuple
        if transmit.ecn != self._ecn:
            self._mark(transmit.ecn)
        if len(data) <= size or not self._segmentation:
            return self._send_each(transmit, self._source(four_tuple.local.host))
        count = -(-len(data) // size)
        try:
            together = self._together[four_tuple.local.host, size]
        except KeyError:
            together = self._learn_together(four_tuple.local.host, size)
        try:
            self._socket.sendmsg((data,), together, 0, four_tuple.remote)
        except BlockingIOError:
            return transmit
        except OSError as error:
            # EIO: the device cannot fill in checksums. EINVAL: the kernel knows no segmentation,
            # or it is an older one and a segment is too big for the link.
            if error.errno not in {errno.EIO, errno.EINVAL}:
                self._note_lost(error, count, four_tuple, size)
                return None
        else:
            self._note_sent(count, len(data))
            return None
        sent_before = self._counters.sent_count
        rest = self._send_each(transmit, self._source(four_tuple.local.host))
        # What passes singly but not together says that segmentation does not work here.
        self._segmentation = self._counters.sent_count == sent_before
        if not self._segmentation:
            _log.info("the kernel does not split what is sent: sending costs more from now on")
        return rest

    def _send_each(
        self, transmit: Transmit, control: tuple[_ControlMessage, ...]
    ) -> Transmit | None:
        data, size, four_tuple = transmit.data, transmit.segment_size, transmit.four_tuple
        for offset in range(0, len(data), size):
            segment = data[offset : offset + size]
            try:
                self._socket.sendmsg((segment,), control, 0, four_tuple.remote)
            except BlockingIOError:
                return replace(transmit, data=data[offset:]) if offset else transmit
            except OSError as error:
                self._note_lost(error, 1, four_tuple, len(segment))
            else:
                self._note_sent(1, len(segment))
        return None

    def _mark(self, ecn: int) -> None:
        # Nearly always unchanged, and cheaper than a control message on each packet.
        if self._is_ipv6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, ecn)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ecn)
        self._ecn = ecn

    def _source(self, host: str) -> tuple[_ControlMessage, ...]:
        """Return the control message that makes packets leave from an address."""
        if not self._is_wildcard or host == self._local_address.host:
            return ()
        known = self._sources.get(host)
        if known is None:
            if len(self._sources) >= _MAX_CACHED:
                self._sources.clear()
            known = self._sources[host] = (_source_control(host),)
        return known

    def _learn_together(self, host: str, size: int) -> tuple[_ControlMessage, ...]:
        """Return the control messages of what leaves in one send from an address."""
        if len(self._together) >= _MAX_CACHED:
            self._together.clear()
        control = (*self._source(host), (SOL_UDP, _UDP_SEGMENT, _U16.pack(size)))
        self._together[host, size] = control
        return control

    def _note_sent(self, count: int, byte_count: int) -> None:
        self._counters.sent_count += count
        self._counters.sent_bytes += byte_count

    def _note_lost(self, error: OSError, count: int, four_tuple: FourTuple, size: int) -> None:
        if error.errno in _FATAL_ERRORS:
            raise error
        if error.errno == errno.EMSGSIZE and len(self._refused) < _MAX_CACHED:
            self._refused[RefusedDatagram(four_tuple, size)] = None
        self._counters.send_errors[error.errno or 0] += count


@cache
def _shared_reader() -> kernel.DatagramReader:
    """One for all sockets, which share its two megabytes of buffers."""
    assert kernel.make_datagram_reader is not None
    return kernel.make_datagram_reader()


def _host(packed: bytes) -> str:
    is_ipv4 = len(packed) == 4  # noqa: PLR2004 - bytes of an address
    return socket.inet_ntop(socket.AF_INET if is_ipv4 else socket.AF_INET6, packed)


def _source_control(host: str) -> _ControlMessage:
    address = ip_address(host)
    if isinstance(address, IPv6Address):
        return (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(address.packed, 0))
    return (socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO4.pack(0, address.packed, bytes(4)))
