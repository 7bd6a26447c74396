"""When a trial of an idle path ends, and what it says."""

from dataclasses import replace

import pytest

from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.path_trial import MAX_TRIAL_BYTES, TRIAL_SECONDS, PathTrial
from tests.unit.quic.scheduler_samples import A, at, view

CARRIED_BEFORE = 10 * MAX_TRIAL_BYTES


class Scene:
    """A path that takes padding at rates that the test chooses."""

    def __init__(self, *, wanted_rate: float, rtt: float = 0.02) -> None:
        self.view: CarrierView = replace(
            view(A, rtt=rtt), is_starting=True, acked_bytes=CARRIED_BEFORE
        )
        self.trial = PathTrial(self.view, wanted_rate=wanted_rate, now=at(10))
        self.now = 10.0

    def is_over(self) -> bool:
        return self.trial.is_over

    def run(self, seconds: float, rate: float, *, is_starting: bool = True) -> None:
        """Let so many bytes per second arrive, until the trial is over."""
        for _ in range(round(seconds * 100)):
            if self.trial.is_over:
                return
            self.now += 0.01
            acked_bytes = self.view.acked_bytes + round(rate / 100)
            self.view = replace(self.view, acked_bytes=acked_bytes, is_starting=is_starting)
            self.trial.follow(self.view, at(self.now))


def test_it_ends_when_the_path_is_good_enough() -> None:
    scene = Scene(wanted_rate=1e6)
    scene.run(0.2, 0.5e6)
    assert not scene.is_over()
    scene.run(1, 1.1e6)
    assert scene.is_over()
    assert scene.trial.rate == pytest.approx(1.1e6, rel=0.01)
    assert scene.now < 10.5


def test_it_ends_when_the_path_is_full() -> None:
    scene = Scene(wanted_rate=2e6)
    scene.run(0.3, 1e6)
    assert not scene.is_over()
    scene.run(1, 1e6, is_starting=False)
    assert scene.is_over()
    assert scene.trial.rate == pytest.approx(1e6, rel=0.01)
    assert scene.now < 10.6


def test_it_goes_on_while_more_and_more_arrives() -> None:
    scene = Scene(wanted_rate=2e6)
    for rate in (0.2e6, 0.4e6, 0.8e6, 1.6e6):
        scene.run(0.11, rate, is_starting=False)
        assert not scene.is_over()


def test_what_was_reached_counts_although_less_arrives_in_the_end() -> None:
    scene = Scene(wanted_rate=2e6)
    scene.run(0.11, 1.5e6)
    scene.run(0.2, 0.5e6, is_starting=False)
    assert scene.is_over()
    assert scene.trial.rate == pytest.approx(1.5e6, rel=0.01)


def test_it_ends_in_time_where_nothing_arrives() -> None:
    scene = Scene(wanted_rate=2e6)
    scene.run(TRIAL_SECONDS + 1, 0)
    assert scene.is_over()
    assert scene.trial.rate == 0
    assert scene.now == pytest.approx(10 + TRIAL_SECONDS, abs=0.02)


def test_it_sends_no_more_than_it_may() -> None:
    scene = Scene(wanted_rate=1e12)
    scene.run(TRIAL_SECONDS, 100e6)
    assert scene.is_over()
    assert MAX_TRIAL_BYTES <= scene.view.acked_bytes - CARRIED_BEFORE < 1.1 * MAX_TRIAL_BYTES


def test_far_paths_are_given_more_time_before_anything_is_concluded() -> None:
    scene = Scene(wanted_rate=1e6, rtt=0.3)
    scene.run(0.55, 0.1e6, is_starting=False)
    assert scene.trial.rate == 0
    scene.run(0.75, 2e6)
    assert scene.is_over()
    assert scene.trial.rate > 1e6
