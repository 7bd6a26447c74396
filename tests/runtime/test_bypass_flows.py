"""Which flows the desk lets on a lane, and when they have to prove themselves again."""

from collections.abc import Iterator

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.runtime.bypass_desk import MAX_FLOWS, MAX_OFFERS
from tests.runtime.bypass_desk_scene import NOW, ONE, DeskScene, desk_scene, happened
from tests.runtime.scripted_bypass import way_out

ZERO = PathId(0)


@pytest.fixture
def scene() -> Iterator[DeskScene]:
    with desk_scene() as made:
        yield made


def test_a_flow_is_approved_only_where_the_connection_says(scene: DeskScene) -> None:
    scene.round()
    scene.desk.offer(ONE, [b"unknown"])
    scene.round()
    (out,) = scene.bypass.outbound.values()
    assert out.approved == {}
    scene.lanes.places[b"elsewhere"] = 6, PathId(3)
    scene.desk.offer(ONE, [b"elsewhere"])
    scene.round()
    assert out.approved == {}
    first = scene.approve(b"packet", 5)
    assert scene.approve(b"packet", 5) == first, "it is known already"
    assert scene.approve(b"other", 8) != first


def test_a_round_lets_so_many_flows_pass_and_no_more(scene: DeskScene) -> None:
    packets = [b"%d" % number for number in range(MAX_OFFERS + 3)]
    for number, packet in enumerate(packets):
        scene.lanes.places[packet] = number, ZERO
    scene.desk.offer(ONE, packets[:3])
    scene.desk.offer(ONE, packets[3:])
    scene.round()
    (out,) = scene.bypass.outbound.values()
    assert set(out.approved) == set(packets[:MAX_OFFERS])


def test_a_flow_that_has_moved_takes_the_ordinary_way_again(scene: DeskScene) -> None:
    """And with it the others of the lane, which prove themselves by the next packet."""
    first, second = scene.approve(b"first", 5), scene.approve(b"second", 6)
    scene.lanes.moved = {5}
    shares = [(first, 1, 100), (second, 1, 100)]
    scene.round(happened(sent=[(scene.lane, 100, [(200, 2, 400)], shares, [], 0.0)]))
    (out,) = scene.bypass.outbound.values()
    assert out.approved == {}
    assert not scene.desk.device_is_armed
    assert [note[1] for note in scene.lanes.notes if note[0] == "flow"] == [5]
    scene.lanes.moved = set()
    assert scene.approve(b"second", 6) not in {first, second}
    counters = scene.tunnel._forwarder.counters
    assert counters.sent_packet_count == 2


def test_a_flow_that_goes_by_another_path_leaves_the_lane_of_the_first(scene: DeskScene) -> None:
    scene.lanes.ways_out = [way_out(scene.four_tuple), way_out(scene.four_tuple, 1)]
    scene.approve(b"packet", 5)
    scene.approve(b"packet", 5, path_id=1)
    by_path = {it.path_id: it.approved for it in scene.bypass.outbound.values()}
    assert by_path[0] == {}
    assert list(by_path[1]) == [b"packet"]


def test_a_flow_that_comes_back_to_a_path_is_on_its_lane_again(scene: DeskScene) -> None:
    """And what is said of it later is about the flow that it is now."""
    scene.lanes.ways_out = [way_out(scene.four_tuple), way_out(scene.four_tuple, 1)]
    scene.approve(b"packet", 5)
    scene.approve(b"packet", 5, path_id=1)
    flow = scene.approve(b"packet", 5)
    by_path = {it.path_id: it for it in scene.bypass.outbound.values()}
    assert by_path[1].approved == {}
    (lane,) = [number for number, it in scene.bypass.outbound.items() if it.path_id == 0]
    scene.round(happened(sent=[(lane, 100, [(200, 1, 200)], [(flow, 1, 100)], [], 0.0)]))
    assert [note[1:3] for note in scene.lanes.notes if note[0] == "flow"] == [(5, 0)]
    assert by_path[0].approved == {b"packet": flow}


def test_for_what_no_lane_takes_the_device_is_not_read(scene: DeskScene) -> None:
    """Such as packets that the rules drop, or that have no ports where there should be some."""
    scene.bypass.unfit = {b"packet"}
    scene.lanes.places[b"packet"] = 5, ZERO
    scene.desk.offer(ONE, [b"packet"])
    scene.round()
    assert not scene.desk.device_is_armed
    scene.bypass.unfit = set()
    scene.approve(b"packet", 5)
    assert scene.desk.device_is_armed


def test_a_flow_that_comes_our_way_although_it_is_approved_is_approved_again(
    scene: DeskScene,
) -> None:
    """Whatever the bypass has forgotten by itself: flows that do not fit, a socket that went."""
    flow = scene.approve(b"packet", 5)
    (out,) = scene.bypass.outbound.values()
    out.approved.clear()
    assert scene.approve(b"packet", 5) == flow


def test_flows_beyond_the_limit_make_room_by_forgetting_all(scene: DeskScene) -> None:
    packets = [b"%d" % number for number in range(MAX_FLOWS + 1)]
    for number, packet in enumerate(packets):
        scene.lanes.places[packet] = number, ZERO
    scene.round()
    for start in range(0, len(packets), MAX_OFFERS):
        scene.desk.hold()
        scene.desk.offer(ONE, packets[start : start + MAX_OFFERS])
        scene.desk.release((ONE,), NOW)
    (out,) = scene.bypass.outbound.values()
    assert list(out.approved) == packets[-1:]
