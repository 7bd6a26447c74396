import pytest

from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.quic.packet_spaces import (
    DUPLICATE_WINDOW,
    MAX_NON_ELICITING,
    MAX_SKIP_DISTANCE,
    ReceivedPackets,
    SentPackets,
    SentRun,
)
from mqvpn_core.testing.entropy import SeededEntropy
from mqvpn_core.wire.code_points import TransportErrorCode
from tests.unit.quic.number_ranges import ranges_of

MAX_ACK_DELAY = 0.025


def at(seconds: float) -> Instant:
    return Instant(seconds)


def receive(
    received: ReceivedPackets, *numbers: int, now: float, eliciting: int | None = None, ecn: int = 0
) -> None:
    count = len(numbers) if eliciting is None else eliciting
    received.record(ranges_of(numbers), ack_eliciting_count=count, ecn=ecn, now=at(now))


def send(sent: SentPackets, count: int = 1, *, now: float = 0.0, eliciting: bool = True) -> SentRun:
    run = SentRun(
        first=sent.reserve(count),
        count=count,
        sent_at=at(now),
        packet_bytes=1000,
        total_bytes=1000 * count,
        ack_eliciting=eliciting,
        in_flight=eliciting,
    )
    sent.record(run)
    return run


class TestPacketNumberRanges:
    def test_touching_ranges_become_one(self) -> None:
        ranges = PacketNumberRanges()
        ranges.add(0, 3)
        ranges.add(6, 8)
        ranges.add(3, 6)
        assert list(ranges.descending()) == [(0, 7)]

    def test_an_empty_addition_changes_nothing(self) -> None:
        ranges = PacketNumberRanges()
        ranges.add(5, 5)
        assert not ranges
        assert ranges.largest == -1

    def test_the_lowest_ranges_are_forgotten_beyond_the_bound(self) -> None:
        ranges = PacketNumberRanges(max_ranges=2)
        for start in (0, 10, 20):
            ranges.add(start, start + 1)
        assert list(ranges.descending()) == [(20, 20), (10, 10)]

    def test_discarding_cuts_a_range_in_two(self) -> None:
        ranges = PacketNumberRanges()
        ranges.add(0, 10)
        ranges.discard_below(4)
        assert list(ranges.descending()) == [(4, 9)]
        assert 3 not in ranges
        assert 4 in ranges

    def test_taking_returns_what_was_there(self) -> None:
        ranges = PacketNumberRanges()
        for start, stop in ((0, 5), (10, 15), (20, 25)):
            ranges.add(start, stop)
        assert ranges.take(3, 22) == [(3, 5), (10, 15), (20, 22)]
        assert list(ranges.descending()) == [(22, 24), (0, 2)]
        assert ranges.take(5, 22) == []
        assert ranges.take(1, 2) == [(1, 2)]
        assert list(ranges.descending()) == [(22, 24), (2, 2), (0, 0)]


class TestReceivedPackets:
    def test_nothing_received(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        assert received.largest == -1
        assert received.ack_ranges() == ()
        assert received.ecn_counts is None
        assert not received.is_duplicate(0)

    def test_one_packet_waits_for_the_maximum_delay(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, now=1.0)
        assert received.ack_due_at == pytest.approx(1.0 + MAX_ACK_DELAY)
        assert received.has_unacknowledged

    def test_the_delay_counts_from_the_first_unacknowledged_packet(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY, ack_eliciting_threshold=10)
        receive(received, 0, now=1.0)
        receive(received, 1, now=1.02)
        assert received.ack_due_at == pytest.approx(1.0 + MAX_ACK_DELAY)

    def test_two_ack_eliciting_packets_are_acknowledged_at_once(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, now=1.0)
        receive(received, 1, now=1.01)
        assert received.ack_due_at == 1.01

    def test_packets_that_elicit_nothing_set_no_timer(self) -> None:
        # RFC 9000 s13.2.1: otherwise two endpoints would acknowledge each other's ACKs for ever.
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 5, now=1.0, eliciting=0)
        assert received.ack_due_at is None
        assert not received.has_unacknowledged
        assert received.ack_ranges() == ((5, 5), (0, 0))

    @pytest.mark.parametrize(
        ("numbers", "why"), [((3,), "gap"), ((0,), "late"), ((2, 4), "gap inside the batch")]
    )
    def test_gaps_and_late_packets_are_acknowledged_at_once(
        self, numbers: tuple[int, ...], why: str
    ) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY, ack_eliciting_threshold=100)
        receive(received, 1, now=1.0)
        received.on_ack_sent(at(1.0))
        receive(received, *numbers, now=2.0)
        assert received.ack_due_at == 2.0, why

    def test_an_old_gap_does_not_hurry_later_acknowledgments(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 2, now=1.0)
        received.on_ack_sent(at(1.0))
        receive(received, 3, now=2.0)
        assert received.ack_due_at == pytest.approx(2.0 + MAX_ACK_DELAY)

    def test_congestion_marks_are_acknowledged_at_once(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, now=1.0, ecn=3)
        assert received.ack_due_at == 1.0

    def test_ecn_counts_follow_the_codepoints(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 1, now=1.0, ecn=2)
        receive(received, 2, now=1.0, ecn=1)
        receive(received, 3, 4, 5, now=1.0, ecn=3)
        receive(received, 6, now=1.0, ecn=0)
        assert received.ecn_counts == (2, 1, 3)

    def test_sending_an_ack_stops_the_timer(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, now=1.0)
        received.on_ack_sent(at(1.01))
        assert received.ack_due_at is None
        assert not received.has_unacknowledged
        assert received.last_ack_sent_at == 1.01

    def test_delay_is_that_of_the_largest(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 1, now=1.0)
        receive(received, 3, now=2.0)
        receive(received, 2, now=2.5)
        assert received.ack_delay(at(3.0)) == 1.0

    def test_acknowledged_acks_shorten_later_ones(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 1, 2, now=1.0)
        received.on_ack_sent(at(1.0))
        receive(received, 4, 5, now=2.0)
        received.on_ack_sent(at(2.0))
        received.on_ack_acknowledged(2)
        assert received.ack_ranges() == ((4, 5),)

    def test_a_late_packet_is_reported_although_its_neighbours_are_settled(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 1, 3, now=1.0)
        received.on_ack_sent(at(1.0))
        receive(received, 2, now=2.0)
        received.on_ack_acknowledged(3)
        assert (2, 3) in received.ack_ranges()

    def test_an_ack_always_has_the_largest(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 1, 2, now=1.0)
        received.on_ack_sent(at(1.0))
        received.on_ack_acknowledged(2)
        assert received.ack_ranges() == ((2, 2),)

    def test_ranges_are_limited_to_the_newest(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, *range(0, 200, 2), now=1.0)
        assert len(received.ack_ranges()) == 64
        assert received.ack_ranges(2) == ((198, 198), (196, 196))

    def test_numbers_behind_the_window_count_as_duplicates(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, DUPLICATE_WINDOW + 10, now=1.0)
        assert received.is_duplicate(10)
        assert not received.is_duplicate(11)

    def test_the_oldest_number_of_the_window_is_still_told_apart(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 1, now=1.0)
        receive(received, DUPLICATE_WINDOW, now=1.0)
        assert received.is_duplicate(1)
        assert not received.is_duplicate(2)

    def test_acknowledged_packets_are_still_duplicates(self) -> None:
        received = ReceivedPackets(max_ack_delay=MAX_ACK_DELAY)
        receive(received, 0, 1, 2, now=1.0)
        received.on_ack_sent(at(1.0))
        received.on_ack_acknowledged(2)
        assert received.is_duplicate(1)


class TestSentRun:
    def test_parts_add_up(self) -> None:
        run = SentRun(
            first=10,
            count=4,
            sent_at=at(1.0),
            packet_bytes=1200,
            total_bytes=3 * 1200 + 70,
            ack_eliciting=True,
            in_flight=True,
            generation=2,
            key_phase=1,
        )
        head, tail = run.part(10, 12), run.part(12, 14)
        assert (head.count, head.total_bytes) == (2, 2400)
        assert (tail.first, tail.count, tail.total_bytes) == (12, 2, 1270)
        assert (tail.generation, tail.key_phase, tail.sent_at) == (2, 1, 1.0)


class TestSentPackets:
    def test_numbers_only_grow(self) -> None:
        sent = SentPackets()
        assert [sent.reserve(3), sent.reserve(1), sent.reserve(1)] == [0, 3, 4]

    def test_a_number_is_left_out_where_entropy_says(self) -> None:
        """RFC 9000 s21.4."""
        sent = SentPackets()
        drawn = iter([2, MAX_SKIP_DISTANCE - 1, MAX_SKIP_DISTANCE - 1])
        given: list[int] = []
        while len(given) < 1200:
            given.append(sent.reserve(1))
            sent.skip_if_due(lambda count: next(drawn).to_bytes(count, "big"))
        left_out = sorted(set(range(max(given))) - set(given))
        assert left_out == [4, 4 + 1 + MAX_SKIP_DISTANCE]

    def test_one_in_five_hundred_numbers_is_left_out(self) -> None:
        sent = SentPackets()
        entropy = SeededEntropy(1, "skips")
        for _ in range(100_000):
            sent.reserve(1)
            sent.skip_if_due(entropy)
        assert 150 < sent.next_packet_number - 100_000 < 250

    def test_no_flight_of_packets_is_interrupted(self) -> None:
        sent = SentPackets()
        sent.skip_if_due(bytes)
        assert sent.reserve(50) == 0
        sent.skip_if_due(bytes)
        assert sent.reserve(50) == 51

    def test_numbers_cannot_be_recorded_twice(self) -> None:
        sent = SentPackets()
        run = send(sent, 3)
        with pytest.raises(LocalProtocolError):
            sent.record(run)

    def test_numbers_never_reserved_cannot_be_recorded(self) -> None:
        sent = SentPackets()
        run = SentRun(0, 1, at(0.0), 100, 100, ack_eliciting=True, in_flight=True)
        with pytest.raises(LocalProtocolError):
            sent.record(run)

    @pytest.mark.parametrize("ranges", [[(0, 3)], [(3, 3), (0, 1)], [(1 << 61, (1 << 62) - 1)]])
    def test_an_ack_of_an_unsent_packet_is_a_violation(self, ranges: list[tuple[int, int]]) -> None:
        sent = SentPackets()
        send(sent, 3)
        with pytest.raises(RemoteProtocolError) as caught:
            sent.acknowledge(ranges)
        assert caught.value.error_code == TransportErrorCode.PROTOCOL_VIOLATION
        assert len(sent) == 3, "a broken ACK changes nothing"

    def test_an_ack_of_a_reserved_but_unsent_number_is_a_violation(self) -> None:
        sent = SentPackets()
        send(sent, 3)
        sent.reserve(1)
        with pytest.raises(RemoteProtocolError):
            sent.acknowledge([(3, 3)])

    def test_an_optimistic_ack_is_a_violation(self) -> None:
        sent = SentPackets()
        sent.skip_if_due(bytes)
        send(sent, 3)
        sent.skip_if_due(bytes)
        with pytest.raises(RemoteProtocolError):
            sent.acknowledge([(0, 3)])
        send(sent, 3)
        with pytest.raises(RemoteProtocolError):
            sent.acknowledge([(0, 6)])
        assert [run.first for run in sent.acknowledge([(4, 6), (0, 2)])] == [0, 4]

    def test_runs_are_split_where_the_ack_has_gaps(self) -> None:
        sent = SentPackets()
        send(sent, 10)
        acked = sent.acknowledge([(8, 8), (2, 4)])
        assert [(run.first, run.count) for run in acked] == [(2, 3), (8, 1)]
        assert sent.ack_eliciting_in_flight == 6
        assert sent.largest_acknowledged == 8

    def test_an_ack_of_a_lost_packet_is_no_error(self) -> None:
        sent = SentPackets()
        send(sent, 10)
        sent.acknowledge([(9, 9)])
        lost, _ = sent.remove_lost(sent_before=at(-1.0), largest_acked=9)
        assert [(run.first, run.count) for run in lost] == [(0, 7)]
        assert [(run.first, run.count) for run in sent.acknowledge([(0, 9)])] == [(7, 2)]

    def test_an_older_ack_does_not_lower_the_largest(self) -> None:
        sent = SentPackets()
        send(sent, 10)
        sent.acknowledge([(9, 9)])
        sent.acknowledge([(3, 3)])
        assert sent.largest_acknowledged == 9

    def test_packets_after_the_largest_acknowledged_are_not_lost(self) -> None:
        sent = SentPackets()
        send(sent, 10, now=1.0)
        sent.acknowledge([(4, 4)])
        lost, _ = sent.remove_lost(sent_before=at(9.0), largest_acked=4)
        assert [(run.first, run.count) for run in lost] == [(0, 4)]
        assert sent.oldest_unacknowledged() == SentRun(
            5, 5, at(1.0), 1000, 5000, ack_eliciting=True, in_flight=True
        )

    def test_single_packets_keep_their_handlers(self) -> None:
        sent = SentPackets()
        told: list[str] = []
        run = send(sent)
        run.handlers = ((lambda state, name: told.append(f"{state} {name}"), ("ping",)),)
        (acked,) = sent.acknowledge([(0, 0)])
        ((handler, arguments),) = acked.handlers
        handler("acknowledged", *arguments)
        assert told == ["acknowledged ping"]

    def test_packets_that_elicit_nothing_are_counted_in_a_row(self) -> None:
        sent = SentPackets()
        send(sent, 2, eliciting=False)
        send(sent, 1, eliciting=False)
        assert sent.non_eliciting_streak == 3
        assert sent.oldest_unacknowledged() is None
        assert sent.last_ack_eliciting_sent_at is None
        send(sent, now=5.0)
        assert sent.non_eliciting_streak == 0
        assert sent.last_ack_eliciting_sent_at == 5.0

    def test_acks_alone_do_not_fill_the_memory(self) -> None:
        sent = SentPackets()
        send(sent, 2)
        for _ in range(MAX_NON_ELICITING + 500):
            send(sent, eliciting=False)
        assert len(sent) == 2 + MAX_NON_ELICITING
        newest = sent.next_packet_number - 1
        acked = sent.acknowledge([(0, newest)])
        assert acked[0].first == 0
        assert acked[-1].first == newest
        assert len(sent) == 0

    def test_smallest_outstanding_packet(self) -> None:
        sent = SentPackets()
        assert sent.smallest_ack_eliciting_bytes() is None
        send(sent, 3)
        sent.record(
            SentRun(sent.reserve(1), 1, at(0.0), 40, 40, ack_eliciting=True, in_flight=True)
        )
        assert sent.smallest_ack_eliciting_bytes() == 40
        sent.acknowledge([(3, 3)])
        assert sent.smallest_ack_eliciting_bytes() == 1000

    def test_forgetting_returns_everything_outstanding_once(self) -> None:
        sent = SentPackets()
        send(sent, 3)
        sent.acknowledge([(1, 1)])
        assert [(run.first, run.count) for run in sent.forget_all()] == [(0, 1), (2, 1)]
        assert sent.forget_all() == []
        assert sent.ack_eliciting_in_flight == 0
        assert sent.acknowledge([(0, 2)]) == []
