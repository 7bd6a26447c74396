# The optional extension: what the reference has, under the same names.
from collections.abc import Sequence
from typing import final

from mqvpn_core.dataplane.packets import (
    CipherSuite,
    Destination,
    OpenResult,
    OpenSegmentsResult,
    PacketShape,
    Parcel,
    Payload,
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
