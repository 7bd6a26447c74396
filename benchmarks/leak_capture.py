"""What leaves a machine, seen at the far end of each of its links, and what of it may.

Allowed is what a kill switch lets through and nothing else: address resolution, DHCP, neighbour
discovery, and UDP to the server. Senders that have no business there mark what they send, so that
their packets are told from the tunnel's also where addresses and ports are the same.
"""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from time import CLOCK_REALTIME, clock_gettime

from mqvpn_core.demo.namespaces import NetworkNamespace

MARK = b"not-for-outside"
"""In everything that must stay in the tunnel."""
NAME_SERVICE = frozenset({53, 853, 5353, 5355})
"""Ports of name service."""

_ETH_P_ALL = 3
_IPV4 = 4
_ETH_P_ARP = 0x0806
_PACKET_OUTGOING = 4
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 0: "hop-by-hop"}
_ICMPV6, _UDP, _HOP_BY_HOP = 58, 17, 0
_NEIGHBOUR_DISCOVERY = frozenset({133, 134, 135, 136})
_MULTICAST_REPORTS = frozenset({131, 132, 143})
_DHCP = frozenset({(68, 67), (546, 547)})
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One packet that must not have left."""

    at: float
    """When the kernel took it from the link, by `packet_clock`."""
    link: str
    """Where."""
    what: str
    """Protocol and destination."""
    is_name_service: bool
    """It is a question for a name."""
    during: str = ""
    """What was happening to the machine."""


def packet_clock() -> float:
    """Return the time by the clock that the kernel marks packets with."""
    return clock_gettime(CLOCK_REALTIME)


def objection(packet: bytes, servers: frozenset[str], port: int) -> str | None:
    """Say what is wrong with an IP packet that left; None when it may.

    Args:
        packet: from the IP header on.
        servers: addresses of the server.
        port: its UDP port.
    """
    if packet[0] >> 4 == _IPV4:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        destination = str(ip_address(packet[16:20]))
    else:
        start, protocol = 40, packet[6]
        destination = str(ip_address(packet[24:40]))
        if protocol == _HOP_BY_HOP:  # multicast reports have such a header, with a router alert
            protocol, start = packet[40], 40 + 8 * (packet[41] + 1)
    if protocol == _ICMPV6 and packet[start] in _NEIGHBOUR_DISCOVERY | _MULTICAST_REPORTS:
        return None
    ports = _ports(packet, start)
    if protocol == _UDP and ports in _DHCP:
        return None
    if protocol == _UDP and destination in servers and ports[1] == port and MARK not in packet:
        return None
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    return f"{name} to {destination} port {ports[1]}"


def asks_for_names(packet: bytes) -> bool:
    """Tell whether an IP packet goes to a port of name service, by UDP or TCP."""
    start = (packet[0] & 15) * 4 if packet[0] >> 4 == _IPV4 else 40
    protocol = packet[9] if packet[0] >> 4 == _IPV4 else packet[6]
    return protocol in {6, _UDP} and _ports(packet, start)[1] in NAME_SERVICE


def _ports(packet: bytes, start: int) -> tuple[int, int]:
    header = packet[start : start + 4].ljust(4, b"\0")
    return int.from_bytes(header[:2], "big"), int.from_bytes(header[2:], "big")


class Capture:
    """Watches the far ends of links, each in a thread of its own, from creation to ``close``."""

    def __init__(
        self,
        namespace: NetworkNamespace,
        links: Sequence[str],
        servers: frozenset[str],
        port: int,
    ) -> None:
        """Begin to watch.

        Args:
            namespace: where the far ends are.
            links: their names.
            servers: addresses of the server.
            port: its UDP port.
        """
        self.leaks: list[Leak] = []
        """What must not have left, in the order it was seen."""
        self.packet_count = 0
        """Packets that were seen and judged."""
        self._servers = servers
        self._port = port
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(namespace.call(_packet_socket), link))
            for link in links
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, watching: socket.socket, link: str) -> None:
        with watching:
            watching.bind((link, _ETH_P_ALL))
            watching.settimeout(0.05)
            while not self._is_over.is_set():
                try:
                    packet, notes, _, (_, ethertype, kind, *_) = watching.recvmsg(2000, 64)
                except TimeoutError:
                    continue
                except OSError:
                    continue  # ENETDOWN: the link was switched off
                if kind != _PACKET_OUTGOING and ethertype != _ETH_P_ARP:
                    self._judge(packet, link, _taken_at(notes))

    def _judge(self, packet: bytes, link: str, at: float) -> None:
        self.packet_count += 1
        wrong = objection(packet, self._servers, self._port)
        if wrong is not None:
            leak = Leak(at=at, link=link, what=wrong, is_name_service=asks_for_names(packet))
            self.leaks.append(leak)


def summary(leaks: Sequence[Leak]) -> str:
    """Return what leaked where, how often."""
    counted = Counter(f"{leak.link}: {leak.what} ({leak.during})" for leak in leaks)
    return "\n".join(f"  {count:6d} x {what}" for what, count in counted.most_common(20))


def _taken_at(notes: Sequence[tuple[int, int, bytes]]) -> float:
    """Return the kernel's time of a packet; now, for one that it has no time of."""
    for level, kind, data in notes:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return float(seconds + nanoseconds * 1e-9)
    return packet_clock()


def _packet_socket() -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    # On a busy machine this program may look at a packet long after it came.
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return made
