"""Which path each datagram takes: the queue in front of all paths of a connection.

# walk: 6 of 16

The choice is made when a packet leaves, not when it is queued, so that a dying path strands
nothing. Strategies:

* ``weighted``: each inner flow stays on one path, see `flow_pinning`; the default.
* ``minrtt``: the path with the lowest round-trip time takes all it can, the next one the rest.
* ``redundant``: as ``weighted``, and what is worth it goes over a second path as well.
* ``backup``: everything goes over one path as long as that is healthy.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets, expand, first_packet
from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.carrier_view import CarrierView, queue_target, usable_paths
from mqvpn_core.quic.datagram_queue import IDLE_SECONDS, Flow, FlowRing, QueueTotals
from mqvpn_core.quic.duplication import Duplication, Hedges, SecondCopies
from mqvpn_core.quic.flow_pinning import FlowPinning
from mqvpn_core.quic.packet_room import Datagram, PacketRoom, datagram_count

__all__ = ["CarrierView", "Datagram", "DatagramScheduler", "Strategy"]

MAX_FLOWS = 1024
"""Inner flows told apart; when more are active, the rest share one queue."""

_SWEEP_SECONDS = 0.1
_NEVER = Instant(float("-inf"))


class Strategy(Enum):
    """How paths are chosen; the value is the name in settings."""

    MINRTT = "minrtt"
    """The fastest path that has room."""
    WEIGHTED = "weighted"
    """Flows stay on their path, paths get flows by their rate."""
    REDUNDANT = "redundant"
    """As weighted, with a second copy of what is urgent."""
    BACKUP = "backup"
    """One path as long as it is healthy."""


_PINNING = frozenset({Strategy.WEIGHTED, Strategy.REDUNDANT})


class DatagramScheduler:
    """Datagrams that wait, and the decision where they go.

    A: ``len``, ``waiting_bytes``, the drop counters, ``strategy``, ``flows_by_path``,
       ``tried_path``, ``is_drained``
    C: ``push``, ``requeue``, ``copy_elsewhere``, ``set_strategy``, ``allow_duplicates``,
       ``forget_path``, ``note_bypassed``, ``review``
    D: ``allocate``, ``place_of``

    Invariants: at most ``max_bytes`` wait after ``push``, nothing waits much longer than
    ``max_age``; datagrams of a flow leave in order while it stays on one path.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_age: float,
        strategy: str = Strategy.WEIGHTED.value,
        classify: Callable[[bytes], int] | None = None,
        mark: Callable[[bytes], bytes | None] | None = None,
        manages_queues: bool = False,
    ) -> None:
        """Start empty.

        Args:
            max_bytes: bytes that may wait at most, prefixes included.
            max_age: seconds after which a datagram is dropped.
            strategy: value of a `Strategy`.
            classify: tells the flow of a payload; None puts all into one.
            mark: returns a payload with a congestion mark, or None where there can be none.
            manages_queues: tell flows whose queues stand (`codel`).

        Raises:
            LocalProtocolError: there is no such strategy.
        """
        self._strategy = _strategy_named(strategy)
        self._pins = self._strategy in _PINNING
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._classify = classify
        self._totals = QueueTotals(mark=mark)
        self._manages_queues = manages_queues
        self._flows: dict[int, Flow] = {}
        self._crowd = Flow()  # of flows beyond the limit
        # Flows that have something to send and stand in no ring yet.
        self._arrivals: list[Flow] = []
        self._shared = FlowRing(self._totals, max_age)
        self._pinning = FlowPinning(lambda: FlowRing(self._totals, max_age))
        self._only_path: PathId | None = None
        self._copies = SecondCopies()
        self._hedges = Hedges()
        self._swept_at = _NEVER

    def __len__(self) -> int:
        """Datagrams that wait, second copies included."""
        return self._totals.waiting_count + len(self._copies) + len(self._hedges)

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return self._strategy.value

    @property
    def waiting_bytes(self) -> int:
        """Bytes of prefixes and payloads that wait."""
        return self._totals.waiting_bytes

    @property
    def too_big_count(self) -> int:
        """Datagrams dropped because they fit the packets of no usable path."""
        return self._totals.too_big_count

    @property
    def overflow_count(self) -> int:
        """Datagrams dropped because more came than can wait."""
        return self._totals.overflow_count

    @property
    def expired_count(self) -> int:
        """Datagrams dropped because they waited too long."""
        return self._totals.expired_count

    @property
    def dropped_count(self) -> int:
        """Datagrams dropped for any reason."""
        totals = self._totals
        return (
            totals.too_big_count
            + totals.overflow_count
            + totals.expired_count
            + totals.signalled_count
        )

    @property
    def marked_count(self) -> int:
        """Datagrams that got a congestion mark because their flow's queue stood."""
        return self._totals.marked_count

    def flows_by_path(self) -> dict[PathId, int]:
        """How many flows are pinned to each path; empty for strategies that pin none."""
        return self._pinning.flow_counts if self._pins else {}

    @property
    def tried_path(self) -> PathId | None:
        """The path whose room shall be filled with padding, to learn what it carries."""
        return self._pinning.tried_path if self._pins else None

    def is_drained(self, path_id: PathId) -> bool:
        """Tell whether nothing waits that this path would take: it lacks data, not room."""
        if path_id == self.tried_path:
            return False
        if not len(self):
            return True
        if self._strategy is Strategy.BACKUP and self._only_path not in {None, path_id}:
            return True
        if self._arrivals or self._copies.is_owed(path_id):
            return False
        if self._pins:
            ring = self._pinning.ring(path_id)
            return ring is None or ring.is_empty
        return self._shared.is_empty

    def push(self, prefix: bytes, payloads: Sequence[Parcel], now: Instant) -> None:
        """Queue datagrams; when there is no room, the longest queue loses its oldest.

        Args:
            prefix: bytes in front of each payload, as quarter stream ID and context ID.
            payloads: the rest of each DATAGRAM frame; a train is of one flow.
            now: the time.
        """
        if self._strategy is Strategy.REDUNDANT:
            payloads = expand(payloads)  # each may have to be copied
        classify = self._classify or _one_flow
        flows = self._flows
        prefix_bytes = len(prefix)
        total_bytes = flow_bytes = 0
        flow = self._crowd
        append = flow.items.append
        last_key: int | None = None
        for payload in payloads:
            key = classify(payload if isinstance(payload, bytes) else payload.head)
            if key != last_key:
                flow.waiting_bytes += flow_bytes
                total_bytes += flow_bytes
                flow_bytes = 0
                last_key = key
                flow = flows.get(key) or self._open_flow(key, now)
                append = flow.items.append
                if flow.marked_at != now:
                    flow.mark(now)
                    if not flow.is_queued:
                        flow.is_queued = True
                        self._arrivals.append(flow)
            append((prefix, payload))
            if isinstance(payload, bytes):
                flow_bytes += prefix_bytes + len(payload)
            else:
                flow_bytes += prefix_bytes * len(payload) + payload.total_bytes
        flow.waiting_bytes += flow_bytes
        self._totals.waiting_bytes += total_bytes + flow_bytes
        self._totals.waiting_count += count_packets(payloads)
        if self._totals.waiting_bytes > self._max_bytes:
            self._shed()

    def requeue(
        self, datagrams: Sequence[Datagram], now: Instant, *, sent_at: Instant | None = None
    ) -> None:
        """Queue again what was sent on a path that failed; it goes before everything else.

        Args:
            datagrams: as `allocate` returned them, oldest first.
            now: the time.
            sent_at: what their age counts from; ``now`` when it is not known.
        """
        classify = self._classify or _one_flow
        groups: dict[Flow, list[Datagram]] = {}
        for datagram in datagrams:
            key = classify(first_packet(datagram[1]))
            flow = self._flows.get(key) or self._open_flow(key, now)
            groups.setdefault(flow, []).append(datagram)
        for flow, group in groups.items():
            if flow.ring is not None:
                flow.ring.remove(flow)
            # What is put in front must not hide from the clock what is late already.
            self._expire(flow, Instant(now - self._max_age))
            waiting_before = flow.waiting_bytes
            flow.seen_at = now
            flow.put_back(group, now if sent_at is None else sent_at)
            self._totals.waiting_count += sum(map(datagram_count, group))
            self._totals.waiting_bytes += flow.waiting_bytes - waiting_before
            if not flow.is_queued:
                flow.is_queued = True
                self._arrivals.append(flow)
        if self._totals.waiting_bytes > self._max_bytes:
            self._shed()

    def copy_elsewhere(self, path_id: PathId, datagrams: Sequence[Datagram]) -> None:
        """Send what is under way on a path on the best other one as well, if that has room."""
        self._hedges.note(path_id, datagrams)

    def allocate(self, views: Sequence[CarrierView], now: Instant) -> dict[PathId, list[Datagram]]:
        """Take from the queue what each path may send now, in the order to send it.

        Packed one after the other into packets, each path's datagrams stay within its budget.

        Args:
            views: every path that may carry datagrams, also those without budget: a full path
                is no reason to use a backup.
            now: the time.
        """
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._sweep(now)
        usable = usable_paths(views)
        if not usable or (not len(self) and self.tried_path is None):
            return {}
        if self._manages_queues:
            self._totals.target = queue_target(usable)
        if self._strategy is Strategy.BACKUP:
            usable = [self._keep_path(usable)]
        if self._strategy is Strategy.REDUNDANT:
            rooms = self._copies.open_rooms(usable, now)
        else:
            rooms = {view.path_id: PacketRoom(view) for view in usable}
        self._hedges.put_into(rooms)
        largest_frame = max(view.frame_capacity for view in usable)
        if self._pins:
            self._pinning.follow(usable, now)
            self._pinning.review(now)
            self._enter_arrivals()
            self._fill_pinned(rooms, largest_frame, now)
        else:
            self._enter_arrivals()
            for room in rooms.values():
                self._shared.fill(room, largest_frame, now)
        return {path_id: room.datagrams for path_id, room in rooms.items() if room.datagrams}

    def set_strategy(self, name: str) -> None:
        """Choose paths in another way from now on.

        Raises:
            LocalProtocolError: there is no such strategy.
        """
        pinned_before = self._pins
        self._strategy = _strategy_named(name)
        self._pins = self._strategy in _PINNING
        if self._strategy is not Strategy.REDUNDANT:
            self._copies.clear()
        if self._pins == pinned_before:
            return
        moved = self._shared.take_all()
        for path_id in self._pinning.flow_counts:
            moved += self._pinning.forget_path(path_id)
        self._await_place(moved)

    def allow_duplicates(self, prefix: bytes, duplication: Duplication | None) -> None:
        """Let datagrams with a prefix be sent twice where the strategy wants that.

        Args:
            prefix: as given to `push`.
            duplication: how; None ends it.
        """
        self._copies.allow(prefix, duplication)

    def forget_path(self, path_id: PathId) -> None:
        """A path is gone for good; its flows find another one."""
        self._await_place(self._pinning.forget_path(path_id))
        if path_id == self._only_path:
            self._only_path = None
        self._copies.forget_path(path_id)

    def place_of(self, payload: bytes, only_path: PathId | None) -> tuple[int, PathId] | None:
        """Tell the flow of a payload and the path it is on; None while it waits or has to.

        Args:
            payload: as given to `push`.
            only_path: where there is but one.
        """
        key = (self._classify or _one_flow)(payload)
        flow = self._flows.get(key)
        if only_path is not None and (flow is None or not flow.items):
            return key, only_path
        # Where packets are sent twice somebody has to look at each of them.
        if self._strategy is not Strategy.WEIGHTED or flow is None:
            return None
        if flow.items or flow.is_queued or flow.path_id is None:
            return None
        return key, flow.path_id

    def note_bypassed(self, key: int, path_id: PathId, sent_bytes: int, now: Instant) -> bool:
        """Count what left without having been here; tell whether the flow is where it was.

        Args:
            key: the flow, from `place_of`.
            path_id: the path it took.
            sent_bytes: bytes that left.
            now: when.
        """
        flow = self._flows.get(key)
        ring = self._pinning.ring(path_id)
        if ring is not None:
            ring.taken_bytes += sent_bytes
            ring.ran_dry = True
        if flow is None:
            return False
        flow.seen_at = now
        flow.taken_bytes += sent_bytes
        return self._strategy is Strategy.WEIGHTED and flow.path_id == path_id

    def review(self, views: Sequence[CarrierView], now: Instant) -> None:
        """Do what `allocate` does besides, for whoever has nothing to allocate."""
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._sweep(now)
        usable = usable_paths(views)
        if usable and self._pins:
            self._pinning.follow(usable, now)
            self._pinning.review(now)

    def _fill_pinned(
        self, rooms: dict[PathId, PacketRoom], largest_frame: int, now: Instant
    ) -> None:
        waiting = deque(rooms)
        while waiting:
            path_id = waiting.popleft()
            ring = self._pinning.ring(path_id)
            assert ring is not None
            while (misfit := ring.fill(rooms[path_id], largest_frame, now)) is not None:
                target = self._pinning.make_fit(misfit)
                if target not in waiting:
                    waiting.append(target)

    def _enter_arrivals(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        for flow in arrivals:
            if not flow.items:
                flow.is_queued = False
            elif self._pins:
                self._pinning.place(flow)
            else:
                self._shared.add(flow)

    def _await_place(self, flows: Iterable[Flow]) -> None:
        for flow in flows:
            flow.is_queued = True
            self._arrivals.append(flow)

    def _keep_path(self, usable: Sequence[CarrierView]) -> CarrierView:
        """Return the path used so far, unless one of a better use is there."""
        for view in usable:
            if view.path_id == self._only_path and view.use_order == usable[0].use_order:
                return view
        self._only_path = usable[0].path_id
        return usable[0]

    def _open_flow(self, key: int, now: Instant) -> Flow:
        if len(self._flows) >= MAX_FLOWS:
            if now - self._swept_at >= _SWEEP_SECONDS:
                self._sweep(now, idle_seconds=0.0)
            if len(self._flows) >= MAX_FLOWS:
                return self._crowd
        flow = self._flows[key] = Flow()
        return flow

    def _sweep(self, now: Instant, *, idle_seconds: float = IDLE_SECONDS) -> None:
        """Drop what is too old also where no path asks for it, and forget silent flows."""
        self._swept_at = now
        oldest = Instant(now - self._max_age)
        silent = []
        for key, flow in self._flows.items():
            self._expire(flow, oldest)
            if not flow.items and flow.ring is None and now - flow.seen_at >= idle_seconds:
                silent.append(key)
        self._expire(self._crowd, oldest)
        for key in silent:
            self._pinning.release(self._flows.pop(key))

    def _expire(self, flow: Flow, oldest: Instant) -> None:
        count = flow.count_older_than(oldest)
        if count:
            self._totals.expired_count += self._shared.discard(flow, count)

    def _shed(self) -> None:
        """Drop from the longest queue until what waits is within the limit."""
        totals = self._totals
        while totals.waiting_bytes > self._max_bytes:
            longest = max((self._crowd, *self._flows.values()), key=lambda flow: flow.waiting_bytes)
            # No further than half of it, so that no other queue is longer by much.
            floor = longest.waiting_bytes // 2
            while (excess := totals.waiting_bytes - self._max_bytes) > 0 and (
                longest.waiting_bytes > floor
            ):
                count, dropped_bytes = longest.drop_bytes(excess)
                totals.overflow_count += count
                totals.waiting_count -= count
                totals.waiting_bytes -= dropped_bytes


def _strategy_named(name: str) -> Strategy:
    try:
        return Strategy(name)
    except ValueError as error:
        raise LocalProtocolError(f"there is no scheduler called {name!r}") from error


def _one_flow(payload: bytes) -> int:  # noqa: ARG001 - stands in for a classifier
    return 0
