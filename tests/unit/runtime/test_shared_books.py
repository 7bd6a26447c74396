"""A worker's view of the shared books, with a parent that answers what it is told to."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from mqvpn_core.errors import HostLostError
from mqvpn_core.ids import Instant
from mqvpn_core.masque.address_pool import Lease
from mqvpn_core.masque.authentication import Accepted, Refused
from mqvpn_core.runtime.shared_books import (
    ParentDesk,
    SharedAuthenticator,
    SharedPool,
    SharedQuota,
)
from mqvpn_core.runtime.worker_messages import (
    Answer,
    GiveBackTunnel,
    JudgeKey,
    LeaseLost,
    Question,
    ReleaseAddress,
    TakeTunnel,
    decode_question,
    encode_answer,
)

ADDRESS = ip_address("10.0.0.2")
LEASE = Lease(address=ADDRESS, user="alice", instance="a", generation=7)


class Parent:
    """Has its answers ready before they are asked for."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.desk = ParentDesk(self.near)

    def will_say(self, answer: Answer) -> None:
        self.far.send(encode_answer(answer))

    def heard(self) -> Question:
        return decode_question(self.far.recv(4096))

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture
def parent() -> Iterator[Parent]:
    made = Parent()
    yield made
    made.close()


def test_keys_are_judged_by_the_parent(parent: Parent) -> None:
    parent.will_say(Accepted(user="alice"))
    judge = SharedAuthenticator(parent.desk)
    assert judge.authenticate(b"Bearer x", "192.0.2.1", Instant(0.0)) == Accepted(user="alice")
    assert parent.heard() == JudgeKey(authorization=b"Bearer x", peer_host="192.0.2.1")
    # Nothing was guessed: nobody needs to be asked.
    assert judge.authenticate(None, "192.0.2.1", Instant(0.0)) == Refused()


def test_tunnels_are_counted_by_the_parent(parent: Parent) -> None:
    quota = SharedQuota(parent.desk)
    parent.will_say(False)
    assert not quota.take("alice")
    parent.will_say(True)
    assert quota.take("alice")
    parent.will_say(True)
    quota.give_back("alice")
    assert quota.open_count == 0
    heard = [parent.heard() for _ in range(3)]
    assert heard == [TakeTunnel(user="alice")] * 2 + [GiveBackTunnel(user="alice")]


def test_a_lease_is_current_until_it_is_released_or_lost(parent: Parent) -> None:
    pool = SharedPool(ip_network("10.0.0.0/24"), parent.desk)
    parent.will_say(LEASE)
    assert pool.acquire("alice", instance="a") == LEASE
    parent.heard()
    assert pool.is_current(LEASE)
    pool.lose(LeaseLost(address=ADDRESS, generation=6))
    assert pool.is_current(LEASE)
    pool.lose(LeaseLost(address=ADDRESS, generation=7))
    assert not pool.is_current(LEASE)
    pool.release(LEASE)  # says nothing: it is somebody else's now
    parent.will_say(LEASE)
    assert pool.acquire_exactly("alice", ADDRESS) == LEASE
    parent.heard()
    parent.will_say(True)
    pool.release(LEASE)
    assert parent.heard() == ReleaseAddress(address=ADDRESS, generation=7)
    parent.will_say(None)
    assert pool.acquire("bob") is None


def test_a_parent_that_is_gone(parent: Parent) -> None:
    quota = SharedQuota(parent.desk)
    parent.will_say(True)
    quota.take("alice")
    parent.far.close()
    with pytest.raises(HostLostError):
        quota.take("alice")
    quota.give_back("alice")  # at the end, when nobody needs to know any more
    assert quota.open_count == 0
