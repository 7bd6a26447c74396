"""Frames of a TUN device with a `virtio_net_hdr`, in Python: taken apart, and made by joining.

The header has ten bytes in the order of the machine (virtio 1.2 s5.1.6). Segmentation follows what
the Linux kernel does to a packet of TCP (TSO) or UDP (USO) that is larger than the link takes; what
is joined can be split again without a difference, apart from the identification of IPv4 packets
that must not be fragmented (RFC 6864 s4.1). Packets are joined only when their checksums are right,
because the host takes a joined packet on trust.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from mqvpn_core.dataplane.trains import PacketTrain

FRAME_HEADER_BYTES: Final = 10
MAX_HEADER_BYTES: Final = 128
MAX_OPEN_FLOWS: Final = 32
MAX_JOINED_PACKETS: Final = 128
MAX_PACKET_BYTES: Final = 65535

_HEADER: Final = Struct("=BBHHHH")
_LENGTHS: Final = Struct("=HH")
_NO_OFFLOAD: Final = bytes(FRAME_HEADER_BYTES)
_NEEDS_CHECKSUM: Final = 1
_GSO_TCPV4, _GSO_TCPV6, _GSO_UDP = 1, 4, 5
_GSO_ECN: Final = 0x80
_TCP, _UDP = 6, 17
_IPV4, _IPV6 = 4, 6
_IPV4_BYTES, _IPV6_BYTES = 20, 40
_UDP_BYTES, _TCP_MIN_BYTES = 8, 20
_TCP_CHECKSUM, _UDP_CHECKSUM = 16, 6
_FIN, _PSH, _ACK, _ECE, _CWR = 0x01, 0x08, 0x10, 0x40, 0x80
_FRAGMENT_BITS: Final = 0x3FFF
_DONT_FRAGMENT: Final = 0x40
_ALL_ONES: Final = 0xFFFF


def split_frames(frames: Sequence[bytes]) -> list[bytes | PacketTrain]:
    """Take frames apart: packets, and trains for those that have to be split.

    What follows one another in a flow becomes one train. The order of packets of a flow stays, that
    among flows does not.
    """
    splitter = _Splitter()
    for frame in frames:
        if frame[:FRAME_HEADER_BYTES] == _NO_OFFLOAD:
            splitter.take_packets([frame[FRAME_HEADER_BYTES:]])
        elif len(frame) >= FRAME_HEADER_BYTES:
            splitter.take(frame)
    return splitter.parcels()


def join_packets(parcels: Sequence[bytes | PacketTrain], joins_udp: bool) -> list[bytes]:
    """Make frames of packets and trains, joining packets of a flow that follow one another.

    Args:
        parcels: packets in their order.
        joins_udp: the device takes joined UDP packets.
    """
    joiner = _Joiner(joins_udp=joins_udp)
    for parcel in parcels:
        for packet in (parcel,) if isinstance(parcel, bytes) else parcel.packets():
            joiner.take(packet)
    return joiner.frames()


def plain_frames(packets: Sequence[bytes]) -> list[bytes]:
    """Make a frame of each packet, for a device that joins nothing."""
    return [_NO_OFFLOAD + packet for packet in packets]


def packets_in(frame: bytes) -> int:
    """Count the packets that a frame for the device holds."""
    gso_type = frame[1]
    if not gso_type:
        return 1
    lengths: tuple[int, int] = _LENGTHS.unpack_from(frame, 2)
    payload_bytes = len(frame) - FRAME_HEADER_BYTES - lengths[0]
    return -(-payload_bytes // lengths[1])


def _sum(data: bytes) -> int:
    """Sum 16-bit words with the carries added in (RFC 1071)."""
    number = int.from_bytes(data + bytes(len(data) % 2), "big")
    return number % _ALL_ONES or (_ALL_ONES if number else 0)


def _checksum(data: bytes) -> bytes:
    return (~_sum(data) & _ALL_ONES).to_bytes(2, "big")


def _pseudo_header(version: int, ip: bytes, protocol: int, size: int) -> bytes:
    addresses = ip[12:20] if version == _IPV4 else ip[8:40]
    return addresses + bytes((0, protocol)) + size.to_bytes(2, "big")


def _with_length(version: int, ip: bytes, size: int) -> bytes:
    """Set the length of a packet in its IP header, and that header's checksum."""
    if version == _IPV6:
        return ip[:4] + (size - _IPV6_BYTES).to_bytes(2, "big") + ip[6:]
    ip = ip[:2] + size.to_bytes(2, "big") + ip[4:10] + bytes(2) + ip[12:]
    return ip[:10] + _checksum(ip) + ip[12:]


def _tcp_header_bytes(data: bytes) -> int | None:
    if len(data) <= 12:  # noqa: PLR2004 - up to the data offset
        return None
    size = (data[12] >> 4) * 4
    return size if _TCP_MIN_BYTES <= size <= len(data) else None


class _Splitter:
    """Takes frames apart, flow by flow."""

    def __init__(self) -> None:
        self._slots: list[list[bytes]] = []
        # Slots of trains that may grow; the one used last is at the end.
        self._open: dict[tuple[int, int, int, int, bytes, bytes], list[bytes]] = {}

    def take(self, frame: bytes) -> None:
        fields = _HEADER.unpack_from(frame)
        packet = frame[FRAME_HEADER_BYTES:]
        if not fields[1]:
            self.take_packets(_complete(packet, fields[0], fields[4], fields[5]))
            return
        found = _check_super_packet(packet, gso_type=fields[1], start=fields[4], segment=fields[3])
        if found is None:
            return
        packets = found.split(packet)
        flow = PacketTrain(packets[:1]).flow
        if len(packets) == 1 or flow is None:
            self.take_packets(packets)
            return
        ports = packet[found.ip_bytes : found.ip_bytes + 4]
        key = (found.version, found.ip_bytes, found.header_bytes, fields[3], flow, ports)
        slot = self._open.pop(key, None)
        if slot is None:
            slot = []
            self._slots.append(slot)
        slot += packets
        if len(packets[-1]) == len(packets[0]):
            if len(self._open) >= MAX_OPEN_FLOWS:
                del self._open[next(iter(self._open))]
            self._open[key] = slot

    def take_packets(self, packets: list[bytes]) -> None:
        """Take what is no part of a train that may grow."""
        if packets:
            # Without a look at its flow: whatever was open may not overtake it.
            self._open.clear()
            self._slots.append(packets)

    def parcels(self) -> list[bytes | PacketTrain]:
        return [slot[0] if len(slot) == 1 else PacketTrain(slot) for slot in self._slots]


def _complete(packet: bytes, flags: int, start: int, offset: int) -> list[bytes]:
    """Fill in the checksum that was left to the device."""
    if not flags & _NEEDS_CHECKSUM:
        return [packet]
    at = start + offset
    if at + 2 > len(packet):
        return []
    # The field holds the sum of the pseudo-header.
    checksum = _checksum(packet[start:])
    if offset == _UDP_CHECKSUM and checksum == b"\0\0":
        checksum = b"\xff\xff"
    return [packet[:at] + checksum + packet[at + 2 :]]


class _SuperPacket(NamedTuple):
    """A packet of TCP or UDP larger than any link takes, to be split."""

    version: int
    protocol: int
    ip_bytes: int
    header_bytes: int
    segment_bytes: int

    def split(self, packet: bytes) -> list[bytes]:
        payload = packet[self.header_bytes :]
        return [
            self._segment(packet, before, payload[before : before + self.segment_bytes])
            for before in range(0, len(payload), self.segment_bytes)
        ]

    def _segment(self, packet: bytes, before: int, payload: bytes) -> bytes:
        ip = packet[: self.ip_bytes]
        transport = packet[self.ip_bytes : self.header_bytes]
        if self.version == _IPV4:
            number = int.from_bytes(ip[4:6], "big") + before // self.segment_bytes
            ip = ip[:4] + (number & _ALL_ONES).to_bytes(2, "big") + ip[6:]
        size = len(transport) + len(payload)
        ip = _with_length(self.version, ip, self.ip_bytes + size)
        if self.protocol == _TCP:
            sequence = (int.from_bytes(transport[4:8], "big") + before) & 0xFFFFFFFF
            flags = transport[13]
            if self.header_bytes + before + len(payload) < len(packet):
                flags &= ~(_FIN | _PSH)
            if before:
                flags &= ~_CWR
            transport = b"".join(
                (
                    transport[:4],
                    sequence.to_bytes(4, "big"),
                    transport[8:13],
                    bytes((flags,)),
                    transport[14:16],
                    bytes(2),
                    transport[18:],
                )
            )
            at = _TCP_CHECKSUM
        else:
            transport = transport[:4] + size.to_bytes(2, "big") + bytes(2)
            at = _UDP_CHECKSUM
        pseudo_header = _pseudo_header(self.version, ip, self.protocol, size)
        checksum = _checksum(pseudo_header + transport + payload)
        if self.protocol == _UDP and checksum == b"\0\0":
            # RFC 768: zero says that there is none.
            checksum = b"\xff\xff"
        return b"".join((ip, transport[:at], checksum, transport[at + 2 :], payload))


def _check_super_packet(
    packet: bytes, *, gso_type: int, start: int, segment: int
) -> _SuperPacket | None:
    version = packet[0] >> 4 if packet else 0
    if len(packet) < start or version not in {_IPV4, _IPV6}:
        return None
    match gso_type & ~_GSO_ECN, version:
        case (1, 4) | (4, 6):
            # What the frame's header says of the length of headers is not to be relied on.
            protocol, transport_bytes = _TCP, _tcp_header_bytes(packet[start:])
        case (5, _):
            protocol, transport_bytes = _UDP, _UDP_BYTES
        case _:
            return None
    if transport_bytes is None:
        return None
    header_bytes = start + transport_bytes
    is_usable = (
        start >= (_IPV4_BYTES if version == _IPV4 else _IPV6_BYTES)
        and header_bytes <= MAX_HEADER_BYTES
        and header_bytes < len(packet)
        and segment > 0
        and (version == _IPV6 or (packet[0] & 0x0F) * 4 == start)
    )
    if not is_usable:
        return None
    return _SuperPacket(version, protocol, start, header_bytes, segment)


class _Segment(NamedTuple):
    """A TCP segment or UDP datagram whose checksums are right and whose header is ordinary."""

    packet: bytes
    version: int
    protocol: int
    ip: bytes
    transport: bytes
    payload: bytes

    @property
    def flow(self) -> tuple[int, int, bytes, bytes]:
        addresses = self.ip[12:20] if self.version == _IPV4 else self.ip[8:40]
        return self.version, self.protocol, addresses, self.transport[:4]

    @property
    def flags(self) -> int:
        return self.transport[13] if self.protocol == _TCP else 0

    @property
    def may_be_first(self) -> bool:
        return self.protocol != _TCP or self.flags & ~_ECE == _ACK

    def follows(self, last: "_Segment") -> bool:
        """Tell whether it can stand directly behind another packet of its flow."""
        ip, before = self.ip, last.ip
        if self.version == _IPV4:
            step = (int.from_bytes(ip[4:6], "big") - int.from_bytes(before[4:6], "big")) & _ALL_ONES
            is_next = (
                ip[1] == before[1]
                and ip[6:9] == before[6:9]
                and bool(ip[6] & _DONT_FRAGMENT or step == 1)
            )
        else:
            is_next = ip[:4] == before[:4] and ip[7] == before[7]
        if self.protocol != _TCP or not is_next:
            return is_next
        ours, theirs = self.transport, last.transport
        expected = int.from_bytes(theirs[4:8], "big") + len(last.payload)
        return (
            int.from_bytes(ours[4:8], "big") == expected & 0xFFFFFFFF
            and ours[8:13] == theirs[8:13]
            and self.flags & ~(_PSH | _ECE) == _ACK
            and self.flags & _ECE == last.flags & _ECE
            and ours[14:16] == theirs[14:16]
            and ours[18:] == theirs[18:]
        )


def _parse(packet: bytes) -> _Segment | None:
    if len(packet) >= _IPV4_BYTES and packet[0] == 0x45:  # noqa: PLR2004 - without options
        version, ip_bytes, protocol = _IPV4, _IPV4_BYTES, packet[9]
        size = packet[2] << 8 | packet[3]
        if (packet[6] << 8 | packet[7]) & _FRAGMENT_BITS or _sum(packet[:20]) != _ALL_ONES:
            return None
    elif len(packet) >= _IPV6_BYTES and packet[0] >> 4 == _IPV6:
        version, ip_bytes, protocol = _IPV6, _IPV6_BYTES, packet[6]
        size = (packet[4] << 8 | packet[5]) + _IPV6_BYTES
    else:
        return None
    behind = packet[ip_bytes:]
    transport_bytes = {_TCP: _tcp_header_bytes(behind), _UDP: _UDP_BYTES}.get(protocol)
    if size != len(packet) or transport_bytes is None or len(behind) < transport_bytes:
        return None
    ip, transport = packet[:ip_bytes], behind[:transport_bytes]
    if protocol == _UDP and (
        transport[4] << 8 | transport[5] != len(behind) or transport[6:8] == b"\0\0"
    ):
        return None
    if _sum(_pseudo_header(version, ip, protocol, len(behind)) + behind) != _ALL_ONES:
        return None
    return _Segment(packet, version, protocol, ip, transport, behind[transport_bytes:])


class _Joiner:
    """Joins the packets of a batch, flow by flow."""

    def __init__(self, *, joins_udp: bool) -> None:
        self._joins_udp = joins_udp
        self._slots: list[list[_Segment] | bytes] = []
        # Slots that still take packets by flow; the one used last is at the end.
        self._open: dict[tuple[int, int, bytes, bytes], list[_Segment]] = {}

    def take(self, packet: bytes) -> None:
        segment = _parse(packet)
        if segment is None or (segment.protocol == _UDP and not self._joins_udp):
            # Without a look at its flow: whatever was open may not be overtaken.
            self._open.clear()
            self._slots.append(packet)
            return
        flow = segment.flow
        found = self._open.pop(flow, None)
        if not segment.payload:
            self._slots.append(packet)
            return
        if found is not None and _takes(found, segment):
            found.append(segment)
            is_full_size = len(segment.payload) == len(found[0].payload)
            if is_full_size and not segment.flags & _PSH:
                self._open[flow] = found
            return
        slot = [segment]
        if segment.may_be_first:
            if len(self._open) >= MAX_OPEN_FLOWS:
                del self._open[next(iter(self._open))]
            self._open[flow] = slot
        self._slots.append(slot)

    def frames(self) -> list[bytes]:
        return [
            _NO_OFFLOAD + slot if isinstance(slot, bytes) else _joined_frame(slot)
            for slot in self._slots
        ]


def _takes(slot: Sequence[_Segment], segment: _Segment) -> bool:
    first = slot[0]
    size = len(first.packet) + sum(len(other.payload) for other in slot[1:])
    return (
        len(segment.payload) <= len(first.payload)
        and size + len(segment.payload) <= MAX_PACKET_BYTES
        and len(slot) < MAX_JOINED_PACKETS
        and segment.follows(slot[-1])
    )


def _joined_frame(slot: Sequence[_Segment]) -> bytes:
    first = slot[0]
    if len(slot) == 1:
        return _NO_OFFLOAD + first.packet
    payload = b"".join([segment.payload for segment in slot])
    transport = first.transport
    size = len(transport) + len(payload)
    ip = _with_length(first.version, first.ip, len(first.ip) + size)
    if first.protocol == _TCP:
        gso_type = _GSO_TCPV4 if first.version == _IPV4 else _GSO_TCPV6
        at = _TCP_CHECKSUM
        flags = first.flags | slot[-1].flags & _PSH
        transport = transport[:13] + bytes((flags,)) + transport[14:]
    else:
        gso_type, at = _GSO_UDP, _UDP_CHECKSUM
        transport = transport[:4] + size.to_bytes(2, "big") + transport[6:]
    partial = _sum(_pseudo_header(first.version, ip, first.protocol, size)).to_bytes(2, "big")
    header = _HEADER.pack(
        _NEEDS_CHECKSUM,
        gso_type,
        len(ip) + len(transport),
        len(first.payload),
        len(ip),
        at,
    )
    return b"".join((header, ip, transport[:at], partial, transport[at + 2 :], payload))
