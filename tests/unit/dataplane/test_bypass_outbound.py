"""Packets of the device leave by lanes as far as there is room; the rest comes up."""

import select
from collections.abc import Iterator

import pytest

from tests.differential.test_frames import packets_of
from tests.unit.dataplane.bypass_rig import (
    FLOW,
    FRONT,
    LANE,
    OVERHEAD,
    PATIENCE,
    SOCKET,
    Rig,
    ip,
)

# To be split into packets with 1372 bytes of UDP payload.
SEGMENTED = b"\1\5\x1c\0\x5c\5\x14\0\6\0"
OTHER_FLOW = ip(0, source="10.0.0.9")


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_packets_of_the_device_leave_by_their_lane(rig: Rig) -> None:
    rig.open_outbound(next_number=10, keeps=True)
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.bypass.approve(LANE, FLOW + 1, ip(0, port=6000))
    packets = [ip(0), ip(1), ip(2, port=6000), ip(3, size=60)]
    rig.emit(packets)
    happened = rig.round()
    ((lane, first, shapes, flows, payloads, age),) = happened.sent
    size = 100 + OVERHEAD
    assert (lane, first) == (LANE, 10)
    assert shapes == [(size, 4, 4 * size - 40)]
    assert flows == [(FLOW, 3, 260), (FLOW + 1, 1, 100)]
    assert [len(parcel) for parcel in list(payloads)[:1]] == [2], "what is alike is one train"
    assert packets_of(list(payloads)) == packets
    assert 0 <= age < PATIENCE
    assert happened.counts == [(SOCKET, 0, 0, 4, 4 * size - 40, 0, [])]
    expected = [(10 + index, FRONT + packet) for index, packet in enumerate(packets)]
    assert rig.opened_at_peer() == expected


def test_only_who_asks_gets_what_was_sent(rig: Rig) -> None:
    rig.open_outbound()
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.emit([ip(0)])
    payloads = rig.round().sent[0][4]
    assert (len(payloads), list(payloads)) == (0, [])


def test_of_a_load_some_megabytes_are_kept_and_of_each_lane_a_little(rig: Rig) -> None:
    for lane in (LANE, LANE + 1):
        rig.open_outbound(lane=lane, credit=1 << 24, max_packets=10_000, keeps=True)
        rig.bypass.approve(lane, FLOW + lane, ip(0, port=5000 + lane))
    rig.bypass.release(1)
    for lane, frame_count in ((LANE, 60), (LANE + 1, 25)):
        for _ in range(frame_count):
            assert select.select([], [rig.host], [], PATIENCE)[1]
            rig.host.send(SEGMENTED + ip(7, size=28 + 44 * 1372, port=5000 + lane))
    while select.select([rig.device], [], [], 0)[0]:
        assert select.select([], [rig.host], [], PATIENCE)[1]
    sent = rig.wait().sent
    assert sum(entry[3][0][1] for entry in sent) == 85 * 44
    kept = {LANE: 0, LANE + 1: 0}
    for lane, _, _, ((_, packet_count, _),), payloads, _ in sent:
        packets = packets_of(list(payloads))
        assert len(packets) in (0, packet_count)
        kept[lane] += sum(map(len, packets))
    run = 786_432 + 65_536
    assert 3 << 20 <= kept[LANE] <= (3 << 20) + run
    assert 256 << 10 <= kept[LANE + 1] <= (256 << 10) + run
    rig.open_outbound(next_number=60 * 44, keeps=True)
    rig.emit([ip(1, port=5000 + LANE)])
    assert list(rig.round().sent[0][4]) == [ip(1, port=5000 + LANE)]


def test_what_a_lane_sends_within_5_ms_is_one_entry_whatever_others_send(rig: Rig) -> None:
    """Several times, if need be: nobody can promise that two runs are so close to each other."""
    packets = [ip(0), ip(1, port=6000)]
    for attempt in range(50):
        for lane in (LANE, LANE + 1):
            rig.open_outbound(next_number=2 * attempt, lane=lane)
            rig.bypass.approve(lane, FLOW + lane, packets[lane - LANE])
        rig.bypass.release(0.01)
        for _ in range(2):
            rig.emit(packets)
            arrived = 0
            while arrived < len(packets):
                assert select.select([rig.peer], [], [], PATIENCE)[0]
                arrived += len(rig.at_peer())
        sent = rig.wait().sent
        assert sorted(entry[0] for entry in sent) == sorted([LANE, LANE + 1] * (len(sent) // 2))
        if len(sent) == 2:
            break
    else:
        raise AssertionError("each run is an entry of its own")
    assert [(entry[1], entry[3]) for entry in sent] == [
        (2 * attempt, [(FLOW + lane, 2, 200)]) for lane in (LANE, LANE + 1)
    ]


def test_numbers_go_on_from_run_to_run(rig: Rig) -> None:
    rig.open_outbound(next_number=5)
    rig.bypass.approve(LANE, FLOW, ip(0))
    firsts = []
    for index in range(3):
        rig.emit([ip(index), ip(index)])
        firsts += [entry[1] for entry in rig.round().sent]
    assert firsts == [5, 7, 9]
    assert [number for number, _ in rig.opened_at_peer()] == list(range(5, 11))


def test_super_packets_are_cut_where_the_room_ends(rig: Rig) -> None:
    size = 100 + OVERHEAD
    rig.open_outbound(credit=3 * size + size - 1, keeps=True)
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.host.send(b"\1\5\x1c\0\x48\0\x14\0\6\0" + ip(7, size=28 + 10 * 72))
    happened = rig.round()
    ((_, _, shapes, flows, payloads, _),) = happened.sent
    assert shapes == [(size, 3, 3 * size)]
    assert flows == [(FLOW, 3, 300)]
    assert (len(packets_of(list(payloads))), len(packets_of(happened.parcels))) == (3, 7)
    assert len(rig.at_peer()) == 3


@pytest.mark.parametrize(
    ("options", "sent_count"),
    [
        ({"credit": 3 * (100 + OVERHEAD)}, 3),
        ({"credit": 3 * (100 + OVERHEAD) - 1}, 2),
        ({"max_packets": 2}, 2),
        ({"max_packets": 0}, 0),
        ({"mtu": 99}, 0),
        ({"next_number": (1 << 62) - 1}, 1),
    ],
)
def test_what_has_no_room_comes_up_and_nothing_overtakes_it(
    rig: Rig, options: dict[str, int], sent_count: int
) -> None:
    rig.open_outbound(**options)  # type: ignore[arg-type]  # none of them is `keeps`
    rig.bypass.approve(LANE, FLOW, ip(0))
    packets = [ip(index) for index in range(5)]
    small = ip(9, size=40)
    rig.emit([*packets, small])
    assert packets_of(rig.round().parcels) == [*packets[sent_count:], small]
    assert len(rig.at_peer()) == sent_count
    # Until it is opened again, with the same approvals.
    rig.emit([small])
    assert rig.round().parcels == [small]
    rig.open_outbound(next_number=100)
    rig.emit([small])
    assert rig.round().sent[0][1] == 100


def test_what_a_lane_would_not_take_is_not_approved(rig: Rig) -> None:
    """Its packets come up without closing the lane, which the others still go by."""
    rig.open_outbound()
    assert rig.bypass.approve(LANE, FLOW, ip(0))
    assert not rig.bypass.approve(LANE, FLOW, OTHER_FLOW), "the rules have not let it pass"
    assert not rig.bypass.approve(LANE + 1, FLOW, ip(0)), "there is no such lane"
    exhausted = ip(0)[:8] + b"\0" + ip(0)[9:]
    for packet in (b"", b"\x46" + ip(0)[1:], ip(0)[:22], exhausted):
        assert not rig.bypass.approve(LANE, FLOW, packet)
    rig.emit([OTHER_FLOW, ip(1)])
    happened = rig.round()
    assert happened.parcels == [OTHER_FLOW]
    assert [entry[3] for entry in happened.sent] == [[(FLOW, 1, 100)]]


def test_what_nobody_approved_comes_up(rig: Rig) -> None:
    rig.open_outbound()
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.bypass.approve(LANE + 1, FLOW, ip(0, port=7000))
    fragment = ip(0)[:6] + b"\x20\0" + ip(0)[8:]
    others = [ip(0, port=6000), OTHER_FLOW, fragment, ip(0, port=7000), b"\x45", b"\xff" * 40]
    rig.emit([*others, ip(1)])
    happened = rig.round()
    assert happened.parcels == others
    assert [entry[3] for entry in happened.sent] == [[(FLOW, 1, 100)]]


def test_a_packet_longer_than_it_says_closes_its_lane(rig: Rig) -> None:
    rig.open_outbound()
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.emit([ip(0) + b"\0", ip(1)])
    assert rig.round().parcels == [ip(0) + b"\0", ip(1)]


def test_approvals_can_be_forgotten(rig: Rig) -> None:
    rig.open_outbound()
    rig.open_outbound(lane=4)
    rig.bypass.approve(LANE, FLOW, ip(0))
    rig.bypass.approve(4, FLOW, ip(0, port=6000))
    rig.bypass.forget_approvals(LANE)
    rig.emit([ip(0), ip(1, port=6000)])
    happened = rig.round()
    assert happened.parcels == [ip(0)]
    assert [entry[0] for entry in happened.sent] == [4]
    rig.bypass.close_outbound(4)
    rig.open_outbound(lane=4)
    rig.emit([ip(2, port=6000)])
    assert rig.round().parcels == [ip(2, port=6000)]


def test_approvals_are_bounded(rig: Rig) -> None:
    rig.open_outbound()
    for port in range(1, 4097):
        rig.bypass.approve(LANE, FLOW, ip(0, port=port))
    rig.emit([ip(0, port=1), ip(0, port=4096)])
    assert rig.round().parcels == []
    rig.bypass.approve(LANE, FLOW, ip(0, port=4097))
    rig.emit([ip(0, port=1), ip(0, port=4097)])
    happened = rig.round()
    assert happened.parcels == [ip(0, port=1)]
    assert [entry[3] for entry in happened.sent] == [[(FLOW, 1, 100)]]


def test_what_the_socket_does_not_take_comes_back_sealed(rig: Rig) -> None:
    # The second one is longer than any datagram.
    rig.open_outbound(mtu=70_000, keeps=True)
    rig.bypass.approve(LANE, FLOW, ip(0))
    packets = [ip(0), ip(1, size=65_490)]
    rig.emit(packets)
    happened = rig.round()
    ((lane, data, segment_size),) = happened.unsent
    assert (lane, segment_size) == (LANE, 65_490 + OVERHEAD)
    assert rig.open(data) == (1, FRONT + packets[1], False)
    assert [list(entry[4]) for entry in happened.sent] == [packets]
    assert rig.opened_at_peer() == [(0, FRONT + packets[0])]
    assert happened.counts == [(SOCKET, 0, 0, 1, 100 + OVERHEAD, 0, [])]
    rig.emit([ip(2)])
    assert rig.round().parcels == [ip(2)]
