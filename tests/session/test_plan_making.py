"""From wishes and gifts to the whole state of the machine."""

from dataclasses import replace
from ipaddress import IPv6Interface, ip_address, ip_network

import pytest

from mqvpn_helper.interface.host_plan import CaptivePortal, HostPlan, KillSwitch, KillSwitchMode
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import TunnelRoutes
from mqvpn_helper.session.plan_making import TunnelFacts, core_profile, make_plan
from tests.session.samples import FULL_PROFILE, NETWORK

SERVER = ip_address("203.0.113.2")
PROFILE = Profile.from_mapping({"server": "vpn.example.org:4433"})
FACTS = TunnelFacts(profile=PROFILE, tun_name="mqvpn0", core_uid=4711, servers=(SERVER,))
UP = replace(FACTS, network=replace(NETWORK, excluded=(), included=()))


def _routes(plan: HostPlan) -> list[str]:
    return [str(each) for each in plan.routes]


def _with(facts: TunnelFacts, **members: object) -> TunnelFacts:
    return replace(
        facts, profile=Profile.from_mapping({"server": "vpn.example.org:4433", **members})
    )


def test_before_the_server_gives_anything_there_is_a_bare_device() -> None:
    assert make_plan(FACTS) == HostPlan(tun_name="mqvpn0", mtu=1280)


def test_everything_goes_into_the_tunnel_but_what_carries_it() -> None:
    plan = make_plan(UP)
    assert _routes(plan) == ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]
    assert plan.bypass == (SERVER,)
    assert plan.addresses == NETWORK.addresses
    assert (plan.mtu, plan.links) == (NETWORK.mtu, NETWORK.links)
    assert plan.split is None
    assert plan.kill_switch is None


def test_a_small_mtu_carries_no_ipv6() -> None:
    network = replace(NETWORK, mtu=1279, excluded=(), included=())
    plan = make_plan(replace(FACTS, network=network))
    assert not any(isinstance(each, IPv6Interface) for each in plan.addresses)
    assert _routes(plan) == ["0.0.0.0/1", "128.0.0.0/1"]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [(TunnelRoutes.ADVERTISED, ["10.0.0.0/24"]), (TunnelRoutes.NONE, [])],
)
def test_other_routes(routes: TunnelRoutes, expected: list[str]) -> None:
    plan = make_plan(_with(UP, routes=routes.value, split_exclude=["192.0.2.0/24"]))
    assert _routes(plan) == expected
    assert (plan.split is None) == (routes is TunnelRoutes.NONE)


def test_exceptions_are_the_profiles_and_those_of_its_names() -> None:
    facts = _with(
        replace(UP, network=NETWORK),
        split_exclude=["192.0.2.0/24", "bank.example.org"],
        split_cgroups=["app.slice"],
        split_include=["198.18.0.0/15", "work.example.org"],
        dns=["10.0.0.53"],
    )
    plan = make_plan(facts)
    assert plan.split is not None
    assert [str(each) for each in plan.split.networks] == ["192.0.2.0/24", "198.51.100.7/32"]
    assert plan.split.cgroups == ("app.slice",)
    assert _routes(plan) == ["198.18.0.0/15", "2001:db8::7/128"]
    assert plan.dns == (ip_address("10.0.0.53"),)


def test_the_kill_switch_is_the_same_whatever_the_server_gives() -> None:
    portal = CaptivePortal(interface="wlan0", until=100.0)
    name_servers = (ip_address("192.0.2.53"),)
    for facts in (FACTS, UP):
        wanted = _with(facts, kill_switch="always", allow_lan=True)
        switch = make_plan(replace(wanted, portal=portal, name_servers=name_servers)).kill_switch
        assert isinstance(switch, KillSwitch)
        assert switch.mode is KillSwitchMode.ALWAYS
        assert [(each.address, each.port) for each in switch.servers] == [(SERVER, 4433)]
        assert (switch.core_uid, switch.allow_lan) == (4711, True)
        assert (switch.portal, switch.name_servers) == (portal, name_servers)


def test_a_core_learns_the_names_and_not_the_networks() -> None:
    whole = Profile.from_mapping(FULL_PROFILE)
    told = core_profile(whole)
    assert told.split.exclude_names == ("bank.example.org",)
    assert told.split.include_names == ("localhost",)
    assert told.split.exclude == told.split.include == told.dns.servers == ()
    assert told.inner_networks == ()
    assert ip_network("10.0.0.0/8") in whole.inner_networks
