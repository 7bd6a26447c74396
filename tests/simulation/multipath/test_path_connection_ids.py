"""Issuing connection IDs of many paths (RFC 10069 s3.2, s4.4)."""

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.connection_ids import ACTIVE_CONNECTION_ID_LIMIT, ISSUED_CONNECTION_IDS
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.multi_pair import MultiPair
from mqvpn_core.testing.pair import PairConfig
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.code_points import TransportErrorCode as E
from mqvpn_core.wire.path_frames import (
    NewConnectionId,
    PathNewConnectionId,
    RetireConnectionId,
)
from tests.simulation.multipath.path_rules import PathRules
from tests.simulation.multipath.scene import ROLES, Liar, Scene, both_roles, new_id, opened, v

ZERO, ONE, TWO, THREE = map(PathId, range(4))


def issued(scene: Scene, role: str) -> dict[int, int]:
    """How many connection IDs an end has issued for each path, beside that of the handshake."""
    counts: dict[int, int] = {}
    for packet in scene.rules.wiretap.of(
        is_from_client=role == "client", frame_type=F.PATH_NEW_CONNECTION_ID
    ):
        for path_id, number, _ in packet.fields(F.PATH_NEW_CONNECTION_ID, 3):
            counts[path_id] = max(counts.get(path_id, 0), number + (path_id > 0))
    return counts


@both_roles
def test_mp_12_the_limit_counts_for_each_path(role: str) -> None:
    """Eight for one path are allowed, whatever the others have; the ninth is too much."""
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        for path_id in (1, 2, 3):
            first = liar.connection.local_connection_ids.next_sequence_number(PathId(path_id))
            for number in range(first, ACTIVE_CONNECTION_ID_LIMIT):
                liar.say(new_id(path_id, number), seconds=0.001)
        scene.run(0.1)
        assert liar.victim.termination is None
        liar.say(new_id(3, ACTIVE_CONNECTION_ID_LIMIT))
        liar.assert_victim_closes(E.CONNECTION_ID_LIMIT_ERROR)


def test_mp_45_46_path_frames_are_used_for_every_path() -> None:
    with opened(3) as scene:
        scene.client.connection._exchange.rotate(ONE)
        scene.client.connection._exchange.rotate(ZERO)
        scene.transfer()
        seen = {kind for packet in scene.rules.wiretap.packets for kind in packet.frame_types}
        assert {F.PATH_NEW_CONNECTION_ID, F.PATH_RETIRE_CONNECTION_ID} <= seen
        assert not seen & {F.NEW_CONNECTION_ID, F.RETIRE_CONNECTION_ID}


@both_roles
def test_mp_46_the_old_frames_still_count_for_path_0(role: str) -> None:
    """Both kinds share one sequence of numbers."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        following = liar.connection.local_connection_ids.next_sequence_number(ZERO)
        old = NewConnectionId(
            sequence_number=following,
            retire_prior_to=0,
            connection_id=b"old kind",
            stateless_reset_token=bytes(16),
        )
        liar.say(old)
        known = liar.victim.connection._exchange.peer_ids(ZERO)
        assert known.knows(b"old kind")
        liar.say(new_id(0, following + 1, name=b"new kind"))
        assert known.next_expected == following + 2
        # Retirement in the old way makes the victim issue another one, in the new way.
        local = liar.victim.connection.local_connection_ids
        before = {cid.sequence_number for cid in local.active(ZERO)}
        liar.say(RetireConnectionId(sequence_number=max(before)))
        assert {cid.sequence_number for cid in local.active(ZERO)} == before - {max(before)} | {
            max(before) + 1
        }
        liar.say(new_id(0, following, name=b"no match"))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
def test_mp_46_the_old_frames_are_ignored_once_path_0_is_gone(role: str) -> None:
    with opened(3, watched=False) as scene:
        scene.pair.abandon(0)
        scene.run(3.0)
        liar = Liar(scene, role)
        assert ZERO not in liar.victim.paths
        old = NewConnectionId(
            sequence_number=9,
            retire_prior_to=9,
            connection_id=b"too late",
            stateless_reset_token=bytes(16),
        )
        liar.say(old, RetireConnectionId(sequence_number=0), path_id=1)
        liar.say(RetireConnectionId(sequence_number=99), v(F.ACK, 3, 0, 0, 0), path_id=1)
        scene.assert_alive()
        assert ZERO not in liar.victim.connection._exchange._peer


def test_mp_47_48_49_ids_are_issued_from_0_for_every_unused_path() -> None:
    """The lower limit of the two counts; at least one each, in order and without a gap."""
    wide = TransportConfig(initial_max_path_id=7)
    narrow = TransportConfig(initial_max_path_id=3)
    for config in (PairConfig(client=wide, server=narrow), PairConfig(client=narrow, server=wide)):
        with MultiPair(1, config) as pair:
            scene = Scene(pair, PathRules(pair))
            pair.handshake()
            scene.run(1.0)
            for role in ROLES:
                counts = issued(scene, role)
                assert set(counts) == {0, 1, 2, 3}
                assert all(counts[path_id] >= 1 for path_id in (1, 2, 3))
                first = [
                    path_id
                    for packet in scene.rules.wiretap.of(is_from_client=role == "client")
                    for path_id, number, _ in packet.fields(F.PATH_NEW_CONNECTION_ID, 3)
                    if number == 0
                ]
                assert first == [1, 2, 3]
            assert [pair.open(1) for _ in range(3)] == [1, 2, 3]
            scene.run(1.0)
            # Paths in use have some to spare, for moves (RFC 10069 s3.2.1).
            for role in ROLES:
                assert issued(scene, role)[2] >= ISSUED_CONNECTION_IDS
            scene.rules.finish()


@both_roles
def test_mp_50_a_connection_id_is_issued_once_for_all_paths(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(new_id(1, 4, name=b"the same"))
        assert liar.victim.termination is None
        liar.say(new_id(2, 4, name=b"the same"))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@pytest.mark.slow
def test_mp_50_ours_are_all_different() -> None:
    with opened(4) as scene:
        for _ in range(10):
            path_id = scene.pair.open(1)
            scene.run(0.1)
            scene.pair.abandon(path_id)
            scene.run(0.5)
        cids = [
            (path_id, number, frame[-24:-16])
            for packet in scene.rules.wiretap.packets
            for (path_id, number, _), (_, frame) in zip(
                packet.fields(F.PATH_NEW_CONNECTION_ID, 3),
                [item for item in packet.frames if item[0] == F.PATH_NEW_CONNECTION_ID],
                strict=True,
            )
        ]
        assert len(cids) > 50
        by_bytes: dict[bytes, set[tuple[bool, int, int]]] = {}
        for path, number, cid in cids:
            by_bytes.setdefault(cid, set()).add((True, path, number))
        assert {len(places) for places in by_bytes.values()} == {1}


@both_roles
def test_mp_51_none_is_issued_above_the_peers_limit(role: str) -> None:
    """Also when our own limit is far above it; the rules check the same in every scene."""
    config = {role: TransportConfig(initial_max_path_id=20)}
    low = TransportConfig(initial_max_path_id=2)
    pair_config = PairConfig(client=config.get("client", low), server=config.get("server", low))
    with opened(2, config=pair_config) as scene:
        assert max(issued(scene, role)) == 2


@both_roles
def test_mp_53_a_limit_grows_when_a_path_is_gone(role: str) -> None:
    """So a client that opens and gives up paths for ever never runs out (RFC 10069 s3.2.1)."""
    with opened(3) as scene:
        connection = scene.peer(role).connection
        for expected in (5, 6, 7):
            scene.pair.abandon(max(path for path in scene.client.paths), by_server=role == "server")
            scene.until(lambda limit=expected: connection._path_ids.local_maximum == limit)  # type: ignore[misc] # bound now
            scene.run(0.2)
            assert scene.pair.open(2) == expected - 2
            scene.run(0.5)
        limits = [
            limit
            for packet in scene.rules.wiretap.of(is_from_client=role == "client")
            for (limit,) in packet.fields(F.MAX_PATH_ID, 1)
        ]
        assert limits == [5, 6, 7]


@both_roles
@pytest.mark.parametrize("length", [0, 21, 255])
def test_mp_60_bad_lengths_are_encoding_errors(length: int, role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        body = bytes([length]) + bytes(length + 16)
        liar.say(v(F.PATH_NEW_CONNECTION_ID, 1, 5, 0) + body)
        liar.assert_victim_closes(E.FRAME_ENCODING_ERROR)


@both_roles
@pytest.mark.parametrize("length", [1, 20])
def test_mp_60_lengths_at_the_edge_are_none(length: int, role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(v(F.PATH_NEW_CONNECTION_ID, 1, 5, 0, length) + b"i" * length + bytes(16))
        assert liar.victim.termination is None


@both_roles
@pytest.mark.parametrize("difference", ["id", "token"])
def test_mp_61_the_same_number_with_another_id_or_token_is_a_violation(
    difference: str, role: str
) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(new_id(1, 5))
        name = b"x" * 8 if difference == "id" else b"001-0005"
        token = bytes(16) if difference == "token" else b"%016d" % 1005
        frame = PathNewConnectionId(
            path_id=ONE,
            sequence_number=5,
            retire_prior_to=0,
            connection_id=name,
            stateless_reset_token=token,
        )
        liar.say(frame)
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
def test_mp_61_a_repetition_is_no_error_even_of_the_id_in_use(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        known = liar.victim.connection._exchange.peer_ids(ONE)
        for number, (cid, token) in list(known._known.items()):
            frame = PathNewConnectionId(
                path_id=ONE,
                sequence_number=number,
                retire_prior_to=0,
                connection_id=cid,
                stateless_reset_token=token,
            )
            liar.say(frame, frame, path_id=2)
            liar.say(frame)
        scene.assert_alive()


@both_roles
def test_mp_52_an_id_for_a_path_above_our_limit_is_a_violation(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(new_id(5, 0))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)
