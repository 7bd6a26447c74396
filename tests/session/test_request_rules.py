"""What a core may ask of the machine, and what not."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

import pytest

from mqvpn_helper.interface.control_messages import UseNetwork, UseServers
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import SplitSettings
from mqvpn_helper.session.request_rules import (
    MAX_SERVERS,
    RequestRefusedError,
    allowed_servers,
    check_network,
    neighbours,
)
from tests.session.samples import GATEWAY, LAN, MACHINE

NAMED = Profile.from_mapping({"server": "vpn.example.org", "dns": ["10.0.0.53"]})
ADVERTISED = Profile.from_mapping({"server": "vpn.example.org", "routes": "advertised"})


def _servers(*addresses: str) -> UseServers:
    return UseServers(id=1, addresses=tuple(ip_address(each) for each in addresses))


def _network(
    *addresses: str, routes: tuple[str, ...] = (), links: tuple[str, ...] = (), mtu: int = 1340
) -> UseNetwork:
    return UseNetwork(
        id=1,
        mtu=mtu,
        addresses=tuple(ip_interface(each) for each in addresses),
        routes=tuple(ip_network(each) for each in routes),
        links=links,
    )


def test_addresses_of_a_named_server_add_up() -> None:
    first = allowed_servers(NAMED, (), _servers("203.0.113.2"))
    second = allowed_servers(NAMED, first, _servers("203.0.113.3", "203.0.113.2"))
    assert [str(each) for each in second] == ["203.0.113.2", "203.0.113.3"]


_NO_SERVERS = [
    str(IPv4Address(0)),
    "127.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "169.254.1.1",
    "::1",
    "ff02::1",
    "fe80::1",
    "10.0.0.53",
]


@pytest.mark.parametrize("address", _NO_SERVERS)
def test_addresses_that_are_no_server(address: str) -> None:
    with pytest.raises(RequestRefusedError):
        allowed_servers(NAMED, (), _servers(address))


def test_a_server_given_by_address_has_no_other() -> None:
    literal = Profile.from_mapping({"server": "203.0.113.2"})
    assert allowed_servers(literal, literal.known_addresses, _servers("203.0.113.2"))
    with pytest.raises(RequestRefusedError):
        allowed_servers(literal, literal.known_addresses, _servers("203.0.113.3"))


def test_a_server_has_not_ever_more_addresses() -> None:
    known = allowed_servers(NAMED, (), _servers(*(f"203.0.113.{n}" for n in range(MAX_SERVERS))))
    with pytest.raises(RequestRefusedError):
        allowed_servers(NAMED, known, _servers("198.51.100.1"))


@pytest.mark.parametrize(
    "asked",
    [
        _network("10.0.0.2/32"),
        _network("10.0.0.2/24", "fd00::2/64"),
        _network("192.168.1.77/32"),
        _network("10.0.0.2/32", links=("wlan0",)),
    ],
)
def test_networks_that_a_server_may_give(asked: UseNetwork) -> None:
    check_network(NAMED, asked, MACHINE)


@pytest.mark.parametrize(
    "asked",
    [
        _network("127.0.0.2/32"),
        _network("224.0.0.5/32"),
        _network("0.0.0.0/32"),
        _network("169.254.7.7/16"),
        _network("fe80::1/64"),
        _network("::1/128"),
        _network(f"{GATEWAY}/32"),
        _network("192.168.1.77/24"),
        _network("192.168.0.1/16"),
        _network("192.168.1.130/25"),
        _network("10.0.0.2/0"),
        _network("192.168.1.20/32"),
        _network("2001:db8:1::20/128"),
        _network("2001:db8:1::5/64"),
        _network("10.0.0.2/32", links=("lo",)),
        _network("10.0.0.2/32", links=("mqvpn0",)),
        _network("10.0.0.2/32", links=("..",)),
        _network("10.0.0.2/32", links=("all",)),
        _network("10.0.0.2/32", links=("eth9",)),
    ],
)
def test_networks_that_no_server_may_give(asked: UseNetwork) -> None:
    with pytest.raises(RequestRefusedError):
        check_network(NAMED, asked, MACHINE)


def test_what_the_profile_forbids() -> None:
    with pytest.raises(RequestRefusedError, match="MTU"):
        check_network(replace(NAMED, mtu=1300), _network("10.0.0.2/32", mtu=1340), MACHINE)
    with pytest.raises(RequestRefusedError, match="family"):
        check_network(replace(NAMED, ipv6=False), _network("fd00::2/128"), MACHINE)
    inner = replace(NAMED, inner_networks=(ip_network("10.0.0.0/24"),))
    check_network(inner, _network("10.0.0.2/32"), MACHINE)
    with pytest.raises(RequestRefusedError, match="inner networks"):
        check_network(inner, _network("10.0.1.2/32"), MACHINE)


# Both halves of everything come from a server that advertises everything.
@pytest.mark.parametrize(
    "route",
    ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "224.0.0.0/3", "10.0.0.0/8", "192.168.0.0/16",
     "::/0", "::/1", "8000::/1"],
)  # fmt: skip
def test_routes_that_a_server_may_advertise(route: str) -> None:
    check_network(ADVERTISED, _network("10.0.0.2/32", routes=(route,)), MACHINE)


@pytest.mark.parametrize(
    "route",
    ["127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "fe80::/10", LAN, "192.168.1.128/25",
     f"{GATEWAY}/32", "2001:db8:1::/65"],
)  # fmt: skip
def test_routes_that_no_server_may_advertise(route: str) -> None:
    with pytest.raises(RequestRefusedError):
        check_network(ADVERTISED, _network("10.0.0.2/32", routes=(route,)), MACHINE)


def test_addresses_of_names_count_only_where_the_profile_has_names() -> None:
    asked = replace(_network("10.0.0.2/32"), excluded=(ip_address("198.51.100.7"),))
    with pytest.raises(RequestRefusedError):
        check_network(NAMED, asked, MACHINE)
    split = SplitSettings(exclude_names=("bank.example.org",))
    profile = replace(NAMED, split=split)
    check_network(profile, asked, MACHINE)
    with pytest.raises(RequestRefusedError):
        check_network(profile, replace(asked, included=asked.excluded), MACHINE)
    for wrong in ("127.0.0.1", "224.0.0.1", GATEWAY):
        with pytest.raises(RequestRefusedError):
            check_network(profile, replace(asked, excluded=(ip_address(wrong),)), MACHINE)


def test_names_lead_no_neighbour_into_the_tunnel() -> None:
    names = ("192.168.1.77", "2001:db8:1::5", "10.9.0.1", "2001:db8:2::5")
    asked = replace(_network("10.0.0.2/32"), included=tuple(map(ip_address, names)))
    profile = replace(NAMED, split=SplitSettings(include_names=("work.example.org",)))
    check_network(profile, asked, MACHINE)  # what the name leads to at home is no attack
    assert [str(each) for each in neighbours(asked, MACHINE)] == ["192.168.1.77", "2001:db8:1::5"]
