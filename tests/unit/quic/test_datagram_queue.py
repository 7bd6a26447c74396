from collections.abc import Sequence
from itertools import groupby

from mqvpn_core.quic.datagram_queue import (
    IDLE_SECONDS,
    LONG_TURN_BYTES,
    MAX_TURN_BYTES,
    Flow,
    FlowRing,
    QueueTotals,
)
from mqvpn_core.quic.packet_room import Datagram, PacketRoom
from tests.unit.quic.scheduler_samples import (
    CAPACITY,
    FULL,
    PREFIX,
    WHOLE,
    at,
    flows,
    numbers,
    packets,
    view,
)

MAX_AGE = 0.2


class Ring:
    """A ring with flows, and the sums that go with it."""

    def __init__(self) -> None:
        self.totals = QueueTotals()
        self.ring = FlowRing(self.totals, MAX_AGE)
        self.flows: dict[int, Flow] = {}

    def push(self, payloads: Sequence[bytes], now: float = 0) -> None:
        for payload in payloads:
            flow = self.flows.setdefault(payload[0], Flow())
            if flow.marked_at != at(now):
                flow.mark(at(now))
            flow.items.append((PREFIX, payload))
            size = len(PREFIX) + len(payload)
            flow.waiting_bytes += size
            self.totals.waiting_bytes += size
            self.totals.waiting_count += 1
            if not flow.is_queued:
                self.ring.add(flow)

    def take(self, count: int, now: float = 0, *, capacity: int = CAPACITY) -> list[Datagram]:
        """Take full packets."""
        room = PacketRoom(view(budget=count * WHOLE, capacity=capacity))
        assert self.ring.fill(room, capacity, at(now)) is None
        return room.datagrams


def test_a_flow_leaves_in_its_order() -> None:
    ring = Ring()
    ring.push(packets(1, 3))
    ring.push(packets(1, 2, first=3), 0.1)
    assert numbers(ring.take(4)) == [0, 1, 2, 3]
    assert numbers(ring.take(4)) == [4]
    assert ring.take(4) == []
    assert ring.totals == QueueTotals()
    assert ring.ring.taken_bytes == 5 * (FULL + len(PREFIX))


def test_flows_take_turns() -> None:
    ring = Ring()
    for flow in (1, 2, 3):
        ring.push(packets(flow, 100))
    taken = [flow for _ in range(24) for flow in flows(ring.take(10))]
    assert all(78 <= taken.count(flow) <= 82 for flow in (1, 2, 3))
    longest_run = max(len(list(run)) for _, run in groupby(taken))
    assert longest_run * FULL <= MAX_TURN_BYTES + FULL


def test_turns_are_longer_where_much_may_leave() -> None:
    ring = Ring()
    for flow in (1, 2, 3):
        ring.push(packets(flow, 100))
    taken = flows(ring.take(240))
    assert all(70 <= taken.count(flow) <= 90 for flow in (1, 2, 3))
    longest_run = max(len(list(run)) for _, run in groupby(taken))
    assert MAX_TURN_BYTES + FULL < longest_run * FULL <= LONG_TURN_BYTES + FULL


def test_turns_are_counted_in_bytes() -> None:
    ring = Ring()
    ring.push(packets(1, 100))
    ring.push(packets(2, 400, size=FULL // 4))
    taken = flows(ring.take(40))
    assert 3.4 < taken.count(2) / taken.count(1) < 4.6


def test_a_flow_that_was_silent_goes_first() -> None:
    ring = Ring()
    ring.push(packets(1, 50))
    ring.push(packets(2, 50))
    ring.take(10)
    ring.push(packets(3, 1))
    assert flows(ring.take(1)) == [3]


def test_a_flow_that_sends_little_at_a_time_is_not_first_for_ever() -> None:
    ring = Ring()
    ring.push(packets(1, 100))
    ring.take(5)
    taken = []
    for number in range(20):
        ring.push(packets(2, 1, first=number))
        taken += flows(ring.take(1))
    assert 5 <= taken.count(1) <= 15


def test_small_datagrams_of_several_flows_share_packets() -> None:
    ring = Ring()
    for flow in range(10):
        ring.push(packets(flow, 1, size=100))
    assert len(ring.take(1)) == 10


def test_it_runs_dry_only_if_there_was_room_for_more() -> None:
    ring = Ring()
    ring.push(packets(1, 2))
    ring.take(2)
    assert not ring.ring.ran_dry
    ring.take(1)
    assert ring.ring.ran_dry


def test_what_is_too_old_is_dropped_and_counted() -> None:
    ring = Ring()
    ring.push(packets(1, 2), 0)
    ring.push(packets(1, 2, first=2), 0.1)
    ring.push(packets(1, 1, first=4), 0.25)
    assert numbers(ring.take(9, 0.25)) == [2, 3, 4]
    assert ring.totals == QueueTotals(expired_count=2)
    ring.push(packets(1, 2), 1)
    assert ring.take(9, 1.5) == []
    assert ring.totals == QueueTotals(expired_count=4)


def test_the_age_is_that_of_what_is_left() -> None:
    ring = Ring()
    ring.push(packets(1, 2), 0)
    ring.push(packets(1, 2, first=2), 0.15)
    assert numbers(ring.take(3, 0.16)) == [0, 1, 2]
    assert numbers(ring.take(9, 0.3)) == [3]


def test_what_fits_no_path_is_dropped_and_what_fits_others_is_reported() -> None:
    ring = Ring()
    ring.push([*packets(1, 1, size=FULL + 1), *packets(1, 1, first=7)])
    room = PacketRoom(view())
    assert ring.ring.fill(room, CAPACITY + 1, at(0)) is ring.flows[1]
    assert room.datagrams == []
    assert numbers(ring.take(9)) == [7]
    assert ring.totals == QueueTotals(too_big_count=1)


def test_a_flow_that_is_taken_out_keeps_what_it_has() -> None:
    ring = Ring()
    ring.push(packets(1, 3))
    ring.push(packets(2, 3))
    ring.ring.remove(ring.flows[1])
    assert flows(ring.take(9)) == [2, 2, 2]
    ring.ring.add(ring.flows[1])
    assert ring.ring.waiting_bytes == 3 * (FULL + len(PREFIX))
    assert ring.ring.take_all() == [ring.flows[1]]
    assert ring.ring.is_empty
    assert not ring.flows[1].is_queued


class Queue:
    """One flow without a ring."""

    def __init__(self) -> None:
        self.flow = Flow()

    def append(self, first: int, count: int, now: float) -> None:
        self.flow.mark(at(now))
        self.flow.items.extend(make(first, count))

    def take(self, count: int) -> list[int]:
        taken = [self.flow.items.popleft() for _ in range(count)]
        self.flow.note_taken(count, 0)
        return numbers(taken)

    def ages(self) -> list[float]:
        """When each was queued, as far as the flow tells."""
        steps = [step / 100 for step in range(100)]
        counts = [self.flow.count_older_than(at(step)) for step in steps]
        return [
            next(step for step, count in zip(steps, counts, strict=True) if count > index)
            for index in range(len(self.flow.items))
        ]


def make(first: int, count: int) -> list[Datagram]:
    return [(PREFIX, payload) for payload in packets(1, count, first=first)]


def test_what_is_put_back_goes_in_front_in_the_order_it_is_put_back() -> None:
    queue = Queue()
    queue.append(0, 6, 0.5)
    assert queue.take(4) == [0, 1, 2, 3]
    queue.flow.put_back(make(0, 2), at(0.1))
    queue.flow.put_back(make(2, 2), at(0.3))
    assert queue.flow.requeued_count == 4
    assert queue.ages() == [0.11, 0.11, 0.31, 0.31, 0.51, 0.51]
    assert queue.take(3) == [0, 1, 2]
    assert queue.flow.requeued_count == 1
    assert queue.ages() == [0.31, 0.51, 0.51]
    queue.append(6, 1, 0.7)
    assert queue.take(4) == [3, 4, 5, 6]
    assert queue.flow.requeued_count == 0


def test_put_back_into_an_empty_queue() -> None:
    queue = Queue()
    queue.append(0, 1, 0.0)
    queue.take(1)
    queue.flow.put_back(make(0, 1), at(0.2))
    queue.append(1, 1, 0.4)
    assert queue.ages() == [0.21, 0.41]
    assert queue.flow.drop(1) == (1, FULL + len(PREFIX))
    assert queue.take(1) == [1]
    assert queue.flow.waiting_bytes == 0


def test_idle_is_who_was_silent_for_long() -> None:
    queue = Queue()
    queue.append(0, 1, 0.0)
    assert queue.flow.was_idle
    queue.flow.was_idle = False
    queue.append(1, 1, IDLE_SECONDS)
    assert not queue.flow.was_idle
    queue.append(2, 1, 2.1 * IDLE_SECONDS)
    assert queue.flow.was_idle


def test_what_was_sent_before_goes_before_everything_else() -> None:
    ring = Ring()
    ring.push(packets(1, 10))
    ring.push(packets(2, 10))
    ring.take(3)
    again = ring.flows[2]
    ring.ring.remove(again)
    again.put_back([(PREFIX, payload) for payload in packets(2, 5, first=50)], at(0))
    ring.totals.waiting_count += 5
    ring.ring.add(again)
    ring.push(packets(3, 1))
    assert numbers(ring.take(5)) == [50, 51, 52, 53, 54]
    assert flows(ring.take(2))[-1] == 3
