"""Second copies: what is urgent leaves on two paths, and the peer drops whichever comes later.

Owns which datagrams are sent twice and the copies that wait for room. How a copy is recognised is
the business of whoever queues the datagrams, see `Duplication`.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from mqvpn_core.dataplane.parcels import first_packet
from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.packet_room import TYPE_BYTES, Datagram, PacketRoom

MAX_COPY_AGE = 0.05
"""Seconds that a second copy waits for room; then the first one has probably arrived."""
MAX_COPIES = 256
"""Copies that wait for one path at most."""
_REMEMBERED_COPIES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplication:
    """How datagrams of one kind are sent twice; whoever queues them provides it."""

    may_duplicate: Callable[[bytes], bool]
    """Tells whether a payload is worth it."""
    next_prefix: Callable[[], bytes]
    """Makes the prefix of one datagram sent twice, with a number that tells the peer so."""
    prefix_bytes: int
    """Length of every such prefix."""


class SecondCopies:
    """Makes copies, and keeps those that found no room at once.

    Reads: ``len``, ``is_owed``. Writes: ``allow``, ``open_rooms``, ``forget_path``, ``clear``.
    """

    def __init__(self) -> None:
        self._duplications: dict[bytes, Duplication] = {}
        self._waiting: dict[PathId, deque[tuple[Instant, Datagram]]] = {}

    def __len__(self) -> int:
        """Copies that wait."""
        return sum(map(len, self._waiting.values()))

    def is_owed(self, path_id: PathId) -> bool:
        """Tell whether a copy waits for a path."""
        return bool(self._waiting.get(path_id))

    def allow(self, prefix: bytes, duplication: Duplication | None) -> None:
        """Let datagrams with a prefix be sent twice, or no longer."""
        if duplication is None:
            self._duplications.pop(prefix, None)
        else:
            self._duplications[prefix] = duplication

    def open_rooms(self, views: Sequence[CarrierView], now: Instant) -> dict[PathId, PacketRoom]:
        """Make rooms that copy what is put into them; copies that waited go in first.

        Args:
            views: the usable paths.
            now: the time.
        """
        rooms = {view.path_id: _CopyingRoom(view, self, now) for view in views}
        fastest = sorted(views, key=lambda view: (view.smoothed_rtt, view.path_id))
        for room in rooms.values():
            # The flow's own path and the fastest other: with two paths, both of them.
            partner = next((v.path_id for v in fastest if v.path_id != room.path_id), None)
            room.partner = None if partner is None else rooms[partner]
        for path_id, copies in self._waiting.items():
            own_room = rooms.get(path_id)
            while copies and (
                now - copies[0][0] > MAX_COPY_AGE
                or (own_room is not None and own_room.put_plainly(copies[0][1]))
            ):
                copies.popleft()
        return dict(rooms)

    def forget_path(self, path_id: PathId) -> None:
        """A path is gone; its copies are of no use."""
        self._waiting.pop(path_id, None)

    def clear(self) -> None:
        """Drop all copies that wait."""
        self._waiting.clear()

    def duplication_of(self, datagram: Datagram) -> Duplication | None:
        """Tell how a datagram is sent twice, None when it is not to be."""
        duplication = self._duplications.get(datagram[0])
        if duplication is None or not duplication.may_duplicate(first_packet(datagram[1])):
            return None
        return duplication

    def keep(self, path_id: PathId, datagram: Datagram, now: Instant) -> None:
        """Keep a copy until there is room on its path."""
        copies = self._waiting.setdefault(path_id, deque())
        copies.append((now, datagram))
        if len(copies) > MAX_COPIES:
            copies.popleft()


class Hedges:
    """Copies of what is under way on a path in doubt, for another path and for once.

    The peer cannot tell them from new ones: what is inside has to live with duplicates, as every
    IP packet has to. A copy is under way on a path as well, and that may get into doubt too: what
    was copied once is not copied again. Reads: ``len``. Writes: ``note``, ``put_into``.
    """

    def __init__(self) -> None:
        self._datagrams: dict[PathId, list[Datagram]] = {}
        # By the identity of payloads, which holds as long as they are kept here.
        self._copied: OrderedDict[int, Datagram] = OrderedDict()

    def __len__(self) -> int:
        """Copies that wait for the next packets."""
        return sum(map(len, self._datagrams.values())) if self._datagrams else 0

    def note(self, path_id: PathId, datagrams: Sequence[Datagram]) -> None:
        """Take copies.

        Args:
            path_id: the path in doubt.
            datagrams: what is under way on it, oldest first.
        """
        new = [datagram for datagram in datagrams if id(datagram[1]) not in self._copied]
        if new:
            self._datagrams[path_id] = new
            self._copied.update((id(datagram[1]), datagram) for datagram in new)
            while len(self._copied) > _REMEMBERED_COPIES:
                self._copied.popitem(last=False)

    def put_into(self, rooms: Mapping[PathId, PacketRoom]) -> None:
        """Let the best other path have what fits; the rest is not worth waiting.

        Args:
            rooms: of the usable paths, the best first.
        """
        if not self._datagrams:
            return
        waiting, self._datagrams = self._datagrams, {}
        for path_id, datagrams in waiting.items():
            others = [room for other, room in rooms.items() if other != path_id]
            for datagram in datagrams if others else ():
                if not others[0].put_plainly(datagram):
                    break


class _CopyingRoom(PacketRoom):
    """Room of one path that gives a copy of what is urgent to another path's room."""

    __slots__ = ("_copies", "_now", "partner")

    takes_one_by_one = True

    def __init__(self, view: CarrierView, copies: SecondCopies, now: Instant) -> None:
        super().__init__(view)
        self.partner: _CopyingRoom | None = None
        self._copies = copies
        self._now = now

    @override
    def put(self, datagram: Datagram) -> bool:
        partner = self.partner
        if partner is None:
            return self.put_plainly(datagram)
        duplication = self._copies.duplication_of(datagram)
        if duplication is None:
            return self.put_plainly(datagram)
        size = duplication.prefix_bytes + len(datagram[1])
        if self.cost(size) is None or size + TYPE_BYTES > partner.capacity:
            return self.put_plainly(datagram)
        numbered = (duplication.next_prefix(), datagram[1])
        if not partner.put_plainly(numbered):
            self._copies.keep(partner.path_id, numbered, self._now)
        return self.put_plainly(numbered)
