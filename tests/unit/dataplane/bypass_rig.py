"""A bypass between a socket on loopback and a device that is one end of a socket pair.

What is sent before `round` lies there when the thread starts, so that one run takes all of it.
"""

import select
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from mqvpn_core.dataplane import reference
from mqvpn_core.dataplane.packets import (
    CipherSuite,
    OpenedPacket,
    OpenResult,
    Parcel,
    PeerKey,
    ReceiveContext,
    ShortHeader,
)
from tests.differential.test_frames import packets_of
from tests.differential.twins import load_twin
from tests.helper.packets import udp_packet

LINGER = 0.002
"""Seconds after which Python is told of what it need not know at once."""

if TYPE_CHECKING:
    from mqvpn_core.dataplane import _native as native  # noqa: TID251 - its types have no twins
else:
    native = None

CID = b"12345678"
PATH_ID = 1
PREFIX = b"\0\0"
KEYS = (CipherSuite.AES_128_GCM_SHA256, bytes(16), bytes(12), bytes(16))
SOCKET, LANE, FLOW = 7, 3, 42
FRONT = b"\x30" + PREFIX
PLAIN_HEADER = bytes(10)
OVERHEAD = len(FRONT) + 1 + len(CID) + 4 + 16
"""What a sealed packet has more than its IP packet."""

PATIENCE = 20.0
_MESSAGE_BYTES = 1 << 16
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_IP_RECVTOS = 13


class Happened(NamedTuple):
    """What `hold` returns, with names."""

    sent: "list[native.SentPackets]"
    arrivals: "list[native.TakenPackets | native.HandedDatagrams]"
    unsent: list[tuple[int, bytes, int]]
    parcels: list[Parcel]
    counts: "list[native.SocketCounts]"
    refused_count: int
    device_error: int
    urgent_count: int

    @property
    def taken(self) -> list[tuple[int, int]]:
        """First number and count of what passed."""
        return [(entry[1], entry[2]) for entry in self.arrivals if len(entry) == 6]

    @property
    def handed(self) -> "list[native.HandedDatagrams]":
        """What was handed up."""
        return [entry for entry in self.arrivals if len(entry) == 3]

    @property
    def handed_datagrams(self) -> list[bytes]:
        """The same, one by one."""
        return [
            bytes(data)[start : start + size]
            for _, (_, data, size, _), _ in self.handed
            for start in range(0, len(data), size)
        ]


def ip(index: int, size: int = 100, source: str = "10.0.0.1", port: int = 5000) -> bytes:
    """Make an IP packet, different for each index and port."""
    return udp_packet(source, "10.0.0.2", bytes([index % 256]) * (size - 28), (port, 9))


def flow_of(packet: bytes) -> bytes:
    """Return source, destination and protocol."""
    if packet[0] >> 4 == 6:
        return packet[8:40] + packet[6:7]
    return packet[12:20] + packet[9:10]


class Rig:
    """A bypass, its sockets, and somebody at the other end of each."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        load_twin("native")
        self.native = import_module("mqvpn_core.dataplane._native")
        self.device, self.host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        local = "127.0.0.1" if family == socket.AF_INET else "::1"
        self.near, self.peer = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for own in (self.near, self.peer):
            own.bind((local, 0))
        for own in (self.device, self.host, self.near, self.peer):
            own.setblocking(False)
        self.near.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        if family == socket.AF_INET:
            self.near.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
        self.peer_key: PeerKey = (
            socket.inet_pton(family, local),
            self.peer.getsockname()[1],
            0,
            b"",
        )
        self.keys: native.PacketKeys = self.native.PacketKeys(*KEYS)
        self.flows: native.FlowSet = self.native.FlowSet()
        self.flows.add(flow_of(ip(0)))
        self.bypass: native.Bypass = self.native.Bypass(self.device.fileno(), True)
        self.bypass.add_socket(SOCKET, self.near.fileno())
        self.bypass.arm(True, [SOCKET])

    def close(self) -> None:
        self.bypass.close()
        for own in (self.device, self.host, self.near, self.peer):
            own.close()

    def open_inbound(
        self,
        cid: bytes = CID,
        *,
        largest: int = -1,
        peer: PeerKey | None = None,
        phase: int = 0,
        keys: "native.PacketKeys | None" = None,
    ) -> None:
        self.bypass.open_inbound(
            cid,
            SOCKET,
            peer or self.peer_key,
            keys or self.keys,
            PATH_ID,
            phase,
            largest,
            PREFIX,
            self.flows,
        )

    def open_outbound(  # noqa: PLR0913 - what differs from test to test
        self,
        next_number: int = 0,
        *,
        lane: int = LANE,
        destination: PeerKey | None = None,
        mtu: int = 1400,
        credit: int = 1 << 20,
        max_packets: int = 1000,
        keeps: bool = False,
    ) -> None:
        self.bypass.open_outbound(
            lane,
            SOCKET,
            destination or self.peer_key,
            self.keys,
            PATH_ID,
            ShortHeader(CID, 0, 4),
            next_number,
            PREFIX,
            self.flows,
            mtu,
            credit,
            max_packets,
            keeps,
        )

    def seal(
        self, first: int, payloads: Sequence[bytes], *, cid: bytes = CID, phase: int = 0
    ) -> list[bytes]:
        """Seal payloads as the peer does."""
        keys = reference.PacketKeys(*KEYS)
        return reference.seal_batch(keys, ShortHeader(cid, phase, 4), PATH_ID, first, payloads)

    def seal_ip(self, first: int, packets: Sequence[bytes], **options: int) -> list[bytes]:
        return self.seal(first, [FRONT + packet for packet in packets], **options)  # type: ignore[arg-type]  # the phase

    def arrive(self, datagrams: Sequence[bytes], *, ecn: int = 0) -> None:
        """Send datagrams one by one."""
        control = [(socket.IPPROTO_IP, socket.IP_TOS, ecn.to_bytes(4, sys.byteorder))]
        for datagram in datagrams:
            self.peer.sendmsg([datagram], control if ecn else [], 0, self.near.getsockname())

    def arrive_together(self, datagrams: Sequence[bytes]) -> None:
        """Send datagrams so that they come as one message."""
        size = len(datagrams[0]).to_bytes(2, sys.byteorder)
        control = [(_SOL_UDP, _UDP_SEGMENT, size)]
        self.peer.sendmsg([b"".join(datagrams)], control, 0, self.near.getsockname())

    def emit(self, packets: Sequence[bytes]) -> None:
        """Let the host send packets into the device."""
        for packet in packets:
            self.host.send(PLAIN_HEADER + packet)

    def round(self) -> Happened:
        """Release, and hold when there is something to hold for."""
        self.bypass.release(LINGER)
        return self.wait()

    def wait(self) -> Happened:
        readable, _, _ = select.select([self.bypass], [], [], PATIENCE)
        assert readable, "nothing has happened"
        return Happened(*self.bypass.hold())

    def at_host(self) -> list[bytes]:
        """Return the packets that the host has got from the device."""
        frames = _drain(self.host.recv)
        return packets_of(self.native.split_frames(frames))

    def at_peer(self) -> list[bytes]:
        """Return the datagrams that the peer has got."""
        return _drain(self.peer.recv)

    def opened_at_peer(self) -> list[tuple[int, bytes]]:
        """Return numbers and payloads of what the peer has got."""
        return [_plain(self.open(datagram)) for datagram in self.at_peer()]

    def open(self, datagram: bytes, largest: int = -1) -> OpenResult:
        """Open a packet as the reference does."""
        context = ReceiveContext(PATH_ID, largest, len(CID), 0)
        return reference.open_batch(reference.PacketKeys(*KEYS), context, [datagram])[0]

    def at_near(self) -> list[bytes]:
        """Return what lies at the socket, untouched by the bypass."""
        return _drain(self.near.recv)


def _plain(result: OpenResult) -> tuple[int, bytes]:
    assert isinstance(result, OpenedPacket), result
    return result.packet_number, result.plaintext


def _drain(receive: Callable[[int], bytes]) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(receive(_MESSAGE_BYTES))
        except BlockingIOError:
            return found
