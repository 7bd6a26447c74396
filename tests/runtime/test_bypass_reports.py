"""What becomes of the report of a bypass at the start of a round."""

import errno
from collections.abc import Iterator

import pytest

from mqvpn_core.dataplane.bypass import SentByBypass
from mqvpn_core.ids import PathId
from tests.runtime.bypass_desk_scene import ONE, PEER_KEY, DeskScene, desk_scene, happened
from tests.runtime.scripted_bypass import PREFIX, taken

ZERO = PathId(0)


@pytest.fixture
def scene() -> Iterator[DeskScene]:
    with desk_scene() as made:
        yield made


def test_what_can_wait_is_no_load(scene: DeskScene) -> None:
    scene.round()
    (key,) = scene.bypass.sockets
    arrivals = [(key, (PEER_KEY, b"acknowledged", 6, 0), 0.0), taken(count=20)]
    returned = scene.round(happened(arrivals=arrivals, packets=[b"1", b"2"], urgent=1))
    assert returned is not None
    assert (returned.packet_count, returned.bypassed_count) == (3, 20)


def test_what_is_handed_up_is_what_the_socket_would_have_given(scene: DeskScene) -> None:
    scene.round()
    (key,) = scene.bypass.sockets
    stranger = (b"\x7f\x00\x00\x01", 999, 0, b"")
    told = happened(
        arrivals=[
            (key, (PEER_KEY, b"0123456789", 4, 0), 0.5),
            (key, (stranger, b"x", 1, 2), 0.25),
        ],
        counts=[(key, 9, 900, 7, 700, 1, [errno.ECONNREFUSED])],
        packets=[b"one", b"two"],
        refused=3,
        urgent=4,
    )
    returned = scene.round(told)
    assert returned is not None
    (first, first_at), (second, second_at) = returned.datagrams
    assert first == (scene.four_tuple, b"0123456789", 4, 0)
    assert second.four_tuple.remote.port == 999
    assert second[1:] == (b"x", 1, 2)
    # They came before they are told of.
    assert second_at - first_at == pytest.approx(0.25)
    assert returned.packets == [b"one", b"two"]
    assert returned.refused_count == 3
    assert returned.has_received
    assert returned.touched == set()
    assert returned.packet_count == 4 + 2
    assert returned.bypassed_count == 0
    counters = scene.socket.counters
    assert (counters.received_count, counters.received_bytes) == (9, 900)
    assert (counters.sent_count, counters.sent_bytes) == (7, 700)
    assert counters.unusable_count == 1
    assert counters.receive_errors == {errno.ECONNREFUSED: 1}


def test_what_a_socket_did_not_take_is_to_be_sent(scene: DeskScene) -> None:
    scene.round()
    returned = scene.round(happened(unsent=[(scene.lane, b"sealed sealed", 7)]))
    assert returned is not None
    (transmit,) = returned.transmits
    assert (transmit.four_tuple, transmit.data) == (scene.four_tuple, b"sealed sealed")
    assert (transmit.segment_size, transmit.ecn) == (7, 0)


def test_what_went_past_is_entered_where_it_belongs(scene: DeskScene) -> None:
    flow = scene.approve()
    lane = scene.lanes.ways_out[0]
    told = happened(
        sent=[(scene.lane, 100, [(1300, 2, 2500)], [(flow, 2, 2400)], [b"a", b"b"], 0.001)],
        arrivals=[taken()],
    )
    returned = scene.round(told)
    assert returned is not None
    assert scene.lanes.notes == [
        ("sent", lane, 100, [(1300, 2, 2500)], (PREFIX, [b"a", b"b"])),
        ("flow", 5, ZERO, 2400),
        ("received", scene.lanes.ways_in[0], 18, 3, 300),
    ]
    assert returned.touched == {ONE}
    assert returned.bypassed_count == 5
    assert returned.has_received
    counters = scene.tunnel._forwarder.counters
    assert (counters.sent_packet_count, counters.sent_bytes) == (2, 2400)
    assert (counters.received_packet_count, counters.received_bytes) == (3, 180)
    assert scene.lanes.review_count == 1


def test_what_left_on_a_lane_is_entered_at_once(scene: DeskScene) -> None:
    flow = scene.approve()
    parts = [
        SentByBypass(scene.lane, 100, [(50, 2, 100)], [(flow, 2, 80)], [], 0.007),
        SentByBypass(scene.lane, 102, [(50, 1, 50)], [(flow, 1, 40)], [], 0.001),
    ]
    scene.round(happened(sent=parts))
    flows = [note for note in scene.lanes.notes if note[0] == "flow"]
    assert flows == [("flow", 5, ZERO, 120)]
    assert [note[2] for note in scene.lanes.notes if note[0] == "sent"] == [100, 102]
    assert scene.tunnel._forwarder.counters.sent_packet_count == 3


def test_a_connection_that_is_gone_by_then_is_told_all_the_same(scene: DeskScene) -> None:
    """It ends between a release and the report: nothing may go wrong."""
    flow = scene.approve()
    del scene.subjects[ONE]
    told = happened(
        sent=[(scene.lane, 100, [(1300, 1, 1300)], [(flow, 1, 1200)], [], 0.0)],
        arrivals=[taken()],
    )
    returned = scene.round(told)
    assert returned is not None
    assert returned.touched == {ONE}
    assert scene.bypass.inbound == {}


def test_nothing_is_nothing(scene: DeskScene) -> None:
    assert scene.desk.hold() is None
    assert scene.bypass.hold_count == 0, "it was not released"
    assert scene.round() is None
    assert scene.round() is None
    assert scene.bypass.hold_count == 1


def test_a_device_that_cannot_be_read_ends_everything(scene: DeskScene) -> None:
    scene.approve()
    returned = scene.round(happened(error=errno.EBADFD))
    assert returned is not None
    assert "has been removed" in str(returned.failure)
