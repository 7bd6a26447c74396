"""When drivers begin and end to look at intervals."""

import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.load_watch import (
    FULL_COUNT,
    HIGH_COUNT,
    INTERVAL,
    LONGEST_INTERVAL,
    LOW_COUNT,
    ROUND_TRIP_LIFETIME,
    SHORTEST_INTERVAL,
    WINDOW,
    LoadWatch,
)


def at(seconds: float) -> Instant:
    return Instant(100.0 + seconds)


def quiet() -> LoadWatch:
    return LoadWatch(lambda: 0.0)


def loaded(*round_trips: float) -> LoadWatch:
    watch = LoadWatch(iter(round_trips or (0.0,)).__next__)
    watch.note(HIGH_COUNT, at(0.0))
    assert watch.is_high
    return watch


def test_load_begins_with_many_packets_in_a_short_time() -> None:
    watch = quiet()
    for step in range(HIGH_COUNT - 1):
        watch.note(1, at(step * WINDOW / HIGH_COUNT))
        assert not watch.is_high
    watch.note(1, at(WINDOW * 0.99))
    assert watch.is_high


@pytest.mark.parametrize("per_second", [100, 2000, 0.8 * HIGH_COUNT / WINDOW])
def test_a_dialogue_is_no_load(per_second: float) -> None:
    watch = quiet()
    for step in range(1000):
        watch.note(1, at(step / per_second))
        assert not watch.is_high


def test_load_lasts_while_enough_comes() -> None:
    watch = loaded()
    for step in range(1, 100):
        watch.note(LOW_COUNT, at(step * WINDOW))
        assert watch.is_high


def test_load_ends_when_little_comes() -> None:
    watch = loaded()
    watch.note(LOW_COUNT - 1, at(WINDOW / 2))
    assert watch.is_high
    watch.note(0, at(WINDOW))
    assert not watch.is_high


def test_looks_that_bring_little_follow_one_another_soon() -> None:
    watch = loaded()
    assert watch.take_interval(at(0.0)) == SHORTEST_INTERVAL
    watch.note(FULL_COUNT - 1, at(0.001))
    watch.note(1, at(0.001))
    assert watch.take_interval(at(0.001)) == INTERVAL
    watch.note(FULL_COUNT - 1, at(0.002))
    assert watch.take_interval(at(0.002)) == SHORTEST_INTERVAL


@pytest.mark.parametrize(
    ("round_trip", "interval"),
    [
        (0.0, SHORTEST_INTERVAL),
        (0.0002, SHORTEST_INTERVAL),
        (0.012, 0.001),
        (0.3, LONGEST_INTERVAL),
    ],
)
def test_where_round_trips_are_long_looks_wait_longer(round_trip: float, interval: float) -> None:
    assert loaded(round_trip).take_interval(at(0.0)) == pytest.approx(interval)


def test_many_packets_are_not_kept_waiting_for_long_round_trips() -> None:
    watch = loaded(0.3)
    watch.note(FULL_COUNT, at(0.001))
    assert watch.take_interval(at(0.001)) == INTERVAL


def test_round_trips_are_asked_for_again_now_and_then() -> None:
    watch = loaded(0.012, 0.024)
    first = watch.take_interval(at(0.0))
    assert watch.take_interval(at(ROUND_TRIP_LIFETIME / 2)) == first
    assert watch.take_interval(at(ROUND_TRIP_LIFETIME)) == pytest.approx(2 * first)
