"""A client that appears at another address: rebinding NATs, movement, attackers that feign it."""

from functools import partial

import pytest

from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.events import PathMigrated, PathValidated
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import (
    Delay,
    Direction,
    DropNth,
    LinkElement,
    Loss,
    UdpDatagram,
)
from mqvpn_core.testing.nat import Nat
from mqvpn_core.testing.pair import CLIENT_ADDRESS, SERVER_ADDRESS, Pair, PairConfig
from mqvpn_core.wire.code_points import FrameType
from tests.simulation.rules import PairRules

DELAY = Delay(0.02)
HOME = "203.0.113.1"
ABROAD = "203.0.113.9"
PATH_ZERO = PathId(0)
QUIET = TransportConfig(keep_alive=None)


class NatScene:
    """A pair whose client sits behind a NAT that can be told to rebind."""

    def __init__(self, pair: Pair, *elements: LinkElement) -> None:
        self.pair = pair
        self.elements = elements
        self.port = 40_000
        self.rules = PairRules(pair)
        self.rebind(HOME)
        pair.handshake()
        pair.simulator.run_for(2)

    def rebind(self, host: str, *, port: int | None = None) -> SocketAddress:
        """Give the client another public address; return it."""
        self.port = self.port + 1 if port is None else port
        nat = Nat(host, first_port=self.port)
        self.pair.simulator.link("client", "wifi").replace([*self.elements, nat, DELAY])
        return SocketAddress(host, self.port)

    def talk(self, seconds: float = 1.0) -> None:
        """Let the client say something now and then."""
        for _ in range(int(seconds / 0.1)):
            self.pair.client.send_datagrams([b"hello"], self.pair.simulator.now)
            self.pair.simulator.run_for(0.1)

    def transfer(self, stream_id: int, size: int = 50_000) -> None:
        """Prove that both directions work."""
        client, server = self.pair.client, self.pair.server
        data = bytes(range(256)) * (size // 256)
        client.send_stream(stream_id, data, end_stream=True)
        server.send_stream(stream_id + 1, data, end_stream=True)
        self.pair.simulator.run_until(
            lambda: stream_id in server.ended_streams and stream_id + 1 in client.ended_streams,
            limit=60,
        )
        assert server.received_stream(stream_id) == data
        assert client.received_stream(stream_id + 1) == data


def pair_of(seed: int = 1, config: TransportConfig = QUIET) -> Pair:
    return Pair(seed, PairConfig(client=config, server=config, client_link=(DELAY,)))


@pytest.mark.parametrize("host", [HOME, ABROAD], ids=["port", "address"])
def test_a_rebinding_is_followed_and_validated(host: str) -> None:
    with pair_of() as pair:
        scene = NatScene(pair)
        old = FourTuple(SERVER_ADDRESS, SocketAddress(HOME, scene.port))
        new = FourTuple(SERVER_ADDRESS, scene.rebind(host))
        scene.talk(0.5)
        assert pair.server.events_of(PathMigrated) == [
            PathMigrated(path_id=PATH_ZERO, old=old, new=new)
        ]
        assert pair.server.events_of(PathValidated)[-1] == PathValidated(
            path_id=PATH_ZERO, four_tuple=new
        )
        assert pair.server.path.four_tuple == new
        assert pair.server.path.state == "active"
        assert not pair.client.events_of(PathMigrated)
        scene.transfer(0)
        scene.rules.finish()


def test_packet_numbers_go_on_after_a_rebinding() -> None:
    """The path keeps its ID and its numbers; RTT and window begin anew (RFC 9000 s9.4)."""
    with pair_of() as pair:
        scene = NatScene(pair)
        scene.transfer(0, 300_000)
        grown = pair.server.path.congestion_window
        sent = pair.server.path.sent_packets
        scene.rebind(ABROAD)
        scene.talk(0.5)
        assert pair.server.path.congestion_window < grown
        assert pair.server.path.sent_packets > sent
        scene.transfer(4)


def test_both_sides_use_fresh_connection_ids_only_for_deliberate_moves() -> None:
    """A rebinding is invisible to the client, so it keeps its connection ID; so does the server."""
    with pair_of() as pair:
        scene = NatScene(pair)
        ids = {
            is_client: {
                packet.destination_cid
                for packet in scene.rules.wiretap.of(is_from_client=is_client)[-3:]
            }
            for is_client in (True, False)
        }
        scene.rebind(ABROAD)
        scene.talk()
        for is_client in (True, False):
            packet = scene.rules.wiretap.of(is_from_client=is_client)[-1]
            assert packet.destination_cid in ids[is_client]


@pytest.mark.parametrize("count", [2, 5, 20])
def test_many_rebindings_in_a_row(count: int) -> None:
    with pair_of() as pair:
        scene = NatScene(pair)
        for index in range(count):
            public = scene.rebind(HOME if index % 2 else ABROAD)
            scene.talk(0.3)
            assert pair.server.path.four_tuple.remote == public
        scene.transfer(0)
        assert len(pair.server.connection._paths[PATH_ZERO].network_paths) <= 8
        scene.rules.finish()


def test_coming_back_to_an_old_address_works() -> None:
    with pair_of() as pair:
        scene = NatScene(pair)
        first = scene.port
        for index in range(4):
            scene.rebind(ABROAD, port=50_000)
            scene.transfer(8 * index)
            scene.rebind(HOME, port=first)
            scene.transfer(8 * index + 4)
        assert len(pair.server.connection._paths[PATH_ZERO].network_paths) == 2
        scene.rules.finish()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_rebinding_amid_a_lossy_transfer(seed: int) -> None:
    # Behind a NAT only the client can make itself found again.
    with pair_of(seed, TransportConfig(keep_alive=1.0)) as pair:
        scene = NatScene(pair, Loss(0.1))
        start = pair.simulator.elapsed
        for at, host in ((0.1, ABROAD), (0.4, HOME)):
            pair.simulator.at(start + at, "rebinding", partial(scene.rebind, host))
        scene.transfer(0, 100_000)
        scene.rules.finish()


def test_an_idle_client_is_found_again_by_its_keep_alive() -> None:
    config = TransportConfig(keep_alive=5.0, idle_timeout=30.0)
    with pair_of(config=config) as pair:
        scene = NatScene(pair)
        public = scene.rebind(ABROAD)
        pair.simulator.run_for(12)
        assert pair.server.path.four_tuple.remote == public
        pair.server.send_datagrams([b"down"], pair.simulator.now)
        pair.simulator.run_for(1)
        assert pair.client.received_datagrams == [b"down"]


def test_a_replayed_packet_from_elsewhere_moves_nothing_for_good() -> None:
    """RFC 9000 s9.3.3: an off-path attacker forwards a copy of a real packet, and is faster."""
    with pair_of() as pair:
        scene = NatScene(pair)
        real = FourTuple(SERVER_ADDRESS, SocketAddress(HOME, scene.port))
        attacker = SocketAddress("198.51.100.66", 666)
        copies: list[UdpDatagram] = []

        def copy(now: float, what: str, datagram: UdpDatagram) -> None:
            del now
            if what == "sent" and datagram.source == CLIENT_ADDRESS and not copies:
                copies.append(datagram._replace(source=attacker))

        pair.simulator.add_tap(copy)
        pair.client.send_datagrams([b"a real packet"], pair.simulator.now)
        pair.simulator.run_for(0.001)
        pair.simulator.inject(copies[0])
        pair.simulator.run_for(0.01)
        assert pair.server.path.four_tuple.remote == attacker
        scene.talk(2.0)
        assert pair.server.path.four_tuple == real
        assert pair.server.received_datagrams.count(b"a real packet") == 1
        scene.transfer(0)
        scene.rules.finish()


def test_an_attacker_alone_cannot_take_the_path() -> None:
    """The client is silent after the replay: the server goes back to what it had validated."""
    with pair_of() as pair:
        scene = NatScene(pair)
        real = FourTuple(SERVER_ADDRESS, SocketAddress(HOME, scene.port))
        attacker = SocketAddress("198.51.100.66", 666)
        copies: list[UdpDatagram] = []
        pair.simulator.add_tap(
            lambda _now, what, datagram: (
                copies.append(datagram._replace(source=attacker))
                if what == "sent" and datagram.source == CLIENT_ADDRESS
                else None
            )
        )
        link = pair.simulator.link("client", "wifi")
        chain = [Nat(HOME, first_port=scene.port), DELAY]
        link.replace([Loss(1.0)])
        pair.client.send_datagrams([b"lost on its way"], pair.simulator.now)
        pair.simulator.run_for(0.001)
        pair.simulator.inject(copies[0])
        pair.simulator.run_for(0.01)
        assert pair.server.path.four_tuple.remote == attacker
        link.replace(chain)
        pair.simulator.run_for(10)
        assert pair.server.path.four_tuple == real
        scene.transfer(0)
        scene.rules.finish()


def test_a_client_ignores_strangers() -> None:
    """RFC 9000 s9: servers do not move; packets from elsewhere are not theirs."""
    with pair_of() as pair:
        scene = NatScene(pair)
        stranger = SocketAddress("198.51.100.66", 666)
        copies: list[UdpDatagram] = []
        pair.simulator.add_tap(
            lambda _now, what, datagram: (
                copies.append(datagram._replace(source=stranger))
                if what == "sent" and datagram.source == SERVER_ADDRESS
                else None
            )
        )
        pair.simulator.link("server", "eth0").replace([Loss(1.0)])
        pair.server.send_datagrams([b"real data"], pair.simulator.now)
        pair.simulator.run_for(0.001)
        pair.simulator.link("server", "eth0").replace([])
        for copy in copies:
            pair.simulator.inject(copy._replace(destination=SocketAddress(HOME, scene.port)))
        sent_before = pair.simulator.sent_count
        pair.simulator.run_for(0.03)
        assert not pair.client.received_datagrams
        assert pair.client.path.four_tuple == FourTuple(CLIENT_ADDRESS, SERVER_ADDRESS)
        assert pair.simulator.sent_count == sent_before


def test_each_challenge_has_data_of_its_own() -> None:
    with pair_of() as pair:
        scene = NatScene(pair)
        for _ in range(5):
            scene.rebind(HOME)
            scene.talk(0.3)
        challenges = [
            frame
            for packet in scene.rules.wiretap.with_frame(
                FrameType.PATH_CHALLENGE, is_from_client=False
            )
            for kind, frame in packet.frames
            if kind == FrameType.PATH_CHALLENGE
        ]
        assert len(challenges) >= 5
        assert len(set(challenges)) == len(challenges)


def test_a_tiny_packet_from_a_new_address_is_enough_for_a_challenge() -> None:
    """Three times a PING is room for a PATH_CHALLENGE and for nothing else; nobody spins."""
    config = TransportConfig(keep_alive=5.0, idle_timeout=30.0)
    with pair_of(config=config) as pair:
        scene = NatScene(pair)
        pair.server.send_stream(1, bytes(20_000))
        public = scene.rebind(ABROAD)
        pair.simulator.run_for(10)
        to_new = [
            packet
            for packet in scene.rules.wiretap.of(is_from_client=False)
            if packet.datagram.destination == public
        ]
        assert FrameType.PATH_CHALLENGE in to_new[0].frame_types
        assert len(to_new[0].datagram.payload) < 87
        assert pair.server.path.four_tuple.remote == public
        assert pair.client.received_stream(1) == bytes(20_000)


@pytest.mark.parametrize("lost_count", [1, 2, 5])
def test_a_rebinding_while_handshake_done_is_lost(lost_count: int) -> None:
    """The server has dropped its Handshake keys, the client may not count on 1-RTT yet."""
    lost = DropNth(frozenset(range(1, 1 + lost_count)), Direction.DOWN)
    with pair_of() as pair:
        link = pair.simulator.link("client", "wifi")
        link.replace([lost, Nat(HOME), DELAY])
        pair.connect()
        pair.simulator.run_for(0.07)
        assert pair.server.connection.handshake_confirmed
        assert not pair.client.connection.handshake_confirmed
        link.replace([Nat(ABROAD), DELAY])
        pair.simulator.run_until(lambda: pair.client.connection.handshake_confirmed, limit=5)


def test_a_longer_way_to_a_new_port_is_validated_in_time() -> None:
    """RFC 9000 s8.2.4: the timer must not trust the round-trip time of the old path."""
    with pair_of() as pair:
        scene = NatScene(pair)
        public = scene.rebind(HOME)
        nat = Nat(HOME, first_port=scene.port)
        pair.simulator.link("client", "wifi").replace([nat, Delay(0.2)])
        scene.talk(3)
        assert pair.server.path.four_tuple.remote == public
        assert len(pair.server.events_of(PathMigrated)) == 1
