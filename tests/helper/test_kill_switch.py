"""The kill switch against a real kernel: what passes."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall import seconds_since_boot
from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.host_plan import (
    CORE_MARK,
    CaptivePortal,
    HostPlan,
    KillSwitchMode,
    ServerEndpoint,
    Split,
)
from tests.helper.kill_switch_scene import (
    ELSEWHERE,
    LAN,
    SWITCH,
    carrying,
    changer_in,
    die_with,
    sent,
    waiting,
)
from tests.helper.namespaces import machine_state, run
from tests.helper.plans import SERVER4, SERVER6, client_plan

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.usefixtures("namespace")]


@pytest.fixture
def tun(tmp_path: Path) -> Iterator[tuple[HostChanger, OpenedTun]]:
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0")
    yield changer, opened
    os.close(opened.fd)


def test_nothing_leaves_before_the_first_connection(tun: tuple[HostChanger, OpenedTun]) -> None:
    changer, _ = tun
    assert sent(ELSEWHERE)
    changer.apply(waiting())
    assert not sent(ELSEWHERE)
    assert not sent(ELSEWHERE, 53)
    assert not sent(ELSEWHERE, 67)
    assert not sent("2001:db8:99::1")
    assert not sent(LAN)
    assert "state DOWN" in run("ip link show mqvpn0")


@pytest.mark.parametrize("address", [str(SERVER4), str(SERVER6)])
def test_only_the_core_reaches_the_server(tun: tuple[HostChanger, OpenedTun], address: str) -> None:
    changer, _ = tun
    changer.apply(carrying())
    assert sent(address, 443, mark=CORE_MARK)
    assert not sent(address, 443)
    assert not sent(address, 53, mark=CORE_MARK)
    assert not sent(address, 444, mark=CORE_MARK)
    assert not sent(ELSEWHERE, 443, mark=CORE_MARK)


def test_core_known_by_its_user(tun: tuple[HostChanger, OpenedTun]) -> None:
    changer, _ = tun
    changer.apply(carrying(replace(SWITCH, core_uid=61234)))
    assert not sent(str(SERVER4), 443, mark=CORE_MARK)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(61234)
        is_right = sent(str(SERVER4), 443) and not sent(ELSEWHERE, 443)
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_tunnel_loopback_and_configuration_of_the_network_pass(
    tun: tuple[HostChanger, OpenedTun],
) -> None:
    changer, _ = tun
    changer.apply(carrying())
    assert sent(ELSEWHERE, 53, link="mqvpn0")
    assert sent("2001:db8:99::1", link="mqvpn0")
    assert sent("127.0.0.1", link="")
    assert sent("255.255.255.255", 67, source_port=68)
    # A solicitation of the kernel's own, which asks who has the gateway's address.
    before = _solicitations()
    run("ip -6 neigh flush dev eth0")
    assert sent(str(SERVER6), 443, mark=CORE_MARK)
    deadline = time.perf_counter() + 5
    while _solicitations() == before:
        assert time.perf_counter() < deadline, "no neighbour solicitation left"
        time.sleep(0.02)


def _solicitations() -> int:
    counters = Path("/proc/thread-self/net/dev_snmp6/eth0").read_text().splitlines()
    lines = [line.split() for line in counters]
    return next(int(count) for name, count in lines if name == "Icmp6OutNeighborSolicits")


def test_refusal_is_told_at_once(tun: tuple[HostChanger, OpenedTun]) -> None:
    """A program that tries IPv6 first goes on with IPv4 instead of waiting."""
    changer, _ = tun
    plan = carrying()
    changer.apply(replace(plan, routes=(ip_network("0.0.0.0/0"),)))
    started = time.perf_counter()
    with pytest.raises(OSError, match=r"refused|unreachable|not permitted|denied"):
        socket.create_connection(("2001:db8:99::1", 80), timeout=10)
    assert time.perf_counter() - started < 5


def test_local_network(tun: tuple[HostChanger, OpenedTun]) -> None:
    changer, _ = tun
    run("ip addr add 192.168.7.2/24 dev eth0")
    changer.apply(carrying(replace(SWITCH, allow_lan=True)))
    assert sent("192.168.7.9")
    assert sent("224.0.0.251", 5353)
    assert not sent("192.168.7.9", 53)
    assert not sent("192.168.7.9", 853)
    assert not sent(ELSEWHERE)
    changer.apply(carrying())
    assert not sent("192.168.7.9")


def test_name_server_of_the_core(tun: tuple[HostChanger, OpenedTun]) -> None:
    changer, _ = tun
    changer.apply(waiting(replace(SWITCH, servers=(), name_servers=(ip_address("192.0.2.53"),))))
    assert sent("192.0.2.53", 53, mark=CORE_MARK)
    assert not sent("192.0.2.53", 53)
    assert not sent("192.0.2.53", 80, mark=CORE_MARK)
    assert not sent("192.0.2.54", 53, mark=CORE_MARK)


def test_captive_portal_closes_by_itself(tun: tuple[HostChanger, OpenedTun]) -> None:
    changer, _ = tun
    portal = CaptivePortal(interface="eth0", until=seconds_since_boot() + 2.5)
    plan = carrying(replace(SWITCH, portal=portal))
    changer.apply(plan)
    assert sent(ELSEWHERE, 53)
    assert sent(ELSEWHERE, 80)
    assert not sent(ELSEWHERE, 22)
    assert "dev eth0" in run(f"ip route get {ELSEWHERE}")
    deadline = time.perf_counter() + 6
    while sent(ELSEWHERE, 80):
        assert time.perf_counter() < deadline, "the hole stays open"
        time.sleep(0.05)
    assert not sent(ELSEWHERE, 53)
    # The firewall counts in whole milliseconds, and may be done a little before.
    time.sleep(max(portal.until - seconds_since_boot(), 0))
    changer.apply(plan)
    assert "dev mqvpn0" in run(f"ip route get {ELSEWHERE}")
    assert not sent(ELSEWHERE, 80)


def test_forwarded_packets_are_held_to_it(tun: tuple[HostChanger, OpenedTun]) -> None:
    changer, _ = tun
    changer.apply(carrying())
    chain = run("nft list chain inet mqvpn_mqvpn0 kill_switch_forward")
    assert "policy drop" in chain
    assert 'oifname "mqvpn0" accept' in chain


@pytest.mark.parametrize("mode", [KillSwitchMode.STANDARD, None])
def test_from_always_to_less(
    tun: tuple[HostChanger, OpenedTun], tmp_path: Path, mode: KillSwitchMode | None
) -> None:
    changer, _ = tun
    changer.apply(carrying(replace(SWITCH, mode=KillSwitchMode.ALWAYS)))
    switch = None if mode is None else replace(SWITCH, mode=mode)
    changer.apply(replace(carrying(), kill_switch=switch))
    assert not (tmp_path / "boot/kill-switch-mqvpn0.nft").exists()
    assert sent(ELSEWHERE) is (mode is None)


def test_two_would_block_each_other(tun: tuple[HostChanger, OpenedTun], tmp_path: Path) -> None:
    changer, _ = tun
    changer.apply(carrying())
    other = changer_in(tmp_path)
    opened = other.open_tun("mqvpn1")
    with pytest.raises(HostChangeError, match="mqvpn0 has a kill switch"):
        other.apply(replace(waiting(), tun_name="mqvpn1"))
    os.close(opened.fd)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (waiting(replace(SWITCH, mode=KillSwitchMode.OFF)), "not one that is off"),
        (replace(waiting(), forward_ipv4=True), "server"),
        (waiting(replace(SWITCH, core_uid=0)), "user of the core"),
        (
            waiting(replace(SWITCH, servers=(ServerEndpoint(address=SERVER4, port=0),))),
            "no UDP port",
        ),
        (
            waiting(replace(SWITCH, portal=CaptivePortal(interface='e" }', until=0))),
            "name of a physical link",
        ),
        (
            waiting(replace(SWITCH, portal=CaptivePortal(interface="eth0", until=1e12))),
            "an hour at most",
        ),
        (replace(waiting(), links=("../x",)), "name of a physical link"),
        (replace(waiting(), split=Split(cgroups=('a" accept',))), "control group"),
        (replace(waiting(), split=Split(cgroups=("a/../b",))), "control group"),
    ],
)
def test_impossible_plans(tun: tuple[HostChanger, OpenedTun], plan: HostPlan, reason: str) -> None:
    changer, _ = tun
    with pytest.raises(HostChangeError, match=reason):
        changer.apply(plan)


def test_excluded_networks_leave_by_the_links(
    tun: tuple[HostChanger, OpenedTun], tmp_path: Path
) -> None:
    changer, opened = tun
    split = Split(networks=(ip_network("198.51.100.0/24"), ip_network("2001:db8:99::/48")))
    changer.apply(replace(carrying(), split=split))
    assert "dev eth0" in run(f"ip route get {ELSEWHERE}")
    assert "dev eth0" in run("ip route get 2001:db8:99::1")
    assert "dev mqvpn0" in run("ip route get 198.51.101.1")
    assert sent(ELSEWHERE)
    assert not sent(ELSEWHERE, 53)
    assert not sent("198.51.101.1")
    changer.apply(carrying())
    assert "dev mqvpn0" in run(f"ip route get {ELSEWHERE}")
    assert not sent(ELSEWHERE)
    del opened, tmp_path


def test_links_take_answers_of_one_another(tmp_path: Path) -> None:
    Path("/proc/sys/net/ipv4/conf/eth0/rp_filter").write_text("1")
    before = machine_state()
    plan = replace(client_plan("mqvpn0"), links=("eth0", "gone0"))
    changer = changer_in(tmp_path)
    opened = changer.open_tun("mqvpn0")
    changer.apply(plan)
    assert Path("/proc/sys/net/ipv4/conf/eth0/rp_filter").read_text() == "2\n"
    changer.apply(replace(plan, links=()))
    assert Path("/proc/sys/net/ipv4/conf/eth0/rp_filter").read_text() == "1\n"
    changer.apply(plan)
    changer.undo()
    os.close(opened.fd)
    assert machine_state() == before
    die_with(tmp_path, plan)
    changer_in(tmp_path).recover()
    assert machine_state() == before


def test_address_of_the_device_needs_no_name_here(tun: tuple[HostChanger, OpenedTun]) -> None:
    """What was down for want of work comes up with the first address."""
    changer, _ = tun
    changer.apply(waiting())
    changer.apply(replace(waiting(), addresses=(ip_interface("10.0.0.2/32"),)))
    assert "state DOWN" not in run("ip link show mqvpn0")
