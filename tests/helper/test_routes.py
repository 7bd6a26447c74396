"""Decisions about routes that need no kernel."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_helper.host.routes import (
    Route,
    best_route,
    covers,
    host_network,
    networks_of_routes,
    split_default,
)
from mqvpn_helper.interface.network_rules import MachineNetworks


def route(destination: str, *, ifindex: int = 1, metric: int = 0, usable: bool = True) -> Route:
    return Route(
        destination=ip_network(destination),
        ifindex=ifindex,
        protocol=4,
        metric=metric,
        usable=usable,
    )


def test_the_machine_is_where_no_gateway_is_needed() -> None:
    """Half of everything, as other VPNs route it over their device, is no network one is in."""
    router = ip_address("192.0.2.1")
    routes = [
        route("0.0.0.0/1", ifindex=5),
        route("192.0.2.0/24"),
        route("192.0.2.0/24", ifindex=2),
        replace(route("0.0.0.0/0"), gateway=router),
        replace(route("198.51.100.0/24"), gateway=router),
    ]
    own = ip_address("192.0.2.20")
    assert networks_of_routes(routes, [own, own]) == MachineNetworks(
        networks=(ip_network("192.0.2.0/24"),), gateways=(router,), addresses=(own,)
    )


def test_defaults_are_split_in_halves() -> None:
    assert [str(part) for part in split_default([ip_network("0.0.0.0/0"), ip_network("::/0")])] == [
        "0.0.0.0/1",
        "128.0.0.0/1",
        "::/1",
        "8000::/1",
    ]


def test_splitting_drops_duplicates_and_keeps_the_order() -> None:
    wanted = ["10.0.0.0/8", "0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/8"]
    assert [str(part) for part in split_default(map(ip_network, wanted))] == [
        "10.0.0.0/8",
        "0.0.0.0/1",
        "128.0.0.0/1",
    ]


@given(st.ip_addresses())
def test_halves_cover_what_the_default_covers(address: object) -> None:
    one = ip_address(str(address))
    parts = split_default([ip_network("0.0.0.0/0"), ip_network("::/0")])
    assert sum(covers(part, one) for part in parts) == 1
    assert covers(host_network(one), one)


@pytest.mark.parametrize(
    ("routes", "chosen"),
    [
        ([], None),
        ([route("10.0.0.0/8")], None),
        ([route("::/0")], None),
        ([route("0.0.0.0/0", ifindex=1), route("203.0.113.0/24", ifindex=2)], 2),
        ([route("0.0.0.0/0", ifindex=1, metric=600), route("0.0.0.0/0", ifindex=2, metric=100)], 2),
        ([route("0.0.0.0/0", ifindex=1, usable=False), route("0.0.0.0/0", ifindex=2, metric=9)], 2),
    ],
)
def test_best_route(routes: list[Route], chosen: int | None) -> None:
    best = best_route(routes, ip_address("203.0.113.7"))
    assert (best.ifindex if best else None) == chosen
