"""Round trips, losses and probe time-outs (RFC 9002 s5, s6)."""

import pytest

from mqvpn_core.quic.recovery import RttEstimator
from tests.unit.quic.recovery_scene import MAX_ACK_DELAY, PACKET, Sender, at, numbers


class TestRttEstimator:
    def test_before_any_sample(self) -> None:
        rtt = RttEstimator(0.333)
        assert (rtt.smoothed, rtt.variance, rtt.has_sample) == (0.333, 0.1665, False)

    def test_the_first_sample_replaces_the_assumption(self) -> None:
        rtt = RttEstimator(0.333)
        rtt.update(0.1, 0.02, at(0))
        assert (rtt.latest, rtt.minimum, rtt.smoothed, rtt.variance) == (0.1, 0.1, 0.1, 0.05)

    def test_later_samples_move_the_average(self) -> None:
        # RFC 9002 s5.3, by hand: adjusted = 0.18 - 0.02 = 0.16.
        rtt = RttEstimator(0.333)
        rtt.update(0.1, 0.0, at(0))
        rtt.update(0.18, 0.02, at(1))
        assert rtt.variance == pytest.approx(0.75 * 0.05 + 0.25 * 0.06)
        assert rtt.smoothed == pytest.approx(0.875 * 0.1 + 0.125 * 0.16)
        assert rtt.minimum == 0.1

    def test_an_implausible_delay_is_not_subtracted(self) -> None:
        rtt = RttEstimator(0.333)
        rtt.update(0.1, 0.0, at(0))
        rtt.update(0.11, 0.02, at(1))
        assert rtt.smoothed == pytest.approx(0.875 * 0.1 + 0.125 * 0.11)

    def test_the_minimum_can_begin_anew(self) -> None:
        rtt = RttEstimator(0.333)
        rtt.update(0.1, 0.0, at(0))
        rtt.update(0.3, 0.0, at(1))
        rtt.restart_minimum()
        assert rtt.minimum == 0.3


class TestSamples:
    def test_the_largest_newly_acknowledged_gives_a_sample(self) -> None:
        sender = Sender()
        sender.send(0.0)
        sender.send(0.05)
        sender.ack(0.15, (0, 1))
        assert sender.recovery.rtt.latest == pytest.approx(0.1)

    def test_a_repeated_largest_gives_none(self) -> None:
        sender = Sender()
        sender.send(0.0, 2)
        sender.ack(0.1, (1, 1))
        sender.ack(0.9, (0, 1))
        assert sender.recovery.rtt.latest == pytest.approx(0.1)

    def test_packets_that_elicit_nothing_give_none(self) -> None:
        sender = Sender()
        sender.send(0.0, eliciting=False)
        sender.ack(0.7, (0, 0))
        assert not sender.recovery.rtt.has_sample

    def test_the_peers_delay_is_limited_to_its_promise(self) -> None:
        sender = Sender()
        sender.send(0.0)
        sender.ack(0.1, (0, 0))
        sender.send(1.0)
        sender.ack(1.2, (1, 1), delay=5.0)
        assert sender.recovery.rtt.smoothed == pytest.approx(0.875 * 0.1 + 0.125 * 0.175)


class TestLossDetection:
    def test_three_later_packets_make_a_loss(self) -> None:
        sender = Sender()
        sender.send(0.0, 4)
        outcome = sender.ack(0.1, (1, 3))
        assert numbers(outcome.acked) == [1, 2, 3]
        assert numbers(outcome.lost) == [0]
        assert sender.recovery.bytes_in_flight == 0

    def test_fewer_wait_for_the_time_threshold(self) -> None:
        sender = Sender()
        sender.send(0.0, 3)
        assert sender.ack(0.1, (1, 2)).lost == []
        due = sender.next_timeout()
        assert due == pytest.approx(0.1 * 9 / 8)
        assert sender.recovery.on_timeout(sender.sent, at(0.112)).lost == []
        outcome = sender.recovery.on_timeout(sender.sent, at(due or 0.0))
        assert numbers(outcome.lost) == [0]
        assert outcome.probe_count == 0
        assert sender.next_timeout() is None

    def test_the_time_threshold_is_a_millisecond_at_least(self) -> None:
        sender = Sender()
        sender.send(0.0, 2)
        sender.ack(0.00001, (1, 1))
        assert sender.next_timeout() == pytest.approx(0.001)

    @pytest.mark.parametrize("start", [0.1, 123.456, 98765.4321, 1.7e9 / 3])
    def test_the_timer_never_expires_in_vain(self, start: float) -> None:
        # sent_at + delay - delay need not be sent_at.
        for step in range(200):
            sender = Sender()
            sent_at = start + step * 0.001234567
            sender.send(sent_at, 2)
            sender.ack(sent_at + 0.0416789 + step * 1e-6, (1, 1))
            due = sender.next_timeout()
            assert due is not None
            assert numbers(sender.recovery.on_timeout(sender.sent, at(due)).lost) == [0]

    def test_an_ack_of_the_late_packet_cancels_the_timer(self) -> None:
        sender = Sender()
        sender.send(0.0, 2)
        sender.ack(0.1, (1, 1))
        assert sender.next_timeout() is not None
        assert numbers(sender.ack(0.105, (0, 1)).acked) == [0]
        assert sender.next_timeout() is None

    def test_a_spurious_loss_is_tolerated(self) -> None:
        sender = Sender()
        sender.send(0.0, 4)
        sender.ack(0.1, (3, 3))
        outcome = sender.ack(0.11, (0, 3))
        assert numbers(outcome.acked) == [1, 2]
        assert sender.recovery.bytes_in_flight == 0


class TestProbeTimeout:
    def test_before_a_sample_it_is_a_second(self) -> None:
        sender = Sender()
        sender.send(0.0)
        assert sender.next_timeout() == pytest.approx(0.333 + 4 * 0.1665 + MAX_ACK_DELAY)

    def test_it_is_not_set_before_the_handshake_is_confirmed(self) -> None:
        sender = Sender()
        sender.send(0.0)
        assert sender.recovery.next_timeout(sender.sent, handshake_confirmed=False) is None
        outcome = sender.recovery.on_timeout(sender.sent, at(9.0), handshake_confirmed=False)
        assert outcome.probe_count == 0

    def test_it_is_not_set_with_nothing_to_acknowledge(self) -> None:
        sender = Sender()
        sender.send(0.0, eliciting=False)
        assert sender.next_timeout() is None

    def test_it_counts_from_the_newest_packet(self) -> None:
        sender = Sender()
        sender.send(0.0)
        sender.send(0.5)
        assert sender.next_timeout() == pytest.approx(0.5 + sender.recovery.probe_timeout())

    def test_it_doubles_until_something_is_acknowledged(self) -> None:
        sender = Sender()
        sender.send(0.0)
        timeout = sender.recovery.probe_timeout()
        due = sender.next_timeout() or 0.0
        assert sender.recovery.on_timeout(sender.sent, at(due - 0.001)).probe_count == 0
        assert sender.recovery.on_timeout(sender.sent, at(due)).probe_count == 2
        assert sender.next_timeout() == pytest.approx(2 * timeout)
        sender.send(due)
        assert sender.next_timeout() == pytest.approx(due + 2 * timeout)
        sender.recovery.on_timeout(sender.sent, at(due + 2 * timeout))
        assert sender.recovery.pto_count == 2
        sender.ack(9.0, (0, 0))
        assert sender.recovery.pto_count == 0

    def test_it_loses_nothing_and_leaves_the_window_alone(self) -> None:
        # RFC 9002 s6.2 and s7.5.
        sender = Sender()
        sender.send(0.0, 5)
        outcome = sender.recovery.on_timeout(sender.sent, at(5.0))
        assert outcome.lost == []
        assert len(sender.sent) == 5
        assert sender.recovery.congestion.congestion_window == 12_000

    def test_backoff_does_not_overflow(self) -> None:
        sender = Sender()
        sender.send(0.0)
        for _ in range(2000):
            sender.recovery.on_timeout(sender.sent, at(1e12))
        assert sender.next_timeout() is not None


class TestGenerations:
    def test_packets_of_the_network_path_left_do_not_count(self) -> None:
        # RFC 9000 s9.4: a new network path starts with fresh estimates.
        sender = Sender()
        sender.send(0.0, 5)
        sender.recovery = sender.new_recovery(1)
        sender.send(1.0, 2)
        outcome = sender.ack(1.1, (1, 4))
        assert numbers(outcome.acked) == [1, 2, 3, 4]
        assert numbers(outcome.lost) == [0]
        recovery = sender.recovery
        assert not recovery.rtt.has_sample
        assert recovery.bytes_in_flight == 2 * PACKET
        assert recovery.acked_bytes == 0
        assert recovery.congestion.congestion_window == 12_000

    def test_their_acknowledgment_does_not_prove_the_new_one_alive(self) -> None:
        sender = Sender()
        sender.send(0.0)
        sender.recovery = sender.new_recovery(1)
        sender.send(1.0)
        sender.recovery.on_timeout(sender.sent, at(9.0))
        sender.ack(9.1, (0, 0))
        assert sender.recovery.pto_count == 1
        sender.ack(9.2, (1, 1))
        assert sender.recovery.pto_count == 0

    def test_congestion_marks_from_before_are_only_the_starting_point(self) -> None:
        sender = Sender(generation=1)
        sender.send(0.0, 4)
        sender.ack(0.1, (0, 0), ecn=(9, 0, 7))
        assert sender.recovery.congestion.slow_start_threshold == float("inf")
        sender.ack(0.11, (0, 1), ecn=(9, 0, 8))
        assert sender.recovery.congestion.slow_start_threshold < float("inf")
