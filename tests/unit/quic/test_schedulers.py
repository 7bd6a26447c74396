"""Datagrams from queue to path: order, limits, ages, and which path a strategy gives them."""

import pytest

from mqvpn_core.dataplane.parcels import first_packet
from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.packet_room import MAX_PACKETS, Datagram
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import MAX_FLOWS, CarrierView, DatagramScheduler, Strategy
from tests.unit.quic.scheduler_samples import (
    CAPACITY,
    FULL,
    PREFIX,
    WHOLE,
    A,
    B,
    C,
    at,
    flow_of,
    flows,
    numbers,
    packets,
    push,
    scheduler_of,
    suspect,
    view,
)

ITEM = len(PREFIX) + FULL


STRATEGIES = [strategy.value for strategy in Strategy]


def paths_of(allocated: dict[PathId, list[Datagram]]) -> dict[PathId, set[int]]:
    return {path_id: set(flows(datagrams)) for path_id, datagrams in allocated.items()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_path_carries_everything_in_order(strategy: str) -> None:
    scheduler = scheduler_of(strategy)
    push(scheduler, 1, count=MAX_PACKETS + 44)
    assert len(scheduler) == MAX_PACKETS + 44
    assert scheduler.waiting_bytes == (MAX_PACKETS + 44) * ITEM
    assert not scheduler.is_drained(A)
    first = scheduler.allocate([view(budget=10**7)], at(0))
    assert numbers(first[A]) == list(range(MAX_PACKETS))
    second = scheduler.allocate([view(budget=10 * WHOLE + 5)], at(0))
    assert numbers(second[A]) == list(range(MAX_PACKETS, MAX_PACKETS + 10))
    assert not scheduler.is_drained(A)
    scheduler.allocate([view()], at(0))
    assert scheduler.is_drained(A)
    assert (len(scheduler), scheduler.waiting_bytes, scheduler.dropped_count) == (0, 0, 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_leaves_without_a_path(strategy: str) -> None:
    scheduler = scheduler_of(strategy)
    push(scheduler, 1)
    assert scheduler.allocate([], at(0)) == {}
    assert scheduler.allocate([view(budget=0)], at(0)) == {}
    assert len(scheduler) == 10


def test_without_a_classifier_all_is_one_flow() -> None:
    scheduler = DatagramScheduler(max_bytes=10**6, max_age=0.2)
    scheduler.push(PREFIX, [], at(0))
    push(scheduler, 1, 2)
    allocated = scheduler.allocate([view(A), view(B)], at(0))
    assert [flows(datagrams) for datagrams in allocated.values()] == [[1] * 10 + [2] * 10]
    assert sum(scheduler.flows_by_path().values()) == 1


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="'fastest'"):
        scheduler_of("fastest")
    scheduler = scheduler_of()
    with pytest.raises(LocalProtocolError):
        scheduler.set_strategy("")
    assert scheduler.strategy == "weighted"


def test_weighted_spreads_flows_and_keeps_each_on_its_path() -> None:
    scheduler = scheduler_of()
    views = [view(A), view(B)]
    push(scheduler, 1, 2, 3, 4)
    first = paths_of(scheduler.allocate(views, at(0)))
    assert sorted(map(len, first.values())) == [2, 2]
    assert scheduler.flows_by_path() == {A: 2, B: 2}
    for step in range(1, 20):
        push(scheduler, 4, 3, 2, 1, now=step / 10)
        assert paths_of(scheduler.allocate(views, at(step / 10))) == first


def test_weighted_leaves_a_flow_waiting_for_its_own_path() -> None:
    scheduler = scheduler_of()
    push(scheduler, 1)
    scheduler.allocate([view(A), view(B)], at(0))
    push(scheduler, 1)
    assert scheduler.allocate([view(A, budget=0), view(B)], at(0.1)) == {}
    assert not scheduler.is_drained(A)
    assert scheduler.is_drained(B)


def test_minrtt_fills_the_fastest_path_first() -> None:
    scheduler = scheduler_of("minrtt")
    push(scheduler, 1)
    allocated = scheduler.allocate(
        [view(A, rtt=0.09), view(B, rtt=0.02, budget=4 * WHOLE), view(C, rtt=0.05, budget=WHOLE)],
        at(0),
    )
    assert {path_id: numbers(items) for path_id, items in allocated.items()} == {
        B: [0, 1, 2, 3],
        C: [4],
        A: [5, 6, 7, 8, 9],
    }
    assert scheduler.flows_by_path() == {}


@pytest.mark.parametrize("strategy", ["minrtt", "backup"])
def test_a_datagram_that_fits_another_path_only_waits_for_that(strategy: str) -> None:
    scheduler = scheduler_of(strategy)
    scheduler.push(PREFIX, packets(1, 1, size=FULL + 50), at(0))
    small, large = view(A, rtt=0.01), view(B, capacity=CAPACITY + 50)
    if strategy == "minrtt":
        assert list(scheduler.allocate([small, large], at(0))) == [B]
        scheduler.push(PREFIX, packets(1, 1, size=FULL + 51), at(0))
    assert scheduler.allocate([small, large], at(0)) == {}
    assert (len(scheduler), scheduler.too_big_count) == (0, 1)


def test_the_backup_strategy_changes_paths_only_when_it_has_to() -> None:
    scheduler = scheduler_of("backup")

    def chosen(*views: CarrierView) -> list[PathId]:
        push(scheduler, 1, 2)
        return list(scheduler.allocate(views, at(0)))

    assert chosen(view(A, rtt=0.05), view(B, rtt=0.06)) == [A]
    assert chosen(view(A, rtt=0.05), view(B, rtt=0.01)) == [A]
    assert chosen(suspect(view(A, rtt=0.05)), view(B, rtt=0.1)) == [B]
    assert chosen(view(A, rtt=0.05), view(B, rtt=0.1)) == [B]
    assert chosen(view(A), view(B, use=PathUse.SECONDARY)) == [A]
    assert chosen(view(B), view(C, rtt=0.01)) == [C]
    push(scheduler, 1)
    assert scheduler.is_drained(A)
    assert not scheduler.is_drained(C)


def test_a_secondary_path_gets_what_the_primary_has_no_budget_for() -> None:
    scheduler = scheduler_of("minrtt")
    push(scheduler, 1)
    views = [view(A, budget=3 * WHOLE), view(B, use=PathUse.SECONDARY, rtt=0.001)]
    allocated = scheduler.allocate(views, at(0))
    assert [len(allocated[path_id]) for path_id in (A, B)] == [3, 7]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_on_a_path_that_fails_leaves_on_another_one(strategy: str) -> None:
    scheduler = scheduler_of(strategy)
    push(scheduler, 1, 2, 3)
    scheduler.allocate([view(A, budget=WHOLE), view(B, budget=WHOLE)], at(0))
    waiting = len(scheduler)
    assert waiting >= 28
    allocated = scheduler.allocate([suspect(view(A)), view(B)], at(0.05))
    assert list(allocated) == [B]
    assert len(allocated[B]) == waiting


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_on_a_path_that_is_gone_leaves_on_another_one(strategy: str) -> None:
    scheduler = scheduler_of(strategy)
    push(scheduler, 1, 2, 3)
    scheduler.allocate([view(A, budget=WHOLE), view(B, budget=WHOLE)], at(0))
    waiting = len(scheduler)
    scheduler.forget_path(A)
    scheduler.forget_path(C)
    assert A not in scheduler.flows_by_path()
    assert not scheduler.is_drained(B)
    assert len(scheduler.allocate([view(B)], at(0.05))[B]) == waiting


def test_the_strategy_changes_with_datagrams_waiting() -> None:
    scheduler = scheduler_of("weighted")
    taken: list[Datagram] = []
    views = [view(A, budget=2 * WHOLE), view(B, budget=2 * WHOLE)]
    push(scheduler, 1, 2, 3, count=8)
    for strategy in ("minrtt", "backup", "redundant", "weighted", "minrtt", "weighted"):
        for datagrams in scheduler.allocate(views, at(0)).values():
            taken += datagrams
        scheduler.set_strategy(strategy)
        assert scheduler.strategy == strategy
    for datagrams in scheduler.allocate([view(A), view(B)], at(0)).values():
        taken += datagrams
    for flow in (1, 2, 3):
        assert [
            payload for _, payload in taken if flow_of(first_packet(payload)) == flow
        ] == packets(flow, 8)


def test_when_there_is_no_room_the_longest_queue_loses_its_oldest() -> None:
    scheduler = scheduler_of(max_bytes=20 * ITEM)
    push(scheduler, 1, count=3)
    push(scheduler, 2, count=25)
    assert scheduler.overflow_count == 8
    assert scheduler.waiting_bytes == 20 * ITEM
    allocated = scheduler.allocate([view()], at(0))[A]
    assert numbers([item for item in allocated if flow_of(first_packet(item[1])) == 1]) == [0, 1, 2]
    assert numbers([item for item in allocated if flow_of(first_packet(item[1])) == 2]) == list(
        range(8, 25)
    )


def test_the_limit_holds_for_what_is_queued_again() -> None:
    scheduler = scheduler_of(max_bytes=5 * ITEM)
    push(scheduler, 1, count=4)
    scheduler.requeue([(PREFIX, payload) for payload in packets(2, 4)], at(0))
    assert scheduler.waiting_bytes == 5 * ITEM
    assert scheduler.overflow_count == 3


def test_several_queues_lose_when_all_are_long() -> None:
    scheduler = scheduler_of(max_bytes=10 * ITEM)
    push(scheduler, 1, 2, 3, 4, count=10)
    taken = flows(scheduler.allocate([view()], at(0))[A])
    assert len(taken) == 10
    assert set(taken) == {1, 2, 3, 4}


def test_old_datagrams_are_dropped_even_when_no_path_asks_for_them() -> None:
    scheduler = scheduler_of(max_age=0.2)
    push(scheduler, 1, 2, now=0)
    push(scheduler, 1, now=0.2)
    assert scheduler.allocate([], at(0.3)) == {}
    assert (len(scheduler), scheduler.expired_count) == (10, 20)
    push(scheduler, 3, now=0.3)
    assert paths_of(scheduler.allocate([view()], at(0.31))) == {A: {1, 3}}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_sent_on_a_failed_path_goes_first_and_in_order(strategy: str) -> None:
    scheduler = scheduler_of(strategy)
    push(scheduler, 1, 2)
    sent = scheduler.allocate([view(budget=6 * WHOLE)], at(0))[A]
    # In two portions, as two bursts that were sent one after the other.
    scheduler.requeue(sent[:2], at(0.1))
    scheduler.requeue(sent[2:], at(0.1))
    assert len(scheduler) == 20
    again = scheduler.allocate([view(B, budget=6 * WHOLE)], at(0.1))[B]
    assert sorted(again) == sorted(sent)
    rest = scheduler.allocate([view(B)], at(0.1))[B]
    for flow in (1, 2):
        one = [payload for _, payload in again + rest if flow_of(first_packet(payload)) == flow]
        assert one == packets(flow, 10)


def test_the_age_of_what_is_queued_again_counts_from_when_it_was_sent() -> None:
    scheduler = scheduler_of(max_age=0.2)
    datagrams = [(PREFIX, payload) for payload in packets(1, 2)]
    scheduler.requeue(datagrams[:1], at(0.5), sent_at=at(0.35))
    scheduler.requeue(datagrams[1:], at(0.5))
    assert numbers(scheduler.allocate([view()], at(0.6))[A]) == [1]
    assert scheduler.expired_count == 1


def test_what_is_late_already_is_not_hidden_behind_what_is_queued_again() -> None:
    scheduler = scheduler_of(max_age=0.2)
    push(scheduler, 1, count=3, now=0)
    scheduler.requeue([(PREFIX, payload) for payload in packets(1, 1, first=9)], at(0.25))
    assert numbers(scheduler.allocate([view()], at(0.25))[A]) == [9]


def test_more_flows_than_can_be_told_apart_share_a_queue() -> None:
    keys: list[int] = []
    scheduler = DatagramScheduler(
        max_bytes=10**7, max_age=10.0, classify=lambda payload: int.from_bytes(payload[:3], "big")
    )
    for number in range(MAX_FLOWS + 50):
        scheduler.push(PREFIX, [number.to_bytes(3, "big")], at(0))
    while datagrams := scheduler.allocate([view()], at(0)):
        keys += [int.from_bytes(first_packet(payload), "big") for _, payload in datagrams[A]]
    assert sorted(keys) == list(range(MAX_FLOWS + 50))
    assert scheduler.flows_by_path() == {A: MAX_FLOWS + 1}
    # Those that have nothing waiting make room for others, and the silent ones are forgotten.
    scheduler.push(PREFIX, [b"\xff\xff\xff"], at(0.5))
    scheduler.allocate([view()], at(0.5))
    assert scheduler.flows_by_path()[A] <= 2
    scheduler.push(PREFIX, [b"\xff\xff\xff"], at(5))
    scheduler.allocate([view()], at(5))
    assert scheduler.flows_by_path()[A] <= 2
