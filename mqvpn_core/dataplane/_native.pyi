# The optional extension: what the reference has, under the same names.
from collections.abc import Iterator, Sequence
from typing import TypeAlias, final

from mqvpn_core.dataplane.packets import (
    CipherSuite,
    Destination,
    OpenResult,
    OpenSegmentsResult,
    PacketShape,
    Parcel,
    Payload,
    PeerKey,
    ReadDatagrams,
    ReceiveContext,
    ReceivedBytes,
    SealedRun,
    ShortHeader,
)

ABI: int

@final
class PacketKeys:
    def __new__(
        cls, suite: CipherSuite, key: bytes, iv: bytes, header_protection_key: bytes
    ) -> PacketKeys: ...
    @property
    def suite(self) -> CipherSuite: ...

def seal_batch(
    keys: PacketKeys,
    header: ShortHeader,
    path_id: int,
    first_packet_number: int,
    payloads: Sequence[bytes],
) -> list[bytes]: ...
def seal_runs(
    keys: PacketKeys,
    header: ShortHeader,
    path_id: int,
    first_packet_number: int,
    payloads: Sequence[Payload],
) -> list[SealedRun]: ...

@final
class Flight:
    @property
    def shapes(self) -> list[PacketShape]: ...
    def sealed(self, first_run: int) -> list[SealedRun]: ...
    def send(self, descriptor: int, destination: Destination) -> tuple[int, int, int, int]: ...

def plan_flight(
    keys: PacketKeys,
    header: ShortHeader,
    path_id: int,
    first_packet_number: int,
    payloads: Sequence[Payload],
) -> Flight: ...
def open_batch(
    keys: PacketKeys, context: ReceiveContext, packets: Sequence[bytes]
) -> list[OpenResult]: ...
def open_segments(
    keys: PacketKeys, context: ReceiveContext, data: ReceivedBytes, segment_size: int
) -> list[OpenSegmentsResult]: ...

@final
class PacketTrain:
    def __len__(self) -> int: ...
    @property
    def packet_bytes(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def head(self) -> bytes: ...
    @property
    def flow(self) -> bytes | None: ...
    def packets(self) -> list[bytes]: ...
    def part(self, start: int, stop: int) -> PacketTrain: ...
    def stripped(self, count: int) -> PacketTrain: ...

@final
class DatagramReader:
    def __new__(cls) -> DatagramReader: ...
    def read(
        self, descriptor: int, max_messages: int, max_bytes: int
    ) -> tuple[list[ReadDatagrams], int, list[int]]: ...

@final
class FrameReader:
    def __new__(cls) -> FrameReader: ...
    def read(
        self, descriptor: int, max_frames: int, max_bytes: int
    ) -> tuple[list[Parcel], int, int, int]: ...

def split_frames(frames: Sequence[bytes]) -> list[Parcel]: ...
def join_packets(parcels: Sequence[Parcel], joins_udp: bool) -> list[bytes]: ...
def write_packets(
    descriptor: int, parcels: Sequence[Parcel], joins_udp: bool
) -> tuple[int, int]: ...
def share_destination(data: ReceivedBytes, segment_size: int, cid_length: int) -> bool: ...

@final
class KeptParcels:
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Parcel]: ...

# Lane, first number, shapes as those of a flight, flows (as approved; packets, IP bytes) in order,
# the IP packets if the lane keeps them (made when somebody asks), and seconds since they were sent.
SentPackets: TypeAlias = tuple[
    int, int, list[PacketShape], list[tuple[int, int, int]], KeptParcels, float
]

# Connection ID, first number, packets, UDP bytes, IP bytes, and seconds since the last came.
TakenPackets: TypeAlias = tuple[bytes, int, int, int, int, float]

# Key of the socket, what a `DatagramReader` gives, and seconds since the last came.
HandedDatagrams: TypeAlias = tuple[int, ReadDatagrams, float]

# Key of the socket; received datagrams and bytes, sent datagrams and bytes, messages of no use;
# errors. What was handed up is among what was received.
SocketCounts: TypeAlias = tuple[int, int, int, int, int, int, list[int]]

# What was sent; what came, in the order of each peer; lane, bytes and length of each packet but the
# last of what a socket did not take, which is among what was sent; packets of the device that go by
# no lane; counts of sockets; packets that the device did not take; error of reading it, or 0; how
# many datagrams Python had to know of at once.
Happened: TypeAlias = tuple[
    list[SentPackets],
    list[TakenPackets | HandedDatagrams],
    list[tuple[int, bytes, int]],
    list[Parcel],
    list[SocketCounts],
    int,
    int,
    int,
]

@final
class FlowSet:
    def __new__(cls) -> FlowSet: ...
    def add(self, flow: bytes) -> None: ...
    def clear(self) -> None: ...
    def __contains__(self, flow: object) -> bool: ...
    def __len__(self) -> int: ...

@final
class Bypass:
    def __new__(cls, device: int, joins_udp: bool) -> Bypass: ...
    def fileno(self) -> int: ...
    def add_socket(self, key: int, descriptor: int) -> None: ...
    def remove_socket(self, key: int) -> None: ...
    def open_inbound(
        self,
        cid: bytes,
        socket: int,
        peer: PeerKey,
        keys: PacketKeys,
        path_id: int,
        key_phase: int,
        largest: int,
        prefix: bytes,
        flows: FlowSet,
    ) -> None: ...
    def hasten(self, cid: bytes) -> None: ...
    def close_inbound(self, cid: bytes) -> None: ...
    def open_outbound(
        self,
        lane: int,
        socket: int,
        destination: Destination,
        keys: PacketKeys,
        path_id: int,
        header: ShortHeader,
        next_number: int,
        prefix: bytes,
        flows: FlowSet,
        mtu: int,
        credit: int,
        max_packets: int,
        keeps: bool,
    ) -> None: ...
    def close_outbound(self, lane: int) -> None: ...
    def approve(self, lane: int, flow: int, packet: bytes) -> bool: ...
    def forget_approvals(self, lane: int) -> None: ...
    def arm(self, device: bool, sockets: list[int]) -> None: ...
    def hold(self) -> Happened: ...
    def release(self, linger: float) -> None: ...
    def close(self) -> None: ...
