"""Giving paths up (RFC 10069 s3.4): PATH_ABANDON, what is kept for how long, what is sent again."""

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import FourTuple, PathId
from mqvpn_core.quic.events import PathAbandoned, PathOpened, PathRecovered
from mqvpn_core.quic.path_manager import UNANSWERED_ABANDON_SECONDS
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay, Direction, Loss, OneWay, UdpDatagram
from mqvpn_core.testing.multi_pair import LINK_DELAY
from mqvpn_core.testing.pair import PairConfig
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.code_points import TransportErrorCode as E
from mqvpn_core.wire.path_frames import PathAbandon
from tests.simulation.multipath.path_wiretap import PathPacket
from tests.simulation.multipath.scene import ROLES, Liar, Scene, both_roles, opened, scene_over

ONE, TWO = PathId(1), PathId(2)


def other(role: str) -> str:
    return "server" if role == "client" else "client"


def abandons(scene: Scene, role: str) -> list[PathPacket]:
    """Packets with PATH_ABANDON that an end has sent."""
    return scene.rules.wiretap.of(is_from_client=role == "client", frame_type=F.PATH_ABANDON)


def stateless_resets(scene: Scene) -> int:
    """What the server has sent that no key opens."""
    return len(scene.rules.wiretap.unopened)


@both_roles
@pytest.mark.parametrize("path_id", [0, 1, 2])
def test_mp_68_70_71_a_path_is_given_up_on_another_one_and_answered_once(
    path_id: int, role: str
) -> None:
    with opened(3) as scene:
        scene.say("client", 10)
        scene.say("server", 10)
        scene.pair.abandon(path_id, E.APPLICATION_ABANDON_PATH, by_server=role == "server")
        scene.run(3.0)
        for sender in ROLES:
            (packet,) = abandons(scene, sender)
            assert packet.path_id != path_id
            assert packet.fields(F.PATH_ABANDON, 2) == [(path_id, E.APPLICATION_ABANDON_PATH)]
            (event,) = scene.peer(sender).events_of(PathAbandoned)
            assert event.path_id == path_id
            assert event.error_code == E.APPLICATION_ABANDON_PATH
            assert event.by_peer is (sender != role)
            assert path_id not in scene.states(sender)
        assert stateless_resets(scene) == 0
        scene.assert_alive()


@both_roles
def test_mp_68_a_path_that_acknowledges_nothing_is_given_up_in_words(role: str) -> None:
    with opened(2) as scene:
        scene.pair.link(1).is_up = False
        scene.say(role, 200, 1000)
        scene.until(lambda: 1 not in scene.states(role), limit=60)
        assert abandons(scene, role)
        assert abandons(scene, other(role))
        scene.assert_alive()


@both_roles
def test_mp_69_nothing_is_sent_on_a_path_that_was_given_up(role: str) -> None:
    """Not even PATH_ABANDON itself again: its first two copies are lost."""
    with opened(3) as scene:
        # It would have to be acknowledged when the path is given up already.
        scene.ping(other(role), 2)
        for index in (0, 1):
            scene.pair.link(index).is_up = False
        scene.pair.abandon(2, by_server=role == "server")
        # The peer's connection IDs count as retired at once.
        assert not scene.peer(role).connection._exchange.may_open(TWO)
        scene.run(0.05)
        for index in (0, 1):
            scene.pair.link(index).is_up = True
        scene.until(lambda: 2 not in scene.states(other(role)))
        packets = abandons(scene, role)
        assert len(packets) > 1
        assert {packet.path_id for packet in packets} <= {0, 1}
        # The rules fail at any packet on path 2 after the first PATH_ABANDON for it.
        scene.assert_alive()


def test_mp_71_repeated_abandons_are_answered_once() -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, "client")
        for _ in range(5):
            liar.say(PathAbandon(path_id=ONE, error_code=0), seconds=0.01)
        scene.run(3.0)
        liar.say(PathAbandon(path_id=ONE, error_code=0))
        assert len(abandons(scene, "server")) == 1
        assert len(scene.server.events_of(PathAbandoned)) == 1


@both_roles
def test_mp_72_78_late_packets_are_acknowledged_on_another_path(role: str) -> None:
    """The path given up is slow: what was in flight arrives after both have given it up."""
    with scene_over([(LINK_DELAY,), (Delay(0.06),)]) as scene:
        sender, receiver = scene.peer(role), scene.peer(other(role))
        path = sender.connection._paths[ONE]
        path.ping_is_due = True
        sender._on_command()
        scene.run(0.001)
        outstanding = path.sent.next_packet_number - 1
        scene.pair.abandon(1, by_server=role == "server")
        scene.run(0.03)
        assert receiver.paths[ONE].state == "abandoning"
        scene.run(0.06)
        acks = [
            packet
            for packet in scene.rules.wiretap.of(is_from_client=role != "client", path_id=0)
            if (1, outstanding) in [tuple(f) for f in packet.fields(F.PATH_ACK, 2)]
        ]
        assert acks, "the late packet was not acknowledged"
        # s3.4.3: "promptly"
        assert acks[0].sent_at - (path.sent.last_ack_eliciting_sent_at or 0) < 0.06 + 0.03
        scene.run(3.0)
        assert stateless_resets(scene) == 0
        assert 1 not in scene.states("server")


def test_mp_73_tokens_of_abandoned_paths_identify_no_reset() -> None:
    with opened(3, watched=False) as scene:
        token = scene.client.connection._paths[ONE].peer_cids.reset_token
        assert len(token) == 16
        scene.pair.abandon(1)
        scene.run(0.005)
        reset = b"\x40" + bytes(30) + token
        from_server = scene.pair.four_tuple(1)
        inject(scene, reset, from_server)
        scene.assert_alive()
        # The same with a path that is open ends the connection.
        token = scene.client.connection._paths[TWO].peer_cids.reset_token
        inject(scene, b"\x40" + bytes(30) + token, scene.pair.four_tuple(2))
        assert scene.client.termination is not None


@both_roles
def test_mp_74_a_path_that_was_never_used_may_be_given_up(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(PathAbandon(path_id=PathId(3), error_code=7))
        assert abandons(scene, other(role))
        (event,) = liar.victim.events_of(PathAbandoned)
        assert (event.path_id, event.by_peer) == (3, True)
        scene.run(15.0)
        assert not liar.victim.connection.local_connection_ids.active(PathId(3))
        assert liar.victim.connection._path_ids.local_maximum == 5
        scene.assert_alive()


def test_mp_75_an_abandon_that_is_never_answered_does_not_keep_the_path_for_ever() -> None:
    """The peer acknowledges it and does nothing. Nobody is reset while it might still send."""
    with opened(3, watched=False) as scene:
        server = scene.server.connection
        server._manager.on_abandon = lambda *_args: None  # type: ignore[method-assign] # it is deaf
        probe_timeout = scene.client.connection._paths[ONE].current.recovery.probe_timeout()
        scene.pair.abandon(1)
        scene.run(3 * probe_timeout)
        assert scene.states("client")[1] == "abandoning"
        scene.run(2 * UNANSWERED_ABANDON_SECONDS)
        assert 1 not in scene.states("client")
        scene.assert_alive()


def test_mp_75_an_abandon_that_was_not_heard_keeps_the_path() -> None:
    """Nothing gets through for longer than an answer may take; meanwhile no ID is forgotten."""
    config = TransportConfig(initial_max_path_id=4, idle_timeout=120.0)
    with opened(3, config=PairConfig(client=config, server=config)) as scene:
        for index in (0, 2):
            scene.pair.link(index).is_up = False
        scene.pair.abandon(1, by_server=True)
        scene.run(2 * UNANSWERED_ABANDON_SECONDS)
        # The client has heard nothing: it still sends on path 1, to an ID the server has issued.
        scene.say("client", 5)
        scene.run(0.5)
        assert scene.client.termination is None, "reset by the server"
        for index in (0, 2):
            scene.pair.link(index).is_up = True
        scene.until(lambda: 1 not in scene.states("client"), limit=100)
        scene.assert_alive()


@pytest.mark.slow
def test_mp_76_path_ids_are_used_once() -> None:
    """The rules look at every path that was opened; here are forty."""
    with opened(3) as scene:
        for _ in range(40):
            path_id = scene.pair.open(1)
            scene.run(0.1)
            scene.pair.abandon(path_id)
            scene.run(0.4)
        opened_ids = [event.path_id for event in scene.client.events_of(PathOpened)]
        assert opened_ids == list(range(1, 43))
        assert scene.client.connection._path_ids.local_maximum == 44
        scene.assert_alive()


@both_roles
def test_mp_77_the_end_of_the_only_path_is_the_end(role: str) -> None:
    """A foreign peer may do that: the other end closes instead of waiting for the idle timeout."""
    with opened(2, watched=False) as scene:
        scene.pair.abandon(1)
        scene.run(2.0)
        liar = Liar(scene, role)
        liar.say(PathAbandon(path_id=PathId(0), error_code=0), seconds=1.0)
        end = liar.victim.termination
        assert end is not None
        assert end.error_code == E.NO_VIABLE_PATH
        assert not end.by_peer
        heard = liar.own.termination
        assert heard is not None
        assert heard.by_peer


def test_mp_77_a_client_may_open_another_path_instead() -> None:
    with opened(2, watched=False) as scene:
        scene.pair.abandon(1)
        scene.run(2.0)
        liar = Liar(scene, "server")
        liar.say(PathAbandon(path_id=PathId(0), error_code=0), seconds=0.02)
        assert scene.pair.open(1) == 2
        scene.run(1.0)
        assert scene.states("client")[2] == "active"
        assert scene.client.termination is None
        (answer,) = abandons(scene, "client")[-1:]
        assert answer.path_id == 2
        assert answer.fields(F.PATH_ABANDON, 1) == [(0,)]


def test_mp_77_both_sides_give_up_the_last_path_of_the_other() -> None:
    """They cross; the client opens a new path at once, before the server's patience ends."""
    with opened(2) as scene:
        scene.pair.abandon(0)
        scene.pair.abandon(1, by_server=True)
        scene.until(lambda: len(scene.client.events_of(PathAbandoned)) == 2)
        assert scene.pair.open(0) == 2
        scene.run(0.5)
        assert scene.states("server")[2] == "active"
        scene.assert_alive()


@both_roles
def test_mp_79_what_was_in_flight_is_lost_when_the_path_is_gone(role: str) -> None:
    """Also a PATH_ABANDON of another path that was on its way there: everything arrives."""
    deaf = (LINK_DELAY, OneWay(Direction.UP if role == "client" else Direction.DOWN, Loss(1.0)))
    with opened(3) as scene:
        scene.pair.link(1).replace(deaf)
        path = scene.peer(role).connection._paths[ONE]
        peer = scene.peer(role)
        # Everything that must arrive goes out on path 1, which swallows it.
        for path_id in (0, 2):
            peer.connection._paths[PathId(path_id)].suspected_at = scene.simulator.now
        peer.connection.abandon_path(TWO, 0, scene.simulator.now)
        peer.send_stream(0 if role == "client" else 1, b"x" * 5000, end_stream=True)
        scene.run(0.001)
        assert any(run.handlers for run in path.sent._runs)
        peer.connection._paths[PathId(0)].suspected_at = None
        scene.pair.abandon(1, by_server=role == "server")
        assert not any(run.handlers for run in path.sent._runs)
        scene.until(lambda: list(scene.states(other(role))) == [0], limit=5.0)
        receiver = scene.peer(other(role))
        stream = 0 if role == "client" else 1
        scene.until(lambda: stream in receiver.ended_streams, limit=2.0)
        scene.run(2.0)
        assert scene.states(role) == {0: "active"}


def test_mp_80_both_sides_give_up_the_same_path_at_once() -> None:
    with opened(3) as scene:
        scene.pair.abandon(1, 5)
        scene.pair.abandon(1, 6, by_server=True)
        scene.run(3.0)
        for role in ROLES:
            (event,) = scene.peer(role).events_of(PathAbandoned)
            assert not event.by_peer
            assert len(abandons(scene, role)) == 1
            assert scene.states(role) == {0: "active", 2: "active"}
        scene.assert_alive()


@pytest.mark.slow
def test_mp_80_path_0_goes_while_streams_run() -> None:
    with scene_over([(Delay(0.02),), (Delay(0.04), Loss(0.02))]) as scene:
        data = bytes(range(256)) * 2000
        scene.client.send_stream(0, data, end_stream=True)
        scene.server.send_stream(1, data, end_stream=True)
        scene.run(0.15)
        assert not scene.server.ended_streams
        scene.pair.abandon(0)
        scene.until(
            lambda: 0 in scene.server.ended_streams and 1 in scene.client.ended_streams, limit=60
        )
        assert scene.server.received_stream(0) == data
        assert scene.client.received_stream(1) == data
        scene.run(3.0)
        assert scene.states("client") == scene.states("server") == {1: "active"}
        scene.assert_alive()


@both_roles
def test_mp_86_a_lost_abandon_is_repeated(role: str) -> None:
    with opened(3) as scene:
        for index in (0, 1):
            scene.pair.link(index).is_up = False
        scene.pair.abandon(2, by_server=role == "server")
        scene.run(0.03)
        assert len(abandons(scene, role)) == 1
        for index in (0, 1):
            scene.pair.link(index).is_up = True
        scene.until(lambda: 2 not in scene.states(role))
        assert 2 not in scene.states(other(role))


def test_the_last_path_is_not_given_up_by_command() -> None:
    with opened(2) as scene:
        scene.pair.abandon(0)
        with pytest.raises(LocalProtocolError, match="only path"):
            scene.pair.abandon(1)
        with pytest.raises(LocalProtocolError, match="does not exist"):
            scene.pair.abandon(7)


def test_a_path_given_up_does_not_recover() -> None:
    """An acknowledgement that comes late is processed, but nobody is told of a recovery."""
    with scene_over([(LINK_DELAY,), (Delay(0.06),)]) as scene:
        scene.pair.link(1).is_up = False
        scene.client.connection._paths[ONE].ping_is_due = True
        scene.run(0.01)
        scene.pair.link(1).is_up = True
        scene.until(lambda: scene.states("client")[1] == "suspect", limit=5.0)
        scene.run(0.001)
        scene.pair.abandon(1)
        scene.run(1.0)
        assert not scene.client.events_of(PathRecovered)
        assert scene.client.events[-1].__class__ is not PathRecovered


def inject(scene: Scene, payload: bytes, four_tuple: FourTuple) -> None:
    """Let a datagram come to the client over one of its network paths."""
    scene.simulator.inject(UdpDatagram(four_tuple.remote, four_tuple.local, payload, 0))
    scene.run(0.5)
