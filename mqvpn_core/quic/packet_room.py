"""Room in the packets that one path may send now, counted the way they will be packed."""

from collections.abc import Sequence

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import largest_packet
from mqvpn_core.quic.carrier_view import CarrierView

MAX_PACKETS = 768
"""Most packets of one path for one call: bounds the work before others get their turn."""

# A DATAGRAM frame without a length has one byte in front of its data; the length that all frames
# of a packet but the last need takes two more (RFC 9221 s4, RFC 9000 s16).
TYPE_BYTES = 1
LENGTH_BYTES = 2

Datagram = tuple[bytes, Parcel]
"""Prefix and payload: what a DATAGRAM frame carries, in two parts; or the prefix of the payloads of
a train, each of which goes into a frame and a packet of its own."""


def datagram_bytes(datagram: Datagram) -> int:
    """Return the length of a datagram, or of all datagrams of a train."""
    prefix, payload = datagram
    if isinstance(payload, bytes):
        return len(prefix) + len(payload)
    return len(prefix) * len(payload) + payload.total_bytes


def datagram_count(datagram: Datagram) -> int:
    """Return how many datagrams it is."""
    return 1 if isinstance(datagram[1], bytes) else len(datagram[1])


def last_datagrams(datagrams: Sequence[Datagram], max_count: int) -> list[Datagram]:
    """Return no more than so many from the end, in their order; a train may be cut."""
    chosen: list[Datagram] = []
    room = max_count
    for datagram in reversed(datagrams):
        prefix, payload = datagram
        count = datagram_count(datagram)
        if isinstance(payload, bytes) or count <= room:
            chosen.append(datagram)
        else:
            chosen.append((prefix, payload.part(count - room, count)))
        room -= count
        if room <= 0:
            break
    chosen.reverse()
    return chosen


def frame_bytes(datagram: Datagram) -> int:
    """Return the length of the largest frame that it needs."""
    return TYPE_BYTES + len(datagram[0]) + largest_packet(datagram[1])


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
        return self.put_plainly(datagram)

    def put_plainly(self, datagram: Datagram) -> bool:
        """Take a datagram, and do nothing else whatever `put` does besides."""
        if not isinstance(datagram[1], bytes):
            return self.put_train(datagram, self.budget)[0] is None
        size = datagram_bytes(datagram)
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

    def put_train(self, datagram: Datagram, most_bytes: int) -> tuple[Datagram | None, int, int]:
        """Take datagrams off the front of a train.

        Args:
            datagram: prefix and train.
            most_bytes: take no further datagram after that many bytes.

        Returns:
            What is left of it, how many datagrams and how many bytes were taken.
        """
        prefix, train = datagram
        assert not isinstance(train, bytes)
        size = len(prefix) + train.packet_bytes
        if size + TYPE_BYTES > self.capacity:
            return datagram, 0, 0
        cost = TYPE_BYTES + size + self.overhead
        count = min(
            len(train), self.packets_left, self.budget // cost, -(-most_bytes // max(size, 1))
        )
        if count <= 0:
            return datagram, 0, 0
        taken = train if count == len(train) else train.part(0, count)
        taken_bytes = count * len(prefix) + taken.total_bytes
        self.packets_left -= count
        self.budget -= taken_bytes + count * (TYPE_BYTES + self.overhead)
        # What follows begins a packet.
        self.open_bytes = 0
        self.datagrams.append((prefix, taken))
        rest = None if count == len(train) else (prefix, train.part(count, len(train)))
        return rest, count, taken_bytes
