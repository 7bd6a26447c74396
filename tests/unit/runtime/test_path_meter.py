"""Rates, loss and shares out of counters, at any pace of looking."""

from collections.abc import Sequence

import pytest

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.statistics import PathStatistics
from mqvpn_core.runtime.path_meter import LOSS_WINDOW, SAMPLE_SPACING, PathMeasures, PathMeter
from tests.unit.runtime.counters import Counters

WIFI, LTE = PathId(0), PathId(1)


class Scene:
    """A meter, and a clock that a test moves."""

    def __init__(self, *paths: Counters) -> None:
        self.meter = PathMeter()
        self.paths = list(paths)
        self.now = Instant(50.0)
        self.looks = 0

    def take(self) -> Sequence[PathStatistics]:
        self.looks += 1
        return [path.statistics() for path in self.paths]

    def look(self) -> None:
        self.meter.look(self.take, self.now)

    def measure(self, path: Counters) -> PathMeasures:
        statistics = [each.statistics() for each in self.paths]
        return self.meter.measure(statistics, self.now)[path.path_id]

    def run(self, seconds: float, step: float, **rates: int) -> None:
        """Let every path move: so many bytes or packets each step."""
        for _ in range(round(seconds / step)):
            self.now = Instant(self.now + step)
            for path in self.paths:
                for name, count in rates.items():
                    setattr(path, name, getattr(path, name) + count)
            self.look()


def test_nothing_is_known_before_the_first_look() -> None:
    wifi = Counters(WIFI)
    wifi.sent = 10_000
    assert Scene(wifi).measure(wifi) == PathMeasures()


@pytest.mark.parametrize("step", [0.001, 0.1, 0.4])
def test_steady_traffic_has_its_rate_however_often_one_looks(step: float) -> None:
    wifi = Counters(WIFI)
    scene = Scene(wifi)
    scene.run(5, step, sent=round(1_000_000 * step), received=round(3_000_000 * step))
    measures = scene.measure(wifi)
    assert measures.tx_rate == pytest.approx(1_000_000, rel=0.01)
    assert measures.rx_rate == pytest.approx(3_000_000, rel=0.01)
    assert measures.share == 1.0


def test_looking_costs_a_comparison_between_samples() -> None:
    scene = Scene(Counters(WIFI))
    scene.run(10, 0.001, sent=1)
    assert scene.looks <= 10 / SAMPLE_SPACING + 1


def test_rate_follows_a_change_within_two_seconds() -> None:
    wifi = Counters(WIFI)
    scene = Scene(wifi)
    scene.run(5, 0.1, sent=100_000)
    scene.run(2.1, 0.1, sent=10_000)
    assert scene.measure(wifi).tx_rate == pytest.approx(100_000, rel=0.01)


def test_rate_ends_with_the_traffic_although_nobody_looks_any_more() -> None:
    wifi = Counters(WIFI)
    scene = Scene(wifi)
    scene.run(5, 0.1, sent=100_000)
    scene.now = Instant(scene.now + 3)
    assert scene.measure(wifi) == PathMeasures()


def test_a_short_burst_counts_as_spread_over_a_second() -> None:
    wifi = Counters(WIFI)
    scene = Scene(wifi)
    scene.run(1, 0.1, sent=0)
    scene.now = Instant(scene.now + 60)
    scene.look()
    scene.run(0.1, 0.01, sent=1000)
    assert scene.measure(wifi).tx_rate == pytest.approx(10_000)


def test_shares_add_up() -> None:
    wifi, lte = Counters(WIFI), Counters(LTE)
    scene = Scene(wifi, lte)
    for _ in range(40):
        wifi.received += 300
        lte.sent += 100
        scene.run(0.1, 0.1)
    assert scene.measure(wifi).share == pytest.approx(0.75)
    assert scene.measure(lte).share == pytest.approx(0.25)


def test_loss_is_of_late_and_not_of_the_whole_life() -> None:
    wifi = Counters(WIFI)
    scene = Scene(wifi)
    scene.run(20, 0.5, packets=100, lost=10)
    assert scene.measure(wifi).recent_loss == pytest.approx(0.1)
    scene.run(5, 0.5, packets=100)
    assert scene.measure(wifi).recent_loss == pytest.approx(0.05, abs=0.006)
    scene.run(LOSS_WINDOW, 0.5, packets=100)
    assert scene.measure(wifi).recent_loss == 0.0


def test_loss_of_packets_of_an_earlier_window_is_no_more_than_all() -> None:
    wifi = Counters(WIFI)
    scene = Scene(wifi)
    scene.run(1, 0.5, packets=1)
    wifi.packets += 1
    wifi.lost += 50
    assert scene.measure(wifi).recent_loss == 1.0


def test_paths_come_and_go() -> None:
    wifi, lte = Counters(WIFI), Counters(LTE)
    scene = Scene(wifi)
    scene.run(2, 0.1, sent=100)
    scene.paths.append(lte)
    assert scene.measure(lte) == PathMeasures()
    scene.run(2, 0.1, sent=100)
    assert scene.measure(lte).share == pytest.approx(0.5)
    scene.paths.remove(wifi)
    scene.run(1, 0.1, sent=100)
    assert scene.measure(lte).share == 1.0
    # An ID is never used again, but a meter that believed so would show nonsense.
    scene.paths.append(Counters(WIFI))
    scene.run(1, 0.1)
    assert scene.measure(scene.paths[-1]).tx_rate == 0.0
