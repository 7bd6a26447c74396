import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.quic.loss_history import (
    MAX_PACKET_THRESHOLD,
    PACKET_THRESHOLD,
    LossHistory,
    LostStreak,
)
from mqvpn_core.quic.sent_run import SentRun


def run(
    first: int, count: int = 1, *, at: float = 0.0, probe: int = 0, acks: bool = False
) -> SentRun:
    return SentRun(
        first=first,
        count=count,
        sent_at=Instant(at),
        packet_bytes=1200,
        total_bytes=1200 * count,
        ack_eliciting=not acks,
        in_flight=not acks,
        generation=4,
        is_probe_of_mtu=probe,
    )


def lost(*runs: SentRun, event: bool = True) -> LossHistory:
    history = LossHistory()
    if event:
        history.begin_event()
    history.on_lost(runs, 4)
    return history


class TestSpuriousLosses:
    def test_without_losses_nothing_is_spurious(self) -> None:
        history = LossHistory()
        assert not history.on_ack([(0, 100)], 100)
        assert history.packet_threshold == PACKET_THRESHOLD

    def test_all_losses_arrived(self) -> None:
        history = lost(run(3, 2), run(7))
        assert not history.on_ack([(9, 10), (3, 4)], 10)
        assert history.on_ack([(7, 12)], 12)
        assert not history.on_ack([(3, 14)], 14), "once is enough"

    def test_a_real_loss_forbids_it(self) -> None:
        history = lost(run(3, 2), run(7))
        assert not history.on_ack([(9, 20), (4, 8)], 20)

    def test_later_losses_of_the_same_event_count(self) -> None:
        history = lost(run(3))
        history.on_lost([run(9)], 4)
        assert not history.on_ack([(3, 3)], 20)
        assert history.on_ack([(9, 9)], 20)

    def test_losses_before_the_event_do_not_count(self) -> None:
        history = lost(run(3), event=False)
        history.begin_event()
        history.on_lost([run(9)], 4)
        assert not history.on_ack([(3, 3)], 20)
        assert history.on_ack([(9, 9)], 20)

    def test_a_reduction_for_another_reason_stands(self) -> None:
        history = lost(run(3))
        history.end_event()
        assert not history.on_ack([(3, 3)], 20)

    def test_reordering_raises_the_threshold_within_bounds(self) -> None:
        history = lost(run(3), run(10), run(11))
        history.on_ack([(10, 10)], 15)
        assert history.packet_threshold == 6
        history.on_ack([(11, 11)], 15)
        assert history.packet_threshold == 6, "it does not fall"
        history.on_ack([(3, 3)], 9000)
        assert history.packet_threshold == MAX_PACKET_THRESHOLD

    @pytest.mark.parametrize("odd", [run(3, probe=1452), run(3, acks=True)])
    def test_probes_and_acks_prove_nothing(self, odd: SentRun) -> None:
        history = lost(odd)
        assert not history.on_ack([(3, 3)], 50)
        assert history.packet_threshold == PACKET_THRESHOLD

    def test_packets_of_other_network_paths_prove_nothing(self) -> None:
        history = LossHistory()
        history.begin_event()
        history.on_lost([run(3)], 5)
        assert not history.on_ack([(3, 3)], 50)


class TestLostStreak:
    def test_consecutive_losses_span_time(self) -> None:
        streak = LostStreak()
        assert streak.extend(run(5, at=1.0)) == 0.0
        assert streak.extend(run(6, 3, at=2.0)) == 1.0
        assert streak.extend(run(9, at=4.5)) == 3.5

    def test_a_gap_begins_a_new_span(self) -> None:
        streak = LostStreak()
        streak.extend(run(5, at=1.0))
        assert streak.extend(run(7, at=4.0)) == 0.0

    def test_only_ack_eliciting_packets_are_ends(self) -> None:
        streak = LostStreak()
        assert streak.extend(run(5, at=1.0, acks=True)) == 0.0
        assert streak.extend(run(6, at=2.0)) == 0.0
        assert streak.extend(run(7, at=9.0, probe=1452)) == 0.0
        assert streak.extend(run(8, at=3.0)) == 1.0
