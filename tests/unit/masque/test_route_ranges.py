"""Ranges: from and to networks, set arithmetic, and look-up by protocol."""

from ipaddress import ip_address, ip_network

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.masque.route_ranges import (
    ALL_DESTINATIONS,
    RouteTable,
    intersect_networks,
    networks_of_ranges,
    ranges_of_networks,
    subtract_networks,
    with_protocol,
)
from mqvpn_core.wire.address_capsules import IpPrefix
from tests.unit.masque.samples import TCP, UDP, route


def networks(*texts: str) -> list[IpPrefix]:
    return [ip_network(text) for text in texts]


def test_networks_become_the_shortest_ordered_list() -> None:
    ranges = ranges_of_networks(
        networks("fd00::/64", "10.0.1.0/24", "192.168.0.0/16", "10.0.0.0/24", "10.0.0.128/25")
    )
    assert ranges == (
        route("10.0.0.0", "10.0.1.255"),
        route("192.168.0.0/16"),
        route("fd00::/64"),
    )


def test_the_default_routes_are_two_ranges() -> None:
    assert ranges_of_networks(ALL_DESTINATIONS) == (route("0.0.0.0/0"), route("::/0"))


def test_ranges_become_the_fewest_networks() -> None:
    ranges = [route("10.0.0.0", "10.0.0.6"), route("10.0.0.7", "10.0.0.7", TCP), route("::/0")]
    assert list(networks_of_ranges(ranges, limit=10)) == networks("10.0.0.0/29", "::/0")


def test_a_range_that_needs_too_many_networks_is_refused() -> None:
    worst = route("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")
    assert len(networks_of_ranges([worst], limit=254)) == 254
    with pytest.raises(LocalProtocolError, match="253"):
        networks_of_ranges([worst], limit=253)


def test_subtraction_cuts_holes_at_both_ends_and_in_the_middle() -> None:
    left = subtract_networks(
        [route("10.0.0.0/24"), route("fd00::/127")],
        networks("10.0.0.0/32", "10.0.0.16/28", "10.0.0.255/32", "fd00::/127", "172.16.0.0/12"),
    )
    assert left == (route("10.0.0.1", "10.0.0.15"), route("10.0.0.32", "10.0.0.254"))


def test_subtracting_more_than_there_is_leaves_nothing() -> None:
    assert subtract_networks([route("10.0.0.0/24")], networks("10.0.0.0/8")) == ()


def test_intersection_keeps_family_and_protocol() -> None:
    ranges = [route("0.0.0.0/0", None, TCP), route("::/0")]
    assert intersect_networks(ranges, networks("10.1.0.0/16", "10.0.0.0/16")) == (
        route("10.0.0.0", "10.1.255.255", TCP),
    )
    assert intersect_networks([route("10.0.0.0/24")], networks("10.0.1.0/24")) == ()


def test_narrowing_to_a_protocol() -> None:
    assert with_protocol((route("10.0.0.0/8"),), UDP) == (route("10.0.0.0/8", None, UDP),)


def covers(table: RouteTable, address: str, protocol: int = TCP) -> bool:
    parsed = ip_address(address)
    return table.covers(parsed.version, int(parsed), protocol)


def test_look_up_by_address_and_protocol() -> None:
    table = RouteTable(
        (route("10.0.0.0/24"), route("10.0.2.0/24", None, TCP), route("10.0.2.0/25", None, UDP))
    )
    assert covers(table, "10.0.0.0", UDP)
    assert covers(table, "10.0.0.255", 132)
    assert not covers(table, "10.0.1.0")
    assert covers(table, "10.0.2.200", TCP)
    assert not covers(table, "10.0.2.200", UDP)
    assert covers(table, "10.0.2.1", UDP)
    assert not covers(table, "9.255.255.255")
    assert not covers(table, "::a00:0")


def test_icmp_goes_wherever_any_protocol_goes() -> None:
    table = RouteTable((route("10.0.0.0/24", None, TCP), route("fd00::/64", None, UDP)))
    assert covers(table, "10.0.0.9", 1)
    assert covers(table, "fd00::9", 58)
    assert not covers(table, "10.0.1.9", 1)
    assert not covers(table, "fd01::9", 58)


def test_an_empty_table_covers_nothing() -> None:
    assert not covers(RouteTable(()), "10.0.0.1")
    assert RouteTable((route("10.0.0.0/24"),)).ranges == (route("10.0.0.0/24"),)
