import pytest

from mqvpn_core.quic.congestion.path_model import MIN_RTT_SECONDS, SHORTEST_ROUND, MaxFilter
from tests.unit.quic.congestion.rounds import RATE, RTT, Rounds


class TestMaxFilter:
    def test_the_largest_counts_until_it_is_too_old(self) -> None:
        values = MaxFilter()
        for round_count, value in enumerate([5.0, 9.0, 7.0, 6.0]):
            values.add(value, round_count)
        assert values.best == 9.0
        values.forget_before(2)
        assert values.best == 7.0
        values.forget_before(3)
        assert values.best == 6.0

    def test_the_last_one_stays(self) -> None:
        values = MaxFilter()
        values.add(5.0, 0)
        values.forget_before(100)
        assert values.best == 5.0

    def test_it_can_be_lowered(self) -> None:
        values = MaxFilter()
        values.add(9.0, 0)
        values.add(4.0, 1)
        values.limit(6.0)
        assert values.best == 6.0
        values.forget_before(1)
        assert values.best == 4.0


class TestRate:
    def test_it_is_the_best_of_ten_rounds(self) -> None:
        rounds = Rounds()
        rounds.add(rate=2 * RATE)
        rounds.add(9, rate=RATE)
        assert rounds.model.bandwidth == 2 * RATE
        rounds.add(3, rate=RATE)
        assert rounds.model.bandwidth == RATE

    def test_lack_of_data_neither_lowers_nor_ages_it(self) -> None:
        rounds = Rounds()
        rounds.add(3, rate=2 * RATE)
        rounds.add(50, rate=RATE / 10, app_limited=True)
        assert rounds.model.bandwidth == 2 * RATE
        rounds.add(rate=3 * RATE, app_limited=True)
        assert rounds.model.bandwidth == 3 * RATE, "faster than known is faster in any case"

    def test_the_average_needs_rounds_with_enough_data(self) -> None:
        rounds = Rounds()
        rounds.add(6, rate=RATE)
        assert rounds.model.average_rate(3, 0.0) == pytest.approx(RATE)
        assert rounds.model.average_rate(3, 10.0) == 0.0
        rounds.add(app_limited=True)
        rounds.add()
        assert rounds.model.average_rate(3, 0.0) == 0.0

    def test_nothing_is_known_at_first(self) -> None:
        model = Rounds().model
        assert (model.bandwidth, model.bdp) == (0.0, 0.0)

    def test_what_a_full_path_holds(self) -> None:
        rounds = Rounds()
        rounds.add(3)
        assert rounds.model.bdp == pytest.approx(RATE * RTT)


class TestRoundTrips:
    def test_rounds_are_never_very_short(self) -> None:
        rounds = Rounds()
        rounds.add(100, rtt=0.001)
        assert rounds.model.round_count == pytest.approx(0.1 / SHORTEST_ROUND, abs=2)

    def test_the_lowest_is_doubted_when_none_came_near_for_long(self) -> None:
        rounds = Rounds()
        rounds.add(5)
        rounds.add(int(0.9 * MIN_RTT_SECONDS / (2 * RTT)), rtt=2 * RTT)
        assert not rounds.model.min_rtt_is_doubtful(rounds.instant)
        rounds.add(int(0.2 * MIN_RTT_SECONDS / (2 * RTT)), rtt=2 * RTT)
        assert rounds.model.min_rtt_is_doubtful(rounds.instant)
        rounds.model.replace_min_rtt(2 * RTT, rounds.instant)
        assert not rounds.model.min_rtt_is_doubtful(rounds.instant)

    def test_one_that_comes_near_confirms_it(self) -> None:
        rounds = Rounds()
        rounds.add(5)
        rounds.add(1000, rtt=RTT + 0.002)
        assert not rounds.model.min_rtt_is_doubtful(rounds.instant)
        assert rounds.model.min_rtt == RTT

    def test_jitter_is_learnt_while_nothing_else_changes(self) -> None:
        rounds = Rounds()
        rounds.model.is_steady = True
        rounds.add(60)
        calm = rounds.model.jitter
        assert calm < 0.001
        for _ in range(20):
            rounds.add(rtt=RTT + 0.008)
            rounds.add(rtt=RTT)
        assert rounds.model.jitter > 0.008

    def test_losses_count_for_their_round(self) -> None:
        rounds = Rounds()
        rounds.add(3)
        rounds.model.on_lost(round(RATE * RTT))
        rounds.add()
        assert rounds.model.round_loss == pytest.approx(0.5)
        rounds.add()
        assert rounds.model.round_loss == 0.0

    def test_losses_that_were_none_do_not_count(self) -> None:
        rounds = Rounds()
        rounds.add(3)
        rounds.model.on_lost(10_000)
        rounds.model.forget_losses()
        rounds.add()
        assert rounds.model.round_loss == 0.0


def test_bursts_of_acknowledgments_are_measured_and_forgotten() -> None:
    rounds = Rounds()
    rounds.add(5)
    rounds.model.note_burst(1000, rounds.instant)
    rounds.model.note_burst(30_000, rounds.instant)
    assert rounds.model.extra_acked == 31_000
    rounds.model.note_burst(10_000_000, rounds.instant)
    assert rounds.model.extra_acked == pytest.approx(0.05 * RATE), "never more than 50 ms"
    rounds.now += 100.0
    rounds.model.note_burst(1000, rounds.instant)
    rounds.add(20)
    assert rounds.model.extra_acked == 1000
