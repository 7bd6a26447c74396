"""Packet number ranges and ledgers against naive models made of sets."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mqvpn_core.ids import Instant
from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.quic.packet_spaces import (
    DUPLICATE_WINDOW,
    ReceivedPackets,
    SentPackets,
    SentRun,
)
from tests.unit.quic.number_ranges import ranges_of

numbers = st.integers(min_value=0, max_value=60)


def inclusive_ranges(numbers: set[int]) -> list[tuple[int, int]]:
    """Return descending (smallest, largest) pairs of a set."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers, reverse=True):
        if ranges and ranges[-1][0] == number + 1:
            ranges[-1] = (number, ranges[-1][1])
        else:
            ranges.append((number, number))
    return ranges


class RangesAgainstSet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ranges = PacketNumberRanges(max_ranges=1000)
        self.model: set[int] = set()

    @rule(start=numbers, count=st.integers(min_value=0, max_value=9))
    def add(self, start: int, count: int) -> None:
        self.ranges.add(start, start + count)
        self.model.update(range(start, start + count))

    @rule(below=numbers)
    def discard(self, below: int) -> None:
        self.ranges.discard_below(below)
        self.model = {number for number in self.model if number >= below}

    @rule(start=numbers, count=st.integers(min_value=0, max_value=20))
    def take(self, start: int, count: int) -> None:
        taken = self.ranges.take(start, start + count)
        found = [number for first, stop in taken for number in range(first, stop)]
        assert all(first < stop for first, stop in taken)
        assert found == sorted(self.model & set(range(start, start + count)))
        self.model -= set(found)

    @invariant()
    def same_content(self) -> None:
        expected = inclusive_ranges(self.model)
        assert list(self.ranges.descending()) == expected
        assert len(self.ranges) == len(expected)
        assert bool(self.ranges) == bool(expected)
        assert list(self.ranges) == [(low, high + 1) for low, high in reversed(expected)]
        assert self.ranges.count == len(self.model)
        assert self.ranges.smallest == min(self.model, default=-1)
        assert self.ranges.largest == max(self.model, default=-1)
        assert {number for number in range(80) if number in self.ranges} == self.model


@pytest.mark.slow
def test_ranges_behave_like_a_set() -> None:
    run_state_machine_as_test(RangesAgainstSet)


@pytest.mark.slow
@given(st.lists(st.integers(min_value=0, max_value=200)), st.integers(min_value=1, max_value=6))
def test_a_bounded_set_keeps_the_highest_ranges(added: list[int], limit: int) -> None:
    ranges = PacketNumberRanges(max_ranges=limit)
    for number in sorted(set(added)):
        ranges.add(number, number + 1)
    assert list(ranges.descending()) == inclusive_ranges(set(added))[:limit]


@pytest.mark.slow
@given(st.lists(st.lists(numbers, min_size=1, max_size=12, unique=True), max_size=12))
def test_received_packets_are_known_and_acknowledged(batches: list[list[int]]) -> None:
    received = ReceivedPackets(max_ack_delay=0.025)
    model: set[int] = set()
    for tick, batch in enumerate(batches):
        new = [number for number in batch if not received.is_duplicate(number)]
        assert set(new) == set(batch) - model
        model.update(new)
        received.record(
            ranges_of(new), ack_eliciting_count=len(new), ecn=0, now=Instant(float(tick))
        )
        assert received.largest == max(model)
        assert list(received.ack_ranges(1000)) == inclusive_ranges(model)
        assert received.has_unacknowledged == bool(model)


@given(st.lists(st.integers(min_value=0, max_value=3 * DUPLICATE_WINDOW), max_size=40))
def test_every_number_is_accepted_once_at_most(arrivals: list[int]) -> None:
    received = ReceivedPackets(max_ack_delay=0.025)
    accepted: set[int] = set()
    for number in arrivals:
        if not received.is_duplicate(number):
            assert number not in accepted
            assert number > received.largest - DUPLICATE_WINDOW
            accepted.add(number)
            received.record(ranges_of([number]), ack_eliciting_count=1, ecn=0, now=Instant(0.0))
        else:
            assert number in accepted or number <= received.largest - DUPLICATE_WINDOW


@dataclass
class ModelPacket:
    sent_at: float
    size: int
    ack_eliciting: bool


def expand(runs: list[SentRun]) -> dict[int, ModelPacket]:
    """Return the packets of runs, checking that sizes add up."""
    packets: dict[int, ModelPacket] = {}
    for run in runs:
        last = run.total_bytes - run.packet_bytes * (run.count - 1)
        assert 0 < last <= run.packet_bytes
        for offset in range(run.count):
            size = last if offset == run.count - 1 else run.packet_bytes
            assert run.first + offset not in packets
            packets[run.first + offset] = ModelPacket(run.sent_at, size, run.ack_eliciting)
    return packets


class LedgerAgainstDict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sent = SentPackets()
        self.model: dict[int, ModelPacket] = {}
        self.now = 0.0
        self.largest_acknowledged = -1

    @rule(
        count=st.integers(min_value=1, max_value=9),
        unused=st.integers(min_value=0, max_value=2),
        last_bytes=st.integers(min_value=1, max_value=100),
        ack_eliciting=st.booleans(),
    )
    def send(self, count: int, unused: int, last_bytes: int, *, ack_eliciting: bool) -> None:
        self.now += 1
        if unused:
            self.sent.reserve(unused)
        run = SentRun(
            first=self.sent.reserve(count),
            count=count,
            sent_at=Instant(self.now),
            packet_bytes=100,
            total_bytes=100 * (count - 1) + last_bytes,
            ack_eliciting=ack_eliciting,
            in_flight=ack_eliciting,
        )
        self.sent.record(run)
        self.model.update(expand([run]))

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if self.sent.largest_sent < 0:
            return
        chosen = data.draw(
            st.sets(st.integers(min_value=0, max_value=self.sent.largest_sent), min_size=1)
        )
        acked = expand(self.sent.acknowledge(inclusive_ranges(chosen)))
        assert list(acked) == sorted(acked)
        assert acked == {n: packet for n, packet in self.model.items() if n in chosen}
        self.model = {n: packet for n, packet in self.model.items() if n not in chosen}
        self.largest_acknowledged = max(self.largest_acknowledged, *chosen)

    @rule(age=st.integers(min_value=0, max_value=6), threshold=st.integers(1, 5))
    def detect_lost(self, age: int, threshold: int) -> None:
        largest = self.largest_acknowledged
        limit = self.now - age
        runs, earliest = self.sent.remove_lost(
            sent_before=Instant(limit), largest_acked=largest, packet_threshold=threshold
        )
        expected = {
            n: packet
            for n, packet in self.model.items()
            if n <= largest and (n <= largest - threshold or packet.sent_at <= limit)
        }
        assert expand(runs) == expected
        self.model = {n: packet for n, packet in self.model.items() if n not in expected}
        waiting = [packet.sent_at for n, packet in self.model.items() if n <= largest]
        assert earliest == min(waiting, default=None)

    @rule()
    def forget(self) -> None:
        assert expand(self.sent.forget_all()) == self.model
        self.model = {}

    @invariant()
    def same_counts(self) -> None:
        eliciting = {n: packet for n, packet in self.model.items() if packet.ack_eliciting}
        assert len(self.sent) == len(self.model)
        assert self.sent.ack_eliciting_in_flight == len(eliciting)
        assert self.sent.largest_acknowledged == self.largest_acknowledged
        oldest = self.sent.oldest_unacknowledged()
        assert (oldest.first if oldest else None) == min(eliciting, default=None)


@pytest.mark.slow
def test_the_ledger_behaves_like_a_dictionary_of_packets() -> None:
    run_state_machine_as_test(LedgerAgainstDict)
