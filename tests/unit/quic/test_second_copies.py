"""What is sent on two paths: by the scheduler that does so, and when a path is in doubt."""

from collections.abc import Sequence

import pytest

from mqvpn_core.quic.duplication import MAX_COPY_AGE, Duplication
from mqvpn_core.quic.packet_room import Datagram
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import DatagramScheduler
from tests.unit.quic.scheduler_samples import (
    FULL,
    PREFIX,
    WHOLE,
    A,
    B,
    C,
    at,
    flow_of,
    numbers,
    packets,
    push,
    scheduler_of,
    suspect,
    view,
)


class Numbered:
    """Allows what is small or of flow 9 to be sent twice."""

    prefix = b"\x00\x02"

    def __init__(self, scheduler: DatagramScheduler) -> None:
        self.count = 0
        scheduler.allow_duplicates(
            PREFIX,
            Duplication(
                may_duplicate=lambda payload: len(payload) <= 200 or flow_of(payload) == 9,
                next_prefix=self.next_prefix,
                prefix_bytes=3,
            ),
        )

    def next_prefix(self) -> bytes:
        self.count += 1
        return self.prefix + bytes([self.count % 256])


def redundant() -> tuple[DatagramScheduler, Numbered]:
    scheduler = scheduler_of("redundant")
    return scheduler, Numbered(scheduler)


def small(count: int, *, flow: int = 1) -> list[bytes]:
    return packets(flow, count, size=100)


def test_redundant_sends_what_is_urgent_on_two_paths() -> None:
    scheduler, _ = redundant()
    scheduler.push(PREFIX, small(2), at(0))
    scheduler.push(PREFIX, packets(2, 2), at(0))
    allocated = scheduler.allocate([view(A, rtt=0.01), view(B, rtt=0.02), view(C)], at(0))
    copies = [(Numbered.prefix + bytes([n + 1]), payload) for n, payload in enumerate(small(2))]
    assert [item for item in allocated[A] if item[0] != PREFIX] == copies
    assert [item for item in allocated[B] if item[0] != PREFIX] == copies
    assert C not in allocated
    plain = [item for items in allocated.values() for item in items if item[0] == PREFIX]
    assert plain == [(PREFIX, payload) for payload in packets(2, 2)]


def test_redundant_copies_from_a_slow_path_to_the_fastest() -> None:
    scheduler, _ = redundant()
    scheduler.push(PREFIX, small(1), at(0))
    views = [view(A, rtt=0.01, rate=1.0), view(B, rtt=0.02, rate=1.0), view(C, rate=1e6)]
    assert set(scheduler.allocate(views, at(0))) == {A, C}


def test_without_a_second_path_nothing_is_numbered() -> None:
    scheduler, numbered = redundant()
    scheduler.push(PREFIX, small(3), at(0))
    for views in ([view(A)], [view(A), suspect(view(B))], [view(A), view(B, use=PathUse.BACKUP)]):
        assert {prefix for prefix, _ in scheduler.allocate(views, at(0)).get(A, [])} <= {PREFIX}
    assert numbered.count == 0


@pytest.mark.parametrize("strategy", ["weighted", "minrtt", "backup"])
def test_other_strategies_send_nothing_twice(strategy: str) -> None:
    scheduler, numbered = redundant()
    scheduler.set_strategy(strategy)
    scheduler.push(PREFIX, small(3), at(0))
    allocated = scheduler.allocate([view(A), view(B)], at(0))
    assert sum(map(len, allocated.values())) == 3
    assert numbered.count == 0


def test_nothing_is_sent_twice_any_more_when_the_tunnel_is_over() -> None:
    scheduler, numbered = redundant()
    scheduler.allow_duplicates(PREFIX, None)
    scheduler.allow_duplicates(b"other", None)
    scheduler.push(PREFIX, small(3), at(0))
    assert sum(map(len, scheduler.allocate([view(A), view(B)], at(0)).values())) == 3
    assert numbered.count == 0


def with_copy_waiting() -> DatagramScheduler:
    """Return a scheduler that owes B the copies of three datagrams."""
    scheduler, _ = redundant()
    scheduler.push(PREFIX, small(3), at(0))
    allocated = scheduler.allocate([view(A, rtt=0.01, rate=2e6), view(B, budget=0)], at(0))
    assert list(allocated) == [A]
    assert len(scheduler) == 3
    assert scheduler.waiting_bytes == 0
    assert scheduler.is_drained(A)
    assert not scheduler.is_drained(B)
    return scheduler


def test_a_copy_waits_for_room() -> None:
    scheduler = with_copy_waiting()
    assert scheduler.allocate([view(A)], at(0.01)) == {}
    push(scheduler, 2)
    allocated = scheduler.allocate([view(A, budget=0), view(B, budget=WHOLE)], at(0.02))
    assert [payload for _, payload in allocated[B]] == small(3)
    assert len(scheduler) == 10


def test_a_copy_does_not_wait_long() -> None:
    scheduler = with_copy_waiting()
    assert scheduler.allocate([view(A), view(B)], at(2 * MAX_COPY_AGE)) == {}
    assert len(scheduler) == 0


def test_copies_for_a_path_that_is_gone_are_dropped() -> None:
    scheduler = with_copy_waiting()
    scheduler.forget_path(B)
    assert len(scheduler) == 0


def test_copies_are_dropped_with_the_strategy() -> None:
    scheduler = with_copy_waiting()
    scheduler.set_strategy("weighted")
    assert len(scheduler) == 0


def test_copies_do_not_wait_without_limit() -> None:
    scheduler, _ = redundant()
    for number in range(30):
        scheduler.push(PREFIX, small(20), at(number / 1000))
        scheduler.allocate([view(A, rate=2e6), view(B, budget=0)], at(number / 1000))
    assert len(scheduler) == 256


def test_what_is_too_large_for_a_number_is_sent_once() -> None:
    scheduler, numbered = redundant()
    scheduler.push(PREFIX, packets(9, 1), at(0))
    scheduler.push(PREFIX, packets(9, 1, size=FULL - 1), at(0))
    allocated = scheduler.allocate([view(A), view(B)], at(0))
    assert sorted(len(items) for items in allocated.values()) == [1, 2]
    assert numbered.count == 1


def test_budgets_hold_for_copies() -> None:
    scheduler, _ = redundant()
    scheduler.push(PREFIX, small(40), at(0))
    taken: list[Sequence[Datagram]] = []
    for _ in range(20):
        allocated = scheduler.allocate([view(A, budget=300), view(B, budget=200)], at(0))
        assert len(allocated.get(A, ())) <= 2
        assert len(allocated.get(B, ())) <= 1
        taken += allocated.values()
    assert len({payload for items in taken for _, payload in items}) >= 38


def test_copies_of_what_is_in_doubt_take_the_best_other_path() -> None:
    scheduler = scheduler_of()
    doubtful = [(PREFIX, payload) for payload in packets(1, 3, size=100)]
    scheduler.copy_elsewhere(A, doubtful)
    assert len(scheduler) == 3
    views = [view(A, rtt=0.01), view(B, rtt=0.03), view(C, rtt=0.02)]
    assert scheduler.allocate(views, at(0)) == {C: doubtful}
    assert scheduler.allocate(views, at(0)) == {}


def test_copies_that_find_no_room_are_dropped() -> None:
    scheduler = scheduler_of()
    scheduler.copy_elsewhere(A, [(PREFIX, payload) for payload in packets(1, 3)])
    carried = scheduler.allocate([view(A), view(B, budget=2 * WHOLE)], at(0))
    assert numbers(carried[B]) == [0, 1]
    assert len(scheduler) == 0
    scheduler.copy_elsewhere(A, [(PREFIX, payload) for payload in packets(1, 3)])
    assert scheduler.allocate([view(A)], at(0)) == {}


@pytest.mark.parametrize("strategy", ["minrtt", "weighted"])
def test_what_was_copied_once_is_not_copied_again(strategy: str) -> None:
    scheduler = scheduler_of(strategy)
    push(scheduler, 1, count=3)
    sent = scheduler.allocate([view(A)], at(0))[A]
    scheduler.copy_elsewhere(A, sent)
    copies = scheduler.allocate([view(A), view(B)], at(0.05))
    assert numbers(copies[B]) == numbers(sent)
    # Now the other path is in doubt as well, and then the first one once more.
    scheduler.copy_elsewhere(B, copies[B])
    scheduler.copy_elsewhere(A, sent)
    assert scheduler.allocate([view(A), view(B)], at(0.1)) == {}
