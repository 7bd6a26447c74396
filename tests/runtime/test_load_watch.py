"""When drivers begin and end to look at intervals."""

import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.load_watch import (
    FULL_COUNT,
    HIGH_COUNT,
    INTERVAL,
    LOW_COUNT,
    SHORT_INTERVAL,
    WINDOW,
    LoadWatch,
)


def at(seconds: float) -> Instant:
    return Instant(100.0 + seconds)


def loaded() -> LoadWatch:
    watch = LoadWatch()
    watch.note(HIGH_COUNT, at(0.0))
    assert watch.is_high
    return watch


def test_load_begins_with_many_packets_in_a_short_time() -> None:
    watch = LoadWatch()
    for step in range(HIGH_COUNT - 1):
        watch.note(1, at(step * WINDOW / HIGH_COUNT))
        assert not watch.is_high
    watch.note(1, at(WINDOW * 0.99))
    assert watch.is_high


@pytest.mark.parametrize("per_second", [100, 2000, 0.8 * HIGH_COUNT / WINDOW])
def test_a_dialogue_is_no_load(per_second: float) -> None:
    watch = LoadWatch()
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
    assert watch.take_interval() == SHORT_INTERVAL
    watch.note(FULL_COUNT - 1, at(0.001))
    watch.note(1, at(0.001))
    assert watch.take_interval() == INTERVAL
    watch.note(FULL_COUNT - 1, at(0.002))
    assert watch.take_interval() == SHORT_INTERVAL
