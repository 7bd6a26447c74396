"""Connection IDs for path IDs that are not in use (RFC 10069 s3.2)."""

from mqvpn_core.ids import PathId
from mqvpn_core.quic.connection_id_exchange import ConnectionIdExchange
from mqvpn_core.quic.connection_ids import ISSUED_CONNECTION_IDS, LocalConnectionIds
from mqvpn_core.quic.control_frames import ControlFrames
from mqvpn_core.quic.path_ids import PathIds
from mqvpn_core.wire.path_frames import PathNewConnectionId


class Stage:
    """An exchange with the limits of both sides."""

    def __init__(self, local: int, peer: int) -> None:
        self.made = 0
        self.path_ids = PathIds(local)
        self.path_ids.negotiate(peer)
        self.local = LocalConnectionIds(
            initial=b"initial!", generate=self._generate, reset_token=lambda cid: cid * 2
        )
        self.frames = ControlFrames()
        self.exchange = ConnectionIdExchange(self.local, self.path_ids, self.frames)
        self.exchange.peer_limit = 8

    def _generate(self) -> bytes:
        self.made += 1
        return self.made.to_bytes(8)

    def counts(self, up_to: int = 8) -> list[int]:
        return [len(self.local.active(PathId(path_id))) for path_id in range(up_to)]


def offer(path_id: int, number: int = 0) -> PathNewConnectionId:
    return PathNewConnectionId(
        path_id=PathId(path_id),
        sequence_number=number,
        retire_prior_to=0,
        connection_id=b"%08d" % (100 * path_id + number),
        stateless_reset_token=bytes(16),
    )


def test_mp_48_one_for_each_unused_path_up_to_the_lower_limit() -> None:
    stage = Stage(local=5, peer=3)
    stage.exchange.issue_for_unused()
    assert stage.counts() == [1, 1, 1, 1, 0, 0, 0, 0]
    # Asked again, nothing is missing.
    stage.exchange.issue_for_unused()
    assert stage.made == 3
    assert len(stage.frames) == 3


def test_mp_51_a_greater_limit_of_the_peer_lets_more_be_issued() -> None:
    stage = Stage(local=5, peer=1)
    stage.exchange.issue_for_unused()
    stage.path_ids.on_max_path_id(9)
    stage.exchange.issue_for_unused()
    assert stage.counts() == [1, 1, 1, 1, 1, 1, 0, 0]


def test_a_small_limit_of_the_peer_is_kept_for_each_path() -> None:
    stage = Stage(local=3, peer=3)
    stage.exchange.peer_limit = 2
    for path_id in range(4):
        stage.exchange.issue(PathId(path_id))
    assert stage.counts(4) == [2, 2, 2, 2]


def test_mp_28_a_path_may_be_opened_with_ids_of_both_sides() -> None:
    stage = Stage(local=3, peer=3)
    assert not stage.exchange.may_open(PathId(1))
    stage.exchange.on_new_connection_id(PathId(1), offer(1))
    assert not stage.exchange.may_open(PathId(1))
    stage.exchange.issue_for_unused()
    assert stage.exchange.may_open(PathId(1))
    assert not stage.exchange.may_open(PathId(2))


def test_the_first_id_of_a_path_is_news() -> None:
    stage = Stage(local=3, peer=3)
    assert stage.exchange.on_new_connection_id(PathId(2), offer(2, 1))
    assert not stage.exchange.on_new_connection_id(PathId(2), offer(2, 0))


def test_mp_55_what_is_forgotten_leaves_nothing() -> None:
    stage = Stage(local=3, peer=3)
    stage.exchange.issue_for_unused()
    stage.exchange.issue(PathId(1))
    assert stage.counts(4) == [1, ISSUED_CONNECTION_IDS, 1, 1]
    added, removed = stage.local.take_route_changes()
    assert (len(added), len(removed)) == (3 + ISSUED_CONNECTION_IDS, 0)
    stage.exchange.on_new_connection_id(PathId(1), offer(1))
    stage.path_ids.discard(PathId(1))
    stage.exchange.forget(PathId(1))
    assert stage.counts(4) == [1, 0, 1, 1]
    assert PathId(1) not in stage.exchange._peer
    added, removed = stage.local.take_route_changes()
    assert (len(added), len(removed)) == (0, ISSUED_CONNECTION_IDS)
    stage.exchange.issue_for_unused()
    assert stage.counts(4) == [1, 0, 1, 1]
