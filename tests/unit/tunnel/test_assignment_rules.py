"""What a proxy may give to a machine, and what is refused with a reason and a cure."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.assignment_rules import objection
from mqvpn_core.tunnel.host_plan import ClientHostSettings
from mqvpn_helper.interface.network_rules import MachineNetworks

SETTINGS = ClientHostSettings(tun_name="mqvpn0", manage_routes=True, everything=False)
HOME = MachineNetworks(
    networks=(ip_network("192.168.1.0/24"), ip_network("2001:db8:1::/64")),
    gateways=(ip_address("192.168.1.1"), ip_address("fe80::1")),
    addresses=(ip_address("192.168.1.20"), ip_address("2001:db8:1::20")),
)
GIVEN = Assignment(
    addresses=(ip_interface("10.0.0.2/32"),),
    routes=(ip_network("0.0.0.0/0"),),
    mtu=1400,
    server=ip_address("203.0.113.2"),
)


def _with_address(text: str) -> Assignment:
    return replace(GIVEN, addresses=(*GIVEN.addresses, ip_interface(text)))


def _with_route(text: str) -> Assignment:
    return replace(GIVEN, routes=(*GIVEN.routes, ip_network(text)))


# A neighbour's address is no obstacle: networks of servers and of homes are the same by chance.
@pytest.mark.parametrize(
    "address",
    ["10.0.0.3/24", "192.168.1.77/32", "192.168.2.1/24", "fd00::2/64", "2001:db8:1::77/128"],
)
def test_addresses_that_this_machine_can_have(address: str) -> None:
    assert objection(_with_address(address), SETTINGS, HOME) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1/8", "cannot be an address of a tunnel"),
        ("0.0.0.0/32", "cannot be an address of a tunnel"),
        ("0.1.2.3/32", "cannot be an address of a tunnel"),
        ("169.254.7.7/16", "cannot be an address of a tunnel"),
        ("224.0.0.5/32", "cannot be an address of a tunnel"),
        ("239.255.255.255/32", "cannot be an address of a tunnel"),
        ("255.255.255.255/32", "cannot be an address of a tunnel"),
        ("::/128", "cannot be an address of a tunnel"),
        ("::1/128", "cannot be an address of a tunnel"),
        ("fe80::2/64", "cannot be an address of a tunnel"),
        ("ff02::1/128", "cannot be an address of a tunnel"),
        ("192.168.1.1/32", "is the gateway of this machine"),
        ("192.168.1.20/32", "is an address that this machine has already"),
        ("2001:db8:1::20/128", "is an address that this machine has already"),
        ("203.0.113.2/32", "is the server's own address"),
        ("192.168.1.77/24", "collides with the network 192.168.1.0/24"),
        ("192.168.1.130/25", "collides with the network 192.168.1.0/24"),
        ("192.168.0.1/16", "collides with the network 192.168.1.0/24"),
        ("2001:db8:1::5/64", "collides with the network 2001:db8:1::/64"),
    ],
)
def test_addresses_that_are_refused(address: str, reason: str) -> None:
    said = objection(_with_address(address), SETTINGS, HOME)
    assert said is not None
    assert f"the server assigned what this machine cannot have: {address} {reason};" in said
    assert "another pool" in said


@pytest.mark.parametrize("address", ["10.0.0.2/0", "fd00::2/0"])
def test_no_address_takes_everything_along(address: str) -> None:
    said = objection(_with_address(address), SETTINGS, MachineNetworks())
    assert said is not None
    assert f"{address} would take every other address along" in said


# 127.0.0.0/8 and the like have more specific ways than what holds them and much else.
@pytest.mark.parametrize(
    "route",
    ["0.0.0.0/1", "126.0.0.0/7", "192.168.0.0/16", "224.0.0.0/3", "192.168.1.20/31", "::/1",
     "203.0.113.2/32", "10.9.0.0/16"],
)  # fmt: skip
def test_routes_that_are_used(route: str) -> None:
    beside = replace(HOME, networks=HOME.networks[1:])
    assert objection(_with_route(route), SETTINGS, beside) is None


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ("127.0.0.0/8", "cannot be reached through a tunnel"),
        ("127.0.0.53/32", "cannot be reached through a tunnel"),
        ("169.254.0.0/16", "cannot be reached through a tunnel"),
        ("224.0.0.0/4", "cannot be reached through a tunnel"),
        ("255.255.255.255/32", "cannot be reached through a tunnel"),
        ("::1/128", "cannot be reached through a tunnel"),
        ("fe80::/10", "cannot be reached through a tunnel"),
        ("ff00::/8", "cannot be reached through a tunnel"),
        ("192.168.1.0/24", "is in the network of this machine"),
        ("192.168.1.128/25", "is in the network of this machine"),
        ("fe80::1/128", "cannot be reached through a tunnel"),
    ],
)
def test_routes_that_are_refused(route: str, reason: str) -> None:
    said = objection(_with_route(route), SETTINGS, HOME)
    assert said is not None
    assert f"{route} {reason}" in said
    assert "--routes default" in said


def test_a_gateway_beyond_the_networks_of_the_machine_is_no_destination() -> None:
    machine = MachineNetworks(gateways=(ip_address("172.31.1.1"),))
    said = objection(_with_route("172.31.1.1/32"), SETTINGS, machine)
    assert said is not None
    assert "172.31.1.1/32 is the gateway of this machine" in said
    assert objection(_with_route("172.31.1.0/24"), SETTINGS, machine) is None


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, everything=True),
        replace(SETTINGS, manage_routes=False),
        replace(SETTINGS, only_included=True),
    ],
)
def test_routes_that_nobody_installs_are_nobodys_business(settings: ClientHostSettings) -> None:
    assert objection(_with_route("127.0.0.0/8"), settings, HOME) is None
