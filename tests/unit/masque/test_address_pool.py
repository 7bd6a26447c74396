"""Leases: sticky, distinct, honoured, recycled, and never at the price of walking the network."""

from ipaddress import ip_address

import pytest

from mqvpn_core.errors import ConfigError
from mqvpn_core.masque.address_pool import AddressPool, Lease, LeaseRecord
from tests.unit.masque.samples import pool


def taken(
    addresses: AddressPool, user: str, *, instance: str = "", requested: str | None = None
) -> Lease:
    lease = addresses.acquire(
        user, instance=instance, requested=None if requested is None else ip_address(requested)
    )
    assert lease is not None
    return lease


def test_first_address_is_the_servers_and_the_second_the_first_clients() -> None:
    addresses = pool("10.0.0.0/24")
    assert addresses.server_address == ip_address("10.0.0.1")
    assert taken(addresses, "alice").address == ip_address("10.0.0.2")


def test_clients_of_one_user_get_distinct_addresses() -> None:
    addresses = pool("10.0.0.0/24")
    given = {taken(addresses, "alice").address for _ in range(10)}
    assert len(given) == 10


def test_a_user_gets_the_last_address_back() -> None:
    addresses = pool("10.0.0.0/24")
    first, second = taken(addresses, "alice"), taken(addresses, "alice")
    addresses.release(second)
    addresses.release(first)
    taken(addresses, "bob")
    assert taken(addresses, "alice").address == first.address
    assert taken(addresses, "alice").address == second.address


def test_an_instance_takes_its_own_lease_over() -> None:
    addresses = pool("10.0.0.0/24")
    old = taken(addresses, "alice", instance="laptop")
    other = taken(addresses, "alice", instance="phone")
    new = taken(addresses, "alice", instance="laptop")
    assert new.address == old.address
    assert other.address != old.address
    assert not addresses.is_current(old)
    assert addresses.is_current(new)
    # The late end of the old connection must not free what the new one has.
    addresses.release(old)
    assert addresses.is_current(new)


def test_instances_of_different_users_are_different() -> None:
    addresses = pool("10.0.0.0/24")
    mine = taken(addresses, "alice", instance="laptop")
    assert taken(addresses, "bob", instance="laptop").address != mine.address
    assert addresses.is_current(mine)


def test_a_requested_address_is_given_if_free() -> None:
    addresses = pool("10.0.0.0/24")
    assert str(taken(addresses, "alice", requested="10.0.0.77").address) == "10.0.0.77"
    assert str(taken(addresses, "bob", requested="10.0.0.77").address) == "10.0.0.2"


def test_an_address_reserved_for_somebody_else_is_not_given() -> None:
    addresses = pool("10.0.0.0/24")
    addresses.release(taken(addresses, "alice", requested="10.0.0.77"))
    assert addresses.acquire_exactly("bob", ip_address("10.0.0.77")) is None
    assert str(taken(addresses, "alice").address) == "10.0.0.77"


@pytest.mark.parametrize(
    "requested", ["10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.1.5", "fd00::5", "::"]
)
def test_addresses_that_are_not_to_lease(requested: str) -> None:
    addresses = pool("10.0.0.0/24")
    assert addresses.acquire_exactly("alice", ip_address(requested)) is None
    assert str(taken(addresses, "alice", requested=requested).address) == "10.0.0.2"


def test_the_longest_unused_lease_is_recycled_when_the_network_is_used_up() -> None:
    addresses = pool("10.0.0.0/29")  # .2 to .6
    leases = [taken(addresses, f"user{number}") for number in range(5)]
    assert addresses.acquire("late") is None
    addresses.release(leases[3])
    addresses.release(leases[1])
    assert taken(addresses, "late").address == leases[3].address
    assert taken(addresses, "later").address == leases[1].address
    assert addresses.acquire("last") is None


def test_a_requested_free_address_is_found_when_everything_else_is_taken() -> None:
    addresses = pool("10.0.0.0/30")  # .2 only
    assert addresses.leased_count == 0
    lease = taken(addresses, "alice", requested="10.0.0.2")
    assert addresses.leased_count == 1
    assert addresses.acquire("bob") is None
    addresses.release(lease)
    assert addresses.leased_count == 0


@pytest.mark.parametrize("network", ["10.0.0.0/31", "10.0.0.0/32", "fd00::/127"])
def test_a_network_needs_room_for_server_and_client(network: str) -> None:
    with pytest.raises(ConfigError, match="too small"):
        pool(network)


@pytest.mark.parametrize(
    ("network", "first", "last"),
    [
        ("10.0.0.0/8", "10.0.0.2", "10.255.255.254"),
        ("fd00::/64", "fd00::2", "fd00::ffff:ffff:ffff:ffff"),
        ("fd00::/16", "fd00::2", "fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_large_networks_cost_nothing(network: str, first: str, last: str) -> None:
    addresses = pool(network)
    assert taken(addresses, "alice").address == ip_address(first)
    assert taken(addresses, "bob", requested=last).address == ip_address(last)


def test_leases_survive_a_restart() -> None:
    before = pool("10.0.0.0/24")
    idle = taken(before, "carol")
    kept = {
        ("alice", "laptop"): taken(before, "alice", instance="laptop").address,
        ("alice", "phone"): taken(before, "alice", instance="phone").address,
        ("bob", ""): taken(before, "bob").address,
        ("carol", ""): idle.address,
    }
    before.release(idle)
    after = pool("10.0.0.0/24")
    assert after.import_leases(before.export_leases()) == 4
    for (user, instance), address in reversed(kept.items()):
        assert taken(after, user, instance=instance).address == address
    assert taken(after, "dave").address not in kept.values()


def test_what_does_not_fit_the_pool_is_not_imported() -> None:
    addresses = pool("10.0.0.0/24")
    records = [
        LeaseRecord(address=address, user="alice", instance="")
        for address in ("10.0.0.9", "10.0.0.9", "10.0.0.1", "10.9.0.9", "fd00::9", "nonsense", "")
    ]
    assert addresses.import_leases(records) == 1
    assert str(taken(addresses, "alice").address) == "10.0.0.9"


def test_remembered_leases_are_bounded() -> None:
    addresses = AddressPool(pool("10.0.0.0/8").network, max_leases=3)
    first = taken(addresses, "user0")
    for number in range(1, 50):
        addresses.release(taken(addresses, f"user{number}"))
    assert len(addresses.export_leases()) <= 3
    assert addresses.is_current(first)
    assert len({taken(addresses, name).address for name in ("x", "y")} | {first.address}) == 3
    assert addresses.acquire("z") is None
    assert addresses.acquire("z", requested=ip_address("10.7.7.7")) is None


def test_import_beyond_the_bound_keeps_the_newest() -> None:
    addresses = AddressPool(pool("10.0.0.0/24").network, max_leases=2)
    records = [
        LeaseRecord(address=f"10.0.0.{number}", user=f"user{number}", instance="")
        for number in range(10, 15)
    ]
    addresses.import_leases(records)
    assert [record.user for record in addresses.export_leases()] == ["user13", "user14"]


def test_releasing_twice_is_harmless() -> None:
    addresses = pool("10.0.0.0/24")
    lease = taken(addresses, "alice")
    addresses.release(lease)
    addresses.release(lease)
    assert len(addresses.export_leases()) == 1
    assert taken(addresses, "alice").address == lease.address


def test_a_client_that_tries_many_addresses_does_not_keep_them() -> None:
    addresses = pool("10.0.0.0/24")
    other = taken(addresses, "bob", instance="phone")
    addresses.release(other)
    lease = taken(addresses, "alice", instance="laptop")
    for number in range(100, 200):
        wanted = ip_address(f"10.0.0.{number}")
        better = addresses.acquire_exactly("alice", wanted, instance="laptop")
        assert better is not None
        addresses.release(lease)
        lease = better
    records = addresses.export_leases()
    assert sorted(record.user for record in records) == ["alice", "alice", "bob"]
    assert taken(addresses, "bob", instance="phone").address == other.address
    # Those it has given up are found again, the lowest first.
    assert taken(addresses, "carol").address == ip_address("10.0.0.3")


def test_a_clients_wish_costs_nobody_else_of_the_user_an_address() -> None:
    addresses = pool("10.0.0.0/24")
    phone = taken(addresses, "alice", instance="phone")
    addresses.release(phone)
    wanted = ip_address("10.0.0.77")
    assert addresses.acquire_exactly("alice", wanted, instance="laptop") is not None
    assert taken(addresses, "alice", instance="phone").address == phone.address
