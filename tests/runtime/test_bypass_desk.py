"""What the desk tells the bypass at the end of a round; see `test_bypass_reports` for the start."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import trio
import trio.testing

from mqvpn_core.ids import ConnectionHandle, FourTuple, PathId, SocketAddress
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.runtime.bypass_desk import Subject
from mqvpn_core.runtime.limited_socket import LimitedSocket
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.runtime.bypass_desk_scene import NOW, ONE, PEER_KEY, DeskScene, desk_scene, happened
from tests.runtime.fakes import FakeSocket
from tests.runtime.scripted_bypass import CID, NOTHING, PREFIX, open_tunnel, way_in, way_out

TWO = ConnectionHandle(2)
ZERO = PathId(0)


@pytest.fixture
def scene() -> Iterator[DeskScene]:
    with desk_scene() as made:
        yield made


def test_lanes_are_opened_as_the_connection_and_the_tunnel_say(scene: DeskScene) -> None:
    scene.round()
    (key,) = scene.bypass.sockets
    assert scene.bypass.sockets[key] == scene.socket.fileno()
    opened = scene.bypass.inbound[CID]
    assert (opened.socket, opened.peer, opened.path_id) == (key, PEER_KEY, 0)
    assert (opened.key_phase, opened.largest) == (1, 17)
    assert opened.flows is scene.tunnel.flows_in
    (out,) = scene.bypass.outbound.values()
    assert (out.socket, out.path_id, out.next_number) == (key, 0, 100)
    assert out.destination == PEER_KEY
    assert (out.credit, out.keeps) == (20_000, True)
    # As large as the tunnel has it, which is less than a packet would take.
    assert out.mtu == 1350
    assert out.flows is scene.tunnel.flows_out
    assert not scene.bypass.is_held
    assert scene.lanes.loans[ZERO].is_out


def test_acknowledgements_are_awaited_where_packets_wait_for_them(scene: DeskScene) -> None:
    scene.round()
    assert scene.bypass.hastened == set()
    scene.lanes.ways_in = [replace(way_in(scene.four_tuple), brings_room=True)]
    scene.round()
    assert scene.bypass.hastened == {CID}
    scene.lanes.ways_in = [way_in(scene.four_tuple)]
    scene.round()
    assert scene.bypass.hastened == set()


def test_the_packet_limits_what_leaves_where_the_tunnel_does_not(scene: DeskScene) -> None:
    scene.subjects[ONE] = Subject(scene.connection, open_tunnel(9000))
    scene.round()
    (out,) = scene.bypass.outbound.values()
    assert out.mtu == 1400 - 1 - len(PREFIX)


def test_sockets_are_read_where_a_lane_comes_in_and_the_device_where_a_flow_goes_out(
    scene: DeskScene,
) -> None:
    other = scene.open_socket()
    scene.desk.add_socket(other)
    scene.round()
    assert scene.desk.is_armed(scene.socket)
    assert not scene.desk.is_armed(other)
    assert scene.reads_device() == (False, False)
    scene.approve()
    assert scene.reads_device() == (True, True)
    count = scene.bypass.arm_count
    scene.round()
    assert scene.bypass.arm_count == count, "nothing has changed"


@pytest.mark.parametrize("reason", ["gone", "no tunnel", "another prefix", "no lanes"])
def test_lanes_end_with_what_they_are_of(scene: DeskScene, reason: str) -> None:
    scene.approve()
    match reason:
        case "gone":
            del scene.subjects[ONE]
        case "no tunnel":
            scene.subjects[ONE] = Subject(scene.connection, None)
        case "another prefix":
            longer = TunnelBypass(b"\x40\x40\x00", scene.tunnel._forwarder)
            scene.subjects[ONE] = Subject(scene.connection, longer)
        case _:
            scene.lanes.ways_in = []
            scene.lanes.ways_out = []
    scene.round()
    assert scene.bypass.inbound == {}
    assert scene.bypass.outbound == {}
    assert scene.bypass.armed == []
    assert not scene.bypass.device_is_armed
    assert not scene.desk.is_armed(scene.socket)
    assert scene.bypass.is_held, "there is nothing to do for it"
    assert not scene.lanes.loans[ZERO].is_out
    # What comes back has to prove itself again.
    scene.subjects[ONE] = Subject(scene.connection, scene.tunnel)
    scene.lanes.ways_in = [way_in(scene.four_tuple)]
    scene.lanes.ways_out = [way_out(scene.four_tuple)]
    scene.round()
    (out,) = scene.bypass.outbound.values()
    assert out.approved == {}
    assert not scene.desk.device_is_armed


def test_connections_that_were_not_touched_keep_their_lanes(scene: DeskScene) -> None:
    scene.round()
    scene.lanes.ways_in = []
    scene.round(NOTHING, TWO)
    assert CID in scene.bypass.inbound
    scene.round(NOTHING, ONE)
    assert scene.bypass.inbound == {}


def test_a_peer_that_was_never_heard_has_no_way_in(scene: DeskScene) -> None:
    stranger = FourTuple(scene.four_tuple.local, SocketAddress("127.0.0.1", 9))
    scene.lanes.ways_in = [way_in(stranger)]
    scene.round()
    assert scene.bypass.inbound == {}
    assert len(scene.bypass.outbound) == 1


def test_a_socket_of_every_address_serves_each_of_them(scene: DeskScene) -> None:
    wildcard = UdpSocket(SocketAddress("0.0.0.0", 0), UdpOptions())  # noqa: S104 - what this is about
    try:
        scene.desk.add_socket(wildcard)
        key = (b"\x7f\x00\x00\x01", 1234, 0, b"\x7f\x00\x00\x02")
        four_tuple = wildcard.received(key, b"hello", 5, 0).four_tuple
        assert four_tuple.local.host == "127.0.0.2"
        scene.lanes.ways_in = [way_in(four_tuple)]
        scene.lanes.ways_out = [way_out(four_tuple)]
        scene.round()
        assert scene.desk.is_armed(wildcard)
        assert scene.bypass.inbound[CID].peer == key
        (out,) = scene.bypass.outbound.values()
        assert out.destination == key
        scene.desk.hold()
        scene.desk.remove_socket(wildcard)
    finally:
        wildcard.close()


def test_a_socket_that_is_removed_has_no_lanes(scene: DeskScene) -> None:
    scene.approve()
    scene.desk.hold()
    scene.desk.remove_socket(scene.socket)
    scene.desk.remove_socket(scene.socket)
    scene.desk.release((ONE,), NOW)
    assert scene.bypass.sockets == {}
    assert not scene.desk.is_armed(scene.socket)
    assert not scene.desk.device_is_armed
    assert scene.bypass.is_held
    assert scene.round(happened(arrivals=[(0, (PEER_KEY, b"late", 4, 0), 0.0)])) is None


def test_a_limited_socket_is_not_read_by_the_bypass(scene: DeskScene) -> None:
    inner = scene.open_socket()
    limited = LimitedSocket(inner, lambda: 0.0)
    scene.desk.add_socket(limited)
    four_tuple = scene.hear_from(inner)
    scene.lanes.ways_in = [way_in(four_tuple)]
    scene.lanes.ways_out = [way_out(four_tuple)]
    scene.round()
    assert scene.desk.is_armed(limited)
    limited.limit(100_000)
    scene.round()
    assert not scene.desk.is_armed(limited)
    assert scene.bypass.inbound == {}
    limited.limit(None)
    scene.round()
    assert scene.desk.is_armed(limited)


def test_a_socket_that_was_limited_from_the_start_is_read_when_it_is_not_any_more(
    scene: DeskScene,
) -> None:
    inner = scene.open_socket()
    limited = LimitedSocket(inner, lambda: 0.0)
    limited.limit(100_000)
    scene.desk.add_socket(limited)
    scene.lanes.ways_in = [way_in(scene.hear_from(inner))]
    scene.round()
    assert not scene.desk.is_armed(limited)
    limited.limit(None)
    scene.round()
    assert scene.desk.is_armed(limited)


def test_a_socket_that_is_none_of_the_systems_stays_with_the_driver(scene: DeskScene) -> None:
    fake = FakeSocket()
    scene.desk.add_socket(fake)
    four_tuple = FourTuple(fake.local_address, scene.four_tuple.remote)
    scene.lanes.ways_in = [way_in(four_tuple)]
    scene.lanes.ways_out = [way_out(four_tuple)]
    scene.round()
    assert not scene.desk.is_armed(fake)
    assert list(scene.bypass.sockets.values()) == [scene.socket.fileno()]
    assert (scene.bypass.inbound, scene.bypass.outbound) == ({}, {})
    scene.desk.remove_socket(fake)


def test_lanes_of_several_paths_come_and_go_by_themselves(scene: DeskScene) -> None:
    other = scene.open_socket()
    scene.desk.add_socket(other)
    four_tuple = scene.hear_from(other)
    scene.lanes.ways_in.append(way_in(four_tuple, 1, b"otherone"))
    scene.lanes.ways_out.append(way_out(four_tuple, 1))
    scene.round()
    assert set(scene.bypass.inbound) == {CID, b"otherone"}
    assert scene.desk.is_armed(scene.socket)
    assert scene.desk.is_armed(other)
    kept = next(lane for lane, it in scene.bypass.outbound.items() if it.path_id == 1)
    del scene.lanes.ways_in[0], scene.lanes.ways_out[0]
    scene.round()
    assert set(scene.bypass.inbound) == {b"otherone"}
    assert set(scene.bypass.outbound) == {kept}
    assert not scene.desk.is_armed(scene.socket)


def test_whoever_waits_learns_what_the_bypass_reads_now(scene: DeskScene) -> None:
    async def main() -> None:
        changes = []

        async def watch() -> None:
            for _ in range(2):
                await scene.desk.wait_for_change()
                changes.append(scene.desk.is_armed(scene.socket))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            scene.round()
            await trio.testing.wait_all_tasks_blocked()
            scene.round()
            await trio.testing.wait_all_tasks_blocked()
            assert changes == [True]
            scene.lanes.ways_in = []
            scene.round()
        assert changes == [True, False]

    trio.run(main)


def test_it_may_be_closed_twice_and_gives_the_numbers_back(scene: DeskScene) -> None:
    scene.round()
    assert scene.lanes.loans[ZERO].is_out
    scene.close()
    scene.close()
    assert scene.bypass.is_closed
    assert scene.desk.hold() is None


def test_what_it_did_until_it_was_closed_is_entered(scene: DeskScene) -> None:
    """Whoever says good-bye afterwards must not use a number again."""
    scene.round()
    scene.bypass.happened = happened(sent=[(scene.lane, 100, [(1300, 2, 2600)], [], [], 0.0)])
    scene.close()
    assert [note[:3] for note in scene.lanes.notes] == [("sent", scene.lanes.ways_out[0], 100)]
    assert scene.bypass.is_closed


def test_numbers_that_nobody_could_report_are_not_given_to_anybody(scene: DeskScene) -> None:
    scene.round()
    scene.bypass.is_broken = True
    with pytest.raises(RuntimeError, match="panicked"):
        scene.close()
    assert scene.bypass.is_closed
    assert scene.lanes.loans[ZERO].is_out
