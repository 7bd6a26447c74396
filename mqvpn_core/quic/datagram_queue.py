"""Datagrams that wait for a path: a queue for each inner flow, and the order among flows.

# walk: 5 of 16

The queues stand in front of the choice of a path, so a dying path strands nothing. An IP packet
that is late is worth less than none: when the paths are slower than what comes in, waiting longer
only adds delay for all packets behind it. So the oldest give way, and flows wait for themselves
alone: a ping does not stand behind somebody's download.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.codel import CodelState
from mqvpn_core.quic.packet_room import (
    Datagram,
    PacketRoom,
    datagram_bytes,
    datagram_count,
    frame_bytes,
)

IDLE_SECONDS = 1.0
"""Silence after which a flow counts as new."""


MAX_TURN_BYTES = 3000
"""What a flow sends before the next one gets its turn: two full packets."""
LONG_TURN_BYTES = 12_000
"""The same at most, where so much may leave that it is over soon."""
_TURNS = 8

MIN_TRAIN_BYTES = 16000
"""What leaves of a train at least if there is room; its flow waits the longer for the next turn."""

_NEVER = Instant(float("-inf"))
_NO_LIMIT = 1 << 40


@dataclass(slots=True, kw_only=True)
class QueueTotals:
    """What all flows of a connection have waiting and lost, kept up to date by their rings.

    And what their rings have to know of the connection: ``target`` and ``mark``.
    """

    waiting_count: int = 0
    """Datagrams that wait."""
    waiting_bytes: int = 0
    """Their bytes, prefixes included."""
    too_big_count: int = 0
    """Dropped because no path carries them."""
    overflow_count: int = 0
    """Dropped because there was no room."""
    expired_count: int = 0
    """Dropped because they waited too long."""
    signalled_count: int = 0
    """Dropped so that their flow slows down."""
    marked_count: int = 0
    """Marked instead (ECN)."""
    target: float = math.inf
    """Seconds for which the queue of a flow may stand; infinite does not manage queues."""
    mark: Callable[[bytes], bytes | None] | None = None
    """Returns a payload with a congestion mark, or None where there can be none."""


class Flow:
    """Datagrams of one inner flow in their order, and where they shall go.

    Reads: ``items``, ``waiting_bytes``, ``oldest_at``. Writes: ``mark`` before appending to
    ``items``, ``put_back``, ``note_taken`` after taking from them, ``drop``.
    """

    __slots__ = (
        "_marks",
        "_taken_count",
        "codel",
        "deficit",
        "is_queued",
        "items",
        "marked_at",
        "path_id",
        "requeued_count",
        "rests_until",
        "ring",
        "seen_at",
        "taken_bytes",
        "waiting_bytes",
        "was_idle",
    )

    def __init__(self) -> None:
        self.items: deque[Datagram] = deque()
        self.waiting_bytes = 0
        self.codel = CodelState()
        self.requeued_count = 0
        """Datagrams at the head that had been sent before, on a path that failed."""
        self.deficit = 0
        """Bytes left of its turn."""
        self.is_queued = False
        """Stands in a ring, or is about to be put into one."""
        self.ring: FlowRing | None = None
        self.path_id: PathId | None = None
        """The path it is pinned to."""
        self.rests_until = _NEVER
        """It was moved lately and stays where it is for so long."""
        self.seen_at = _NEVER
        """When something was queued last."""
        self.was_idle = False
        """There had been a long silence before what waits now."""
        self.marked_at = _NEVER
        """When something was queued last of what waits now."""
        self.taken_bytes = 0
        """Bytes that left since somebody looked."""
        self._taken_count = 0
        # When datagrams were queued and how many had been queued before, oldest first.
        self._marks: deque[tuple[Instant, int]] = deque()

    @property
    def oldest_at(self) -> Instant:
        """When the head was queued; there must be one."""
        return self._marks[0][0]

    def mark(self, now: Instant) -> None:
        """Note the time for what is appended next."""
        self._marks.append((now, self._taken_count + len(self.items)))
        self.marked_at = now
        if now - self.seen_at > IDLE_SECONDS:
            self.was_idle = True
        self.seen_at = now

    def put_back(self, datagrams: Sequence[Datagram], queued_at: Instant) -> None:
        """Put datagrams in front that had left already, behind those put back before."""
        count, in_front = len(datagrams), self.requeued_count
        self.items.rotate(-in_front)
        self.items.extendleft(reversed(datagrams))
        self.items.rotate(in_front)
        marks = [(at, max(before, self._taken_count)) for at, before in self._marks]
        split = self._taken_count + in_front
        self._taken_count -= count
        self._marks = deque(
            [
                *((at, before - count) for at, before in marks if before < split),
                (queued_at, split - count),
                *((at, before) for at, before in marks if before >= split),
            ]
        )
        self.requeued_count += count
        self.waiting_bytes += sum(map(datagram_bytes, datagrams))

    def note_taken(self, count: int, taken_bytes: int) -> None:
        """Follow up what was taken from the head of ``items``."""
        self.waiting_bytes -= taken_bytes
        self.requeued_count = max(0, self.requeued_count - count)
        if not self.items:
            self._marks.clear()
            self.marked_at = _NEVER
            return
        self._taken_count += count
        marks = self._marks
        while len(marks) > 1 and marks[1][1] <= self._taken_count:
            marks.popleft()

    def has_behind(self, position: int) -> bool:
        """Tell whether a packet stands behind the first one of an item."""
        items = self.items
        return len(items) > position + 1 or (
            len(items) > position and datagram_count(items[position]) > 1
        )

    def detach_packet(self, position: int) -> tuple[bytes, bytes]:
        """Make the first packet of an item an item of its own, and return it."""
        prefix, payload = self.items[position]
        if isinstance(payload, bytes):
            return prefix, payload
        packet = payload.head
        self.items[position] = (prefix, packet)
        if len(payload) > 1:
            self.items.insert(position + 1, (prefix, payload.part(1, len(payload))))
            index = self._taken_count + position
            self._marks = deque((at, before + (before > index)) for at, before in self._marks)
        return prefix, packet

    def drop(self, count: int) -> tuple[int, int]:
        """Drop items from the head; return how many datagrams and bytes that were."""
        dropped_count = dropped_bytes = 0
        for _ in range(count):
            datagram = self.items.popleft()
            dropped_count += datagram_count(datagram)
            dropped_bytes += datagram_bytes(datagram)
        self.note_taken(count, dropped_bytes)
        return dropped_count, dropped_bytes

    def drop_bytes(self, wanted_bytes: int) -> tuple[int, int]:
        """Drop from the head until that many bytes are gone, or its first item is.

        Returns:
            How many datagrams and bytes were dropped.
        """
        prefix, payload = self.items[0]
        if isinstance(payload, bytes):
            return self.drop(1)
        count = -(-wanted_bytes // (len(prefix) + payload.packet_bytes))
        if count >= len(payload):
            return self.drop(1)
        rest = payload.part(count, len(payload))
        dropped_bytes = len(prefix) * count + payload.total_bytes - rest.total_bytes
        self.items[0] = (prefix, rest)
        self.waiting_bytes -= dropped_bytes
        return count, dropped_bytes

    def count_older_than(self, instant: Instant) -> int:
        """Count the items at the head that were queued before an instant."""
        marks = self._marks
        if not marks or marks[0][0] >= instant:
            return 0
        for queued_at, queued_before in marks:
            if queued_at >= instant:
                return queued_before - self._taken_count
        return len(self.items)


class FlowRing:
    """Active flows that share what a path, or all of them, can carry: deficit round robin.

    A flow that had nothing waiting goes first for one turn, so that sparse traffic never stands
    behind bulk (RFC 8290 s4.2); datagrams of a failed path go even before that.
    """

    def __init__(self, totals: QueueTotals, max_age: float) -> None:
        """Start without flows.

        Args:
            totals: sums over all rings.
            max_age: seconds after which a datagram is dropped.
        """
        self.ran_dry = False
        """Everything was sent and there was room left; cleared by whoever looks at it."""
        self.taken_bytes = 0
        """Bytes that left, ever."""
        self._totals = totals
        self._max_age = max_age
        self._turn_bytes = MAX_TURN_BYTES
        self._requeued: deque[Flow] = deque()
        self._new: deque[Flow] = deque()
        self._old: deque[Flow] = deque()

    @property
    def flows(self) -> list[Flow]:
        """Flows that have something waiting, those first that are served first."""
        return [
            flow for ring in (self._requeued, self._new, self._old) for flow in ring if flow.items
        ]

    @property
    def is_empty(self) -> bool:
        """Nothing waits."""
        return not any(
            flow.items for ring in (self._requeued, self._new, self._old) for flow in ring
        )

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait."""
        return sum(flow.waiting_bytes for flow in self.flows)

    def add(self, flow: Flow) -> None:
        """Let a flow take part that is in no ring."""
        flow.ring = self
        flow.is_queued = True
        flow.deficit = MAX_TURN_BYTES
        (self._requeued if flow.requeued_count else self._new).append(flow)

    def remove(self, flow: Flow) -> None:
        """Take a flow out, with what it has waiting."""
        for ring in (self._requeued, self._new, self._old):
            if flow in ring:
                ring.remove(flow)
        flow.ring = None
        flow.is_queued = False

    def take_all(self) -> list[Flow]:
        """Take all flows out; return those that have something waiting."""
        waiting = self.flows
        for ring in (self._requeued, self._new, self._old):
            for flow in ring:
                flow.ring = None
                flow.is_queued = False
            ring.clear()
        return waiting

    def fill(self, room: PacketRoom, largest_frame: int, now: Instant) -> Flow | None:
        """Take what fits, flow by flow.

        Args:
            room: what the path can send now.
            largest_frame: most bytes of frames that any usable path takes in one packet.
            now: the time.

        Returns:
            The flow whose next datagram fits other paths only and stopped the filling.
        """
        oldest = Instant(now - self._max_age)
        # Longer turns cost less; but no flow takes much of what may leave now.
        self._turn_bytes = min(max(room.budget // _TURNS, MAX_TURN_BYTES), LONG_TURN_BYTES)
        while True:
            ring = self._requeued or self._new or self._old
            if not ring:
                if room.has_spare:
                    self.ran_dry = True
                return None
            flow = ring[0]
            if flow.items and flow.oldest_at < oldest:
                self._totals.expired_count += self.discard(flow, flow.count_older_than(oldest))
            elif flow.items and self._totals.target < math.inf and not flow.requeued_count:
                self._signal(flow, now)
            serve = self._serve_one_by_one if room.takes_one_by_one else self._serve
            if flow.items and not serve(flow, room):
                size = frame_bytes(flow.items[0])
                if size <= room.capacity:
                    return None
                if size <= largest_frame:
                    return flow
                self._totals.too_big_count += self.discard(flow, 1)
                continue
            self._end_turn(ring)

    def _signal(self, flow: Flow, now: Instant) -> None:
        """Tell a flow whose queue does not get shorter that it sends too fast."""
        totals = self._totals
        # RFC 8289 s4.2: what one turn takes away is no standing queue.
        waited = now - flow.oldest_at if flow.waiting_bytes > MAX_TURN_BYTES else 0.0
        due = flow.codel.signals_due(waited, totals.target, now)
        position = 0
        while due > 0 and flow.has_behind(position):
            due -= 1
            prefix, payload = flow.detach_packet(position)
            marked = totals.mark(payload) if totals.mark is not None else None
            if marked is not None:
                flow.items[position] = (prefix, marked)
                totals.marked_count += 1
                position += 1
            elif position == 0:
                totals.signalled_count += self.discard(flow, 1)
            else:
                return

    def discard(self, flow: Flow, count: int) -> int:
        """Drop items from the head of a flow and return how many datagrams that were."""
        dropped_count, dropped_bytes = flow.drop(count)
        self._totals.waiting_count -= dropped_count
        self._totals.waiting_bytes -= dropped_bytes
        return dropped_count

    def _end_turn(self, ring: deque[Flow]) -> None:
        flow = ring.popleft()
        if flow.items:
            flow.deficit += self._turn_bytes
            (self._requeued if flow.requeued_count else self._old).append(flow)
        elif ring is not self._old and self._old:
            # RFC 8290 s4.2: or else a flow could always be new by sending little at a time.
            self._old.append(flow)
        else:
            flow.ring = None
            flow.is_queued = False

    def _serve(self, flow: Flow, room: PacketRoom) -> bool:
        """Take from one flow until its turn is over; False when the room ended it."""
        items = flow.items
        popleft = items.popleft
        append = room.datagrams.append
        capacity, overhead = room.capacity, room.overhead
        budget, open_bytes, packets_left = room.budget, room.open_bytes, room.packets_left
        count = len(items)
        more_count = 0  # datagrams of trains beyond one for each item
        is_alone = len(self._requeued) + len(self._new) + len(self._old) == 1
        deficit = turn = _NO_LIMIT if is_alone else flow.deficit
        is_over = True
        # `PacketRoom.put` for many datagrams: this runs for every one that leaves.
        while items and deficit > 0:
            prefix, payload = items[0]
            if not isinstance(payload, bytes):
                room.budget, room.packets_left = budget, packets_left
                rest, train_count, train_bytes = room.put_train(
                    items[0], max(deficit, MIN_TRAIN_BYTES)
                )
                budget, packets_left, open_bytes = room.budget, room.packets_left, 0
                deficit -= train_bytes
                if rest is None:
                    items.popleft()
                    more_count += train_count - 1
                    continue
                items[0] = rest
                more_count += train_count
                is_over = deficit <= 0
                break
            size = len(prefix) + len(payload)
            if open_bytes and open_bytes + size < capacity:
                cost = size + 3
                if cost > budget:
                    is_over = False
                    break
                open_bytes += cost
            else:
                cost = size + 1 + overhead
                if cost > budget or size >= capacity or not packets_left:
                    is_over = False
                    break
                packets_left -= 1
                open_bytes = size + 3
            budget -= cost
            deficit -= size
            append(popleft())
        room.budget, room.open_bytes, room.packets_left = budget, open_bytes, packets_left
        taken_bytes = turn - deficit
        if not is_alone:
            flow.deficit = deficit
        self._note_taken(flow, count - len(items), taken_bytes)
        self._totals.waiting_count -= more_count
        return is_over

    def _serve_one_by_one(self, flow: Flow, room: PacketRoom) -> bool:
        """Do what `_serve` does for a room with an accounting of its own."""
        turn_before = flow.deficit
        count = 0
        while flow.items and flow.deficit > 0:
            head = flow.items[0]
            if not isinstance(head[1], bytes):
                rest, train_count, train_bytes = room.put_train(head, MIN_TRAIN_BYTES)
                flow.deficit -= train_bytes
                self._totals.waiting_count -= train_count - (rest is None)
                if rest is not None:
                    flow.items[0] = rest
                    break
            elif room.put(head):
                flow.deficit -= datagram_bytes(head)
            else:
                break
            flow.items.popleft()
            count += 1
        is_over = not flow.items or flow.deficit <= 0
        taken_bytes = turn_before - flow.deficit
        self._note_taken(flow, count, taken_bytes)
        return is_over

    def _note_taken(self, flow: Flow, count: int, taken_bytes: int) -> None:
        flow.note_taken(count, taken_bytes)
        flow.taken_bytes += taken_bytes
        self.taken_bytes += taken_bytes
        self._totals.waiting_count -= count
        self._totals.waiting_bytes -= taken_bytes
