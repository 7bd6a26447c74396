"""PATH_ACK and ACK, RTT and windows of each path (RFC 10069 s2.3, s4.1, s5.3, s5.4)."""

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.statistics import PathStatistics
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay, Direction, Loss, OneWay, RateLimit
from mqvpn_core.testing.multi_pair import LINK_DELAY, MultiPair
from mqvpn_core.testing.pair import PairConfig
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.path_frames import PathAck
from tests.simulation.multipath.path_rules import PathRules
from tests.simulation.multipath.scene import ROLES, Liar, Scene, both_roles, opened, scene_over, v

ACK_TYPES = {F.ACK, F.ACK_ECN}
PATH_ACK_TYPES = {F.PATH_ACK, F.PATH_ACK_ECN}
ONE = PathId(1)
QUIET = TransportConfig(initial_max_path_id=4, keep_alive=None)


def test_mp_15_17_path_ack_in_1_rtt_and_ack_in_the_handshake() -> None:
    """Handshake packets are confirmed by ACK: there the engine knows no multipath frame."""
    with opened(3) as scene:
        scene.transfer()
        one_rtt = {kind for packet in scene.rules.wiretap.packets for kind in packet.frame_types}
        assert one_rtt & PATH_ACK_TYPES
        assert not one_rtt & ACK_TYPES
        for peer in (scene.client, scene.server):
            handlers = vars(peer.connection.engine)["_QuicConnection__frame_handlers"]
            assert len(handlers[F.PATH_ACK][1]) == 1, "1-RTT only"


@both_roles
def test_mp_16_an_ack_acknowledges_packets_of_path_0(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        victim = liar.victim.connection
        outstanding: list[int] = []
        for path_id in (0, 1):
            path = victim._paths[PathId(path_id)]
            path.ping_is_due = True
            outstanding.append(path.sent.next_packet_number)
        # The honest half must not acknowledge first.
        for index in (0, 1):
            scene.pair.link(index).replace((Delay(5.0),))
        liar.victim._on_command()
        scene.run(0.001)
        assert victim._paths[PathId(0)].sent.ack_eliciting_in_flight == 1
        liar.say(v(F.ACK, outstanding[0], 0, 0, 0), path_id=1, seconds=0.001)
        scene.simulator.link("client", "link0").replace((LINK_DELAY,))
        scene.run(5.5)
        assert victim._paths[PathId(0)].sent.largest_acknowledged >= outstanding[0]
        assert liar.victim.termination is None


def test_acks_of_a_path_go_on_the_same_path() -> None:
    """Acknowledgements behind a slow path would cost the fast one its rate."""
    with scene_over([(Delay(0.01),), (Delay(0.15),)]) as scene:
        for _ in range(10):
            for role in ROLES:
                scene.say(role, 20, 1000)
            scene.run(0.1)
        for packet in scene.rules.wiretap.packets:
            for (path_id,) in packet.fields(F.PATH_ACK, 1):
                assert path_id == packet.path_id
        rtts = {path_id: path.smoothed_rtt for path_id, path in scene.client.paths.items()}
        assert rtts[PathId(0)] < 0.06
        assert 0.28 < rtts[ONE] < 0.36


def test_mp_85_acknowledgements_are_not_acknowledged() -> None:
    """Two idle ends fall silent, though each has the other's PATH_ACK to think about."""
    with opened(4, config=PairConfig(client=QUIET, server=QUIET)) as scene:
        scene.transfer()
        scene.simulator.run_until_quiet(quiet=5.0, limit=60.0)
        before = scene.simulator.sent_count
        scene.run(5.0)
        assert scene.simulator.sent_count == before


@both_roles
def test_mp_85_a_path_ack_alone_provokes_nothing(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        scene.run(3.0)
        known = liar.victim.connection._paths[ONE].sent.largest_acknowledged
        ack = Ack(ranges=((known, known),), delay_raw=0, ecn=None)
        before = scene.simulator.sent_count
        for _ in range(20):
            liar.forge(PathAck(path_id=ONE, ack=ack), seconds=0.05)
        assert scene.simulator.sent_count == before


@pytest.mark.slow
def test_mp_94_each_path_has_its_own_window_and_rtt() -> None:
    """Loss on one path shrinks its window and no other; what is in flight obeys each window."""
    slow = (Delay(0.05), Loss(0.15), RateLimit(100_000, 20_000))
    with scene_over([(LINK_DELAY,), slow], seed=3) as scene:
        seen: list[PathStatistics] = []

        def check() -> None:
            for path in scene.client.paths.values():
                # One packet may be let through by pacing, and probes go without asking.
                assert path.bytes_in_flight <= path.congestion_window + 4 * 1500
                seen.append(path)

        scene.simulator.add_check(check)
        connection = scene.client.connection
        connection.set_scheduler("minrtt")
        for _ in range(30):
            scene.client.send_datagrams([bytes(1000)] * 60, scene.simulator.now)
            scene.run(0.05)
        first, second = (scene.client.paths[PathId(path_id)] for path_id in (0, 1))
        assert second.lost_packets > 0
        assert first.lost_packets == 0
        assert first.congestion_window > second.congestion_window
        assert first.smoothed_rtt < 0.05 < second.smoothed_rtt
        assert seen


def test_mp_95_the_minimum_starts_anew_when_another_path_brings_the_acks() -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, "server")
        path = scene.client.connection._paths[ONE]
        rtt = path.current.recovery.rtt
        assert 0.019 < rtt.minimum < 0.03
        # From now on only the liar acknowledges, on path 0 and late.
        scene.pair.link(1).replace((LINK_DELAY, OneWay(Direction.DOWN, Loss(1.0))))
        number = path.sent.next_packet_number
        path.ping_is_due = True
        scene.run(0.04)
        ack = Ack(ranges=((number, number),), delay_raw=0, ecn=None)
        liar.say(PathAck(path_id=ONE, ack=ack), path_id=0, seconds=0.05)
        assert path.sent.largest_acknowledged == number
        assert path.ack_path_id == 0
        assert rtt.minimum > 0.04


def test_mp_98_a_packet_on_any_path_resets_the_idle_timer() -> None:
    with opened(2) as scene:
        for _ in range(10):
            scene.ping("client", 1)
            scene.run(8.0)
        assert scene.client.termination is None
        assert scene.server.termination is None
        # No path is given up for being idle.
        assert scene.states("client") == {0: "active", 1: "active"}


def test_mp_98_without_packets_on_any_path_the_connection_ends() -> None:
    config = TransportConfig(initial_max_path_id=4, keep_alive=None, idle_timeout=20.0)
    with opened(2, config=PairConfig(client=config, server=config)) as scene:
        scene.run(25.0)
        assert scene.client.termination is not None
        assert "dle" in scene.client.termination.reason


def test_mp_100_what_a_silent_path_had_is_sent_on_another_and_counted_once() -> None:
    """The stream sender of the engine asserts that each piece is acknowledged once."""
    with MultiPair(1, links=[(LINK_DELAY,), (LINK_DELAY,)]) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.open_all()
        scene.run(1.0)
        data = bytes(range(256)) * 400
        for stream_id in range(0, 40, 4):
            scene.client.send_stream(stream_id, data, end_stream=True)
        scene.run(0.005)
        # Everything in flight on path 0 arrives, but its acknowledgements do not come back.
        pair.link(0).replace((LINK_DELAY, OneWay(Direction.DOWN, Loss(1.0))))
        scene.run(0.4)
        pair.link(0).replace((LINK_DELAY,))
        scene.until(
            lambda: set(range(0, 40, 4)) <= scene.server.ended_streams,
            limit=20.0,
        )
        for stream_id in range(0, 40, 4):
            assert scene.server.received_stream(stream_id) == data
        scene.run(3.0)
        for stream_id in range(0, 40, 4):
            assert scene.client.connection.engine.unsent_bytes(stream_id) == 0
        scene.rules.finish()


def test_mp_106_each_path_has_a_pto_of_its_own() -> None:
    with scene_over([(Delay(0.01),), (Delay(0.2),)]) as scene:
        fast, slow = (
            scene.client.connection._paths[PathId(path_id)].current.recovery for path_id in (0, 1)
        )
        assert fast.probe_timeout() < 0.12
        assert slow.probe_timeout() > 0.4
        for recovery in (fast, slow):
            rtt = recovery.rtt
            expected = rtt.smoothed + max(4 * rtt.variance, 0.001) + recovery.max_ack_delay
            assert recovery.probe_timeout() == pytest.approx(expected)
            assert recovery.max_ack_delay == pytest.approx(0.025)
