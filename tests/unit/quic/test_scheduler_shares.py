"""What TCP-like flows get out of two paths, and that they are moved seldom.

              rate, one-way delay
equal:        20 Mbit/s 25 ms   and   20 Mbit/s 25 ms
unequal:      16 Mbit/s  5 ms   and    6 Mbit/s 40 ms     (80 to 30, a fifth of the size)
"""

from functools import cache

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.path_use import PathUse
from tests.unit.quic.tcp_world import Bottleneck, TcpWorld, bottleneck

FAST, SLOW = PathId(0), PathId(1)

pytestmark = pytest.mark.slow


def equal() -> list[Bottleneck]:
    return [bottleneck(0, 10, 0.025), bottleneck(1, 10, 0.025)]


def unequal() -> list[Bottleneck]:
    return [bottleneck(0, 8, 0.005), bottleneck(1, 3, 0.040)]


def settled(paths: list[Bottleneck], flow_count: int, *, strategy: str = "weighted") -> TcpWorld:
    world = TcpWorld(paths, flow_count, strategy)
    world.run(3)
    world.forget_the_past()
    world.run(7)
    return world


@cache
def single(flow_count: int, *, is_equal: bool) -> float:
    """Goodput of the best path alone."""
    return settled((equal() if is_equal else unequal())[:1], flow_count).goodput()


def test_sixteen_flows_fill_two_equal_paths() -> None:
    world = settled(equal(), 16)
    assert world.goodput() >= 0.97 * 2 * single(16, is_equal=True)
    counts = world.scheduler.flows_by_path()
    assert sum(counts.values()) == 16
    assert min(counts.values()) >= 6
    goodputs = [flow.goodput_bytes for flow in world.flows]
    assert max(goodputs) < 3 * min(goodputs)


def test_sixteen_flows_fill_unequal_paths() -> None:
    world = settled(unequal(), 16)
    assert world.goodput() >= 1.3 * single(16, is_equal=False)
    counts = world.scheduler.flows_by_path()
    assert counts[FAST] > counts[SLOW] >= 3


@pytest.mark.parametrize("flow_count", [1, 4])
@pytest.mark.parametrize("is_equal", [True, False])
def test_few_flows_are_not_worse_off_than_on_the_best_path(
    flow_count: int, *, is_equal: bool
) -> None:
    world = settled(equal() if is_equal else unequal(), flow_count)
    factor = 0.95 if flow_count == 1 else 1.2
    assert world.goodput() >= factor * single(flow_count, is_equal=is_equal)


def test_flows_are_hardly_ever_moved_once_they_are_settled() -> None:
    world = settled(equal(), 8)
    assert sum(len(flow.paths) - 1 for flow in world.flows) <= 1
    assert sum(flow.reordered_count for flow in world.flows) <= 50


def test_a_path_that_joins_is_in_use_soon() -> None:
    world = TcpWorld([bottleneck(0, 10, 0.025), bottleneck(1, 10, 0.025, opens_at=2)], 4)
    world.run(4)
    world.forget_the_past()
    world.run(6)
    assert world.goodput() >= 1.8 * single(4, is_equal=True)


def test_flows_of_a_suspect_path_move_at_once_and_return_when_it_is_back() -> None:
    world = TcpWorld(equal(), 8)
    fails, returns = 2.0, 4.0
    world.at(fails, lambda: setattr(world.paths[FAST], "is_suspect", True))
    world.at(returns, lambda: setattr(world.paths[FAST], "is_suspect", False))
    world.run(fails + 0.01)
    assert world.scheduler.flows_by_path()[SLOW] == 8
    world.forget_the_past()
    world.run(returns - 0.01)
    assert all(flow.paths == {SLOW} for flow in world.flows)
    world.run(7)
    world.forget_the_past()
    world.run(9)
    assert world.goodput() >= 1.9 * single(8, is_equal=True)


def test_the_last_flow_returns_from_the_slow_path_to_the_fast_one() -> None:
    world = TcpWorld(unequal(), 4)
    world.run(3.8)
    world.forget_the_past()
    world.run(4)
    remaining = next(flow for flow in world.flows if flow.paths == {SLOW})
    for flow in world.flows:
        if flow is not remaining:
            flow.stops_at = world.now
    world.run(11)
    world.forget_the_past()
    world.run(13)
    assert remaining.paths == {FAST}
    assert world.goodput() >= 0.95 * single(1, is_equal=False)


def test_a_secondary_path_takes_what_the_primary_has_no_room_for() -> None:
    paths = equal()
    paths[1].use = PathUse.SECONDARY
    world = TcpWorld(paths, 4)
    world.run(0.3)
    assert all(flow.paths == {FAST} for flow in world.flows)
    world.run(4)
    world.forget_the_past()
    world.run(6)
    assert world.goodput() >= 1.8 * single(4, is_equal=True)
    for flow in world.flows[1:]:
        flow.stops_at = world.now
    world.run(15)
    world.forget_the_past()
    world.run(16)
    assert world.flows[0].paths == {FAST}


def test_a_backup_path_carries_nothing_while_another_one_is_healthy() -> None:
    paths = equal()
    paths[1].use = PathUse.BACKUP
    world = TcpWorld(paths, 4)
    world.run(3)
    assert paths[1].delivered_bytes == 0
    paths[0].is_suspect = True
    world.run(4)
    world.forget_the_past()
    world.run(5)
    assert paths[0].delivered_bytes == 0
    assert world.goodput() >= 0.9 * single(4, is_equal=True)


def test_minrtt_spills_over_to_the_slower_path() -> None:
    world = settled(unequal(), 16, strategy="minrtt")
    assert world.paths[SLOW].delivered_bytes > 0
    assert world.paths[FAST].delivered_bytes > 2 * world.paths[SLOW].delivered_bytes
    assert world.scheduler.flows_by_path() == {}


def test_the_backup_strategy_keeps_to_one_path() -> None:
    world = settled(equal(), 16, strategy="backup")
    assert sorted(path.delivered_bytes > 0 for path in world.paths.values()) == [False, True]


@pytest.mark.parametrize("delays", [(0.001, 0.001), (0.020, 0.016)])
@pytest.mark.parametrize("megabits", [(16, 6), (6, 16)])
def test_a_flow_that_is_alone_ends_up_on_the_path_that_carries_most(
    megabits: tuple[float, float], delays: tuple[float, float]
) -> None:
    paths = [bottleneck(i, *link) for i, link in enumerate(zip(megabits, delays, strict=True))]
    alone = TcpWorld([bottleneck(0, max(megabits), min(delays))], 1)
    world = TcpWorld(paths, 1)
    for each in (alone, world):
        each.run(3.5)
        each.forget_the_past()
        each.run(8)
    assert world.goodput() >= 0.95 * alone.goodput()
    assert world.flows[0].paths == {PathId(megabits.index(max(megabits)))}


def test_a_slower_path_is_found_out_with_padding_alone() -> None:
    world = TcpWorld(unequal(), 1)
    world.run(8)
    assert world.flows[0].paths == {FAST}
    # Less than a second of what it carries.
    assert 0 < world.paths[SLOW].padding_bytes < world.paths[SLOW].rate
    assert world.paths[FAST].padding_bytes == 0


def test_what_is_known_of_a_path_is_not_asked_again() -> None:
    world = TcpWorld(unequal(), 1)
    world.run(4)
    before = world.paths[SLOW].padding_bytes
    world.run(30)
    assert world.paths[SLOW].padding_bytes == before


def test_a_far_path_has_to_carry_a_good_deal_more() -> None:
    world = TcpWorld([bottleneck(0, 10, 0.005), bottleneck(1, 12, 0.1)], 1)
    world.run(8)
    assert world.flows[0].paths == {FAST}
    assert world.paths[SLOW].padding_bytes > 0
