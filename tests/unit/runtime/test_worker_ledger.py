"""Limits and leases of several workers are those of the server as a whole."""

from ipaddress import ip_network

import pytest

from mqvpn_core.config.secret_values import HashedKey, Secret
from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import Instant
from mqvpn_core.masque.address_pool import AddressPool, Lease
from mqvpn_core.masque.authentication import (
    Accepted,
    AuthenticationLimits,
    Authenticator,
    RateLimited,
    Refused,
)
from mqvpn_core.masque.server_policy import PolicyParts, TunnelQuota
from mqvpn_core.runtime.worker_ledger import WorkerLedger
from mqvpn_core.runtime.worker_messages import (
    AcquireAddress,
    AddressMoved,
    GiveBackTunnel,
    JudgeKey,
    LeaseLost,
    Notice,
    ReleaseAddress,
    TakeTunnel,
)

NOW = Instant(1000.0)
KEY = "a-key-of-alice-0123456789"


@pytest.fixture
def ledger() -> WorkerLedger:
    users = {"alice": HashedKey.from_key(Secret(KEY), b"salt" * 4)}
    parts = PolicyParts(
        authenticator=Authenticator(users, None, AuthenticationLimits(max_failures=2)),
        pools=(AddressPool(ip_network("10.0.0.0/29")),),
        quota=TunnelQuota(max_total=3, max_per_user=2),
    )
    return WorkerLedger(parts, 2)


def _acquire(ledger: WorkerLedger, worker: int, user: str, instance: str = "") -> Lease:
    lease = ledger.answer(
        worker,
        AcquireAddress(version=4, user=user, instance=instance, requested=None, is_exact=False),
        NOW,
    )
    assert isinstance(lease, Lease)
    return lease


def _notices(ledger: WorkerLedger) -> list[tuple[int, Notice]]:
    notices: list[tuple[int, Notice]] = []
    while (notice := ledger.next_notice()) is not None:
        notices.append(notice)
    return notices


def test_wrong_keys_count_whoever_hears_them(ledger: WorkerLedger) -> None:
    wrong, right = (
        JudgeKey(authorization=b"Bearer " + key, peer_host="192.0.2.1")
        for key in (b"wrong", KEY.encode())
    )
    assert ledger.answer(0, right, NOW) == Accepted(user="alice")
    assert [ledger.answer(worker, wrong, NOW) for worker in (0, 1)] == [Refused(), Refused()]
    assert isinstance(ledger.answer(0, right, NOW), RateLimited)


def test_tunnels_count_over_all_workers(ledger: WorkerLedger) -> None:
    take = TakeTunnel(user="alice")
    assert [ledger.answer(worker, take, NOW) for worker in (0, 1, 0)] == [True, True, False]
    assert ledger.answer(0, TakeTunnel(user="bob"), NOW) is True
    assert ledger.answer(1, TakeTunnel(user="carol"), NOW) is False
    assert ledger.answer(1, GiveBackTunnel(user="alice"), NOW) is True
    assert ledger.answer(1, TakeTunnel(user="carol"), NOW) is True
    assert ledger.users == {"alice", "bob", "carol"}


def test_who_has_no_tunnel_is_not_remembered(ledger: WorkerLedger) -> None:
    names = [f"user {number}" for number in range(3)]
    for name in names:
        assert ledger.answer(0, TakeTunnel(user=name), NOW) is True
    for number in range(100):
        assert ledger.answer(1, TakeTunnel(user=f"stranger {number}"), NOW) is False
    assert ledger.users == set(names)
    for name in names:
        assert ledger.answer(0, GiveBackTunnel(user=name), NOW) is True
    assert not ledger.users


def test_what_a_dead_worker_had_is_free_again(ledger: WorkerLedger) -> None:
    for _ in range(2):
        ledger.answer(0, TakeTunnel(user="alice"), NOW)
    lease = _acquire(ledger, 0, "alice", "laptop")
    _notices(ledger)
    ledger.forget(0)
    assert _notices(ledger) == [
        (worker, AddressMoved(address=lease.address, worker=None)) for worker in (0, 1)
    ]
    assert ledger.answer(1, TakeTunnel(user="alice"), NOW) is True
    assert _acquire(ledger, 1, "alice", "laptop").address == lease.address
    assert ledger.owners == {lease.address: 1}


def test_a_client_that_comes_back_elsewhere_takes_its_address_along(ledger: WorkerLedger) -> None:
    first = _acquire(ledger, 0, "alice", "laptop")
    _notices(ledger)
    second = _acquire(ledger, 1, "alice", "laptop")
    assert second.address == first.address
    assert _notices(ledger) == [
        (0, LeaseLost(address=first.address, generation=first.generation)),
        (0, AddressMoved(address=first.address, worker=1)),
        (1, AddressMoved(address=first.address, worker=1)),
    ]
    # The first worker's farewell crosses the news, and must not take the new lease away.
    ledger.answer(0, ReleaseAddress(address=first.address, generation=first.generation), NOW)
    ledger.forget(0)
    assert ledger.owners == {first.address: 1}
    assert _notices(ledger) == []


def test_clients_of_several_workers_never_share_an_address(ledger: WorkerLedger) -> None:
    leases = [_acquire(ledger, number % 2, f"user {number}") for number in range(5)]
    assert len({lease.address for lease in leases}) == 5
    question = AcquireAddress(version=4, user="x", instance="", requested=None, is_exact=False)
    assert ledger.answer(1, question, NOW) is None


@pytest.mark.parametrize(
    "question",
    [
        GiveBackTunnel(user="nobody"),
        AcquireAddress(version=6, user="x", instance="", requested=None, is_exact=False),
        AcquireAddress(version=4, user="x", instance="", requested=None, is_exact=True),
    ],
)
def test_a_worker_cannot_have_what_is_not_there(
    ledger: WorkerLedger, question: GiveBackTunnel | AcquireAddress
) -> None:
    with pytest.raises(DecodeError):
        ledger.answer(0, question, NOW)
