import math

import pytest

from mqvpn_core.errors import ConfigError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion import CONGESTION_CONTROLLERS, create_congestion_controller
from mqvpn_core.quic.congestion.base import (
    CongestionController,
    initial_window,
    minimum_window,
)
from mqvpn_core.quic.congestion.newreno import NewRenoController
from mqvpn_core.quic.recovery import RttEstimator

SIZE = 1200


def at(seconds: float) -> Instant:
    return Instant(seconds)


@pytest.fixture
def rtt() -> RttEstimator:
    estimator = RttEstimator(0.333)
    estimator.update(0.1, 0.0, at(0.0))
    return estimator


# The third one has its own tests: it follows rates, and its window follows from them.
@pytest.fixture(params=sorted(set(CONGESTION_CONTROLLERS) - {"bbr"}))
def controller(request: pytest.FixtureRequest) -> CongestionController:
    return create_congestion_controller(str(request.param), SIZE)


def test_an_unknown_name_says_which_exist() -> None:
    with pytest.raises(ConfigError, match="bbr, cubic, newreno"):
        create_congestion_controller("vegas", SIZE)


@pytest.mark.parametrize(
    ("size", "window"), [(1200, 12_000), (1452, 14_520), (1472, 14_720), (9000, 18_000)]
)
def test_initial_window(size: int, window: int) -> None:
    # RFC 9002 s7.2: ten packets, but limited to the larger of 14,720 bytes and two packets.
    assert initial_window(size) == window


class TestEveryWindowController:
    def test_starts_in_slow_start(self, controller: CongestionController) -> None:
        assert controller.congestion_window == 12_000
        assert controller.slow_start_threshold == math.inf
        assert controller.is_in_slow_start

    def test_doubles_in_a_round_trip(
        self, controller: CongestionController, rtt: RttEstimator
    ) -> None:
        for _ in range(10):
            controller.on_acked(SIZE, at(0.0), rtt, at(0.1), app_limited=False)
        assert controller.congestion_window == 24_000

    def test_does_not_grow_without_use(
        self, controller: CongestionController, rtt: RttEstimator
    ) -> None:
        controller.on_acked(SIZE, at(0.0), rtt, at(0.1), app_limited=True)
        assert controller.congestion_window == 12_000

    def test_reduces_once_in_a_round_trip(
        self, controller: CongestionController, rtt: RttEstimator
    ) -> None:
        controller.on_lost(SIZE, at(1.0), at(1.1))
        reduced = controller.congestion_window
        assert 6_000 <= reduced < 12_000
        assert controller.slow_start_threshold == reduced
        controller.on_lost(SIZE, at(1.1), at(1.2))
        controller.on_ecn_ce(at(1.05), at(1.2))
        assert controller.congestion_window == reduced
        controller.on_acked(SIZE, at(1.1), rtt, at(1.2), app_limited=False)
        assert controller.congestion_window == reduced, "recovery: no growth either"
        controller.on_lost(SIZE, at(1.15), at(1.3))
        assert controller.congestion_window < reduced

    def test_takes_congestion_marks_for_loss(self, controller: CongestionController) -> None:
        controller.on_ecn_ce(at(1.0), at(1.1))
        assert controller.congestion_window < 12_000

    def test_never_goes_below_two_packets(self, controller: CongestionController) -> None:
        for second in range(20):
            controller.on_lost(SIZE, at(second + 0.5), at(second + 0.6))
        assert controller.congestion_window == minimum_window(SIZE)

    def test_persistent_congestion_leaves_two_packets(
        self, controller: CongestionController, rtt: RttEstimator
    ) -> None:
        controller.on_lost(SIZE, at(1.0), at(1.1))
        threshold = controller.slow_start_threshold
        controller.on_persistent_congestion(at(1.1))
        assert controller.congestion_window == 2 * SIZE
        assert controller.is_in_slow_start
        controller.on_acked(2 * SIZE, at(1.05), rtt, at(1.2), app_limited=False)
        assert controller.congestion_window == 4 * SIZE, "recovery is over as well"
        for _ in range(10):
            controller.on_acked(4 * SIZE, at(1.2), rtt, at(1.3), app_limited=False)
        assert controller.congestion_window >= threshold

    def test_slow_start_stops_at_the_threshold(
        self, controller: CongestionController, rtt: RttEstimator
    ) -> None:
        controller.on_lost(SIZE, at(1.0), at(1.1))
        threshold = controller.slow_start_threshold
        controller.on_persistent_congestion(at(1.1))
        controller.on_acked(50 * SIZE, at(1.2), rtt, at(1.3), app_limited=False)
        assert controller.congestion_window == threshold
        assert not controller.is_in_slow_start

    def test_an_untouched_initial_window_follows_the_packet_size(
        self, controller: CongestionController
    ) -> None:
        controller.set_max_datagram_size(1452)
        assert controller.congestion_window == 14_520

    def test_a_window_in_use_keeps_its_bytes(
        self, controller: CongestionController, rtt: RttEstimator
    ) -> None:
        controller.on_acked(SIZE, at(0.0), rtt, at(0.1), app_limited=False)
        controller.set_max_datagram_size(1452)
        assert controller.congestion_window == 13_200

    def test_larger_packets_raise_the_minimum(self, controller: CongestionController) -> None:
        controller.on_persistent_congestion(at(0.0))
        controller.set_max_datagram_size(9000)
        assert controller.congestion_window == 18_000


def test_avoidance_adds_one_packet_for_each_window(rtt: RttEstimator) -> None:
    controller = NewRenoController(SIZE)
    controller.on_lost(SIZE, at(1.0), at(1.1))
    assert controller.congestion_window == 6_000
    for _ in range(4):
        controller.on_acked(SIZE, at(1.2), rtt, at(1.3), app_limited=False)
        assert controller.congestion_window == 6_000
    controller.on_acked(SIZE, at(1.2), rtt, at(1.3), app_limited=False)
    assert controller.congestion_window == 7_200
