"""Connection IDs we issue and those the peer issues (RFC 9000 s5.1, s19.15, s19.16)."""

from itertools import count

import pytest

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.connection_ids import (
    ACTIVE_CONNECTION_ID_LIMIT,
    ISSUED_CONNECTION_IDS,
    LocalConnectionIds,
    PeerConnectionIds,
)
from mqvpn_core.wire.code_points import TransportErrorCode
from mqvpn_core.wire.path_frames import NewConnectionId

ZERO = PathId(0)


def local_ids() -> LocalConnectionIds:
    numbers = count(1)
    return LocalConnectionIds(
        initial=bytes(8),
        generate=lambda: next(numbers).to_bytes(8, "big"),
        reset_token=lambda cid: cid * 2,
    )


def offer(number: int, *, retire_prior_to: int = 0, name: int | None = None) -> NewConnectionId:
    value = (number if name is None else name) + 100
    return NewConnectionId(
        sequence_number=number,
        retire_prior_to=retire_prior_to,
        connection_id=value.to_bytes(8, "big"),
        stateless_reset_token=value.to_bytes(16, "big"),
    )


def peer_ids() -> PeerConnectionIds:
    return PeerConnectionIds(initial=b"initial!", reset_token=b"t" * 16)


def test_issues_up_to_our_number_with_consecutive_sequence_numbers() -> None:
    ids = local_ids()
    frames = ids.issue(ZERO, peer_limit=8)
    assert [frame.sequence_number for frame in frames] == list(range(1, ISSUED_CONNECTION_IDS))
    assert all(frame.stateless_reset_token == frame.connection_id * 2 for frame in frames)
    assert ids.issue(ZERO, peer_limit=8) == []


def test_never_issues_more_than_the_peer_takes() -> None:
    assert len(local_ids().issue(ZERO, peer_limit=2)) == 1


def test_limits_and_sequence_numbers_are_per_path() -> None:
    ids = local_ids()
    ids.issue(ZERO, peer_limit=4)
    frames = ids.issue(PathId(1), peer_limit=4)
    assert [frame.sequence_number for frame in frames] == [0, 1, 2, 3]
    found = ids.lookup(frames[2].connection_id)
    assert found is not None
    assert (found.path_id, found.sequence_number) == (1, 2)


def test_a_retired_id_leads_nowhere_and_is_replaced_by_a_fresh_one() -> None:
    ids = local_ids()
    ids.issue(ZERO, peer_limit=4)
    ids.take_route_changes()
    ids.retire(ZERO, 0)
    assert ids.lookup(bytes(8)) is None
    (replacement,) = ids.issue(ZERO, peer_limit=4)
    assert replacement.sequence_number == 4
    assert ids.take_route_changes() == ([replacement.connection_id], [bytes(8)])
    ids.retire(ZERO, 0)  # a repeated frame is no error
    assert ids.take_route_changes() == ([], [])


def test_what_nobody_is_told_of_does_not_pile_up() -> None:
    """A client has no table of routes; its server may have IDs replaced without end."""
    ids = local_ids()
    ids.issue(ZERO, 8)
    for number in range(500):
        ids.retire(ZERO, number)
        ids.issue(ZERO, 8)
    added, removed = ids.take_route_changes()
    assert sorted(added) == sorted(ids.all_connection_ids)
    assert len(added) == ISSUED_CONNECTION_IDS
    assert removed == []


def test_whoever_is_told_hears_of_each_id_that_ends() -> None:
    ids = local_ids()
    told, _ = ids.take_route_changes()
    ids.retire(ZERO, 0)
    assert ids.take_route_changes() == ([], told)


def test_retiring_a_number_never_issued_is_a_protocol_violation() -> None:
    ids = local_ids()
    with pytest.raises(RemoteProtocolError) as caught:
        ids.retire(ZERO, 1)
    assert caught.value.error_code == TransportErrorCode.PROTOCOL_VIOLATION


def test_an_offer_is_kept_as_a_spare_and_a_repeated_one_is_no_error() -> None:
    assert not peer_ids().has_spare
    ids = peer_ids()
    assert ids.on_new_connection_id(offer(1)) == []
    assert ids.on_new_connection_id(offer(1)) == []
    assert ids.has_spare
    assert ids.current == b"initial!"


def test_rotation_retires_the_id_in_use() -> None:
    ids = peer_ids()
    assert ids.rotate() == []
    ids.on_new_connection_id(offer(2))
    ids.on_new_connection_id(offer(1))
    assert ids.rotate() == [0]
    assert ids.current == offer(1).connection_id
    assert ids.reset_token == offer(1).stateless_reset_token


def test_retire_prior_to_moves_on_and_retires_everything_below() -> None:
    ids = peer_ids()
    ids.on_new_connection_id(offer(1))
    assert ids.on_new_connection_id(offer(3, retire_prior_to=3)) == [0, 1]
    assert ids.current == offer(3).connection_id
    assert ids.on_new_connection_id(offer(2)) == [2]  # late, already below


def test_a_repeated_offer_may_bring_a_greater_retire_prior_to() -> None:
    ids = peer_ids()
    ids.on_new_connection_id(offer(1))
    ids.on_new_connection_id(offer(2))
    assert ids.on_new_connection_id(offer(2, retire_prior_to=2)) == [0, 1]
    assert ids.current == offer(2).connection_id
    assert ids.on_new_connection_id(offer(2, retire_prior_to=2)) == []


def test_when_a_repeated_offer_retires_all_there_is_the_path_waits_for_another() -> None:
    ids = peer_ids()
    ids.on_new_connection_id(offer(2))
    assert ids.rotate() == [0]
    ids.on_new_connection_id(offer(1))
    assert ids.rotate() == [2]
    assert ids.on_new_connection_id(offer(2, retire_prior_to=2)) == [1]
    assert not ids.is_usable
    assert ids.on_new_connection_id(offer(3)) == []
    assert ids.current == offer(3).connection_id


@pytest.mark.parametrize(
    "second",
    [offer(1, name=7), offer(2, name=1)],
    ids=["same number, other id", "same id, other number"],
)
def test_contradictory_offers_are_a_protocol_violation(second: NewConnectionId) -> None:
    ids = peer_ids()
    ids.on_new_connection_id(offer(1))
    with pytest.raises(RemoteProtocolError) as caught:
        ids.on_new_connection_id(second)
    assert caught.value.error_code == TransportErrorCode.PROTOCOL_VIOLATION


def test_more_ids_than_our_limit_are_an_error() -> None:
    ids = peer_ids()
    for number in range(1, ACTIVE_CONNECTION_ID_LIMIT):
        ids.on_new_connection_id(offer(number))
    with pytest.raises(RemoteProtocolError) as caught:
        ids.on_new_connection_id(offer(ACTIVE_CONNECTION_ID_LIMIT))
    assert caught.value.error_code == TransportErrorCode.CONNECTION_ID_LIMIT_ERROR


def test_what_is_remembered_stays_bounded_over_many_rotations() -> None:
    ids = peer_ids()
    for number in range(1, 500):
        ids.on_new_connection_id(offer(number, retire_prior_to=number))
    assert ids.current == offer(499).connection_id
    assert len(ids._known) <= 64
    assert ids.on_new_connection_id(offer(3)) == []  # forgotten, but known to be old
    assert ids.current == offer(499).connection_id
