"""Where flows are put and when they are moved; see test_scheduler_shares for what comes of it."""

from dataclasses import replace
from itertools import pairwise

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.flow_pinning import (
    REST_SECONDS,
    REVIEW_SECONDS,
    SETTLING_SECONDS,
)
from mqvpn_core.quic.path_trial import LARGEST_RATE
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import DatagramScheduler
from tests.unit.quic.scheduler_samples import (
    CAPACITY,
    FULL,
    PREFIX,
    WHOLE,
    A,
    B,
    C,
    at,
    flows,
    packets,
    scheduler_of,
    suspect,
    view,
)


class Scene:
    """A scheduler whose flows send at steady rates over paths that the test describes."""

    def __init__(self) -> None:
        self.scheduler: DatagramScheduler = scheduler_of(max_bytes=10**7, max_age=10.0)
        self.now = 0.0
        self.carried: dict[PathId, set[int]] = {}

    def send(self, *flow_numbers: int, count: int = 1) -> None:
        for flow in flow_numbers:
            self.scheduler.push(PREFIX, packets(flow, count), at(self.now))

    def allocate(self, *views: CarrierView) -> dict[PathId, set[int]]:
        allocated = self.scheduler.allocate(views, at(self.now))
        self.carried = {path_id: set(flows(items)) for path_id, items in allocated.items()}
        return self.carried

    def run(self, seconds: float, loads: dict[int, int], *views: CarrierView) -> None:
        """Let flows send so many packets every 10 ms."""
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            for flow, count in loads.items():
                self.send(flow, count=count)
            self.allocate(*views)

    def path_of(self, flow: int, *views: CarrierView) -> PathId:
        """Say where a flow is sent that has something to send."""
        self.send(flow)
        carried = self.allocate(*views)
        (path_id,) = [path_id for path_id, numbers in carried.items() if flow in numbers]
        return path_id


def test_the_first_flow_goes_to_the_path_with_the_largest_rate() -> None:
    scene = Scene()
    assert scene.path_of(1, view(A, rate=1e6), view(B, rate=2e6)) == B


def test_without_rates_the_fastest_path_is_the_best() -> None:
    scene = Scene()
    assert scene.path_of(1, view(A, rate=0, rtt=0.05), view(B, rate=0, rtt=0.02)) == B
    assert Scene().path_of(1, view(A), view(B, rtt=0.02)) == B


def test_flows_are_shared_out_by_rate() -> None:
    scene = Scene()
    views = [view(A, rate=8e6), view(B, rate=3e6)]
    scene.send(*range(11))
    scene.allocate(*views)
    assert scene.scheduler.flows_by_path() == {A: 8, B: 3}


def test_where_the_near_path_has_room_nothing_begins_far_away_in_mere_hope() -> None:
    scene = Scene()
    scene.send(*range(8))
    scene.allocate(view(A, rate=30e6, rtt=0.010, budget=300 * WHOLE), view(B, rate=2e5, rtt=0.080))
    assert scene.scheduler.flows_by_path() == {A: 8, B: 0}


def test_a_flow_that_was_silent_is_placed_anew() -> None:
    scene = Scene()
    assert scene.path_of(1, view(A, rate=2e6), view(B)) == A
    scene.now = 0.9
    assert scene.path_of(1, view(A), view(B, rate=2e6)) == A
    scene.now = 2.0
    assert scene.path_of(1, view(A), view(B, rate=2e6)) == B
    assert scene.scheduler.flows_by_path() == {A: 0, B: 1}


def test_silent_flows_do_not_count() -> None:
    scene = Scene()
    views = [view(A, rate=2e6), view(B)]
    scene.send(*range(20))
    scene.allocate(*views)
    scene.now = 3.0
    scene.path_of(50, *views)
    assert scene.scheduler.flows_by_path() == {A: 1, B: 0}


def test_flows_leave_a_suspect_path_at_once_and_stay_away_when_it_is_back() -> None:
    scene = Scene()
    views = [view(A), view(B)]
    scene.send(1, 2, 3, 4)
    scene.allocate(*views)
    scene.send(1, 2, 3, 4)
    assert scene.allocate(suspect(views[0]), views[1]) == {B: {1, 2, 3, 4}}
    scene.now = 0.1
    scene.send(1, 2, 3, 4)
    assert scene.allocate(*views) == {B: {1, 2, 3, 4}}
    # New ones make the first use of it.
    assert scene.path_of(5, *views) == A


def test_a_flow_moves_off_a_path_whose_packets_are_too_small_for_it() -> None:
    scene = Scene()
    small, large = view(A, rate=9e6, capacity=CAPACITY - 100), view(B)
    scene.scheduler.push(PREFIX, packets(1, 1, size=100), at(0))
    assert scene.allocate(small, large) == {A: {1}}
    scene.scheduler.push(PREFIX, packets(1, 2, size=100) + packets(1, 2), at(0))
    assert scene.allocate(small, large) == {A: {1}, B: {1}}
    scene.scheduler.push(PREFIX, packets(1, 1, size=100), at(0))
    assert scene.allocate(small, large) == {B: {1}}


def test_two_flows_move_off_a_path_whose_packets_are_too_small() -> None:
    scene = Scene()
    small, middle, large = (
        view(path_id, rate=10.0 ** (9 - path_id), capacity=CAPACITY - 200 + 100 * path_id)
        for path_id in (A, B, C)
    )
    for size in (100, FULL - 100, FULL):
        for flow in (1, 2):
            scene.scheduler.push(PREFIX, packets(flow, 1, size=size), at(0))
    carried = scene.allocate(small, middle, large)
    assert carried == {A: {1, 2}, B: {1, 2}, C: {1, 2}}
    assert len(scene.scheduler) == 0


def test_what_fits_no_path_is_dropped() -> None:
    scene = Scene()
    scene.scheduler.push(PREFIX, packets(1, 1, size=FULL + 1), at(0))
    assert scene.allocate(view(A), view(B)) == {}
    assert scene.scheduler.too_big_count == 1


def test_a_path_that_becomes_secondary_is_cleared_at_once() -> None:
    scene = Scene()
    scene.send(1, 2, 3, 4)
    scene.allocate(view(A), view(B))
    scene.send(1, 2, 3, 4)
    assert scene.allocate(view(A), view(B, use=PathUse.SECONDARY)) == {A: {1, 2, 3, 4}}


def test_a_secondary_path_gets_new_flows_when_the_primary_is_full() -> None:
    scene = Scene()
    primary, secondary = view(A, budget=2 * WHOLE), view(B, use=PathUse.SECONDARY)
    assert scene.path_of(1, primary, secondary) == A
    scene.send(1, count=200)
    scene.allocate(primary, secondary)
    assert scene.path_of(2, primary, secondary) == B


def test_flows_return_from_a_secondary_path_when_the_primary_has_room() -> None:
    scene = Scene()
    secondary = view(B, use=PathUse.SECONDARY)
    scene.send(1, count=200)
    scene.allocate(view(A, budget=0), secondary)
    assert scene.path_of(2, view(A, budget=0), secondary) == B
    scene.run(0.8 * REVIEW_SECONDS, {2: 1}, view(A), secondary)
    assert scene.path_of(2, view(A), secondary) == B
    scene.run(3 * REVIEW_SECONDS, {2: 1}, view(A), secondary)
    assert scene.path_of(2, view(A), secondary) == A


def test_between_full_paths_of_different_use_nothing_moves() -> None:
    scene = Scene()
    primary = view(A, budget=1 * WHOLE)
    secondary = view(B, use=PathUse.SECONDARY, budget=4 * WHOLE)
    loads = dict.fromkeys(range(4), 2)
    scene.run(2.0, loads, primary)
    scene.run(5.0, loads | {9: 8}, primary, secondary)
    assert scene.scheduler.flows_by_path() == {A: 4, B: 1}


def test_one_flow_at_a_time_moves_from_a_full_path_to_one_that_has_room() -> None:
    scene = Scene()
    # A sends two packets in 10 ms.
    alone, both = [view(A, budget=2 * WHOLE)], [view(A, budget=2 * WHOLE), view(B)]
    scene.run(1.0, dict.fromkeys(range(6), 1), *alone)
    assert scene.scheduler.flows_by_path() == {A: 6}
    counts = []
    for _ in range(4):
        scene.run(REVIEW_SECONDS, dict.fromkeys(range(6), 1), *both)
        counts.append(scene.scheduler.flows_by_path()[B])
    assert counts[0] <= 1
    assert all(after - before in {0, 1} for before, after in pairwise(counts))
    assert counts[-1] >= 2


def test_a_flow_that_was_moved_rests() -> None:
    scene = Scene()
    narrow, wide = 1 * WHOLE, 9 * WHOLE
    # Whichever path has the flows is the narrow one: a nervous scheduler would move them for ever.
    moves: dict[int, list[float]] = {}
    previous: dict[int, PathId] = {}
    for _ in range(1200):
        scene.now += 0.01
        counts = scene.scheduler.flows_by_path()
        a_has_more = counts.get(A, 0) > counts.get(B, 0)
        views = [
            view(A, budget=narrow if a_has_more else wide),
            view(B, budget=wide if a_has_more else narrow),
        ]
        scene.send(1, 2, 3, 4)
        for path_id, numbers in scene.allocate(*views).items():
            for flow in numbers:
                if previous.get(flow, path_id) != path_id:
                    moves.setdefault(flow, []).append(scene.now)
                previous[flow] = path_id
    assert moves
    times = sorted(time for each in moves.values() for time in each)
    assert all(b - a >= 0.9 * REVIEW_SECONDS for a, b in pairwise(times))
    for each in moves.values():
        # When it shows that a flow moved is when its first packet leaves.
        assert all(b - a >= 0.9 * REST_SECONDS for a, b in pairwise(each))


def test_the_only_flow_stays_on_a_full_path_if_the_other_is_not_known_to_be_better() -> None:
    scene = Scene()
    views = [view(A, budget=2 * WHOLE, rate=3e6), view(B, rate=1e6)]
    scene.run(5.0, {1: 3}, *views)
    assert scene.scheduler.flows_by_path() == {A: 1, B: 0}


def bypassed(scene: Scene, mbyte: dict[int, int], *views: CarrierView) -> dict[PathId, int]:
    """Let flows send so much a second for three, past the scheduler; say how many are where."""
    paths = {flow: scene.path_of(flow, *views) for flow in mbyte}
    for _ in range(300):
        scene.now += 0.01
        for flow, path_id in tuple(paths.items()):
            sent_bytes = mbyte[flow] * 10_000
            if not scene.scheduler.note_bypassed(flow, path_id, sent_bytes, at(scene.now)):
                paths[flow] = scene.path_of(flow, *views)
        scene.scheduler.review(views, at(scene.now))
    return scene.scheduler.flows_by_path()


@pytest.mark.parametrize(
    ("mbyte", "rates", "carried"),
    [
        pytest.param(50, (1e9, 1e9), {A: 4, B: 0}, id="ample"),
        pytest.param(20, (1e9, 1e9), {A: 2, B: 2}, id="little work"),
        pytest.param(50, (3.9e8, 3.9e8), {A: 2, B: 2}, id="perhaps no room for all"),
    ],
)
def test_flows_that_keep_the_machine_busy_are_put_together_where_there_is_plenty_of_room(
    mbyte: int, rates: tuple[float, float], carried: dict[PathId, int]
) -> None:
    views = [view(path_id, rate=rate) for path_id, rate in zip((A, B), rates, strict=True)]
    loads = {1: mbyte + 1, 2: mbyte, 3: mbyte + 1, 4: mbyte}
    scene = Scene()
    for flow in loads:
        scene.path_of(flow, *views)
    assert scene.scheduler.flows_by_path() == {A: 2, B: 2}
    assert bypassed(scene, loads, *views) == carried
    # What begins now goes where the others are, or is shared out again.
    scene.send(*range(5, 9))
    scene.allocate(*views)
    assert scene.scheduler.flows_by_path() == {path: 2 * count for path, count in carried.items()}


def test_flows_are_not_put_together_where_a_path_was_full_or_round_trips_are_long() -> None:
    near, far = view(A, rate=1e9, rtt=0.01), view(B, rate=1e9, rtt=0.05)
    scene = Scene()
    loads = {1: 50, 2: 90}
    assert {scene.path_of(flow, near, far) for flow in loads} == {A, B}
    assert bypassed(scene, loads, near, far) == {A: 1, B: 1}


def test_a_flow_does_not_move_to_where_its_packets_do_not_fit() -> None:
    scene = Scene()
    views = [view(A, budget=2 * WHOLE, rate=3e6), view(B, capacity=CAPACITY - 1)]
    scene.run(3.0, {1: 3, 2: 3}, *views)
    assert scene.scheduler.flows_by_path() == {A: 2, B: 0}


def test_flows_of_full_paths_get_similar_shares() -> None:
    scene = Scene()
    loads = dict.fromkeys(range(8), 2)
    scene.run(0.1, loads, view(A, budget=2 * WHOLE))
    views = [view(A, budget=2 * WHOLE), view(B, budget=4 * WHOLE, rate=5e5)]
    scene.run(8.0, loads, *views)
    counts = scene.scheduler.flows_by_path()
    assert counts[B] in {4, 5, 6}


def test_a_third_path_is_forgotten_with_its_flows() -> None:
    scene = Scene()
    views = [view(A), view(B), view(C)]
    scene.send(*range(6))
    scene.allocate(*views)
    assert scene.scheduler.flows_by_path() == {A: 2, B: 2, C: 2}
    scene.send(*range(6))
    scene.scheduler.forget_path(C)
    assert scene.scheduler.flows_by_path() == {A: 2, B: 2}
    assert scene.allocate(*views[:2]).keys() == {A, B}
    assert scene.scheduler.flows_by_path() == {A: 3, B: 3}


def test_an_idle_path_that_seems_farther_is_tried_for_a_flow_that_stands_in_a_queue() -> None:
    for count, tried in ((2, B), (1, None)):  # so little is no download: nothing is gained
        scene = Scene()
        queued = replace(view(A, rate=30e6, rtt=0.020, budget=300 * WHOLE), shortest_rtt=0.003)
        # Of few samples, taken while the machine was busy.
        idle = replace(view(B, rate=7e5, rtt=0.018), shortest_rtt=0.009)
        scene.run(1, {1: count}, queued)
        scene.run(SETTLING_SECONDS + 2 * REVIEW_SECONDS, {1: count}, queued, idle)
        assert scene.scheduler.tried_path == tried
        scene.scheduler.forget_path(B)
        assert scene.scheduler.tried_path is None


def test_nothing_is_tried_for_a_flow_that_gets_more_than_a_trial_can_show() -> None:
    for rate, tried in ((0.5 * LARGEST_RATE, B), (LARGEST_RATE, None)):
        scene = Scene()
        count = round(0.8 * rate / 250 / WHOLE)
        queued = replace(view(A, rate=rate, budget=2 * count * WHOLE), shortest_rtt=0.003)
        idle = replace(view(B, rate=7e5, rtt=0.018), shortest_rtt=0.009)
        for number in range(500):
            scene.now += 1 / 250
            scene.send(1, count=count)
            scene.allocate(queued, *([idle] if number > 125 else ()))
        assert scene.scheduler.tried_path == tried


def test_what_a_path_carried_while_it_died_says_nothing_when_it_is_back() -> None:
    scene = Scene()
    loads = {1: 3, 2: 3}
    scene.run(2.0, loads, view(A, rate=3e6, budget=1 * WHOLE))
    healthy, other = view(A, rate=3e6), view(B, rate=1e6)
    scene.run(0.1, loads, suspect(healthy), other)
    assert scene.path_of(9, healthy, other) == A
