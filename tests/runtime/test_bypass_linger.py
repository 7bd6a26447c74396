"""How long what went past waits until it is entered in the books."""

from collections.abc import Iterator

import pytest

from mqvpn_core.dataplane.bypass import SentByBypass
from mqvpn_core.runtime.bypass_linger import BypassLinger
from tests.runtime.bypass_desk_scene import NOW, DeskScene, desk_scene, happened
from tests.runtime.scripted_bypass import taken


@pytest.fixture
def scene() -> Iterator[DeskScene]:
    with desk_scene() as made:
        yield made


@pytest.mark.parametrize(
    ("packet_count", "seconds"),
    [(1, 0.002), (127, 0.002), (128, 0.01), (1023, 0.01), (1024, 0.02), (5000, 0.02)],
)
def test_the_more_goes_past_the_longer_it_waits_to_be_entered(
    scene: DeskScene, packet_count: int, seconds: float
) -> None:
    scene.round()
    scene.round(happened(arrivals=[taken(count=packet_count)]))
    assert scene.bypass.lingers == [0.002, seconds]


@pytest.mark.parametrize(
    ("left_bytes", "seconds"), [(5000, 0.02), (10_000, 0.01), (20_000, 0.005), (100_000, 0.002)]
)
def test_where_the_credit_of_a_lane_is_short_nothing_waits_for_long(
    scene: DeskScene, left_bytes: int, seconds: float
) -> None:
    scene.round()
    report = SentByBypass(scene.lane, 100, [(50, 2000, left_bytes)], [(0, 2000, 50)], [], 0.0)
    scene.round_at(NOW + 0.01, happened(sent=[report]))
    assert scene.bypass.lingers[-1] == pytest.approx(seconds)
    # What left before does not count any more.
    scene.round_at(NOW + 0.02, happened(arrivals=[taken(count=2000)]))
    assert scene.bypass.lingers[-1] == 0.02


def test_nothing_waits_for_long_behind_a_lane_that_ends(scene: DeskScene) -> None:
    scene.round()
    report = SentByBypass(scene.lane, 100, [(50, 2000, 100)], [(0, 2000, 50)], [], 0.0)
    scene.lanes.ways_out = []
    scene.round_at(NOW + 0.01, happened(sent=[report]))
    assert scene.bypass.lingers[-1] == 0.002


@pytest.mark.parametrize(
    ("connections", "packet_count", "seconds"),
    [
        (1, 5, 0.002),
        (4, 20, 0.002),
        (6, 30, 0.003),
        (12, 200, 0.01),
        (40, 400, 0.02),
        (90, 900, 0.02),
    ],
)
def test_the_more_connections_there_are_the_longer_it_waits(
    connections: int, packet_count: int, seconds: float
) -> None:
    linger = BypassLinger()
    linger.on_held()
    linger.on_passed(packet_count, connections)
    assert linger.seconds(lambda _: 0, NOW) == pytest.approx(seconds)
