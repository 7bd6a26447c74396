"""What the native bypass and its owner tell each other.

The bypass forwards plain packets from descriptor to descriptor while its owner sleeps, and says
afterwards what went through as ranges of packet numbers. It works between `Bypass.release` and
`Bypass.hold` only, so that nobody has to share anything with it. What it may forward it is told as
*lanes*, one for each path and direction; all else it hands up as it came. There is none in the
reference: without it every packet takes the ordinary way.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeAlias

from mqvpn_core.dataplane.packets import (
    Destination,
    PacketShape,
    Parcel,
    PeerKey,
    ReadDatagrams,
    ShortHeader,
)
from mqvpn_core.dataplane.reference import PacketKeys


class FlowSet(Protocol):
    """Source, destination and protocol byte of packets that may pass; a set of `bytes`."""

    def add(self, flow: bytes, /) -> None:
        """Let packets of a flow pass."""
        ...

    def clear(self) -> None:
        """Let nothing pass that is not added again; the bypass knows at once."""
        ...

    def __contains__(self, flow: object, /) -> bool:
        """Tell whether packets of a flow may pass."""
        ...

    def __len__(self) -> int:
        """Count the flows."""
        ...


FlowShare: TypeAlias = tuple[int, int, int]
"""A flow as it was approved, and how many packets and bytes of it left."""


class KeptParcels(Protocol):
    """IP packets that have left; made when somebody asks, which hardly ever happens."""

    def __len__(self) -> int:
        """Count packets and trains."""
        ...

    def __iter__(self) -> Iterator[Parcel]:
        """Make them."""
        ...


class SentByBypass(NamedTuple):
    """Packets that left on one lane at one time."""

    lane: int
    """The lane."""
    first: int
    """Number of the first packet; the others follow it."""
    shapes: list[PacketShape]
    """What the packets are like."""
    flows: list[FlowShare]
    """Whose they are."""
    payloads: KeptParcels
    """The IP packets in them, if the lane keeps them and not too many have left."""
    age: float
    """Seconds since they left."""


TakenByBypass: TypeAlias = tuple[bytes, int, int, int, int, float]
"""Packets that came and were forwarded: connection ID, number of the first, how many, UDP payload
bytes, bytes of the IP packets, and seconds since the last of them came."""

HandedUp: TypeAlias = tuple[int, ReadDatagrams, float]
"""Datagrams that came and were not: the socket, what `DatagramReader.read` gives of them, and
seconds since the last of them came."""

Unsent: TypeAlias = tuple[int, bytes, int]
"""Sealed packets that a socket did not take: the lane, the bytes, and the length of each."""

SocketCounts: TypeAlias = tuple[int, int, int, int, int, int, list[int]]
"""The socket; datagrams and bytes received; datagrams and bytes sent; unusable reads; errors."""

Happened: TypeAlias = tuple[
    list[tuple[int, int, list[PacketShape], list[FlowShare], list[Parcel], float]],
    list[TakenByBypass | HandedUp],
    list[Unsent],
    list[Parcel],
    list[SocketCounts],
    int,
    int,
    int,
]
"""What happened since the last `Bypass.hold`: packets sent, what came in its order, what no socket
took, packets of the device without a lane, counts of sockets, packets that the device did not take,
the error of reading it or 0, and how many datagrams were more than acknowledgements."""


class Bypass(Protocol):
    """Forwards packets in a thread of its own while it is released."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when the owner should call `hold`."""
        ...

    def add_socket(self, key: int, descriptor: int) -> None:
        """Know a socket from now on; its descriptor is duplicated."""
        ...

    def remove_socket(self, key: int) -> None:
        """Forget a socket and its lanes."""
        ...

    def open_inbound(  # noqa: PLR0913, PLR0917 - one call, because each costs
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
    ) -> None:
        """Forward packets with a connection ID, instead of what was known of it before."""
        ...

    def hasten(self, cid: bytes) -> None:
        """Tell at once also of acknowledgements that come with this connection ID.

        Until it is opened again; otherwise they wait until it is time to tell anyway.
        """
        ...

    def close_inbound(self, cid: bytes) -> None:
        """Hand up packets with this connection ID from now on."""
        ...

    def open_outbound(  # noqa: PLR0913, PLR0917 - as above
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
    ) -> None:
        """Send approved packets on a lane, until the credit in bytes is used up."""
        ...

    def close_outbound(self, lane: int) -> None:
        """Send nothing more on a lane, and forget what was approved for it."""
        ...

    def approve(self, lane: int, flow: int, packet: bytes) -> bool:
        """Let packets with the addresses, protocol and ports of this one go by a lane.

        Returns:
            False when it would take none: they have no ports, or the flow has not passed the rules.
        """
        ...

    def forget_approvals(self, lane: int) -> None:
        """Hand up the packets of all flows of a lane."""
        ...

    def arm(self, device: bool, sockets: list[int]) -> None:
        """Read these while released; the others are the owner's."""
        ...

    def hold(self) -> Happened:
        """Stop, and tell what happened."""
        ...

    def release(self, linger: float) -> None:
        """Go on; what need not be known at once is told after so many seconds."""
        ...

    def close(self) -> None:
        """End the thread and give all descriptors back; harmless when done twice."""
        ...
