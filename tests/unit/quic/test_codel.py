import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.codel import INTERVAL, MAX_SIGNALS, CodelState
from mqvpn_core.quic.schedulers import DatagramScheduler
from tests.unit.quic.scheduler_samples import PREFIX, WHOLE, A, at, packets, view

TARGET = 0.02


def signals(state: CodelState, seconds: float, *, waited: float, start: float = 0.0) -> list[float]:
    """Look every millisecond; return when there was a signal, once for each."""
    times: list[float] = []
    for step in range(round(seconds * 1000)):
        now = start + step / 1000
        times += [now] * state.signals_due(waited, TARGET, at(now))
    return times


def test_a_burst_is_no_standing_queue() -> None:
    state = CodelState()
    assert signals(state, INTERVAL, waited=0.05) == []
    assert signals(state, 0.01, waited=0.01, start=INTERVAL) == []
    assert signals(state, INTERVAL, waited=0.05, start=0.2) == []


def test_a_standing_queue_is_told_once_and_then_ever_more_often() -> None:
    times = signals(CodelState(), 1.0, waited=0.05)
    assert times[0] == pytest.approx(INTERVAL, abs=0.0011)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # RFC 8289 s5.5: interval / sqrt(count)
    assert gaps[:4] == pytest.approx([0.1, 0.071, 0.058, 0.05], abs=0.0021)
    assert gaps[-1] < 0.04


def test_a_short_queue_ends_it() -> None:
    state = CodelState()
    assert signals(state, 0.3, waited=0.05)
    assert signals(state, 0.01, waited=0.01, start=0.3) == []
    assert signals(state, 0.09, waited=0.05, start=0.31) == []


def test_a_queue_that_was_gone_meanwhile_begins_anew() -> None:
    state = CodelState()
    assert signals(state, 0.3, waited=0.05)
    assert signals(state, INTERVAL, waited=0.05, start=1.0) == []


def test_it_goes_on_where_it_was_when_the_queue_is_back_soon() -> None:
    fresh, experienced = CodelState(), CodelState()
    signals(experienced, 1.0, waited=0.05)
    signals(experienced, 0.01, waited=0.0, start=1.0)
    again = signals(experienced, 0.5, waited=0.05, start=1.01)
    assert len(again) > len(signals(fresh, 0.5, waited=0.05, start=1.01))


@given(
    looks=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), max_size=50),
)
def test_there_are_never_many_signals_at_once(looks: list[tuple[float, float]]) -> None:
    state, now = CodelState(), 0.0
    for pause, waited in looks:
        now += pause
        due = state.signals_due(waited, TARGET, at(now))
        assert 0 <= due <= MAX_SIGNALS
        assert due == 0 or waited >= TARGET


def carried(scheduler: DatagramScheduler, seconds: float, **path: bool) -> list[bytes]:
    """Offer twice what a path of one packet a millisecond takes, after a second of rest."""
    taken: list[bytes] = []
    for step in range(round(seconds * 1000)):
        now = at(1 + step / 1000)
        scheduler.push(PREFIX, packets(1, 2, first=2 * step % 200), now)
        views = [view(A, budget=WHOLE, rtt=0.05)]
        if path.get("is_starting"):
            views = [starting(views[0])]
        taken += expand(payload for _, payload in scheduler.allocate(views, now).get(A, ()))
    return taken


def starting(plain: CarrierView) -> CarrierView:
    return replace(plain, is_starting=True)


def unmarkable(payload: bytes) -> None:
    assert payload


def managed(
    mark: Callable[[bytes], bytes | None] | None = None, *, manages_queues: bool = True
) -> DatagramScheduler:
    return DatagramScheduler(
        max_bytes=10_000_000, max_age=10.0, mark=mark, manages_queues=manages_queues
    )


def test_flows_that_cannot_be_marked_lose_packets() -> None:
    scheduler = managed(unmarkable)
    carried(scheduler, 1.0)
    assert 5 < scheduler.dropped_count < 100
    assert scheduler.marked_count == 0


def test_flows_that_can_be_marked_lose_nothing() -> None:
    scheduler = managed(lambda payload: b"!" + payload[1:])
    taken = carried(scheduler, 1.0)
    assert scheduler.dropped_count == 0
    assert scheduler.marked_count > 5
    left = sum(payload.startswith(b"!") for payload in taken)
    assert left == scheduler.marked_count


def test_without_management_queues_just_grow() -> None:
    scheduler = managed(manages_queues=False)
    carried(scheduler, 1.0)
    assert scheduler.dropped_count == 0


def test_as_long_as_the_path_starts_more_may_wait() -> None:
    starts, runs = managed(), managed()
    carried(starts, 0.3, is_starting=True)
    carried(runs, 0.3)
    assert (starts.dropped_count, runs.dropped_count > 0) == (0, True)


def test_what_comes_from_a_failed_path_is_left_alone() -> None:
    scheduler = managed()
    for step in range(5):
        scheduler.requeue([(PREFIX, payload) for payload in packets(1, 10)], at(1.0))
        scheduler.allocate([view(A, budget=WHOLE)], at(1.1 + step / 5))
    assert scheduler.dropped_count == 0
