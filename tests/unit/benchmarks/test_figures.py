"""Percentiles, and the bars of the failover benchmark."""

import random

from benchmarks.figures import Spread
from benchmarks.outages import Outage


def test_spread_of_a_hundred() -> None:
    samples = [float(number) for number in range(1, 101)]
    random.Random(1).shuffle(samples)
    assert Spread.of(samples) == Spread(p50=50.0, p95=95.0, max=100.0)


def test_spread_of_one_and_of_none() -> None:
    assert Spread.of([7.04]) == Spread(p50=7.0, p95=7.0, max=7.0)
    assert Spread.of([]) is None


def test_95_of_few_samples_is_the_largest() -> None:
    """One of three is a third of all: no percentile may look away from it."""
    assert Spread.of([1.0, 2.0, 300.0]) == Spread(p50=2.0, p95=300.0, max=300.0)


def test_silent_loss_may_take_three_round_trips() -> None:
    assert Outage.LINK_DOWN.bar_ms(500.0) == Outage.ADDRESS_REMOVED.bar_ms(500.0) == 100.0
    assert Outage.BLACK_HOLE.bar_ms(20.0) == 300.0
    assert Outage.BLACK_HOLE.bar_ms(150.0) == 450.0
