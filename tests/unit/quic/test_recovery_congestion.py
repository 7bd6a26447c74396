"""What recovery tells congestion control: windows, marks, persistent congestion, reordering."""

import pytest

from tests.unit.quic.recovery_scene import MAX_ACK_DELAY, PACKET, Sender, at, numbers

COLLAPSED = 2 * PACKET


class TestCongestion:
    def test_bytes_in_flight_follow_the_ledger(self) -> None:
        sender = Sender()
        sender.send(0.0, 3)
        sender.send(0.0, eliciting=False, size=50)
        assert sender.recovery.bytes_in_flight == 3 * PACKET
        sender.ack(0.1, (3, 3), (0, 0))
        assert sender.recovery.bytes_in_flight == 2 * PACKET
        assert sender.recovery.acked_bytes == PACKET
        outcome = sender.recovery.on_timeout(sender.sent, at(0.2))
        assert sender.recovery.bytes_in_flight == 0
        assert len(numbers(outcome.lost)) == 2

    def test_the_budget_is_what_is_left_of_the_window(self) -> None:
        sender = Sender()
        assert sender.recovery.send_budget(at(0.0)) == 12_000
        sender.send(0.0, 9)
        assert sender.recovery.send_budget(at(0.0)) == PACKET
        sender.send(0.0, 3)
        assert sender.recovery.send_budget(at(9.0)) == 0
        assert sender.recovery.next_pacing_time(at(9.0)) is None

    def test_pacing_holds_back_what_the_window_allows(self) -> None:
        sender = Sender()
        sender.send(0.0, 10)
        sender.ack(0.1, (0, 9))
        sender.send(0.1, 10)
        budget = sender.recovery.send_budget(at(0.1))
        window = sender.recovery.congestion.congestion_window
        assert budget < window - sender.recovery.bytes_in_flight
        later = sender.recovery.next_pacing_time(at(0.1))
        assert later is None or later > 0.1

    def test_the_pacing_rate_follows_window_and_round_trip(self) -> None:
        sender = Sender()
        sender.send(0.0, 10)
        sender.ack(0.1, (0, 9))
        assert sender.recovery.pacer.rate == pytest.approx(2 * 24_000 / 0.1)
        sender.send(0.2, 4)
        sender.ack(0.3, (13, 13))
        window = sender.recovery.congestion.congestion_window
        assert not sender.recovery.congestion.is_in_slow_start
        assert sender.recovery.pacer.rate == pytest.approx(1.25 * window / 0.1)

    def test_a_full_window_grows(self) -> None:
        sender = Sender()
        sender.recovery.on_application_limited()
        sender.send(0.0, 10)
        sender.ack(0.1, (0, 9))
        assert sender.recovery.congestion.congestion_window == 24_000

    def test_an_unused_window_does_not_grow(self) -> None:
        sender = Sender()
        for second in range(20):
            run = sender.send(second)
            sender.recovery.on_application_limited()
            sender.ack(second + 0.1, (second, second))
            assert run.app_limited == (second > 0)
        assert sender.recovery.congestion.congestion_window == 12_000

    def test_a_window_held_back_by_pacing_grows(self) -> None:
        # RFC 9002 s7.8: nobody reported a lack of data, so the pacer alone left room.
        sender = Sender()
        sender.send(0.0, 3)
        sender.ack(0.1, (0, 2))
        assert sender.recovery.congestion.congestion_window == 15_600

    def test_more_congestion_marks_reduce_the_window_once(self) -> None:
        sender = Sender()
        sender.send(0.0, 10)
        sender.ack(0.1, (0, 4), ecn=(5, 0, 0))
        grown = sender.recovery.congestion.congestion_window
        sender.ack(0.11, (0, 6), ecn=(6, 0, 1))
        reduced = sender.recovery.congestion.congestion_window
        assert reduced < grown
        sender.ack(0.12, (0, 9), ecn=(6, 0, 4))
        assert sender.recovery.congestion.congestion_window == reduced

    def test_a_lost_mtu_probe_is_no_congestion(self) -> None:
        sender = Sender()
        sender.send(0.0, size=1452, mtu_probe=1452)
        sender.send(0.0, 4)
        outcome = sender.ack(0.1, (1, 4))
        assert numbers(outcome.lost) == [0]
        assert sender.recovery.bytes_in_flight == 0
        assert sender.recovery.congestion.slow_start_threshold == float("inf")

    def test_forgotten_runs_leave_the_flight(self) -> None:
        sender = Sender()
        sender.send(0.0, 3)
        sender.recovery.forget(sender.sent.forget_all())
        assert sender.recovery.bytes_in_flight == 0

    def test_forgotten_runs_leave_no_timer(self) -> None:
        sender = Sender()
        sender.send(0.0, 2)
        sender.ack(0.1, (1, 1))
        sender.recovery.forget(sender.sent.forget_all())
        assert sender.next_timeout() is None

    def test_a_packet_size_reaches_window_and_pacer(self) -> None:
        sender = Sender()
        sender.recovery.set_max_datagram_size(1452)
        assert sender.recovery.congestion.congestion_window == 14_520
        assert sender.recovery.pacer.burst_bytes == 14_520


class TestPersistentCongestion:
    def prepared(self) -> Sender:
        """A path with a PTO of 2 s: smoothed + 4 * variance + max_ack_delay."""
        sender = Sender()
        sender.recovery.rtt.update(0.5, 0.0, at(-5.0))
        sender.recovery.rtt.variance = (2.0 - 0.5 - MAX_ACK_DELAY) / 4
        assert sender.recovery.probe_timeout() == pytest.approx(2.0)
        sender.send(0.0)
        return sender

    def test_the_example_of_the_rfc(self) -> None:
        # RFC 9002 s7.6.3: sent at 0..6, PTO probes at 8 and 12, acknowledged #1 and #9.
        sender = self.prepared()
        sender.send(1.0)
        sender.ack(1.0, (0, 0))
        sender.recovery.rtt.smoothed, sender.recovery.rtt.variance = 0.5, 0.36875
        for second in (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0):
            sender.send(second)
        outcome = sender.ack(12.2, (8, 8))
        assert numbers(outcome.lost) == [1, 2, 3, 4, 5, 6, 7]
        assert sender.recovery.congestion.congestion_window == COLLAPSED

    def test_an_acknowledged_packet_in_between_proves_the_opposite(self) -> None:
        sender = self.prepared()
        for second in (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0):
            sender.send(second)
        outcome = sender.ack(12.2, (7, 7), (4, 4), (0, 0))
        assert numbers(outcome.lost) == [1, 2, 3, 5, 6]
        assert sender.recovery.congestion.congestion_window > COLLAPSED

    def test_a_short_time_proves_nothing(self) -> None:
        sender = self.prepared()
        sender.ack(0.5, (0, 0))
        for second in (1.0, 1.5, 2.0, 2.5, 3.0, 5.0):
            sender.send(second)
        assert len(numbers(sender.ack(5.5, (6, 6)).lost)) == 5
        assert sender.recovery.congestion.congestion_window > COLLAPSED

    def test_losses_before_the_first_sample_do_not_count(self) -> None:
        sender = Sender()
        for second in (0.0, 10.0, 20.0, 30.0, 40.0):
            sender.send(second)
        assert len(numbers(sender.ack(40.1, (4, 4)).lost)) == 4
        assert sender.recovery.congestion.congestion_window > COLLAPSED

    def test_packets_that_elicit_nothing_do_not_break_the_span(self) -> None:
        sender = self.prepared()
        sender.ack(0.5, (0, 0))
        for second in (1.0, 3.0, 5.0, 7.0, 9.0, 11.0):
            sender.send(second)
            sender.send(second, eliciting=False, size=40)
        sender.send(12.0)
        sender.ack(12.5, (13, 13))
        assert sender.recovery.congestion.congestion_window == COLLAPSED

    def test_the_span_may_be_found_in_several_acks(self) -> None:
        sender = self.prepared()
        sender.ack(0.5, (0, 0))
        for second in (1.0, 3.0, 5.0, 7.0, 9.0, 10.0, 11.0, 12.0):
            sender.send(second)
        sender.recovery.rtt.smoothed = sender.recovery.rtt.latest = 20.0
        sender.recovery.rtt.variance = 0.0
        sender.recovery.max_ack_delay = 0.0
        outcome = sender.recovery.on_ack(sender.sent, [(6, 6)], 0.0, None, at(11.5))
        assert numbers(outcome.lost) == [1, 2, 3]
        sender.recovery.rtt.smoothed = sender.recovery.rtt.latest = 1.0
        sender.recovery.rtt.variance = 0.0
        outcome = sender.recovery.on_ack(sender.sent, [(8, 8)], 0.0, None, at(12.6))
        assert numbers(outcome.lost) == [4, 5, 7]
        assert sender.recovery.congestion.congestion_window == COLLAPSED


@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
class TestReordering:
    def test_a_reduction_without_a_real_loss_is_taken_back(self, congestion: str) -> None:
        sender = Sender(congestion=congestion)
        sender.send(0.0, 10)
        assert numbers(sender.ack(0.1, (5, 9)).lost) == [0, 1, 2, 3, 4]
        reduced = sender.recovery.congestion.congestion_window
        assert reduced < 12_000
        sender.ack(0.101, (2, 9))
        assert sender.recovery.congestion.congestion_window == reduced
        sender.ack(0.102, (0, 9))
        congestion_state = sender.recovery.congestion
        assert congestion_state.congestion_window >= 12_000
        assert congestion_state.is_in_slow_start

    def test_a_real_loss_among_them_keeps_it(self, congestion: str) -> None:
        sender = Sender(congestion=congestion)
        sender.send(0.0, 10)
        sender.ack(0.1, (5, 9))
        sender.ack(0.101, (5, 9), (1, 3))
        assert sender.recovery.congestion.congestion_window < 12_000

    def test_congestion_marks_are_not_taken_back(self, congestion: str) -> None:
        sender = Sender(congestion=congestion)
        sender.send(0.0, 10)
        sender.ack(0.1, (5, 9), ecn=(4, 0, 1))
        sender.ack(0.101, (0, 9), ecn=(9, 0, 1))
        assert sender.recovery.congestion.congestion_window < 12_000

    def test_the_same_reordering_is_tolerated_from_then_on(self, congestion: str) -> None:
        sender = Sender(congestion=congestion)
        sender.send(0.0, 10)
        sender.ack(0.1, (5, 9))
        sender.ack(0.101, (0, 9))
        sender.send(0.2, 9)
        assert sender.ack(0.3, (15, 18)).lost == []
        assert numbers(sender.ack(0.301, (10, 18)).acked) == [10, 11, 12, 13, 14]
