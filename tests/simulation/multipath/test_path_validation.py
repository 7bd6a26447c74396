"""A new path proves its address before it carries anything (RFC 10069 s3.1, s7.2)."""

from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic.events import (
    PathAbandoned,
    PathOpened,
    PathValidated,
)
from mqvpn_core.quic.path_manager import MAX_VALIDATING_PATHS
from mqvpn_core.testing.link_elements import (
    Delay,
    Direction,
    DropNth,
    Loss,
    OneWay,
)
from mqvpn_core.testing.multi_pair import LINK_DELAY, MULTIPATH_PAIR, MultiPair
from mqvpn_core.testing.pair import SERVER_ADDRESS
from mqvpn_core.wire.code_points import FrameType as F
from mqvpn_core.wire.code_points import TransportErrorCode as E
from tests.simulation.multipath.path_wiretap import PathPacket
from tests.simulation.multipath.scene import PING, Liar, drop_frames, fresh, opened

DEAD = (Loss(1.0),)
ONE = PathId(1)


def test_mp_30_31_both_sides_validate_before_they_send_data() -> None:
    """Streams and datagrams wait meanwhile, also for a path that would be much faster."""
    with MultiPair(1, MULTIPATH_PAIR, [(Delay(0.2),), (Delay(0.05),)]) as pair:
        scene = fresh(pair)
        pair.open(1)
        for _ in range(8):
            for peer in (pair.client, pair.server):
                peer.send_stream(8 if peer is pair.client else 9, bytes(3000))
                peer.send_datagrams([bytes(500)] * 3, pair.simulator.now)
            scene.run(0.02)
        validated_at: dict[bool, float] = {}
        for packet in scene.rules.wiretap.packets:
            if packet.path_id != 1:
                continue
            answered = validated_at.get(packet.is_from_client)
            if answered is None:
                assert packet.frame_types <= {
                    F.PATH_CHALLENGE,
                    F.PATH_RESPONSE,
                    F.PATH_ACK,
                    F.PING,
                }, f"{packet.frame_types} before validation"
            if F.PATH_RESPONSE in packet.frame_types:
                # It validates the path for the other side, one delay later.
                validated_at.setdefault(not packet.is_from_client, packet.sent_at + 0.05)
        assert set(validated_at) == {True, False}
        for peer in (pair.client, pair.server):
            assert [event.path_id for event in peer.events_of(PathValidated)].count(ONE) == 1
        scene.rules.finish()


def test_mp_31_an_unvalidated_path_gets_three_times_what_came() -> None:
    """The client's answers are lost: the server repeats its challenge within the limit."""
    deaf = OneWay(Direction.DOWN, Loss(1.0))
    with MultiPair(1, MULTIPATH_PAIR, [(LINK_DELAY,), (LINK_DELAY, deaf)]) as pair:
        scene = fresh(pair)
        pair.open(1)
        pair.server.send_datagrams([bytes(1000)] * 200, pair.simulator.now)
        scene.run(5.0)
        received = sum(
            len(packet.datagram.payload)
            for packet in scene.rules.wiretap.of(is_from_client=True, path_id=1)
        )
        sent = sum(
            len(packet.datagram.payload)
            for packet in scene.rules.wiretap.of(is_from_client=False, path_id=1)
        )
        assert 0 < sent <= 3 * received
        assert 1 not in pair.server.paths
        scene.assert_alive()
        scene.rules.finish()


def test_mp_31_the_limit_holds_for_a_client_that_says_nothing_more() -> None:
    """Its first datagram is all that comes: an answer and two challenges are three times that."""
    silent = DropNth(frozenset(range(1, 100)), Direction.UP)
    with MultiPair(1, MULTIPATH_PAIR, [(LINK_DELAY,), (LINK_DELAY, silent)]) as pair:
        scene = fresh(pair)
        pair.open(1)
        scene.run(5.0)
        tap = scene.rules.wiretap
        first, *_ = tap.of(is_from_client=True, path_id=1)
        answers = tap.of(is_from_client=False, path_id=1)
        sent = sum(len(packet.datagram.payload) for packet in answers)
        assert 0 < sent <= 3 * len(first.datagram.payload)


def test_mp_32_a_response_goes_where_the_challenge_came_from() -> None:
    """Same path ID and same four-tuple, in both directions (RFC 9000 s8.2.2)."""
    with opened(4) as scene:
        challenges: dict[bytes, PathPacket] = {}
        answered = 0
        for packet in scene.rules.wiretap.packets:
            for kind, frame in packet.frames:
                if kind == F.PATH_CHALLENGE:
                    challenges[frame[1:]] = packet
                elif kind == F.PATH_RESPONSE:
                    asked = challenges[frame[1:]]
                    assert packet.path_id == asked.path_id
                    assert packet.network_path == asked.network_path._replace(
                        local=asked.network_path.remote, remote=asked.network_path.local
                    )
                    answered += 1
        assert answered >= 6


def test_mp_33_an_answer_on_another_path_validates_the_path_that_was_asked() -> None:
    """The way back of path 1 is dead; a peer may answer on another path, and that counts."""
    with MultiPair(1) as pair:
        scene = fresh(pair)
        drop_frames(scene, F.PATH_RESPONSE, from_client=False, path_id=1)
        pair.open(1)
        scene.run(0.1)
        assert pair.client.paths[ONE].state == "validating"
        (asked, *_) = scene.rules.wiretap.of(
            is_from_client=True, path_id=1, frame_type=F.PATH_CHALLENGE
        )
        data = next(frame[1:] for kind, frame in asked.frames if kind == F.PATH_CHALLENGE)
        liar = Liar(scene, "server")
        liar.say(bytes([F.PATH_RESPONSE]) + data, path_id=0, seconds=0.05)
        assert pair.client.paths[ONE].state == "active"
        event = pair.client.events_of(PathValidated)[-1]
        assert event.path_id == 1
        assert event.four_tuple == pair.four_tuple(1)


def test_mp_34_a_new_path_needs_no_challenge_in_its_first_packet() -> None:
    with opened(watched=False) as scene:
        liar = Liar(scene, "client")
        liar.forge(PING * 20, path_id=2, four_tuple=scene.pair.four_tuple(1), seconds=0.02)
        assert scene.states("server")[2] == "validating"
        assert PathOpened(
            path_id=PathId(2), four_tuple=FourTuple(SERVER_ADDRESS, scene.pair.four_tuple(1).local)
        ) in scene.server.events_of(PathOpened)
        challenges = scene.rules.wiretap.of(
            is_from_client=False, path_id=2, frame_type=F.PATH_CHALLENGE
        )
        assert challenges


def test_mp_35_challenges_and_responses_prove_1200_bytes() -> None:
    with opened(4) as scene:
        packets = [
            packet
            for packet in scene.rules.wiretap.packets
            if packet.frame_types & {F.PATH_CHALLENGE, F.PATH_RESPONSE}
        ]
        assert len(packets) >= 9
        assert {len(packet.datagram.payload) for packet in packets} == {1200}


def test_mp_38_a_path_that_cannot_be_validated_is_closed_and_its_id_used_up() -> None:
    with MultiPair(1, MULTIPATH_PAIR, [(LINK_DELAY,), DEAD]) as pair:
        scene = fresh(pair)
        pair.open(1)
        scene.until(lambda: bool(pair.client.events_of(PathAbandoned)), limit=3.0)
        (event,) = pair.client.events_of(PathAbandoned)
        assert event.path_id == 1
        assert not event.by_peer
        scene.run(1.0)
        (told,) = scene.rules.wiretap.of(is_from_client=True, frame_type=F.PATH_ABANDON)
        assert told.path_id == 0
        kinds = {
            kind
            for packet in scene.rules.wiretap.of(is_from_client=True, path_id=1)
            for kind in packet.frame_types
        }
        assert kinds <= {F.PATH_CHALLENGE, F.PING}, "the path was used"
        assert pair.open(1) == 2
        scene.run(3.0)
        scene.assert_alive()
        scene.rules.finish()


def test_mp_38_while_nothing_works_no_path_id_is_used_up() -> None:
    """Every attempt would cost one, and nobody could be told; so one path is tried again."""
    with MultiPair(1, MULTIPATH_PAIR, [(LINK_DELAY,), (LINK_DELAY,)]) as pair:
        scene = fresh(pair)
        for index in (0, 1):
            pair.link(index).is_up = False
        scene.say("client")
        scene.run(1.0)
        assert pair.client.path.state == "suspect"
        pair.open(1)
        scene.run(12.0)
        assert pair.client.paths[ONE].state == "validating"
        pair.link(1).is_up = True
        scene.until(lambda: pair.client.paths[ONE].state == "active", limit=2.0)
        scene.transfer()
        assert ONE not in [event.path_id for event in pair.client.events_of(PathAbandoned)]
        assert pair.open(1) == 2
        scene.rules.finish()


def test_mp_99_few_paths_are_validated_at_a_time() -> None:
    wide = MULTIPATH_PAIR.client.__class__(initial_max_path_id=20)
    config = type(MULTIPATH_PAIR)(client=wide, server=wide)
    with opened(2, config=config, watched=False) as scene:
        liar = Liar(scene, "client")
        for path_id in range(2, 15):
            four_tuple = FourTuple(SocketAddress(f"198.51.100.{path_id}", 999), SERVER_ADDRESS)
            liar.forge(PING * 20, path_id=path_id, four_tuple=four_tuple, seconds=0.001)
        scene.run(0.05)
        states = list(scene.states("server").values())
        assert states.count("validating") == MAX_VALIDATING_PATHS
        scene.assert_alive()


def test_a_client_that_opens_too_many_paths_at_once_is_told_and_gets_them_later() -> None:
    """RFC 10069, "Error Codes": PATH_RESOURCE_LIMIT_REACHED, not silence."""
    wide = MULTIPATH_PAIR.client.__class__(initial_max_path_id=7)
    config = type(MULTIPATH_PAIR)(client=wide, server=wide)
    with MultiPair(1, config, [(LINK_DELAY,)] * 7) as pair:
        scene = fresh(pair)
        opened_at_once = [pair.open(link) for link in range(1, 7)]
        scene.run(0.2)
        refused = pair.client.events_of(PathAbandoned)
        assert {event.path_id for event in refused} == set(opened_at_once[MAX_VALIDATING_PATHS:])
        assert {event.error_code for event in refused} == {E.PATH_RESOURCE_LIMIT_REACHED}
        assert all(event.by_peer for event in refused)
        # The path IDs come back, too.
        scene.run(5.0)
        again = [pair.open(link) for link in (5, 6)]
        scene.run(0.5)
        states = scene.states("server")
        assert [states[path_id] for path_id in again] == ["active", "active"]
