"""Opening paths: whose right it is, and what both sides need for it (RFC 10069 s3.1)."""

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.events import (
    PathAbandoned,
    PathIdsAvailable,
    PathOpened,
)
from mqvpn_core.quic.path_manager import PathUnavailableError
from mqvpn_core.testing.link_elements import (
    Delay,
    Loss,
    UdpDatagram,
)
from mqvpn_core.testing.multi_pair import LINK_DELAY, MULTIPATH_PAIR, MultiPair
from mqvpn_core.testing.pair import SERVER_ADDRESS
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.code_points import TransportErrorCode as E
from mqvpn_core.wire.path_frames import PathAbandon, PathChallenge, PathNewConnectionId
from tests.simulation.multipath.path_rules import PathRules
from tests.simulation.multipath.scene import PING, Liar, Scene, drop_frames, fresh, opened

DEAD = (Loss(1.0),)
ONE = PathId(1)


def test_mp_27_only_the_client_opens_paths() -> None:
    with opened() as scene:
        four_tuple = FourTuple(SERVER_ADDRESS, SocketAddress("10.0.1.2", 5001))
        with pytest.raises(LocalProtocolError):
            scene.server.connection.open_path(four_tuple, scene.simulator.now)


def test_mp_27_a_client_adopts_no_path_that_it_has_not_opened() -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, "server")
        liar.forge(PING * 20, PathChallenge(data=bytes(8)), path_id=2)
        assert scene.states("client") == {0: "active", 1: "active"}
        assert len(scene.client.events_of(PathOpened)) == 1
        scene.assert_alive()
        # The same packet opens a path where a client sends it.
        liar = Liar(scene, "client")
        liar.forge(PING * 20, path_id=2, seconds=0.02)
        assert 2 in scene.states("server")


def test_mp_28_a_new_path_uses_connection_ids_of_its_own() -> None:
    with opened(4) as scene:
        by_path: dict[tuple[bool, int], set[bytes]] = {}
        for packet in scene.rules.wiretap.packets:
            key = packet.is_from_client, packet.path_id
            by_path.setdefault(key, set()).add(packet.destination_cid)
        assert {path_id for _, path_id in by_path} == {0, 1, 2, 3}
        used = [cid for cids in by_path.values() for cid in cids]
        assert len(used) == len(set(used))


@pytest.mark.parametrize("whose", ["client", "server"])
def test_mp_28_56_both_sides_must_have_issued_connection_ids(whose: str) -> None:
    """Until then the client may not open the path; it says what it lacks and hears of it."""
    with MultiPair(1) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.connect()
        is_client = whose == "client"
        drop_frames(scene, F.PATH_NEW_CONNECTION_ID, from_client=is_client, path_id=0)
        scene.until(lambda: pair.client.connection.handshake_confirmed)
        scene.run(0.5)
        if is_client:
            # What we have issued may be used at once: it will arrive sooner or later.
            assert pair.open(1) == 1
            return
        with pytest.raises(PathUnavailableError, match="no connection ID"):
            pair.open(1)
        scene.run(0.1)
        tap = scene.rules.wiretap
        (blocked,) = tap.of(is_from_client=True, frame_type=F.PATH_CIDS_BLOCKED)
        assert blocked.fields(F.PATH_CIDS_BLOCKED, 2) == [(1, 0)]
        assert not pair.client.events_of(PathIdsAvailable)
        del scene.simulator._route
        scene.until(lambda: bool(pair.client.events_of(PathIdsAvailable)))
        assert pair.open(1) == 1
        scene.run(1.0)
        assert scene.states("client") == scene.states("server") == {0: "active", 1: "active"}


def test_mp_29_both_directions_use_connection_ids_of_the_same_path() -> None:
    """The wiretap opens a packet with the path ID of its connection ID, which is in the nonce."""
    with opened(3) as scene:
        scene.transfer()
        tap = scene.rules.wiretap
        for path_id in range(3):
            remotes = {
                packet.datagram.source for packet in tap.of(is_from_client=True, path_id=path_id)
            }
            targets = {
                packet.datagram.destination
                for packet in tap.of(is_from_client=False, path_id=path_id)
            }
            assert remotes == targets
            assert len(remotes) == 1


def test_mp_34_a_forged_packet_opens_nothing() -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, "client")
        liar.forge(PING * 20, path_id=2, nonce_path_id=1)
        assert 2 not in scene.states("server")
        scene.assert_alive()


def test_mp_36_a_refused_path_is_abandoned_on_another_one() -> None:
    with opened(3) as scene:
        scene.pair.abandon(1, E.PATH_RESOURCE_LIMIT_REACHED, by_server=True)
        scene.run(0.5)
        (refusal,) = scene.rules.wiretap.of(is_from_client=False, frame_type=F.PATH_ABANDON)
        assert refusal.path_id != 1
        assert refusal.fields(F.PATH_ABANDON, 2) == [(1, E.PATH_RESOURCE_LIMIT_REACHED)]
        (event,) = scene.client.events_of(PathAbandoned)
        assert event.by_peer
        assert event.error_code == E.PATH_RESOURCE_LIMIT_REACHED
        scene.assert_alive()


def test_mp_37_a_missing_connection_id_delays_the_answer() -> None:
    """The client's connection ID for path 1 is lost twice; the path comes up all the same."""
    with MultiPair(1) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.connect()
        drop_frames(scene, F.PATH_NEW_CONNECTION_ID, from_client=True, path_id=0)
        scene.until(lambda: pair.client.connection.handshake_confirmed)
        scene.run(0.05)
        pair.open(1)
        scene.run(0.05)
        assert pair.server.paths[ONE].state == "validating"
        assert not scene.rules.wiretap.of(is_from_client=False, path_id=1)
        del scene.simulator._route
        scene.until(lambda: scene.states("client").get(1) == "active", limit=2.0)
        scene.until(lambda: scene.states("server").get(1) == "active", limit=2.0)
        challenges = scene.rules.wiretap.of(
            is_from_client=True, path_id=1, frame_type=F.PATH_CHALLENGE
        )
        data = [frame for packet in challenges for kind, frame in packet.frames if kind == 0x1A]
        assert len(data) == len(set(data)), "RFC 9000 s8.2.1: unpredictable data each time"
        scene.rules.finish()


def test_mp_37_a_connection_id_that_never_comes_ends_the_path() -> None:
    """No path may stay half open for ever, or a peer could use up all of them."""
    with opened(watched=False) as scene:
        server = scene.server.connection
        server._exchange._peer.pop(PathId(3))
        liar = Liar(scene, "client")
        liar.forge(PING * 20, path_id=3, four_tuple=scene.pair.four_tuple(1), seconds=0.05)
        assert scene.states("server")[3] == "validating"
        scene.run(3.0)
        assert 3 not in scene.states("server")
        (event,) = scene.server.events_of(PathAbandoned)
        assert event.error_code == E.NO_CID_AVAILABLE_FOR_PATH
        scene.run(12.0)
        assert not server._paths.keys() - {0, 1}


def test_mp_39_packets_on_a_new_path_change_no_other() -> None:
    """Not even non-probing ones, from an address that another path uses."""
    with opened(watched=False) as scene:
        before = scene.server.path.four_tuple
        liar = Liar(scene, "client")
        liar.forge(PING * 20, path_id=2, four_tuple=scene.pair.four_tuple(1), seconds=0.02)
        assert scene.server.path.four_tuple == before
        assert scene.server.path.state == "active"


def test_mp_44_no_address_validation_token_is_issued() -> None:
    """NEW_TOKEN would have to serve every validated address; Retry does without."""
    with opened(3) as scene:
        scene.transfer()
        assert not [p for p in scene.rules.wiretap.packets if F.NEW_TOKEN in p.frame_types]


def test_mp_96_state_of_a_new_path_is_created_after_authentication() -> None:
    with opened(watched=False) as scene:
        server = scene.server.connection
        paths, numbers = dict(server._paths), len(server._protection._numbers)
        cid = server.local_connection_ids.active(PathId(2))[0].connection_id
        liar = Liar(scene, "client")
        for size in (21, 40, 1200):
            garbage = b"\x40" + cid + bytes(size)
            transmit = scene.pair.four_tuple(1)
            scene.simulator.inject(_udp(transmit, garbage))
        scene.run(0.5)
        assert server._paths == paths
        assert len(server._protection._numbers) <= numbers + 1
        assert liar.victim is scene.server
        scene.assert_alive()


def test_a_path_abandoned_before_its_first_packet_arrives_is_legal() -> None:
    """What opened it comes late: no path, no stateless reset, no error (MP-72, MP-74)."""
    with MultiPair(1, MULTIPATH_PAIR, [(LINK_DELAY,), (Delay(0.4),)]) as pair:
        scene = fresh(pair)
        pair.open(1)
        scene.run(0.005)
        pair.abandon(1)
        scene.run(3.0)
        assert 1 not in pair.server.paths
        assert not [event for event in pair.server.events_of(PathOpened) if event.path_id == 1]
        scene.assert_alive()
        assert pair.open(1) == 2
        scene.rules.finish()


def test_a_path_that_the_server_gives_up_unused_leaves_a_hole_only() -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, "server")
        liar.say(PathAbandon(path_id=PathId(3), error_code=0))
        assert scene.pair.open(1) == 2
        scene.run(0.5)
        assert scene.pair.open(1) == 4


def test_connection_ids_may_come_out_of_order() -> None:
    """The one for path 2 is there before the one for path 1 (RFC 10069 s3.2.1)."""
    with MultiPair(1) as pair:
        scene = Scene(pair, PathRules(pair))
        pair.connect()
        drop_frames(scene, F.PATH_NEW_CONNECTION_ID, from_client=False, path_id=0)
        scene.until(lambda: pair.client.connection.handshake_confirmed)
        frame = PathNewConnectionId(
            path_id=PathId(2),
            sequence_number=0,
            retire_prior_to=0,
            connection_id=b"path two",
            stateless_reset_token=bytes(16),
        )
        liar = Liar(scene, "server")
        liar.say(frame, seconds=0.05)
        with pytest.raises(PathUnavailableError):
            pair.open(1)


def _udp(four_tuple: FourTuple, payload: bytes) -> UdpDatagram:
    return UdpDatagram(*four_tuple, payload, 0)


def test_the_shortest_round_trip_is_that_of_the_paths_in_use() -> None:
    with MultiPair(1, MULTIPATH_PAIR, ((Delay(0.01),), (Delay(0.05),))) as pair:
        endpoint = pair.server_node.endpoint
        assert endpoint.shortest_round_trip == pair.client.connection.shortest_round_trip == 0.0
        pair.open_all()
        pair.simulator.run_for(1.0)
        assert endpoint.shortest_round_trip == pytest.approx(0.02, abs=0.002)
        assert pair.client.connection.shortest_round_trip == pytest.approx(0.02, abs=0.002)
        pair.abandon(PathId(0))
        pair.simulator.run_for(1.0)
        assert endpoint.shortest_round_trip == pytest.approx(0.1, abs=0.002)
