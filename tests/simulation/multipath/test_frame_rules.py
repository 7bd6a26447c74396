"""What a multipath frame may say (RFC 10069 s4): each lie gets its error, old news is ignored."""

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import PathIdsAvailable
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import TransportErrorCode as E
from mqvpn_core.wire.path_frames import (
    MaxPathId,
    PathAbandon,
    PathAck,
    PathCidsBlocked,
    PathFrame,
    PathNewConnectionId,
    PathRetireConnectionId,
    PathsBlocked,
    PathStatusAvailable,
    PathStatusBackup,
)
from tests.simulation.multipath.scene import Liar, both_roles, opened, v

LIMIT = 4
"""What both ends of a plain pair announce."""


def ack_of(number: int) -> Ack:
    return Ack(ranges=((number, number),), delay_raw=0, ecn=None)


def frames_about(path_id: int) -> list[PathFrame]:
    """Every frame that names a path, harmless but for the path."""
    path = PathId(path_id)
    return [
        PathAck(path_id=path, ack=ack_of(0)),
        PathAbandon(path_id=path, error_code=0),
        PathStatusAvailable(path_id=path, sequence_number=0),
        PathStatusBackup(path_id=path, sequence_number=0),
        new_connection_id(path_id, 0),
        PathRetireConnectionId(path_id=path, sequence_number=0),
        PathCidsBlocked(path_id=path, next_sequence_number=0),
    ]


def new_connection_id(path_id: int, number: int, *, cid: bytes = b"") -> PathNewConnectionId:
    return PathNewConnectionId(
        path_id=PathId(path_id),
        sequence_number=number,
        retire_prior_to=0,
        connection_id=cid or b"cid %04d" % (100 * path_id + number),
        stateless_reset_token=bytes(16),
    )


KINDS = [type(frame).__name__ for frame in frames_about(0)]


@both_roles
@pytest.mark.parametrize("index", range(len(KINDS)), ids=KINDS)
def test_mp_82_a_path_id_above_the_limit_is_a_violation(index: int, role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(frames_about(LIMIT + 1)[index])
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
@pytest.mark.parametrize("index", range(len(KINDS)), ids=KINDS)
def test_mp_82_a_path_id_at_the_limit_is_none(index: int, role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        frame = frames_about(LIMIT)[index]
        if isinstance(frame, PathNewConnectionId):
            # Number 0 has been announced already, with another connection ID.
            frame = new_connection_id(LIMIT, 1)
        liar.say(frame)
        scene.assert_alive()


@both_roles
def test_mp_91_paths_blocked_at_and_above_the_limit(role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(PathsBlocked(maximum_path_id=LIMIT), PathsBlocked(maximum_path_id=0))
        scene.assert_alive()
        liar.say(PathsBlocked(maximum_path_id=LIMIT + 1))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
@pytest.mark.parametrize("index", range(len(KINDS)), ids=KINDS)
def test_mp_83_frames_about_a_path_that_is_gone_are_ignored(index: int, role: str) -> None:
    """Also with numbers that would be wrong if the path existed."""
    with opened(3, watched=False) as scene:
        scene.pair.abandon(1)
        scene.run(3.0)
        liar = Liar(scene, role)
        assert 1 not in liar.victim.paths
        for frame in (
            frames_about(1)[index],
            PathAck(path_id=PathId(1), ack=ack_of(10_000)),
            PathCidsBlocked(path_id=PathId(1), next_sequence_number=77),
            PathRetireConnectionId(path_id=PathId(1), sequence_number=77),
        ):
            liar.say(frame)
        scene.assert_alive()


@both_roles
@pytest.mark.parametrize("index", range(len(KINDS)), ids=KINDS)
def test_mp_83_frames_about_a_path_being_abandoned_are_harmless(index: int, role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        scene.pair.abandon(1)
        scene.run(0.03)
        assert liar.victim.paths[PathId(1)].state == "abandoning"
        frame = frames_about(1)[index]
        liar.say(frame, seconds=0.01)
        liar.say(PathCidsBlocked(path_id=PathId(1), next_sequence_number=77), seconds=0.01)
        scene.assert_alive()


@both_roles
@pytest.mark.parametrize("beyond", [0, 10_000])
def test_mp_84_an_ack_of_what_was_never_sent_is_a_violation(beyond: int, role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        unsent = liar.victim.connection._paths[PathId(1)].sent.next_packet_number
        liar.say(PathAck(path_id=PathId(1), ack=ack_of(unsent + beyond)))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
def test_mp_84_an_ack_for_a_path_never_opened_is_survived(role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(PathAck(path_id=PathId(3), ack=ack_of(5)))
        scene.assert_alive()


@both_roles
@pytest.mark.parametrize("value", [2**32, 2**40, 2**62 - 1])
def test_mp_87_a_max_path_id_beyond_32_bits_is_a_violation(value: int, role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(MaxPathId(maximum_path_id=value))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
def test_mp_87_the_largest_max_path_id_is_none(role: str) -> None:
    """And makes nobody issue four billion connection IDs: our own limit counts as well."""
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        before = len(liar.victim.connection.local_connection_ids.all_connection_ids)
        liar.say(MaxPathId(maximum_path_id=2**32 - 1))
        scene.assert_alive()
        assert len(liar.victim.connection.local_connection_ids.all_connection_ids) == before


@both_roles
def test_mp_88_a_max_path_id_below_the_initial_one_is_a_violation(role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(MaxPathId(maximum_path_id=LIMIT - 1))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
def test_mp_89_a_max_path_id_that_is_no_increase_is_ignored(role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        path_ids = liar.victim.connection._path_ids
        liar.say(MaxPathId(maximum_path_id=LIMIT + 3))
        assert path_ids.peer_maximum == LIMIT + 3
        liar.say(MaxPathId(maximum_path_id=LIMIT + 1), MaxPathId(maximum_path_id=LIMIT))
        assert path_ids.peer_maximum == LIMIT + 3
        scene.assert_alive()


@both_roles
def test_mp_92_cids_blocked_beyond_the_next_number_is_a_violation(role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        following = liar.victim.connection.local_connection_ids.next_sequence_number(PathId(1))
        liar.say(PathCidsBlocked(path_id=PathId(1), next_sequence_number=following))
        scene.assert_alive()
        liar.say(PathCidsBlocked(path_id=PathId(1), next_sequence_number=following + 1))
        liar.assert_victim_closes(E.PROTOCOL_VIOLATION)


@both_roles
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (v(0x3E, 1, 2, 0, 0, 3), E.FRAME_ENCODING_ERROR),
        (v(0x3E, 1, 1000, 0, 900), E.FRAME_ENCODING_ERROR),
        (v(0x3F, 1, 0, 0, 0, 0, 1) + b"\xff", E.FRAME_ENCODING_ERROR),
        (v(0x3E75, 1) + b"\x7f", E.FRAME_ENCODING_ERROR),
        (v(0x3E76) + b"\xff", E.FRAME_ENCODING_ERROR),
        (v(0x3E77, 1) + b"\xbf", E.FRAME_ENCODING_ERROR),
        (v(0x3E78, 1, 9, 0, 8) + b"short", E.FRAME_ENCODING_ERROR),
        (v(0x3E79, 1) + b"\xff", E.FRAME_ENCODING_ERROR),
        (v(0x3E7A) + b"\xff", E.FRAME_ENCODING_ERROR),
        (v(0x3E7B) + b"\xff", E.FRAME_ENCODING_ERROR),
        (v(0x3E7C, 1) + b"\xff", E.FRAME_ENCODING_ERROR),
        # RFC 9000 s12.4: types that nobody has assigned, and one that is not in its shortest form
        (v(0x3E74), E.FRAME_ENCODING_ERROR),
        (v(0x3E7D), E.FRAME_ENCODING_ERROR),
        (b"\x80\x00\x3e\x7a\x09", E.PROTOCOL_VIOLATION),
        (b"\x40\x3e", E.PROTOCOL_VIOLATION),
    ],
)
def test_a_malformed_multipath_frame_is_an_encoding_error(frame: bytes, code: E, role: str) -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, role)
        # Real frames come first, so that the packet is long enough without padding behind.
        liar.say(b"\x01" * 20 + frame)
        liar.assert_victim_closes(code)


@both_roles
def test_a_malformed_frame_on_any_path_ends_the_connection(role: str) -> None:
    with opened(3, watched=False) as scene:
        liar = Liar(scene, role)
        liar.say(b"\x01" * 20 + v(0x3E7A) + b"\xff", path_id=2)
        liar.assert_victim_closes(E.FRAME_ENCODING_ERROR)


def test_mp_93_a_block_that_was_acknowledged_is_not_told_again() -> None:
    """The server does not raise its limit; asking over and over changes nothing (s4.7)."""
    with opened(3) as scene:
        connection = scene.client.connection
        for link in (1, 2):
            scene.pair.open(link)
            scene.run(0.5)
        tap = scene.rules.wiretap
        for _ in range(5):
            with pytest.raises(Exception, match="in use"):
                scene.pair.open(1)
            scene.run(0.5)
        assert len(tap.of(is_from_client=True, frame_type=0x3E7B)) == 1
        # When a path goes, the limit grows, and there is a new reason to ask.
        scene.pair.abandon(2)
        scene.until(lambda: bool(scene.client.events_of(PathIdsAvailable)))
        assert connection._path_ids.next_unused == LIMIT + 1
        scene.pair.open(2)
        scene.run(0.5)
        with pytest.raises(Exception, match="in use"):
            scene.pair.open(1)
        scene.run(0.5)
        (first, second) = tap.of(is_from_client=True, frame_type=0x3E7B)
        assert first.fields(0x3E7B, 1) == [(LIMIT,)]
        assert second.fields(0x3E7B, 1) == [(LIMIT + 1,)]


def test_mp_90_a_lost_max_path_id_is_sent_again_while_it_is_the_newest() -> None:
    """All of a round trip is lost right when the limit grows."""
    with opened(3) as scene:
        scene.pair.abandon(2)
        server = scene.server.connection
        scene.until(lambda: server._path_ids.local_maximum == LIMIT + 1)
        links = [scene.pair.link(index) for index in range(2)]
        for link in links:
            link.is_up = False
        scene.run(0.2)
        assert scene.client.connection._path_ids.peer_maximum == LIMIT
        for link in links:
            link.is_up = True
        scene.until(lambda: scene.client.connection._path_ids.peer_maximum == LIMIT + 1)
        sent = scene.rules.wiretap.of(is_from_client=False, frame_type=0x3E7A)
        assert len(sent) > 1
