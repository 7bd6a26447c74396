"""What the host is asked to have, for a client and for a server."""

from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)

from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.host_plan import (
    ClientFacts,
    ClientHostSettings,
    ServerHostSettings,
    client_host_plan,
    server_host_plan,
    split_default,
)
from mqvpn_helper.interface.host_plan import (
    HostPlan,
    IPAddress,
    KillSwitch,
    KillSwitchMode,
    ServerEndpoint,
    Split,
)

SERVER = IPv4Address("192.0.2.1")
OTHER = IPv6Address("2001:db8::1")
SETTINGS = ClientHostSettings(tun_name="mqvpn0", manage_routes=True, everything=False)
BOTH = Assignment(
    addresses=(IPv4Interface("10.0.0.2/32"), IPv6Interface("fd00::2/128")),
    routes=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")),
    mtu=1380,
    server=SERVER,
)


def plan_of(settings: ClientHostSettings, assignment: Assignment, *servers: IPAddress) -> HostPlan:
    return client_host_plan(settings, ClientFacts(assignment=assignment, servers=servers))


def test_client_splits_the_default_and_bypasses_every_server_address() -> None:
    assert plan_of(SETTINGS, BOTH, OTHER, SERVER) == HostPlan(
        tun_name="mqvpn0",
        mtu=1380,
        addresses=BOTH.addresses,
        routes=(
            IPv4Network("0.0.0.0/1"),
            IPv4Network("128.0.0.0/1"),
            IPv6Network("::/1"),
            IPv6Network("8000::/1"),
        ),
        bypass=(SERVER, OTHER),
    )


def test_client_without_routes_keeps_its_addresses() -> None:
    plan = plan_of(replace(SETTINGS, manage_routes=False), BOTH, OTHER)
    assert plan.addresses == BOTH.addresses
    assert plan.routes == ()
    assert plan.bypass == ()


def test_no_route_for_a_family_without_an_address() -> None:
    only_v4 = replace(BOTH, addresses=(IPv4Interface("10.0.0.2/32"),))
    assert {net.version for net in plan_of(SETTINGS, only_v4).routes} == {4}


def test_rfc9484_s7_2_no_ipv6_on_a_tunnel_below_1280() -> None:
    small = plan_of(SETTINGS, replace(BOTH, mtu=1279))
    assert small.addresses == (IPv4Interface("10.0.0.2/32"),)
    assert {net.version for net in small.routes} == {4}
    assert plan_of(SETTINGS, replace(BOTH, mtu=1280)).addresses == BOTH.addresses


def test_advertised_range_becomes_its_routes() -> None:
    narrow = replace(BOTH, routes=(IPv4Network("10.1.0.0/16"),))
    assert plan_of(SETTINGS, narrow).routes == (IPv4Network("10.1.0.0/16"),)


def test_everything_means_both_halves_of_each_family_with_an_address() -> None:
    narrow = replace(BOTH, routes=(IPv4Network("10.1.0.0/16"),))
    plan = plan_of(replace(SETTINGS, everything=True), narrow)
    assert plan.routes == plan_of(SETTINGS, BOTH).routes


def test_server_plan() -> None:
    settings = ServerHostSettings(
        tun_name="mqvpn0",
        mtu=1400,
        gateways=(IPv4Interface("10.0.0.1/24"), IPv6Interface("fd00::1/64")),
        nat=True,
        client_to_client=False,
    )
    assert server_host_plan(settings) == HostPlan(
        tun_name="mqvpn0",
        mtu=1400,
        addresses=settings.gateways,
        forward_ipv4=True,
        forward_ipv6=True,
        nat_sources=(IPv4Network("10.0.0.0/24"), IPv6Network("fd00::/64")),
        isolate_clients=True,
    )


def test_server_plan_without_nat_and_with_one_family() -> None:
    settings = ServerHostSettings(
        tun_name="mqvpn0",
        mtu=1400,
        gateways=(IPv4Interface("10.0.0.1/24"),),
        nat=False,
        client_to_client=True,
    )
    plan = server_host_plan(settings)
    assert (plan.forward_ipv4, plan.forward_ipv6) == (True, False)
    assert plan.nat_sources == ()
    assert not plan.isolate_clients


def test_split_default_leaves_other_networks_alone() -> None:
    networks = (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"))
    assert split_default(networks) == networks


GUARDED = replace(
    SETTINGS, kill_switch=KillSwitchMode.STANDARD, server_port=4433, dns=(ip_address("10.0.0.1"),)
)


def test_plan_before_the_first_connection_only_blocks() -> None:
    facts = ClientFacts(servers=(SERVER,), links=("wlan0",))
    assert client_host_plan(GUARDED, facts) == HostPlan(
        tun_name="mqvpn0",
        mtu=1280,
        links=("wlan0",),
        kill_switch=KillSwitch(
            mode=KillSwitchMode.STANDARD, servers=(ServerEndpoint(address=SERVER, port=4433),)
        ),
    )
    assert client_host_plan(SETTINGS, facts).kill_switch is None


def test_kill_switch_knows_every_address_of_the_server() -> None:
    plan = plan_of(GUARDED, BOTH, OTHER)
    assert plan.kill_switch is not None
    assert {server.address for server in plan.kill_switch.servers} == {SERVER, OTHER}
    assert plan.dns == (ip_address("10.0.0.1"),)


def test_name_servers_are_let_through_only_while_no_address_is_known() -> None:
    facts = ClientFacts(name_servers=(ip_address("192.0.2.53"),))
    before = client_host_plan(GUARDED, facts).kill_switch
    after = client_host_plan(GUARDED, replace(facts, servers=(SERVER,))).kill_switch
    assert before is not None
    assert after is not None
    assert (before.name_servers, after.name_servers) == (facts.name_servers, ())


def test_excluded_networks_and_where_excluded_names_lead() -> None:
    settings = replace(SETTINGS, exclude=(IPv4Network("192.0.2.0/24"),), cgroups=("games",))
    facts = ClientFacts(assignment=BOTH, excluded=(ip_address("2001:db8::7"),))
    plan = client_host_plan(settings, facts)
    assert plan.split == Split(
        networks=(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::7/128")), cgroups=("games",)
    )
    assert plan.routes == plan_of(SETTINGS, BOTH).routes


def test_only_what_is_included_goes_into_the_tunnel() -> None:
    settings = replace(SETTINGS, only_included=True, include=(IPv4Network("10.9.0.0/16"),))
    facts = ClientFacts(assignment=BOTH, included=(ip_address("198.51.100.7"),))
    assert client_host_plan(settings, facts).routes == (
        IPv4Network("10.9.0.0/16"),
        IPv4Network("198.51.100.7/32"),
    )
    assert (
        client_host_plan(replace(settings, include=()), ClientFacts(assignment=BOTH)).routes == ()
    )


def test_links_are_left_alone_without_routes() -> None:
    facts = ClientFacts(assignment=BOTH, links=("wlan0",))
    assert client_host_plan(replace(SETTINGS, manage_routes=False), facts).links == ()
    assert client_host_plan(SETTINGS, facts).links == ("wlan0",)
