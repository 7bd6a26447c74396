"""One test for each mistake that other multipath implementations are known to have made.

The source of each is named as repository and number of the public thread.
"""

from collections import Counter

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mqvpn_core.dataplane import kernel
from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.events import PathAbandoned, PathMigrated, PathSuspected
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay, Direction, Loss, OneWay, UdpDatagram
from mqvpn_core.testing.multi_pair import LINK_DELAY, MultiPair
from mqvpn_core.testing.nat import Nat
from mqvpn_core.testing.pair import SERVER_ADDRESS, PairConfig
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.path_frames import (
    PathAbandon,
    PathAck,
    PathCidsBlocked,
    PathRetireConnectionId,
)
from tests.simulation.multipath.path_rules import PathRules
from tests.simulation.multipath.scene import ROLES, Liar, Scene, opened, scene_over

ZERO, ONE, TWO = map(PathId, range(3))
QUIET = TransportConfig(initial_max_path_id=4, keep_alive=None)
QUIET_PAIR = PairConfig(client=QUIET, server=QUIET)

both_roles = pytest.mark.parametrize("role", ROLES)


def ack_of(number: int) -> Ack:
    return Ack(ranges=((number, number),), delay_raw=0, ecn=None)


def test_the_path_id_is_in_network_byte_order() -> None:
    """alibaba/xquic#270: in host byte order the nonces of two machines differ."""
    key, iv = bytes(range(16)), bytes(12)
    keys = kernel.PacketKeys(kernel.CipherSuite.AES_128_GCM_SHA256, key, iv, bytes(16))
    header = kernel.ShortHeader(b"8 bytes.", 0, 4)
    (sealed,) = kernel.seal_batch(keys, header, 0x01020304, 9, [b"payload of the packet"])
    nonce = bytes.fromhex("01020304") + (9).to_bytes(8)
    plain_header = b"\x43" + b"8 bytes." + (9).to_bytes(4)
    assert sealed[13:] == AESGCM(key).encrypt(nonce, b"payload of the packet", plain_header)


def test_a_limit_of_one_allows_path_one() -> None:
    """private-octopus/picoquic#1771, #1935: taken as exclusive, path 1 was never opened."""
    one = TransportConfig(initial_max_path_id=1)
    with opened(2, config=PairConfig(client=one, server=one)) as scene:
        assert scene.states("client") == scene.states("server") == {0: "active", 1: "active"}


def test_no_path_ack_in_the_handshake() -> None:
    """n0-computer/noq#220: PATH_ACK was sent in Initial and Handshake packets.

    There the engine of the peer would close with PROTOCOL_VIOLATION.
    """
    links = [(Delay(0.05), Loss(0.2)), (LINK_DELAY,)]
    for seed in range(8):
        with MultiPair(seed, QUIET_PAIR, links) as pair:
            pair.handshake(limit=60.0)
            assert pair.client.connection.multipath_negotiated
            assert pair.server.termination is None


@both_roles
@pytest.mark.parametrize("path_id", [2, 3, 4])
def test_an_ack_for_a_path_never_opened_is_survived(path_id: int, role: str) -> None:
    """n0-computer/noq#592: it made the process panic."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(PathAck(path_id=PathId(path_id), ack=ack_of(12)))
        scene.assert_alive()


def test_a_path_abandon_on_a_path_that_is_abandoned_itself_is_not_lost() -> None:
    """n0-computer/noq#435: packets outstanding on an abandoned path were never declared lost."""
    with opened(3) as scene:
        # PATH_ABANDON for path 1 goes out on path 0, which does not deliver it.
        scene.pair.link(0).is_up = False
        scene.pair.link(2).replace((Delay(0.5),))
        scene.client.connection._paths[TWO].suspected_at = scene.simulator.now
        scene.pair.abandon(1)
        scene.run(0.001)
        (first,) = scene.rules.wiretap.of(is_from_client=True, frame_type=F.PATH_ABANDON)
        assert first.path_id == 0
        scene.client.connection._paths[TWO].suspected_at = None
        scene.pair.link(2).replace((LINK_DELAY,))
        scene.pair.abandon(0)
        scene.until(lambda: set(scene.states("server")) == {2}, limit=5.0)
        assert {event.path_id for event in scene.server.events_of(PathAbandoned)} == {0, 1}


def test_no_timer_of_an_abandoned_path_fires() -> None:
    """n0-computer/noq#512: its PTO did, and sent a probe."""
    with opened(2, config=QUIET_PAIR) as scene:
        scene.pair.link(1).is_up = False
        scene.ping("client", 1)
        scene.pair.abandon(1)
        path = scene.client.connection._paths[ONE]
        assert path.sent.ack_eliciting_in_flight
        sent = path.sent.next_packet_number
        scene.run(0.5)
        assert path.sent.next_packet_number == sent
        assert path.current.recovery.pto_count == 0
        assert not scene.client.events_of(PathSuspected)


@both_roles
def test_a_late_datagram_for_a_discarded_path_is_harmless(role: str) -> None:
    """n0-computer/noq#732: it crashed the endpoint."""
    with opened(3, config=QUIET_PAIR, watched=False) as scene:
        liar = Liar(scene, role)
        late: list[UdpDatagram] = []
        scene.simulator.add_tap(lambda _now, _what, datagram: late.append(datagram))
        scene.ping(role, 1)
        own = [d for d in late if d.source == liar.connection._paths[ONE].current.four_tuple.local]
        scene.pair.abandon(1)
        scene.run(3.0)
        assert ONE not in liar.victim.paths
        for datagram in own:
            scene.simulator.inject(datagram)
        scene.run(0.5)
        scene.assert_alive()


@both_roles
@pytest.mark.parametrize("wait", [0.015, 3.0], ids=["retained", "discarded"])
def test_cids_blocked_for_an_abandoned_path_is_ignored(wait: float, role: str) -> None:
    """n0-computer/noq#710: it closed the connection."""
    with opened(3, config=QUIET_PAIR, watched=False) as scene:
        liar = Liar(scene, role)
        scene.pair.abandon(1)
        scene.run(wait)
        liar.say(PathCidsBlocked(path_id=ONE, next_sequence_number=55), path_id=2)
        scene.assert_alive()


@both_roles
def test_a_peer_that_still_sends_after_our_abandon_commits_no_offence(role: str) -> None:
    """n0-computer/noq#436: under loss that ended connections; the limit grows only at discard."""
    other = "server" if role == "client" else "client"
    with opened(3, config=QUIET_PAIR) as scene:
        connection = scene.peer(role).connection
        scene.pair.link(0).replace((Delay(0.3),))
        scene.pair.link(2).replace((Delay(0.3),))
        scene.pair.abandon(1, by_server=role == "server")
        for _ in range(8):
            scene.ping(other, 1)
            scene.run(0.03)
        assert connection._path_ids.local_maximum == 4
        assert scene.client.termination is scene.server.termination is None
        scene.run(10.0)
        assert connection._path_ids.local_maximum == 5
        scene.assert_alive()


def test_acknowledgements_do_not_wait_behind_another_path() -> None:
    """n0-computer/noq#799: all PATH_ACKs went on whichever path sent first."""
    with scene_over([(Delay(0.2),), (Delay(0.01),)], config=QUIET_PAIR) as scene:
        carriers: Counter[tuple[int, int]] = Counter()
        for _ in range(10):
            for path_id in (0, 1):
                scene.ping("client", path_id)
            scene.run(0.1)
        for packet in scene.rules.wiretap.of(is_from_client=False):
            for (path_id,) in packet.fields(F.PATH_ACK, 1):
                carriers[path_id, packet.path_id] += 1
        assert carriers[0, 0]
        assert carriers[1, 1]
        assert not carriers[1, 0]
        assert not carriers[0, 1]


def test_connection_ids_are_issued_before_they_are_asked_for() -> None:
    """tmc/go-iroh PR 10: on demand only, so that the peer starved; but noq#369: not too many."""
    with MultiPair(1) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.handshake()
        scene.run(0.2)
        for peer in (pair.client, pair.server):
            local = peer.connection.local_connection_ids
            counts = [len(local.active(PathId(path_id))) for path_id in range(6)]
            assert counts == [4, 1, 1, 1, 1, 0]
        seen = {kind for packet in scene.rules.wiretap.packets for kind in packet.frame_types}
        assert F.PATH_CIDS_BLOCKED not in seen


def test_the_limit_of_connection_ids_counts_per_path() -> None:
    """private-octopus/picoquic#1890: it was enforced over the whole connection."""
    with opened(4, config=PairConfig(client=QUIET, server=QUIET)) as scene:
        for peer in (scene.client, scene.server):
            known = peer.connection._exchange._peer
            assert sum(len(ids._active) for ids in known.values()) > 8
        scene.assert_alive()


@both_roles
def test_retiring_the_id_of_the_carrying_packet_is_survived(role: str) -> None:
    """private-octopus/picoquic#1912: it ended the connection."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        used = liar.victim.connection.local_connection_ids.lookup(
            liar.connection._paths[ONE].peer_cids.current
        )
        assert used is not None
        liar.say(
            PathRetireConnectionId(path_id=ONE, sequence_number=used.sequence_number), path_id=1
        )
        assert liar.victim.termination is None


def test_a_rebinding_with_a_rotation_at_the_same_time() -> None:
    """private-octopus/picoquic#1915, #1933: the path was lost."""
    links = [(LINK_DELAY,), (LINK_DELAY, Nat("203.0.113.2", first_port=40_000))]
    with scene_over(links, config=QUIET_PAIR) as scene:
        scene.pair.link(1).replace((LINK_DELAY, Nat("203.0.113.2", first_port=41_000)))
        scene.client.connection._exchange.rotate(ONE)
        scene.ping("client", 1)
        scene.run(1.0)
        assert scene.server.paths[ONE].four_tuple.remote.port == 41_000
        assert scene.states("server")[1] == "active"
        scene.assert_alive()


def test_a_rebound_path_gets_its_challenge_and_leaves_nothing_behind() -> None:
    """Tencent/tquic#524: no connection ID for the new tuple, no PATH_CHALLENGE, a leaked path."""
    links = [(LINK_DELAY, Nat("203.0.113.1", first_port=40_000)), (LINK_DELAY,)]
    with scene_over(links, config=QUIET_PAIR) as scene:
        for port in range(41_000, 41_030):
            scene.pair.link(0).replace((LINK_DELAY, Nat("203.0.113.1", first_port=port)))
            scene.ping("client", 0)
            scene.run(0.2)
            challenged = scene.rules.wiretap.of(
                is_from_client=False, path_id=0, frame_type=F.PATH_CHALLENGE
            )
            assert challenged[-1].datagram.destination == SocketAddress("203.0.113.1", port)
        assert len(scene.server.events_of(PathMigrated)) == 30
        server = scene.server.connection
        assert set(server._paths) == {0, 1}
        assert len(server._paths[ZERO].network_paths) <= 8


def test_path_zero_does_not_come_back() -> None:
    """private-octopus/picoquic#1918: path ID 0 was expected to be used again after its end."""
    with opened(2) as scene:
        scene.pair.abandon(0)
        scene.run(3.0)
        assert scene.pair.open(0) == 2
        scene.run(0.5)
        assert scene.states("server") == {1: "active", 2: "active"}
        with pytest.raises(LocalProtocolError, match="does not exist"):
            scene.pair.abandon(0)


def test_path_ids_are_issued_and_used_without_leaving_any_out() -> None:
    """quicwg/multipath#318: one side issued even path IDs only, and the other waited for path 1."""
    with MultiPair(1, QUIET_PAIR) as pair:
        pair.handshake()
        pair.simulator.run_for(0.5)
        assert [pair.open(1) for _ in range(4)] == [1, 2, 3, 4]


def test_a_path_id_and_its_four_tuples_are_two_things() -> None:
    """h2o/quicly#670: one object for both loses the packet numbers when the address changes."""
    links = [(LINK_DELAY,), (LINK_DELAY, Nat("203.0.113.2", first_port=40_000))]
    with scene_over(links, config=QUIET_PAIR) as scene:
        path = scene.server.connection._paths[ONE]
        ledger, received, number = path.sent, path.received, path.sent.next_packet_number
        left = path.current
        scene.pair.link(1).replace((LINK_DELAY, Nat("203.0.113.2", first_port=41_000)))
        scene.ping("client", 1)
        scene.run(1.0)
        assert path.current is not left
        assert path.sent is ledger
        assert path.received is received
        assert path.sent.next_packet_number > number


def test_a_client_can_go_on_when_its_first_link_dies_right_after_the_handshake() -> None:
    """mp0rta/mqvpn#46: only the first interface counted, and nothing replaced it.

    Which link is tried first, and the race between them, belong to the runtime.
    """
    with MultiPair(1, QUIET_PAIR) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.handshake()
        scene.run(0.1)
        pair.link(0).is_up = False
        assert pair.open(1) == 1
        scene.run(0.5)
        assert scene.states("client")[1] == "active"
        scene.transfer()
        scene.rules.finish()


def test_a_deaf_path_is_left_though_it_still_brings_packets() -> None:
    """The way up is dead, the way down is not: hearing the peer is no sign that it hears us."""
    with opened(2, config=QUIET_PAIR) as scene:
        scene.pair.link(1).replace((LINK_DELAY, OneWay(Direction.UP, Loss(1.0))))
        scene.ping("client", 1)
        for _ in range(40):
            if ONE in scene.server.paths:
                scene.ping("server", 1)
            scene.run(0.3)
        assert set(scene.states("client")) == {0}
        scene.assert_alive()


def test_a_peer_cannot_make_us_keep_holes_for_ever() -> None:
    """Giving up every second unused path leaves no growing list of the others."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, "client")
        server = scene.server.connection
        for path_id in (2, 4):
            liar.say(PathAbandon(path_id=PathId(path_id), error_code=0))
        scene.run(15.0)
        assert server._path_ids.local_maximum == 6
        assert not server._manager._never_opened
        assert FourTuple(SERVER_ADDRESS, scene.pair.four_tuple(0).local) in {
            path.four_tuple for path in scene.server.paths.values()
        }
        scene.assert_alive()
