"""Nothing lost, nothing twice, budgets kept, flows in order, whatever happens in what order."""

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.datagram_packing import pack_datagrams
from mqvpn_core.quic.duplication import MAX_COPIES, Duplication
from mqvpn_core.quic.packet_room import MAX_PACKETS, Datagram
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import CarrierView, DatagramScheduler, Strategy

PREFIX = b"\x00\x00"
NUMBERED = b"\x00\x02"
OVERHEAD = 29
MAX_BYTES = 60_000
MAX_AGE = 0.2
ROUNDING = 1e-6
"""Sums of waits are binary fractions."""
URGENT = 0
"""Flow of which every datagram may be sent twice."""
PATHS = 3

strategies = st.sampled_from([strategy.value for strategy in Strategy])
path_ids = st.integers(0, PATHS - 1)
shapes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1200)), min_size=1, max_size=40)


@st.composite
def path_views(draw: st.DrawFn) -> list[CarrierView]:
    return [
        CarrierView(
            path_id=PathId(path_id),
            use=draw(st.sampled_from(PathUse)),
            peer_is_backup=draw(st.booleans()),
            is_suspect=draw(st.booleans()),
            smoothed_rtt=draw(st.floats(0.001, 0.5)),
            rate=draw(st.sampled_from([0.0, 1e5, 1e7])),
            send_budget=draw(st.integers(0, 20_000)),
            max_packet_bytes=draw(st.sampled_from([1200, 1400])),
            packet_overhead=OVERHEAD,
        )
        for path_id in sorted(draw(st.sets(path_ids)))
    ]


def flow_of(payload: bytes) -> int:
    return payload[0]


def serial_of(payload: bytes) -> int:
    return int.from_bytes(payload[1:5], "big")


class SchedulerMachine(RuleBasedStateMachine):
    """Pushes, takes, puts back, waits and changes its mind."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.serial = 0
        self.numbered_count = 0
        self.left: Counter[bytes] = Counter()
        """Times that a payload left; a second copy does not count."""
        self.copied: set[bytes] = set()
        """Prefix and payload of what left in numbered form."""
        self.queued_at: dict[bytes, float] = {}
        self.last_left: list[Datagram] = []
        self.has_requeued = False
        self.last_serial: dict[tuple[int, PathId], int] = {}

    @initialize(strategy=strategies)
    def start(self, strategy: str) -> None:
        self.scheduler = DatagramScheduler(
            max_bytes=MAX_BYTES, max_age=MAX_AGE, strategy=strategy, classify=flow_of
        )
        self.scheduler.allow_duplicates(
            PREFIX,
            Duplication(
                may_duplicate=lambda payload: flow_of(payload) == URGENT,
                next_prefix=self.next_prefix,
                prefix_bytes=6,
            ),
        )

    def next_prefix(self) -> bytes:
        self.numbered_count += 1
        return NUMBERED + self.numbered_count.to_bytes(4, "big")

    @rule(shapes=shapes)
    def push(self, shapes: list[tuple[int, int]]) -> None:
        payloads = []
        for flow, size in shapes:
            self.serial += 1
            payloads.append(bytes([flow]) + self.serial.to_bytes(4, "big") + bytes(size))
        self.queued_at.update(dict.fromkeys(payloads, self.now))
        self.scheduler.push(PREFIX, payloads, Instant(self.now))

    @rule(views=path_views())
    def allocate(self, views: list[CarrierView]) -> None:
        allocated = self.scheduler.allocate(views, Instant(self.now))
        by_id = {view.path_id: view for view in views}
        for path_id, datagrams in allocated.items():
            view = by_id[path_id]
            packets = pack_datagrams(datagrams, view.frame_capacity)
            sizes = [len(frames) for frames, _ in packets]
            assert 0 < len(sizes) <= MAX_PACKETS
            assert max(sizes) <= view.frame_capacity
            assert sum(sizes) + OVERHEAD * len(sizes) <= view.send_budget
            for datagram in datagrams:
                self.see(path_id, datagram)
        self.check_use(allocated, by_id)
        self.last_left = [each for datagrams in allocated.values() for each in datagrams]

    def see(self, path_id: PathId, datagram: Datagram) -> None:
        prefix, payload = datagram
        assert isinstance(payload, bytes)
        is_copy = prefix + payload in self.copied
        if prefix != PREFIX:
            assert flow_of(payload) == URGENT
            assert len(prefix) == 6
            self.copied.add(prefix + payload)
        if is_copy:
            return
        self.left[payload] += 1
        assert self.left[payload] == 1
        # What was put back may have hidden it from the clock once.
        age = self.now - self.queued_at[payload]
        assert age <= MAX_AGE * (1 + self.has_requeued) + ROUNDING
        if not self.has_requeued and flow_of(payload) != URGENT:
            key = flow_of(payload), path_id
            assert serial_of(payload) > self.last_serial.get(key, 0)
            self.last_serial[key] = serial_of(payload)

    def check_use(
        self, allocated: dict[PathId, list[Datagram]], views: dict[PathId, CarrierView]
    ) -> None:
        used = [views[path_id] for path_id in allocated]
        others = list(views.values())
        if any(not view.is_suspect for view in others):
            assert not any(view.is_suspect for view in used)
            others = [view for view in others if not view.is_suspect]
        if any(view.use_order < 2 for view in others):
            assert all(view.use_order < 2 for view in used)

    @precondition(lambda self: self.last_left)
    @rule(count=st.integers(1, 30))
    def requeue(self, count: int) -> None:
        again = list({payload: (prefix, payload) for prefix, payload in self.last_left}.values())
        again, self.last_left = again[:count], []
        self.scheduler.requeue(again, Instant(self.now))
        self.has_requeued = True
        for prefix, payload in again:
            assert isinstance(payload, bytes)
            self.left[payload] -= 1
            self.copied.discard(prefix + payload)
            self.queued_at[payload] = self.now

    @rule(strategy=strategies)
    def change_strategy(self, strategy: str) -> None:
        self.scheduler.set_strategy(strategy)

    @rule(path_id=path_ids)
    def forget_path(self, path_id: int) -> None:
        self.scheduler.forget_path(PathId(path_id))

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.15, 0.3, 0.6, 6.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def everything_is_somewhere(self) -> None:
        scheduler = self.scheduler
        waiting = len(self.queued_at) - self.left.total() - scheduler.dropped_count
        copies = len(scheduler) - waiting
        assert 0 <= copies <= (PATHS * MAX_COPIES if scheduler.strategy == "redundant" else 0)
        assert (scheduler.waiting_bytes == 0) == (waiting == 0)
        assert scheduler.waiting_bytes <= MAX_BYTES

    @override
    def teardown(self) -> None:
        """Whatever happened, one good path takes all that is left."""
        view = CarrierView(
            path_id=PathId(0),
            use=PathUse.PRIMARY,
            peer_is_backup=False,
            is_suspect=False,
            smoothed_rtt=0.05,
            rate=1e6,
            send_budget=1_000_000,
            max_packet_bytes=1400,
            packet_overhead=OVERHEAD,
        )
        if not self.queued_at:
            return
        for _ in range(3):
            self.allocate([view])
        assert self.scheduler.waiting_bytes == 0
        assert self.scheduler.is_drained(PathId(0))


@pytest.mark.slow
def test_everything_leaves_once_or_is_counted() -> None:
    run_state_machine_as_test(SchedulerMachine)
