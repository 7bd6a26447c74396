"""What holds for packets of every path: where frames may stand, how a connection ends over them."""

import pytest
from aioquic.quic.crypto import CryptoContext
from aioquic.quic.packet import QuicPacketType
from aioquic.tls import Epoch

from mqvpn_core.ids import PathId
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.events import DatagramsReceived
from mqvpn_core.testing.link_elements import Delay, Direction, Loss, OneWay, UdpDatagram
from mqvpn_core.testing.multi_pair import LINK_DELAY, MultiPair
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.code_points import TransportErrorCode as E
from tests.simulation.multipath.scene import PING, ROLES, Liar, both_roles, opened, scene_over, v

ONE = PathId(1)
TYPE_BITS = {QuicPacketType.INITIAL: 0, QuicPacketType.HANDSHAKE: 2}
MULTIPATH_FRAMES = {
    "PATH_ACK": v(F.PATH_ACK, 0, 0, 0, 0, 0),
    "PATH_ACK_ECN": v(F.PATH_ACK_ECN, 0, 0, 0, 0, 0, 0, 0, 0),
    "PATH_ABANDON": v(F.PATH_ABANDON, 1, 0),
    "PATH_STATUS_BACKUP": v(F.PATH_STATUS_BACKUP, 1, 0),
    "PATH_STATUS_AVAILABLE": v(F.PATH_STATUS_AVAILABLE, 1, 0),
    "PATH_NEW_CONNECTION_ID": v(F.PATH_NEW_CONNECTION_ID, 1, 0, 0, 8) + bytes(24),
    "PATH_RETIRE_CONNECTION_ID": v(F.PATH_RETIRE_CONNECTION_ID, 1, 0),
    "MAX_PATH_ID": v(F.MAX_PATH_ID, 9),
    "PATHS_BLOCKED": v(F.PATHS_BLOCKED, 1),
    "PATH_CIDS_BLOCKED": v(F.PATH_CIDS_BLOCKED, 1, 0),
}


def other(role: str) -> str:
    return "server" if role == "client" else "client"


def long_packet(engine: EngineConnection, kind: QuicPacketType, frames: bytes) -> bytes:
    """Seal frames into an Initial or Handshake packet with the keys of one end."""
    epoch = Epoch.INITIAL if kind is QuicPacketType.INITIAL else Epoch.HANDSHAKE
    if epoch is Epoch.INITIAL:
        keys: CryptoContext = engine._cryptos_initial[engine.negotiated_version].send
    else:
        keys = engine._cryptos[epoch].send
    assert keys.aead is not None
    assert keys.hp is not None
    number = 900
    body = frames.ljust(1100, b"\0")
    first = 0xC0 | TYPE_BITS[kind] << 4 | 3
    header = bytes([first]) + (1).to_bytes(4)
    for cid in (engine.peer_cid, engine.host_cid):
        header += bytes([len(cid)]) + cid
    if kind is QuicPacketType.INITIAL:
        header += b"\0"
    header += (0x4000 | 4 + len(body) + 16).to_bytes(2) + number.to_bytes(4)
    return keys.hp.apply(header, keys.aead.encrypt(body, header, number)).ljust(1200, b"\0")


@both_roles
@pytest.mark.parametrize("kind", [QuicPacketType.INITIAL, QuicPacketType.HANDSHAKE])
@pytest.mark.parametrize("frame", MULTIPATH_FRAMES.values(), ids=MULTIPATH_FRAMES)
def test_mp_81_multipath_frames_belong_into_1_rtt_packets(
    frame: bytes, kind: QuicPacketType, role: str
) -> None:
    """In Initial and Handshake packets they are a PROTOCOL_VIOLATION, not unknown frames."""
    is_initial = kind is QuicPacketType.INITIAL
    with MultiPair(1, links=[(Delay(0.05),), (LINK_DELAY,)]) as pair:
        pair.connect()
        # At 0.05 s the server has answered, at 0.10 s the client gets its Handshake keys and opens
        # what the server seals with its own.
        pair.simulator.run_for(0.06 if is_initial else 0.105)
        liar, victim = pair.client, pair.server
        local, remote = pair.four_tuple(0)
        if role == "server":
            liar, victim = victim, liar
            local, remote = remote, local
        packet = long_packet(liar.connection.engine, kind, frame)
        # It overtakes all that the honest half of the liar says.
        pair.link(0).replace((Delay(0.001),))
        pair.simulator.inject(UdpDatagram(local, remote, packet, 0))
        pair.simulator.run_for(1.0)
        assert victim.termination is not None
        assert victim.termination.error_code == E.PROTOCOL_VIOLATION
        assert not victim.termination.by_peer


@both_roles
@pytest.mark.parametrize("path_id", [0, 1, 2])
def test_mp_24_connection_close_on_any_path_ends_it(path_id: int, role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(v(F.CONNECTION_CLOSE_APPLICATION, 7, 3) + b"bye", path_id=path_id)
        end = liar.victim.termination
        assert end is not None
        assert (end.error_code, end.by_peer, end.is_application) == (7, True, True)


@both_roles
@pytest.mark.parametrize("dead", [0, 1])
def test_mp_24_we_close_on_a_path_that_works(dead: int, role: str) -> None:
    """A suspected path would swallow the news."""
    with opened(2) as scene:
        scene.pair.link(dead).is_up = False
        scene.ping(role, dead)
        scene.run(1.0)
        assert scene.states(role)[dead] == "suspect"
        scene.peer(role).close(5, "the end")
        scene.run(0.1)
        heard = scene.peer(other(role)).termination
        assert heard is not None
        assert heard.reason == "the end"


def test_mp_25_closing_and_draining_last_three_times_the_largest_pto() -> None:
    with scene_over([(Delay(0.01),), (Delay(0.2),)]) as scene:
        largest = max(
            path.current.recovery.probe_timeout()
            for path in scene.server.connection._paths.values()
        )
        assert largest > 0.4
        start = scene.simulator.elapsed
        scene.client.close(0, "done")
        scene.until(lambda: scene.client.connection.is_closed, limit=30)
        client_lasted = scene.simulator.elapsed - start
        scene.until(lambda: scene.server.connection.is_closed, limit=30)
        server_lasted = scene.simulator.elapsed - start - 0.01
        assert client_lasted >= 3 * 0.4
        assert server_lasted >= 3 * 0.4
        assert max(client_lasted, server_lasted) < 10


@pytest.mark.parametrize("path_id", [0, 1, 2])
def test_mp_26_a_stateless_reset_on_any_path_ends_the_connection(path_id: int) -> None:
    """The server is restarted: it has the key for the tokens and nothing else."""
    with opened(3, watched=False) as scene:
        scene.rules.is_watching = False
        scene.pair.restart_server("after the crash")
        scene.ping("client", path_id)
        # 29 bytes are enough of a trigger.
        scene.run(1.0)
        end = scene.client.termination
        assert end is not None
        assert "reset" in end.reason


@both_roles
def test_mp_101_validation_datagrams_are_padded_in_both_directions(role: str) -> None:
    """The rules check every challenge and response of every scene; here are some of each."""
    with opened(3) as scene:
        for kind in (F.PATH_CHALLENGE, F.PATH_RESPONSE):
            packets = scene.rules.wiretap.of(is_from_client=role == "client", frame_type=kind)
            assert {packet.path_id for packet in packets} == {1, 2}
            assert {len(packet.datagram.payload) for packet in packets} == {1200}


@both_roles
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_mp_102_reserved_bits_on_another_path_are_a_violation(bits: int, role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        victim_cid = liar.victim.connection.local_connection_ids.active(ONE)[0].connection_id
        send = liar.connection._protection._send
        assert send is not None
        context = CryptoContext(key_phase=0)
        engine_secret = send.schedule
        context.setup(
            cipher_suite=engine_secret.suite,  # type: ignore[arg-type] # an enum of the same number
            secret=engine_secret.secret,
            version=1,
        )
        assert context.aead is not None
        assert context.hp is not None
        header = bytes([0x43 | bits << 3]) + victim_cid + (500).to_bytes(4)
        sealed = context.aead.encrypt(PING * 20, header, 1 << 64 | 500)
        packet = context.hp.apply(header, sealed)
        four_tuple = liar.connection._paths[ONE].current.four_tuple
        scene.simulator.inject(UdpDatagram(*four_tuple, packet, 0))
        scene.run(0.2)
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
def test_mp_103_a_duplicate_is_dropped_on_its_path_only(role: str) -> None:
    """The same number on another path is another packet."""
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        liar.deafen()
        payload = v(F.DATAGRAM_WITH_LENGTH, 30) + bytes(30)
        for path_id in (0, 1, 2):
            for _ in range(3):
                liar.forge(payload, path_id=path_id, number=700, seconds=0.02)
        events = liar.victim.events_of(DatagramsReceived)
        assert sum(len(event.payloads) for event in events) == 3
        for path_id in (0, 1, 2):
            received = liar.victim.connection._paths[PathId(path_id)].received
            assert received.largest == 700


@both_roles
@pytest.mark.parametrize("size", [1, 1100, 1380])
def test_mp_104_datagrams_go_on_every_path_within_its_size(size: int, role: str) -> None:
    """No path gets a packet larger than its MTU; too large payloads are dropped and counted."""
    with opened(3) as scene:
        peer = scene.peer(role)
        largest = peer.connection.max_datagram_payload
        assert 1400 < largest < 1472
        for name in ("minrtt", "weighted", "backup"):
            peer.connection.set_scheduler(name)
            peer.send_datagrams([bytes(size)] * 20, scene.simulator.now)
            scene.run(0.5)
        assert len(scene.peer(other(role)).received_datagrams) == 60
        peer.send_datagrams([bytes(largest + 100)], scene.simulator.now)
        scene.run(0.5)
        assert len(scene.peer(other(role)).received_datagrams) == 60
        assert peer.connection.statistics().datagrams_dropped == 1


@both_roles
def test_mp_104_a_datagram_larger_than_announced_is_a_violation(role: str) -> None:
    """Ours takes all that a packet can carry, so that nothing on the wire can be too large."""
    with opened(2) as scene:
        assert scene.peer(role).connection.engine.peer_datagram_frame_limit == 65535


def test_one_direction_of_a_path_may_be_dead() -> None:
    """The client hears the server on path 1, but not the other way round; nothing is lost."""
    with opened(2) as scene:
        scene.pair.link(1).replace((LINK_DELAY, OneWay(Direction.UP, Loss(1.0))))
        for role in ROLES:
            for _ in range(5):
                scene.ping(role, 1)
                scene.run(0.1)
        assert scene.states("client")[1] == "suspect"
        assert scene.states("server")[1] == "suspect"
        scene.transfer(50_000)
        scene.until(lambda: scene.states("client") == {0: "active"}, limit=30)
        scene.assert_alive()
