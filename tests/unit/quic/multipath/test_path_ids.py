"""Limits and use of path IDs (RFC 10069 s2.1, s3.2, s4.6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.path_ids import MAX_PATH_ID, PathIds
from mqvpn_core.wire.code_points import TransportErrorCode as E


def negotiated(local: int = 4, peer: int = 4) -> PathIds:
    path_ids = PathIds(local)
    path_ids.negotiate(peer)
    return path_ids


@pytest.mark.parametrize(("local", "peer"), [(None, 4), (4, None), (None, None)])
def test_one_side_alone_negotiates_nothing(local: int | None, peer: int | None) -> None:
    path_ids = PathIds(local)
    path_ids.negotiate(peer)
    assert not path_ids.is_negotiated
    assert path_ids.usable_maximum == 0
    assert path_ids.next_unused is None


@pytest.mark.parametrize(("local", "peer", "expected"), [(1, 9, 1), (9, 1, 1), (3, 3, 3)])
def test_mp_11_the_lower_limit_counts_and_is_inclusive(
    local: int, peer: int, expected: int
) -> None:
    path_ids = negotiated(local, peer)
    for number in range(1, expected + 1):
        assert path_ids.next_unused == number
        path_ids.note_used(PathId(number))
    assert path_ids.next_unused is None
    assert path_ids.is_limited_by_peer is (peer <= local)


def test_mp_10_zero_waits_for_a_later_limit() -> None:
    path_ids = negotiated(4, 0)
    assert path_ids.is_negotiated
    assert path_ids.next_unused is None
    assert path_ids.on_max_path_id(2)
    assert path_ids.next_unused == 1


def test_mp_87_88_89_max_path_id() -> None:
    path_ids = negotiated(4, 4)
    assert not path_ids.on_max_path_id(4)
    assert path_ids.on_max_path_id(6)
    assert not path_ids.on_max_path_id(5)
    assert path_ids.peer_maximum == 6
    assert path_ids.on_max_path_id(MAX_PATH_ID)
    for value in (3, 0, MAX_PATH_ID + 1, 1 << 61):
        with pytest.raises(RemoteProtocolError) as caught:
            path_ids.on_max_path_id(value)
        assert caught.value.error_code == E.PROTOCOL_VIOLATION


def test_mp_82_what_the_peer_may_name() -> None:
    path_ids = negotiated(4, 9)
    path_ids.check_announced(4)
    with pytest.raises(RemoteProtocolError) as caught:
        path_ids.check_announced(5)
    assert caught.value.error_code == E.PROTOCOL_VIOLATION
    path_ids.discard(PathId(1))
    assert path_ids.grow()
    path_ids.check_announced(5)


def test_the_limit_grows_up_to_the_largest_path_id() -> None:
    path_ids = negotiated(4, 4)
    path_ids.local_maximum = MAX_PATH_ID - 1
    assert path_ids.grow()
    assert not path_ids.grow()
    assert path_ids.local_maximum == MAX_PATH_ID


def test_a_path_given_up_unused_leaves_the_ones_before_it() -> None:
    path_ids = negotiated(6, 6)
    path_ids.discard(PathId(3))
    used = []
    while (path_id := path_ids.next_unused) is not None:
        used.append(path_id)
        path_ids.note_used(path_id)
    assert used == [1, 2, 4, 5, 6]


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60))
def test_mp_76_no_path_id_is_ever_offered_twice(steps: list[tuple[bool, int]]) -> None:
    path_ids = negotiated(6, 1000)
    offered: list[int] = []
    for is_open, number in steps:
        path_id = path_ids.next_unused
        if is_open and path_id is not None:
            offered.append(path_id)
            path_ids.note_used(path_id)
        elif not is_open and not path_ids.is_discarded(number):
            path_ids.discard(PathId(number))
            path_ids.grow()
    assert offered == sorted(set(offered))
    following = path_ids.next_unused
    assert following is None or (following not in offered and not path_ids.is_discarded(following))
