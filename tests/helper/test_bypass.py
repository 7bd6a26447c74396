"""The way to the server stays on the physical links, whatever the machine's routes do."""

import socket
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.host.routes import Route
from mqvpn_helper.host.tun import OpenedTun
from tests.helper.namespaces import add_uplink, run, way_to
from tests.helper.plans import SERVER4, SERVER6, client_plan

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.usefixtures("namespace")]


def test_bypass_follows_the_gateway(changer: HostChanger, tun: OpenedTun) -> None:
    changer.apply(client_plan(tun.name))
    run("ip route replace default via 192.0.2.254 dev eth0 metric 200")
    changer.apply(client_plan(tun.name))
    assert "via 192.0.2.254 dev eth0" in way_to(SERVER4)
    assert run(f"ip route show {SERVER4}").count("\n") == 1


def test_bypass_follows_to_another_link(changer: HostChanger, tun: OpenedTun) -> None:
    changer.apply(client_plan(tun.name))
    add_uplink("eth1", network=1)
    changer.apply(client_plan(tun.name))
    assert "via 192.0.1.1 dev eth1" in way_to(SERVER4)
    assert "dev eth1" in way_to(SERVER6)
    run("ip link delete eth1")
    changer.apply(client_plan(tun.name))
    assert "via 192.0.2.1 dev eth0" in way_to(SERVER4)
    assert "dev eth0" in way_to(SERVER6)


@pytest.mark.parametrize("before", [True, False], ids=["before its route", "after its route"])
def test_bypass_of_a_link_that_goes_at_that_moment(
    changer: HostChanger, tun: OpenedTun, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    add_uplink("eth1", network=1)
    install = PhysicalWays.install

    def lose_link(ways: PhysicalWays, wanted: Route) -> None:
        if before:
            run("ip link set eth1 down")
        install(ways, wanted)
        run("ip link set eth1 down")

    monkeypatch.setattr(PhysicalWays, "install", lose_link)
    assert changer.apply(client_plan(tun.name)).warnings == ()
    assert "via 192.0.2.1 dev eth0" in way_to(SERVER4)
    assert "dev eth0" in way_to(SERVER6)


def test_bypass_without_a_way_is_a_warning(changer: HostChanger, tun: OpenedTun) -> None:
    run("ip route delete default via 192.0.2.1")
    report = changer.apply(client_plan(tun.name))
    assert report.warnings == (f"no link leads to {SERVER4} now",)
    run("ip route add default via 192.0.2.1")
    assert changer.apply(client_plan(tun.name)).warnings == ()
    assert "dev eth0" in way_to(SERVER4)


def test_bypass_keeps_its_route_while_the_way_is_lost(changer: HostChanger, tun: OpenedTun) -> None:
    changer.apply(client_plan(tun.name))
    run("ip route delete default via 192.0.2.1")
    report = changer.apply(client_plan(tun.name))
    assert report.warnings == (f"no link leads to {SERVER4} now",)
    assert "via 192.0.2.1 dev eth0" in way_to(SERVER4)
    changer.undo()
    assert run(f"ip route show {SERVER4}") == ""


def test_bypass_of_neighbours_and_of_ourselves_needs_no_route(
    changer: HostChanger, tun: OpenedTun
) -> None:
    bypass = (ip_address("192.0.2.77"), ip_address("192.0.2.2"), ip_address("::1"))
    report = changer.apply(replace(client_plan(tun.name), bypass=bypass))
    assert report.warnings == ()
    assert run("ip route show dev eth0 proto 110") == ""
    assert "dev eth0" in way_to("192.0.2.77")


def test_bypass_wins_over_a_route_to_the_same_host(changer: HostChanger, tun: OpenedTun) -> None:
    plan = client_plan(tun.name)
    changer.apply(replace(plan, routes=(*plan.routes, ip_network(f"{SERVER4}/32"))))
    assert "dev eth0" in way_to(SERVER4)


def test_bypass_through_a_gateway_outside_every_subnet(
    changer: HostChanger, tun: OpenedTun
) -> None:
    run("ip route delete default via 192.0.2.1")
    run("ip route add default via 172.31.1.1 dev eth0 onlink")
    assert changer.apply(client_plan(tun.name)).warnings == ()
    assert "via 172.31.1.1 dev eth0" in way_to(SERVER4)
    changer.undo()
    assert run("ip route show proto 110") == ""


def test_bypass_of_ipv4_over_an_ipv6_gateway(changer: HostChanger, tun: OpenedTun) -> None:
    run("ip route delete default via 192.0.2.1")
    run("ip -4 route add default via inet6 fe80::1 dev eth0")
    assert changer.apply(client_plan(tun.name)).warnings == ()
    assert "via inet6 fe80::1 dev eth0" in way_to(SERVER4)
    changer.undo()
    assert run("ip route show proto 110") == ""


def test_policy_rules_of_the_user_are_honoured(changer: HostChanger, tun: OpenedTun) -> None:
    add_uplink("eth1", network=1)
    run("ip route add default via 192.0.1.1 dev eth1 table 77")
    run(f"ip rule add to {SERVER4} lookup 77")
    run("ip route delete default via 192.0.1.1 dev eth1")
    changer.apply(client_plan(tun.name))
    assert "dev eth1" in way_to(SERVER4)


def test_link_towards_looks_past_the_tunnel(changer: HostChanger, tun: OpenedTun) -> None:
    run("ip link set eth0 mtu 1492")
    changer.apply(client_plan(tun.name))
    for address, source in (
        ("198.51.100.1", "192.0.2.2"),
        (str(SERVER4), "192.0.2.2"),
        ("2001:db8:99::1", "2001:db8:2::2"),
    ):
        link = changer.link_towards(ip_address(address))
        assert link is not None
        assert (link.name, link.mtu, str(link.source)) == ("eth0", 1492, source)


def test_link_towards_nowhere(changer: HostChanger, tun: OpenedTun) -> None:
    changer.apply(client_plan(tun.name))
    run("ip route delete default via 192.0.2.1")
    assert changer.link_towards(ip_address("198.51.100.1")) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.2", "::1", "2001:db8:2::2"])
def test_link_towards_ourselves(changer: HostChanger, address: str) -> None:
    link = changer.link_towards(ip_address(address))
    assert link is not None
    assert str(link.source) == address
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
        socket.socket(family, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((address, 0))
        receiver.settimeout(2)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.name.encode())
        sender.bind((str(link.source), 0))
        sender.settimeout(2)
        sender.sendto(b"to ourselves", receiver.getsockname())
        data, back = receiver.recvfrom(99)
        receiver.sendto(data + b" and back", back)
        assert sender.recv(99) == b"to ourselves and back"
