"""Room in the packets that one path may send now, counted the way they will be packed."""

from mqvpn_core.quic.carrier_view import CarrierView

MAX_PACKETS = 256
"""Most packets of one path for one call: bounds the work before others get their turn."""

# A DATAGRAM frame without a length has one byte in front of its data; the length that all frames
# of a packet but the last need takes two more (RFC 9221 s4, RFC 9000 s16).
TYPE_BYTES = 1
LENGTH_BYTES = 2

Datagram = tuple[bytes, bytes]
"""Prefix and payload: what a DATAGRAM frame carries, in two parts."""


class PacketRoom:
    """What one path still takes; datagrams share a packet as long as their order allows.

    ``open_bytes`` counts the frames of the packet that is being filled as if each had a length;
    0 when there is none.
    """

    __slots__ = (
        "budget",
        "capacity",
        "datagrams",
        "open_bytes",
        "overhead",
        "packets_left",
        "path_id",
    )

    takes_one_by_one = False
    """Datagrams have to come in by `put`; whoever fills the room may not do its accounting."""

    def __init__(self, view: CarrierView) -> None:
        """Start with the whole budget of a path."""
        self.path_id = view.path_id
        self.capacity = view.frame_capacity
        self.overhead = view.packet_overhead
        self.budget = view.send_budget
        self.packets_left = MAX_PACKETS
        self.open_bytes = 0
        self.datagrams: list[Datagram] = []

    @property
    def has_spare(self) -> bool:
        """A full packet more could leave."""
        return self.packets_left > 0 and self.budget >= self.capacity + self.overhead

    def cost(self, size: int) -> int | None:
        """Bytes of budget that a datagram would take, None when there is no room for it."""
        if self.open_bytes and self.open_bytes + size + TYPE_BYTES <= self.capacity:
            cost = TYPE_BYTES + LENGTH_BYTES + size
        elif size + TYPE_BYTES <= self.capacity and self.packets_left:
            cost = TYPE_BYTES + size + self.overhead
        else:
            return None
        return cost if cost <= self.budget else None

    def put(self, datagram: Datagram) -> bool:
        """Take a datagram; False when there is no room for it."""
        size = len(datagram[0]) + len(datagram[1])
        cost = self.cost(size)
        if cost is None:
            return False
        if self.open_bytes and self.open_bytes + size + TYPE_BYTES <= self.capacity:
            self.open_bytes += size + TYPE_BYTES + LENGTH_BYTES
        else:
            self.packets_left -= 1
            self.open_bytes = size + TYPE_BYTES + LENGTH_BYTES
        self.budget -= cost
        self.datagrams.append(datagram)
        return True
