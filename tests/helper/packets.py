"""IP packets made by hand, and a tap that sees what arrives at the end of a link."""

import socket
import struct
from ipaddress import ip_address

ETH_P_ALL = 3
UDP, TCP = 17, 6


def udp_packet(source: str, destination: str, payload: bytes, ports: tuple[int, int]) -> bytes:
    """Return an IP packet with a UDP datagram and right checksums."""
    head = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    total = _checksum(_pseudo_header(source, destination, UDP, head + payload) + head + payload)
    udp = head[:6] + struct.pack("!H", total or 0xFFFF) + payload
    return _ip_packet(source, destination, UDP, udp)


def syn_packet(source: str, destination: str, mss: int) -> bytes:
    """Return an IP packet with a TCP SYN that carries a maximum segment size."""
    options = struct.pack("!BBH", 2, 4, mss)
    head = struct.pack("!HHIIBBHHH", 4000, 80, 1, 0, 6 << 4, 0x02, 65535, 0, 0) + options
    total = _checksum(_pseudo_header(source, destination, TCP, head) + head)
    return _ip_packet(source, destination, TCP, head[:16] + struct.pack("!H", total) + head[18:])


def addresses_of(packet: bytes) -> tuple[str, str]:
    """Return source and destination."""
    if packet[0] >> 4 == 4:
        return str(ip_address(packet[12:16])), str(ip_address(packet[16:20]))
    return str(ip_address(packet[8:24])), str(ip_address(packet[24:40]))


def transport_of(packet: bytes) -> bytes:
    """Return what follows the IP header."""
    return packet[20:] if packet[0] >> 4 == 4 else packet[40:]


def protocol_of(packet: bytes) -> int:
    """Return the transport protocol."""
    return packet[9] if packet[0] >> 4 == 4 else packet[6]


class Tap:
    """The far end of a link: sees what was sent and can answer."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.settimeout(2)

    def next_packet(self, protocol: int = UDP) -> bytes:
        """Return the next IP packet of that protocol, which must come soon."""
        while True:
            packet = self._socket.recv(65536)
            if packet[0] >> 4 in {4, 6} and protocol_of(packet) == protocol:
                return packet

    def send(self, packet: bytes, hardware_address: bytes) -> None:
        """Send an IP packet to the near end."""
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        self._socket.sendto(packet, (self._interface, kind, 0, 0, hardware_address))

    def close(self) -> None:
        self._socket.close()


def _ip_packet(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    one, other = ip_address(source), ip_address(destination)
    if one.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
        return head + one.packed + other.packed + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0)
    total = _checksum(head + one.packed + other.packed)
    return head[:10] + struct.pack("!H", total) + one.packed + other.packed + payload


def _pseudo_header(source: str, destination: str, protocol: int, data: bytes) -> bytes:
    ends = ip_address(source).packed + ip_address(destination).packed
    return ends + struct.pack("!II", len(data), protocol)


def _checksum(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
