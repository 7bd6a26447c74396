"""What flows do when a path appears, or comes back, while they are on another one."""

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
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import DatagramScheduler
from tests.unit.quic.scheduler_samples import (
    PREFIX,
    WHOLE,
    A,
    B,
    at,
    flows,
    packets,
    scheduler_of,
    suspect,
    view,
)

IN_USE_WITHIN = 2.0
WLAN = view(A, rate=30e6, rtt=0.010, budget=300 * WHOLE)
"""Never full; its rate is what a large window makes of a short round trip."""
LTE = view(B, rate=175e3, rtt=0.080)
"""New: its rate is what the initial window makes of its round trip."""
VOICE = 100
"""Number of the first flow that wants little."""


class Scene:
    """Flows that send a packet every 10 ms, a full one or (as voice) a small one."""

    def __init__(self) -> None:
        self.scheduler: DatagramScheduler = scheduler_of(max_bytes=10**7, max_age=10.0)
        self.now = 0.0
        self.path_of: dict[int, PathId] = {}
        self.moves: list[tuple[float, int]] = []

    def run(self, seconds: float, numbers: range, *views: CarrierView, count: int = 1) -> None:
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            for flow in numbers:
                size = 60 if flow >= VOICE else 1100
                self.scheduler.push(PREFIX, packets(flow, count, size=size), at(self.now))
            for path_id, items in self.scheduler.allocate(views, at(self.now)).items():
                for flow in set(flows(items)):
                    if self.path_of.get(flow, path_id) != path_id:
                        self.moves.append((self.now, flow))
                    self.path_of[flow] = path_id

    def flows_on(self, path_id: PathId) -> int:
        return sum(path == path_id for path in self.path_of.values())


def test_new_flows_use_a_path_of_which_nothing_is_known() -> None:
    scene = Scene()
    scene.run(3, range(8), WLAN)
    scene.run(0.02, range(9), WLAN, LTE)
    assert scene.path_of[8] == B


def test_one_of_many_flows_finds_out_what_a_new_path_carries() -> None:
    scene = Scene()
    scene.run(3, range(8), WLAN)
    scene.run(IN_USE_WITHIN, range(8), WLAN, LTE)
    assert scene.flows_on(B) == 1
    scene.run(30, range(8), WLAN, LTE)
    assert len(scene.moves) == 1


def test_few_flows_stay_where_they_have_the_short_round_trip() -> None:
    scene = Scene()
    scene.run(3, range(3), WLAN)
    scene.run(20, range(4), WLAN, LTE)
    assert scene.flows_on(B) == 0
    assert not scene.moves


def test_the_only_flow_returns_to_the_fast_path_once() -> None:
    scene = Scene()
    scene.run(3, range(1), LTE)
    scene.run(IN_USE_WITHIN, range(1), WLAN, LTE)
    assert scene.path_of[0] == A
    scene.run(20, range(1), WLAN, LTE)
    assert len(scene.moves) == 1


def test_nothing_moves_to_a_path_that_has_just_come_back() -> None:
    scene = Scene()
    scene.run(3, range(1), LTE)
    for _ in range(8):
        scene.run(0.9 * SETTLING_SECONDS, range(1), WLAN, LTE)
        scene.run(0.2, range(1), suspect(WLAN), LTE)
    assert not scene.moves


def test_the_only_flow_comes_back_from_a_fast_path_that_carries_little_and_stays() -> None:
    scene = Scene()
    thin = view(A, rate=1e6, rtt=0.010, budget=1 * WHOLE)
    enough = view(B, rate=2e6, rtt=0.080, budget=3 * WHOLE)
    for _ in range(2000):
        scene.now += 0.01
        # Three packets in 10 ms: more than the fast path carries.
        scene.scheduler.push(PREFIX, packets(0, 3), at(scene.now))
        views = [enough] if scene.now < 3 else [thin, enough]
        for path_id in scene.scheduler.allocate(views, at(scene.now)):
            if scene.path_of.get(0, path_id) != path_id:
                scene.moves.append((scene.now, 0))
            scene.path_of[0] = path_id
    assert scene.path_of[0] == B
    # There and back, and that was it for the time being.
    assert len(scene.moves) <= 2
    assert all(b - a >= 0.9 * REST_SECONDS for (a, _), (b, _) in pairwise(scene.moves))


@pytest.mark.parametrize(("shown", "returns"), [(4, False), (5, True)])
def test_where_round_trips_are_long_there_must_be_half_as_much_again_to_gain(
    *, shown: int, returns: bool
) -> None:
    scene = Scene()
    far = view(B, rate=2e6, rtt=0.080, budget=6 * WHOLE)
    near = view(A, rate=1e6, rtt=0.010, budget=3 * WHOLE)
    scene.run(3, range(1), far, count=shown)
    scene.run(IN_USE_WITHIN, range(1), near, far, count=2)
    assert scene.path_of[0] == A
    scene.run(3 * REST_SECONDS, range(1), near, far, count=shown)
    assert scene.path_of[0] == (B if returns else A)


def test_voice_returns_to_the_fast_path_and_is_not_moved_again() -> None:
    scene = Scene()
    voice = range(VOICE, VOICE + 5)
    scene.run(3, voice, LTE)
    scene.run(IN_USE_WITHIN, voice, WLAN, LTE)
    assert scene.flows_on(A) == 5
    scene.run(20, voice, WLAN, LTE)
    assert len(scene.moves) == 5


def test_flows_that_wanted_little_when_they_were_moved_may_soon_leave_again() -> None:
    scene = Scene()
    calls = range(VOICE, VOICE + 2)
    scene.run(3, calls, LTE)
    scene.run(SETTLING_SECONDS + 2 * REVIEW_SECONDS, calls, WLAN, LTE)
    assert scene.flows_on(A) == 2
    full = replace(WLAN, send_budget=4 * WHOLE)
    scene.run(REST_SECONDS / 2, calls, full, LTE, count=40)
    assert scene.flows_on(B) > 0


def test_voice_does_not_move_for_a_difference_that_nobody_notices() -> None:
    scene = Scene()
    scene.run(3, range(VOICE, VOICE + 5), view(B, rtt=0.030))
    scene.run(5, range(VOICE, VOICE + 5), view(A, rtt=0.025), view(B, rtt=0.030))
    assert not scene.moves


def test_voice_does_not_move_to_a_secondary_path_however_fast() -> None:
    scene = Scene()
    secondary = view(A, rtt=0.005, use=PathUse.SECONDARY)
    scene.run(5, range(VOICE, VOICE + 5), view(B), secondary)
    assert scene.flows_on(A) == 0


def test_voice_stays_away_from_a_fast_path_that_is_full() -> None:
    scene = Scene()
    voice = range(VOICE, VOICE + 5)
    full = view(A, rate=3e6, rtt=0.010, budget=2 * WHOLE)
    scene.run(3, voice, LTE)
    for _ in range(500):
        scene.scheduler.push(PREFIX, packets(0, 5), at(scene.now + 0.01))
        scene.run(0.01, voice, full, LTE)
    assert scene.path_of[0] == A
    assert scene.flows_on(B) == 5


def test_a_new_flow_does_not_keep_away_from_voice_that_has_just_returned() -> None:
    scene = Scene()
    voice = range(VOICE, VOICE + 5)
    near, far = view(A, rate=1e6, rtt=0.010), view(B, rate=5e5, rtt=0.080)
    scene.run(3, voice, far)
    while scene.flows_on(A) < 5:
        scene.run(0.01, voice, near, far)
        assert scene.now < 3 + IN_USE_WITHIN
    scene.run(0.01, range(1), near, far)
    assert scene.path_of[0] == A


def test_voice_comes_back_from_a_secondary_path_one_by_one() -> None:
    scene = Scene()
    voice = range(VOICE, VOICE + 4)
    secondary = replace(LTE, use=PathUse.SECONDARY)
    full = view(A, rate=3e6, rtt=0.010, budget=1 * WHOLE)
    scene.run(2, range(1), full, secondary, count=3)
    scene.run(0.1, voice, full, secondary)
    assert scene.flows_on(B) >= 3
    scene.run(10, voice, WLAN, secondary)
    assert scene.flows_on(B) == 0
    times = [time for time, flow in scene.moves if flow in voice]
    assert all(b - a >= 0.9 * REVIEW_SECONDS for a, b in pairwise(times))


def test_a_flow_in_a_queue_leaves_for_a_path_that_has_shown_to_carry_more() -> None:
    scene = Scene()
    idle = view(B, rate=3e6, rtt=0.010, budget=20 * WHOLE)
    queued = replace(view(A, rate=30e6, rtt=0.030, budget=300 * WHOLE), shortest_rtt=0.010)
    scene.run(2, range(1), idle, count=10)
    scene.run(2, range(1), queued, suspect(idle), count=3)
    assert scene.path_of[0] == A
    scene.run(REST_SECONDS, range(1), queued, idle, count=3)
    assert scene.path_of[0] == B
