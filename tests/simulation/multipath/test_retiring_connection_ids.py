"""Retiring and replacing connection IDs of many paths (RFC 10069 s3.2, s4.5)."""

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.connection_ids import ISSUED_CONNECTION_IDS
from mqvpn_core.quic.events import PathAbandoned
from mqvpn_core.testing.link_elements import Direction, Loss, OneWay
from mqvpn_core.testing.multi_pair import LINK_DELAY
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.code_points import TransportErrorCode as E
from mqvpn_core.wire.path_frames import (
    PathAbandon,
    PathRetireConnectionId,
)
from tests.simulation.multipath.scene import PING, ROLES, Liar, both_roles, new_id, opened, v

ZERO, ONE, TWO, THREE = map(PathId, range(4))


@both_roles
def test_mp_54_rotation_stays_within_the_path(role: str) -> None:
    with opened(3) as scene:
        connection = scene.peer(role).connection
        tap = scene.rules.wiretap
        for path_id in (0, 1, 2):
            is_client = role == "client"
            scene.transfer(4000)
            connection._paths[PathId(path_id)].ping_is_due = True
            scene.peer(role)._on_command()
            scene.run(0.2)
            before = tap.of(is_from_client=is_client, path_id=path_id)[-1].destination_cid
            connection._exchange.rotate(PathId(path_id))
            connection._paths[PathId(path_id)].ping_is_due = True
            scene.peer(role)._on_command()
            scene.run(0.5)
            after = tap.of(is_from_client=is_client, path_id=path_id)[-1]
            assert after.destination_cid != before
            assert after.path_id == path_id
        retired = [
            path_id
            for packet in tap.of(is_from_client=role == "client")
            for path_id, _ in packet.fields(F.PATH_RETIRE_CONNECTION_ID, 2)
        ]
        assert sorted(retired) == [0, 1, 2]
        scene.assert_alive()


@both_roles
def test_mp_55_a_retired_id_is_replaced_while_the_path_is_open(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        local = liar.victim.connection.local_connection_ids
        for number in range(4):
            liar.say(PathRetireConnectionId(path_id=ONE, sequence_number=number), seconds=0.05)
            assert len(local.active(ONE)) == ISSUED_CONNECTION_IDS
        # An unused path has one.
        liar.say(PathRetireConnectionId(path_id=THREE, sequence_number=0))
        assert [cid.sequence_number for cid in local.active(THREE)] == [1]


@both_roles
def test_mp_55_none_is_issued_for_an_abandoned_path(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        local = liar.victim.connection.local_connection_ids
        liar.say(PathAbandon(path_id=ONE, error_code=0), seconds=0.03)
        assert liar.victim.paths[ONE].state == "abandoning"
        known = local.next_sequence_number(ONE)
        for number in range(known + 3):
            liar.say(PathRetireConnectionId(path_id=ONE, sequence_number=number), seconds=0.001)
        assert local.next_sequence_number(ONE) == known
        scene.run(2.0)
        scene.assert_alive()


@both_roles
def test_mp_57_retiring_all_ids_leaves_the_path_and_its_numbers(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        path = liar.connection._paths[ONE]
        highest = liar.victim.connection._paths[ONE].received.largest
        everything = [
            PathRetireConnectionId(path_id=ONE, sequence_number=number)
            for number in range(ISSUED_CONNECTION_IDS)
        ]
        liar.say(*everything)
        assert liar.victim.paths[ONE].state == "active"
        assert not liar.victim.events_of(PathAbandoned)
        # The replacement works, and numbers go on.
        fresh = liar.victim.connection.local_connection_ids.active(ONE)[0]
        assert fresh.sequence_number >= ISSUED_CONNECTION_IDS
        liar.forge(PING * 20, path_id=1, number=path.sent.next_packet_number + 5)
        assert liar.victim.connection._paths[ONE].received.largest > highest


@both_roles
def test_mp_58_retiring_an_id_never_issued_is_a_violation(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        following = liar.victim.connection.local_connection_ids.next_sequence_number(ONE)
        liar.say(PathRetireConnectionId(path_id=ONE, sequence_number=following))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
def test_mp_58_retiring_the_id_of_the_packet_itself_is_survived(role: str) -> None:
    """A NAT rebinding and a rotation at the same time look like that; we never send it."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        local = liar.victim.connection.local_connection_ids
        used = local.lookup(liar.connection._paths[ONE].peer_cids.current)
        assert used is not None
        liar.say(
            PathRetireConnectionId(path_id=ONE, sequence_number=used.sequence_number), path_id=1
        )
        assert local.lookup(used.connection_id) is None
        assert liar.victim.termination is None
        assert liar.victim.paths[ONE].state == "active"


def test_mp_58_ours_never_retires_the_id_it_sends_with() -> None:
    with opened(3) as scene:
        for path_id in (0, 1, 2) * 3:
            for role in ROLES:
                scene.peer(role).connection._exchange.rotate(PathId(path_id))
            scene.transfer(3000)
            scene.run(0.2)
        tap = scene.rules.wiretap
        numbers: dict[bytes, tuple[bool, int, int]] = {}
        for packet in tap.packets:
            frames = [frame for kind, frame in packet.frames if kind == F.PATH_NEW_CONNECTION_ID]
            for frame, (path_id, number, _) in zip(
                frames, packet.fields(F.PATH_NEW_CONNECTION_ID, 3), strict=True
            ):
                numbers[frame[-24:-16]] = (not packet.is_from_client, path_id, number)
        retirements = 0
        for packet in tap.packets:
            for path_id, number in packet.fields(F.PATH_RETIRE_CONNECTION_ID, 2):
                retirements += 1
                used = numbers.get(packet.destination_cid, (packet.is_from_client, 0, 0))
                assert used != (packet.is_from_client, path_id, number)
        assert retirements >= 12


@both_roles
def test_mp_59_retire_prior_to_counts_for_one_path(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        # The honest half would replace each retired ID by one that is below the limit as well.
        liar.connection._exchange.on_retire_connection_id = (  # type: ignore[method-assign] # deaf
            lambda *_args, **_kwargs: None
        )
        exchange = liar.victim.connection._exchange
        other_paths = [exchange.peer_ids(path).current for path in (ZERO, TWO)]
        liar.say(new_id(1, 9, retire_prior_to=9))
        assert exchange.peer_ids(ONE).current == b"001-0009"
        assert [exchange.peer_ids(path).current for path in (ZERO, TWO)] == other_paths
        tap = scene.rules.wiretap
        retired = [
            fields
            for packet in tap.of(is_from_client=role != "client")
            for fields in packet.fields(F.PATH_RETIRE_CONNECTION_ID, 2)
        ]
        assert {path_id for path_id, _ in retired} == {1}
        assert {number for _, number in retired} == set(range(ISSUED_CONNECTION_IDS))
        # One that comes late and lies below is retired at once.
        liar.say(new_id(1, 7))
        retired = [
            fields
            for packet in tap.of(is_from_client=role != "client")
            for fields in packet.fields(F.PATH_RETIRE_CONNECTION_ID, 2)
        ]
        assert (1, 7) in [tuple(fields) for fields in retired]
        assert exchange.peer_ids(ONE).current == b"001-0009"


@both_roles
def test_mp_59_retire_prior_to_above_the_number_is_an_encoding_error(role: str) -> None:
    with opened(2, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(v(F.PATH_NEW_CONNECTION_ID, 1, 5, 6, 8) + bytes(24))
        liar.assert_victim_closes(E.FRAME_ENCODING_ERROR)


@pytest.mark.slow
def test_a_flood_of_retirements_is_bounded() -> None:
    """Every retirement makes us issue another ID; the peer never acknowledges any of it."""
    with opened(2, watched=False) as scene:
        liar = Liar(scene, "client")
        down = OneWay(Direction.DOWN, Loss(1.0))
        for index in (0, 1):
            scene.pair.link(index).replace((LINK_DELAY, down))
        server = scene.server.connection
        for turn in range(1000):
            path_id = PathId(turn % 4)
            newest = server.local_connection_ids.next_sequence_number(path_id) - 1
            frame = PathRetireConnectionId(path_id=path_id, sequence_number=newest)
            liar.say(frame, seconds=0.001)
            if scene.server.termination is not None:
                break
        assert len(server._sources.control_frames) <= 1000
        assert len(server.local_connection_ids.all_connection_ids) <= 5 * ISSUED_CONNECTION_IDS
