"""Leases, routes and dispatch compared with plain models; paths and headers of any shape."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqvpn_core.errors import DecodeError
from mqvpn_core.masque.address_pool import AddressPool, Lease
from mqvpn_core.masque.client_table import ClientTable
from mqvpn_core.masque.http_messages import (
    check_capsule_message,
    decode_request,
    decode_response,
    has_true_field,
)
from mqvpn_core.masque.route_ranges import (
    RouteTable,
    intersect_networks,
    networks_of_ranges,
    ranges_of_networks,
    subtract_networks,
)
from mqvpn_core.masque.site import SiteFile, resolve
from mqvpn_core.wire.address_capsules import RouteAdvertisement, decode_route_advertisement
from mqvpn_core.wire.address_capsules import encode_route_advertisement as encode_routes

pytestmark = pytest.mark.slow

# A universe of 64 addresses is small enough to look at every one.
BASE = int(IPv4Address("10.0.0.0"))
UNIVERSE = range(BASE, BASE + 64)

networks = st.builds(
    lambda offset, length: ip_network((BASE + offset & ~((1 << 32 - length) - 1), length)),
    st.integers(0, 63),
    st.integers(26, 32),
)
network_lists = st.lists(networks, max_size=8)


def members(prefixes: list[IPv4Network]) -> set[int]:
    return {
        number for number in UNIVERSE if any(IPv4Address(number) in prefix for prefix in prefixes)
    }


@given(network_lists, network_lists)
def test_range_arithmetic_is_set_arithmetic(
    left: list[IPv4Network], right: list[IPv4Network]
) -> None:
    ranges = ranges_of_networks(left)
    for result, expected in (
        (ranges, members(left)),
        (subtract_networks(ranges, right), members(left) - members(right)),
        (intersect_networks(ranges, right), members(left) & members(right)),
    ):
        table = RouteTable(result)
        covered = {number for number in UNIVERSE if table.covers(4, number, 17)}
        assert covered == expected
        assert members(list(networks_of_ranges(result, limit=64))) == expected  # type: ignore[arg-type]  # only IPv4 went in
        # Whatever comes out may be advertised as it is.
        capsule = RouteAdvertisement(ranges=result)
        assert decode_route_advertisement(encode_routes(capsule)) == capsule


@given(st.dictionaries(st.sampled_from("abcd"), network_lists), st.integers(0, 63))
def test_dispatch_finds_the_longest_prefix(
    owned: dict[str, list[IPv4Network]], offset: int
) -> None:
    table: ClientTable[str] = ClientTable()
    model: dict[IPv4Network, str] = {}
    for owner, prefixes in owned.items():
        table.assign(owner, prefixes)
        model |= dict.fromkeys(prefixes, owner)
    address = ip_address(BASE + offset)
    matching = [prefix for prefix in model if address in prefix]
    longest = max(matching, key=lambda prefix: prefix.prefixlen, default=None)
    assert table.owner_of(address.packed) == (None if longest is None else model[longest])
    for owner in owned:
        table.remove(owner)
    assert len(table) == 0
    assert table.owner_of(address.packed) is None


class Leases(RuleBasedStateMachine):
    """Any order of acquiring and releasing keeps addresses distinct and none is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = AddressPool(ip_network("10.0.0.0/28"), max_leases=10)
        self.held: list[Lease] = []

    @rule(
        user=st.sampled_from(["", "alice", "bob", "carol"]),
        instance=st.sampled_from(["", "x", "y"]),
        requested=st.none() | st.integers(0, 15).map(lambda n: IPv4Address(BASE + n)),
        exactly=st.booleans(),
    )
    def acquire(
        self, user: str, instance: str, requested: IPv4Address | None, *, exactly: bool
    ) -> None:
        before = [lease for lease in self.held if self.pool.is_current(lease)]
        if exactly and requested is not None:
            lease = self.pool.acquire_exactly(user, requested, instance=instance)
            assert lease is None or lease.address == requested
        else:
            lease = self.pool.acquire(user, instance=instance, requested=requested)
        if lease is None:
            return
        assert lease.address in ip_network("10.0.0.0/28")
        assert lease.address not in {ip_address("10.0.0.0"), ip_address("10.0.0.1")}
        for other in before:
            # Only the same instance of the same user takes an address over.
            if other.address == lease.address:
                assert instance
                assert (other.user, other.instance) == (user, instance)
        self.held.append(lease)

    @rule(index=st.integers(0, 30))
    def release(self, index: int) -> None:
        if self.held:
            self.pool.release(self.held[index % len(self.held)])

    @rule()
    def restart(self) -> None:
        records = self.pool.export_leases()
        self.pool = AddressPool(ip_network("10.0.0.0/28"), max_leases=10)
        assert self.pool.import_leases(records) == len(records)
        self.held.clear()

    @invariant()
    def current_leases_are_distinct_and_counted(self) -> None:
        current = [lease.address for lease in self.held if self.pool.is_current(lease)]
        assert len(set(current)) == len(current) == self.pool.leased_count
        assert len(self.pool.export_leases()) <= 10


TestLeases = Leases.TestCase


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: b"/" + text.encode()))
def test_no_path_leads_out_of_the_site(path: bytes) -> None:
    answer = resolve(b"GET", path, has_directory=True)
    if isinstance(answer, SiteFile):
        assert answer.segments
        for segment in answer.segments:
            assert segment not in {"", ".", ".."}
            assert not set(segment) & set("/\\\0")
    else:
        assert answer.status in {400, 404}


field_names = st.sampled_from(
    [
        b":method",
        b":scheme",
        b":path",
        b":authority",
        b":protocol",
        b":status",
        b"host",
        b"te",
        b"x",
    ]
) | st.binary(max_size=6)
field_values = st.sampled_from([b"GET", b"CONNECT", b"https", b"/", b"a", b"200", b"trailers"]) | (
    st.binary(max_size=6)
)


@given(st.lists(st.tuples(field_names, field_values), max_size=8))
def test_headers_of_any_shape_are_a_message_or_a_decode_error(
    headers: list[tuple[bytes, bytes]],
) -> None:
    with suppress(DecodeError):
        request = decode_request(headers)
        check_capsule_message(request.fields)
        assert request.method
    with suppress(DecodeError):
        assert 100 <= decode_response(headers).status <= 999


@given(st.text(alphabet='?01;=a"\\ :*.-,', max_size=12))
def test_capsule_protocol_of_any_shape(value: str) -> None:
    name = b"capsule-protocol"
    announced = has_true_field(((name, value.encode()),), name)
    assert not announced or value.strip(" ").startswith("?1")
