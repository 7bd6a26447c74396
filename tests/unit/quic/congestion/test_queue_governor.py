import pytest

from mqvpn_core.quic.congestion.queue_governor import QueueGovernor
from tests.unit.quic.congestion.rounds import RATE, RTT, Rounds


class Governed:
    """A governor of a path whose round trips have been short and even for a while."""

    def __init__(self) -> None:
        self.rounds = Rounds()
        self.governor = QueueGovernor()
        self.rounds.model.is_steady = True
        self.look(60)
        self.rounds.model.is_steady = False

    def look(self, count: int = 1, *, rtt: float = RTT, rate: float = RATE) -> None:
        for _ in range(count):
            self.rounds.add(rtt=rtt, rate=rate)
            self.governor.look(self.rounds.model, is_marked=False, now=self.rounds.instant)

    def is_draining(self) -> bool:
        return self.governor.is_draining

    def wants_min_rtt(self) -> bool:
        return self.governor.wants_min_rtt(self.rounds.model, self.rounds.instant)


def test_short_round_trips_are_left_alone() -> None:
    governed = Governed()
    governed.look(5, rtt=RTT + 0.004)
    assert not governed.is_draining()
    assert governed.governor.gain == 1.0


@pytest.mark.parametrize(("queue", "gain"), [(0.008, 0.92), (0.02, 0.8), (0.08, 0.5)])
def test_the_longer_the_queue_the_harder_it_brakes(queue: float, gain: float) -> None:
    governed = Governed()
    governed.look(2, rtt=RTT + queue)
    assert governed.is_draining()
    assert governed.governor.gain == gain
    assert governed.governor.rate_limit == pytest.approx(RATE, rel=0.01)


def test_it_lets_go_when_the_queue_is_gone_and_has_learnt_the_rate() -> None:
    governed = Governed()
    governed.rounds.model.take_average_rate()
    governed.look(rate=1.08 * RATE)
    for queue in (0.03, 0.028, 0.02, 0.012):
        governed.look(rtt=RTT + queue)
    assert governed.is_draining()
    governed.look()
    assert not governed.is_draining()
    assert governed.governor.rate_limit == float("inf")
    assert governed.rounds.model.bandwidth < 1.05 * RATE


def test_what_draining_does_not_change_is_tolerated() -> None:
    governed = Governed()
    governed.look(8, rtt=RTT + 0.014)
    assert not governed.is_draining()
    governed.look(20, rtt=RTT + 0.014)
    assert not governed.is_draining()
    assert not governed.wants_min_rtt()


def test_a_longer_way_is_measured_anew_after_a_while() -> None:
    governed = Governed()
    governed.look(5, rtt=3 * RTT)
    assert not governed.wants_min_rtt()
    governed.look(8, rtt=3 * RTT)
    assert governed.wants_min_rtt()
    governed.governor.on_min_rtt_known()
    governed.rounds.model.replace_min_rtt(3 * RTT, governed.rounds.instant)
    governed.look(5, rtt=3 * RTT)
    assert not governed.is_draining()
    assert not governed.wants_min_rtt()


def test_a_path_that_became_slower_is_believed() -> None:
    governed = Governed()
    for queue in (0.03, 0.06, 0.09, 0.12):
        governed.look(rtt=RTT + queue, rate=RATE / 4)
    assert governed.governor.rate_limit < 0.4 * RATE
    assert governed.rounds.model.bandwidth < 0.4 * RATE


def test_marks_count_as_a_queue() -> None:
    governed = Governed()
    governed.rounds.add()
    governed.governor.look(governed.rounds.model, is_marked=True, now=governed.rounds.instant)
    assert governed.is_draining()
    governed.look()
    assert not governed.is_draining()
