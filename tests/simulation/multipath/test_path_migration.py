"""A path ID that moves to another four-tuple while the others stay (RFC 10069 s3.1, s5.1)."""

import pytest

from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.events import PathAbandoned, PathMigrated, PathValidated
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import (
    Delay,
    Direction,
    LinkElement,
    Mtu,
    OneWay,
    UdpDatagram,
)
from mqvpn_core.testing.multi_pair import LINK_DELAY
from mqvpn_core.testing.nat import Nat
from mqvpn_core.testing.pair import SERVER_ADDRESS, PairConfig
from mqvpn_core.wire.code_points import FrameType as F
from tests.simulation.multipath.path_wiretap import PathPacket
from tests.simulation.multipath.scene import Liar, Scene, opened, scene_over

ONE, TWO = PathId(1), PathId(2)
QUIET = TransportConfig(initial_max_path_id=4, keep_alive=None)
QUIET_PAIR = PairConfig(client=QUIET, server=QUIET)
HOSTS = ("203.0.113.1", "203.0.113.2", "203.0.113.3")


def links(count: int = 2) -> list[list[LinkElement]]:
    return [[LINK_DELAY, Nat(HOSTS[index], first_port=40_000)] for index in range(count)]


def rebind(scene: Scene, index: int, *, port: int, host: str = "") -> FourTuple:
    """Give a link another public address; return the four-tuple as the server sees it."""
    nat = Nat(host or HOSTS[index], first_port=port)
    scene.pair.link(index).replace((LINK_DELAY, nat))
    return FourTuple(SERVER_ADDRESS, SocketAddress(host or HOSTS[index], port))


def challenges(scene: Scene, path_id: int, target: SocketAddress) -> list[PathPacket]:
    return [
        packet
        for packet in scene.rules.wiretap.of(
            is_from_client=False, path_id=path_id, frame_type=F.PATH_CHALLENGE
        )
        if packet.datagram.destination == target
    ]


def test_mp_40_41_a_known_path_from_another_address_migrates_alone() -> None:
    with scene_over(links(3), config=QUIET_PAIR) as scene:
        before = {path_id: path.four_tuple for path_id, path in scene.server.paths.items()}
        cids = {
            path_id: {
                packet.destination_cid
                for packet in scene.rules.wiretap.of(is_from_client=False, path_id=path_id)
            }
            for path_id in (0, 1, 2)
        }
        new = rebind(scene, 1, port=41_000)
        scene.ping("client", 1)
        scene.run(1.0)
        assert scene.server.events_of(PathMigrated) == [
            PathMigrated(path_id=ONE, old=before[ONE], new=new)
        ]
        assert PathValidated(path_id=ONE, four_tuple=new) in scene.server.events_of(PathValidated)
        after = {path_id: path.four_tuple for path_id, path in scene.server.paths.items()}
        assert after == {**before, ONE: new}
        assert not scene.client.events_of(PathMigrated)
        # The rules and the wiretap: every packet on path 1 uses an ID of path 1.
        used = {
            packet.destination_cid
            for packet in scene.rules.wiretap.of(is_from_client=False, path_id=1)
        }
        assert not used & (cids[0] | cids[2])
        scene.assert_alive()


@pytest.mark.parametrize("path_id", [0, 1])
def test_a_rebinding_of_one_path_while_the_other_is_idle(path_id: int) -> None:
    """The idle path stays usable; both carry data afterwards."""
    with scene_over(links(2), config=QUIET_PAIR) as scene:
        rebind(scene, path_id, port=42_000)
        for _ in range(10):
            scene.ping("client", path_id)
            scene.run(0.2)
        assert scene.states("server") == {0: "active", 1: "active"}
        for name in ("minrtt", "backup", "weighted"):
            scene.server.connection.set_scheduler(name)
            scene.say("server", 30, 1000)
            scene.run(0.5)
        assert len(scene.client.received_datagrams) == 90
        scene.assert_alive()


def test_a_rebinding_of_all_paths_at_once() -> None:
    with scene_over(links(3), config=QUIET_PAIR) as scene:
        for index in range(3):
            rebind(scene, index, port=43_000 + index)
            scene.ping("client", index)
        scene.run(2.0)
        assert {path.four_tuple.remote.port for path in scene.server.paths.values()} == {
            43_000,
            43_001,
            43_002,
        }
        assert set(scene.states("server").values()) == {"active"}
        scene.assert_alive()


def test_mp_42_a_rebinding_and_a_rotation_at_the_same_time() -> None:
    """The first packet from the new address has a new connection ID and retires the old one."""
    with scene_over(links(2), config=QUIET_PAIR) as scene:
        used = []
        for port in range(44_000, 44_012):
            rebind(scene, 1, port=port)
            scene.client.connection._exchange.rotate(ONE)
            scene.ping("client", 1)
            scene.run(0.4)
            assert scene.server.paths[ONE].four_tuple.remote.port == port
            used.append(scene.server.connection._paths[ONE].peer_cids.current)
        # RFC 9000 s9.5: whoever looks on cannot tell that it is the same connection.
        assert len(set(used)) == len(used)
        assert scene.states("server") == {0: "active", 1: "active"}
        scene.assert_alive()


def test_mp_42_two_paths_on_the_very_same_four_tuple() -> None:
    """RFC 10069 s5.2 calls that legal; each keeps its numbers and its window."""
    with opened(2) as scene:
        second = scene.pair.open(0)
        scene.run(0.5)
        assert scene.client.paths[second].four_tuple == scene.client.paths[PathId(0)].four_tuple
        assert scene.states("server")[second] == "active"
        scene.transfer(50_000)
        scene.pair.abandon(0)
        scene.run(2.0)
        scene.transfer(50_000)
        assert scene.states("server") == {1: "active", second: "active"}


def test_mp_43_congestion_and_rtt_start_anew_at_another_host_and_numbers_go_on() -> None:
    with scene_over(links(2), config=QUIET_PAIR) as scene:
        server = scene.server.connection
        controllers = {
            path_id: path.current.recovery.congestion for path_id, path in server._paths.items()
        }
        numbers = {path_id: path.sent.next_packet_number for path_id, path in server._paths.items()}
        scene.pair.link(1).replace((Delay(0.1), Nat("198.51.100.77", first_port=46_000)))
        scene.ping("client", 1)
        scene.run(0.15)
        assert scene.server.paths[ONE].four_tuple.remote.host == "198.51.100.77"
        now_used = {
            path_id: path.current.recovery.congestion for path_id, path in server._paths.items()
        }
        assert now_used[ONE] is not controllers[ONE]
        assert now_used[PathId(0)] is controllers[PathId(0)]
        scene.run(2.0)
        assert 0.19 < scene.server.paths[ONE].smoothed_rtt < 0.25
        assert scene.server.paths[PathId(0)].smoothed_rtt < 0.03
        sent = scene.rules.wiretap.of(is_from_client=False, path_id=1)
        moved = [packet for packet in sent if packet.datagram.destination.host == "198.51.100.77"]
        assert min(packet.packet_number for packet in moved) >= numbers[ONE]
        scene.assert_alive()


def test_mp_35_a_small_challenge_is_followed_by_a_full_one() -> None:
    """RFC 9000 s8.2.1: 29 bytes came from the new address, 1200 must not be sent there yet."""
    with scene_over(links(2), config=QUIET_PAIR) as scene:
        new = rebind(scene, 1, port=47_000)
        scene.ping("client", 1)
        scene.run(1.0)
        sizes = [len(p.datagram.payload) for p in challenges(scene, 1, new.remote)]
        assert sizes[0] < 100
        assert sizes[-1] == 1200
        assert len(sizes) == 2


def test_mp_35_an_address_that_takes_no_1200_bytes_is_left() -> None:
    with scene_over(links(2), config=QUIET_PAIR, watched=False) as scene:
        # The server forgets the address each time, and what it knew of it: the rules cannot follow.
        scene.rules.is_watching = False
        small = OneWay(Direction.DOWN, Mtu(1000))
        nat = Nat(HOSTS[1], first_port=48_000)
        scene.pair.link(1).replace((LINK_DELAY, nat, small))
        new = SocketAddress(HOSTS[1], 48_000)
        for _ in range(80):
            scene.ping("client", 1)
            scene.run(0.1)
        sizes = [len(p.datagram.payload) for p in challenges(scene, 1, new)]
        assert sizes.count(1200) >= 3
        # Back to the address that was fine, in vain: the path will be given up in the end.
        assert PathMigrated(
            path_id=ONE,
            old=FourTuple(SERVER_ADDRESS, new),
            new=FourTuple(SERVER_ADDRESS, SocketAddress(HOSTS[1], 40_000)),
        ) in scene.server.events_of(PathMigrated)
        scene.assert_alive()


def test_a_replayed_packet_of_one_path_moves_nothing_for_good() -> None:
    """RFC 9000 s9.3.3, for a path that is not path 0."""
    with scene_over(links(2), config=QUIET_PAIR, watched=False) as scene:
        real = scene.server.paths[ONE].four_tuple
        attacker = SocketAddress("198.51.100.66", 666)
        copies: list[UdpDatagram] = []

        def copy(now: float, what: str, datagram: UdpDatagram) -> None:
            del now
            if what == "sent" and datagram.source == scene.pair.four_tuple(1).local:
                copies.append(datagram._replace(source=attacker))

        scene.simulator.add_tap(copy)
        scene.ping("client", 1)
        scene.simulator.inject(copies[0])
        scene.run(0.005)
        assert scene.server.paths[ONE].four_tuple.remote == attacker
        for _ in range(20):
            scene.ping("client", 1)
            scene.run(0.1)
        assert scene.server.paths[ONE].four_tuple == real
        assert not scene.server.events_of(PathAbandoned)
        scene.assert_alive()


def test_mp_40_a_client_does_not_follow_the_server_to_another_address() -> None:
    """RFC 9000 s9: packets from an unknown server address are discarded."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, "server")
        real = scene.client.paths[ONE].four_tuple
        elsewhere = FourTuple(SocketAddress("192.0.2.250", 443), real.local)
        before = scene.client.paths[ONE].received_packets
        liar.forge(b"\1" * 20, path_id=1, four_tuple=elsewhere)
        assert scene.client.paths[ONE].received_packets == before
        assert scene.client.paths[ONE].four_tuple == real
        scene.assert_alive()


def test_probing_packets_alone_move_no_path() -> None:
    """RFC 9000 s9.1: PATH_CHALLENGE from elsewhere is answered there, and that is all."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, "client")
        before = scene.server.paths[ONE].four_tuple
        elsewhere = FourTuple(SocketAddress("198.51.100.5", 777), SERVER_ADDRESS)
        liar.deafen()
        challenge = bytes([F.PATH_CHALLENGE]) + b"12345678" + bytes(1100)
        liar.forge(challenge, path_id=1, four_tuple=elsewhere)
        assert scene.server.paths[ONE].four_tuple == before
        answers = [
            packet
            for packet in scene.rules.wiretap.of(
                is_from_client=False, path_id=1, frame_type=F.PATH_RESPONSE
            )
            if packet.datagram.destination == elsewhere.local
        ]
        assert len(answers) == 1
        assert (F.PATH_RESPONSE, bytes([F.PATH_RESPONSE]) + b"12345678") in answers[0].frames
