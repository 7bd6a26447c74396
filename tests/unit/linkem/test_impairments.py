"""Each impairment does to packets what it says, measured from outside."""

import socket
from itertools import groupby, pairwise
from statistics import mean, median

import pytest

from tests.linkem.emulated_link import Direction
from tests.linkem.impairments import MEGABIT, BurstLoss, CoDel, Impairments
from tests.unit.linkem.wire import Wire

pytestmark = [pytest.mark.netns, pytest.mark.slow]

LATENESS = 0.02
"""Seconds by which a busy machine may wake the emulator, or this test, too late."""


def test_perfect_link_delivers_everything_both_ways(wire: Wire) -> None:
    assert [each.number for each in wire.up(200)] == list(range(200))
    assert [each.number for each in wire.down(200)] == list(range(200))


@pytest.mark.parametrize("megabits", [2, 20])
def test_rate_is_held_within_5_percent(wire: Wire, megabits: int) -> None:
    """Half a second's worth, sent at once."""
    rate = megabits * MEGABIT
    wire.link.impair(Impairments(bits_per_second=rate, queue_bytes=rate))
    size = 1000
    count = rate // 2 // 8 // size
    arrivals = wire.up(count, size=size)
    assert len(arrivals) == count
    elapsed = arrivals[-1].received - arrivals[0].received
    assert (count - 1) * size * 8 / elapsed == pytest.approx(rate, rel=0.05)


def test_overhead_counts_towards_the_rate(wire: Wire) -> None:
    wire.link.impair(Impairments(bits_per_second=2 * MEGABIT, overhead_bytes=150))
    arrivals = wire.up(100, size=100)
    elapsed = arrivals[-1].received - arrivals[0].received
    assert 99 * 250 * 8 / elapsed == pytest.approx(2 * MEGABIT, rel=0.05)


def test_queue_drops_what_it_cannot_hold(wire: Wire) -> None:
    wire.link.impair(Impairments(bits_per_second=2 * MEGABIT, queue_bytes=20_000))
    arrivals = wire.up(100, size=1000)
    counted = wire.link.statistics(Direction.UP)
    assert 19_000 <= counted.longest_queue <= 20_000
    assert 20 <= len(arrivals) <= 30  # what fits, and what was sent while we were still sending
    assert counted.overflowed == 100 - len(arrivals)
    assert max(each.delay for each in arrivals) > 0.07  # of 0.08 for a full queue


def test_delay(wire: Wire) -> None:
    wire.link.impair(Impairments(delay=0.02), Direction.UP)
    delays = [each.delay for each in wire.up(60, interval=0.003)]
    assert min(delays) > 0.0194  # less than one wake-up too early
    assert median(delays) < 0.02 + LATENESS
    assert median(each.delay for each in wire.down(20, interval=0.003)) < LATENESS


@pytest.mark.parametrize("wander", [0.0, 0.02])
def test_jitter_stays_in_its_bounds_and_keeps_the_order(wire: Wire, wander: float) -> None:
    wire.link.impair(Impairments(delay=0.03, jitter=0.015, wander=wander))
    arrivals = wire.up(150, interval=0.002)
    assert [each.number for each in arrivals] == list(range(150))
    delays = sorted(each.delay for each in arrivals)
    assert delays[0] > 0.0144
    assert delays[142] < 0.045 + LATENESS
    assert delays[140] - delays[10] > 0.01


def test_jitter_may_reorder(wire: Wire) -> None:
    wire.link.impair(Impairments(delay=0.03, jitter=0.015, wander=0, may_reorder=True))
    numbers = [each.number for each in wire.up(100, interval=0.001)]
    assert sorted(numbers) == list(range(100))
    overtaken = sum(later < earlier for earlier, later in pairwise(numbers))
    assert overtaken > 20


def test_random_loss(wire: Wire) -> None:
    """Four standard deviations are 4 %."""
    wire.link.impair(Impairments(loss=0.3), Direction.UP)
    arrivals = wire.up(2000, interval=0.00002)
    assert 1 - len(arrivals) / 2000 == pytest.approx(0.3, abs=0.04)
    assert wire.link.statistics(Direction.UP).lost == 2000 - len(arrivals)
    assert len(wire.down(200)) == 200


def test_small_loss_is_small(wire: Wire) -> None:
    """Of 4000 packets 20 are expected, with a standard deviation of 4.5."""
    wire.link.impair(Impairments(loss=0.005))
    assert 3 < 4000 - len(wire.up(4000, interval=0.00002)) < 40


def test_burst_loss(wire: Wire) -> None:
    """Stationary loss is to_bad / (to_bad + to_good), the mean length of a burst 1 / to_good."""
    wire.link.impair(Impairments(burst=BurstLoss(to_bad=0.05, to_good=0.25)))
    numbers = {each.number for each in wire.up(4000, interval=0.00002)}
    lost = [number not in numbers for number in range(4000)]
    assert mean(lost) == pytest.approx(1 / 6, abs=0.04)
    bursts = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
    assert mean(bursts) == pytest.approx(4, abs=1)


def test_duplication(wire: Wire) -> None:
    wire.link.impair(Impairments(duplicated=0.25))
    numbers = [each.number for each in wire.up(1000, interval=0.00005)]
    assert set(numbers) == set(range(1000))
    assert len(numbers) / 1000 == pytest.approx(1.25, abs=0.06)


def test_codel_drops_what_waits_too_long(wire: Wire) -> None:
    """A third more than fits, for half a second: the queue alone would hold all of it."""
    wire.link.impair(Impairments(bits_per_second=6 * MEGABIT, codel=CoDel(interval=0.02)))
    arrivals = wire.up(500, size=1000, interval=0.001)
    counted = wire.link.statistics(Direction.UP)
    assert counted.codel_dropped == 500 - len(arrivals) > 10
    assert counted.overflowed == counted.marked == 0


def test_codel_marks_the_packets_of_those_who_understand(wire: Wire) -> None:
    wire.near.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 2)
    wire.link.impair(Impairments(bits_per_second=6 * MEGABIT, codel=CoDel(interval=0.02)))
    arrivals = wire.up(500, size=1000, interval=0.001)
    counted = wire.link.statistics(Direction.UP)
    assert len(arrivals) == 500
    assert sum(each.ecn == 3 for each in arrivals) == counted.marked > 10
    assert sum(each.ecn == 2 for each in arrivals) == 500 - counted.marked


def test_impairments_can_be_taken_back(wire: Wire) -> None:
    everything = Impairments(
        bits_per_second=MEGABIT,
        loss=0.5,
        duplicated=0.5,
        burst=BurstLoss(to_bad=0.5, to_good=0.5),
        codel=CoDel(),
    )
    wire.link.impair(everything)
    wire.up(50)
    wire.link.impair(Impairments())
    arrivals = wire.up(200)
    assert len(arrivals) == 200
    assert median(each.delay for each in arrivals) < LATENESS
