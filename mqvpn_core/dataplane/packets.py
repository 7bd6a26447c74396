"""What both kernels take and give: suites, headers and the fates of packets, as plain values.

Implements nothing; see `mqvpn_core.dataplane.reference` for the rules.
"""

from enum import IntEnum
from typing import NamedTuple, Protocol, TypeAlias, overload

from mqvpn_core.dataplane.trains import PacketTrain

ABI = 13
"""Changes with every change of a signature or a result of a kernel."""

TAG_BYTES = 16
"""What the AEAD adds to a packet."""

MAX_RUN_PACKETS = 64
"""Most packets in one run: what every kernel with GSO takes."""

MAX_RUN_BYTES = 65000
"""Most bytes in one run: below the largest UDP payload."""

TRAIN_PREFIX_BYTES = 2
"""What the DATAGRAM payloads of a received train have in common in front."""


PeerKey: TypeAlias = tuple[bytes, int, int, bytes]
"""Remote address, port and scope, and the local address where a socket tells it."""


class DatagramBuffer(Protocol):
    """Received bytes that the native kernel has not copied; `open_segments` opens them in place.

    Afterwards packets that were not opened are still there, but of a forged one only its end.
    """

    def __len__(self) -> int:
        """Return the number of bytes."""
        ...

    def __bytes__(self) -> bytes:
        """Return a copy."""
        ...

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: "slice[int | None, int | None, None]") -> bytes: ...
    def __getitem__(self, key: "int | slice[int | None, int | None, None]") -> int | bytes:
        """Return a byte, or a copy of some."""
        ...


ReceivedBytes: TypeAlias = bytes | DatagramBuffer
"""What a socket gave: datagrams back to back."""

ReadDatagrams: TypeAlias = tuple[PeerKey, ReceivedBytes, int, int]
"""Datagrams of one peer back to back: who, the bytes, the length of each but the last, and ECN."""


class DatagramReader(Protocol):
    """Reads many datagrams with one system call; only the native kernel has one."""

    def read(
        self, descriptor: int, max_messages: int, max_bytes: int
    ) -> tuple[list[ReadDatagrams], int, list[int]]:
        """Read from a socket that does not block, until nothing is left or it is enough.

        Returns:
            What came, how many messages were of no use, and the errors that the socket reported.

        Raises:
            OSError: the descriptor is of no use.
        """
        ...


PacketShape: TypeAlias = tuple[int, int, int]
"""Length of each packet but the last, which may be shorter; how many; bytes of all."""

Destination: TypeAlias = tuple[bytes, int, int, bytes]
"""As a `PeerKey`: where to, and from which of our addresses, empty for the socket's own."""


class Flight(Protocol):
    """Packets of one path with consecutive numbers that are sealed when they are sent.

    Only the native kernel makes them: what is sealed just before the system call that copies it is
    still in the processor's caches, and needs no memory of its own.
    """

    @property
    def shapes(self) -> list[PacketShape]:
        """What it consists of: packets of one length, of which the last may be shorter."""
        ...

    def sealed(self, first_run: int) -> "list[SealedRun]":
        """Return what `send` sends, from a run on; the same bytes whenever it is called."""
        ...

    def send(self, descriptor: int, destination: Destination) -> tuple[int, int, int, int]:
        """Send run after run, with segmentation, until the socket does not take one.

        Returns:
            How many runs, packets and bytes were taken, and the error that ended it or 0.
        """
        ...


class FrameReader(Protocol):
    """Reads all that a TUN device has with one call; only the native kernel has one."""

    def read(
        self, descriptor: int, max_frames: int, max_bytes: int
    ) -> "tuple[list[Parcel], int, int, int]":
        """Read frames with headers for offloads until nothing is left or it is enough.

        Returns:
            What is in them as `split_frames` makes it, how many packets and bytes that is, and the
            error that ended it or 0.
        """
        ...


class CipherSuite(IntEnum):
    """TLS cipher suites that QUIC packets can be protected with (RFC 9001 s5.3)."""

    AES_128_GCM_SHA256 = 0x1301
    AES_256_GCM_SHA384 = 0x1302
    CHACHA20_POLY1305_SHA256 = 0x1303


class ShortHeader(NamedTuple):
    """What the headers of a batch of sealed packets have in common (RFC 9000 s17.3.1)."""

    destination_cid: bytes
    """Connection ID of the receiver."""
    key_phase_bit: int
    """0 or 1."""
    packet_number_length: int
    """Bytes that encode the packet number, 1 to 4."""


class SealedRun(NamedTuple):
    """Sealed packets that leave in one send with segmentation (GSO)."""

    data: bytes
    """The packets back to back."""
    segment_size: int
    """Length of each packet but the last, which may be shorter."""
    packet_count: int
    """How many packets."""


class ReceiveContext(NamedTuple):
    """What the packets of a received batch have in common."""

    path_id: int
    """Path ID that the destination connection ID belongs to."""
    largest_received: int
    """Largest packet number received on that path, -1 when none."""
    cid_length: int
    """Length of our connection IDs."""
    key_phase_bit: int
    """The phase the keys belong to."""


class OpenedPacket(NamedTuple):
    """A packet that authenticates."""

    packet_number: int
    """The full number."""
    plaintext: bytes
    """Its frames."""
    has_reserved_bits: bool
    """A reserved bit of the header is set, which is a protocol violation."""


class OpenedTrain(NamedTuple):
    """Packets with consecutive numbers that authenticate and are one DATAGRAM frame each."""

    packet_number: int
    """The full number of the first."""
    payloads: PacketTrain
    """What the frames hold; the first `TRAIN_PREFIX_BYTES` are the same in all."""


class OtherPhase(NamedTuple):
    """A packet of the other key phase; it was not opened."""

    packet_number: int
    """The number it claims."""


class Bad(NamedTuple):
    """A packet that is malformed or does not authenticate."""

    is_forgery: bool
    """The AEAD was tried and failed, which counts towards the integrity limit."""


OpenResult: TypeAlias = OpenedPacket | OtherPhase | Bad
OpenSegmentsResult: TypeAlias = OpenResult | OpenedTrain
Parcel: TypeAlias = bytes | PacketTrain
"""What travels through the rooms: one IP packet, or several of one kind."""
Payload: TypeAlias = bytes | tuple[bytes, PacketTrain]
"""Frames of one packet; or what stands in front of each packet of a train, and the train."""
