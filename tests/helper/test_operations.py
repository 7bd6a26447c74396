"""Host plans against a real kernel, each test in a network namespace of its own."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest
from typing_extensions import override

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.operations import HostChanger
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.host.sysctls import Sysctls
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.host_plan import HostPlan
from tests.helper.namespaces import machine_state, run, settings, way_to
from tests.helper.plans import SERVER4, SERVER6, client_plan, server_plan

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.usefixtures("namespace")]


def test_client_plan_is_in_force(changer: HostChanger, tun: OpenedTun) -> None:
    report = changer.apply(client_plan(tun.name))
    assert report.warnings == ()
    assert "dev mqvpn0" in way_to("198.51.100.1")
    assert "dev mqvpn0" in way_to("2001:db8:99::1")
    assert "via 192.0.2.1 dev eth0" in way_to(SERVER4)
    assert "via fe80::1 dev eth0" in way_to(SERVER6)
    assert "mtu 1400" in run("ip link show mqvpn0")


def test_default_routes_of_the_user_stay_untouched(changer: HostChanger, tun: OpenedTun) -> None:
    before = run("ip route show default") + run("ip -6 route show default")
    changer.apply(client_plan(tun.name))
    assert run("ip route show default") + run("ip -6 route show default") == before


@pytest.mark.parametrize("make_plan", [client_plan, server_plan])
def test_undo_leaves_the_machine_as_it_was(
    tmp_path: Path, make_plan: Callable[[str], HostPlan]
) -> None:
    before = machine_state()
    changer = HostChanger(tmp_path / "state")
    tun = changer.open_tun("mqvpn0")
    bare = machine_state()
    changer.apply(make_plan(tun.name))
    assert machine_state() != bare
    changer.undo()
    after = machine_state()
    assert (after.routes, after.routes6, after.rules) == (bare.routes, bare.routes6, bare.rules)
    assert after.firewall == bare.firewall
    os.close(tun.fd)
    assert machine_state() == before
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["lock"]


@pytest.mark.parametrize("make_plan", [client_plan, server_plan])
def test_undo_after_the_device_is_gone(
    tmp_path: Path, make_plan: Callable[[str], HostPlan]
) -> None:
    before = machine_state()
    changer = HostChanger(tmp_path / "state")
    tun = changer.open_tun("mqvpn0")
    changer.apply(make_plan(tun.name))
    os.close(tun.fd)
    changer.undo()
    assert machine_state() == before


@pytest.mark.parametrize("make_plan", [client_plan, server_plan])
def test_applying_again_changes_nothing(
    changer: HostChanger, tun: OpenedTun, make_plan: Callable[[str], HostPlan]
) -> None:
    changer.apply(make_plan(tun.name))
    before = machine_state()
    changer.apply(make_plan(tun.name))
    assert machine_state() == before


def test_addresses_and_routes_follow_the_plan(changer: HostChanger, tun: OpenedTun) -> None:
    plan = client_plan(tun.name)
    changer.apply(replace(plan, addresses=(ip_interface("10.0.0.2/24"),)))
    changer.apply(
        replace(
            plan,
            mtu=1350,
            addresses=(ip_interface("10.0.0.3/24"), ip_interface("fd00::3/64")),
            routes=(ip_network("10.9.0.0/16"),),
        )
    )
    shown = run("ip -br address show mqvpn0").split()
    assert shown[2:] == ["10.0.0.3/24", "fd00::3/64"]
    assert run("ip route show dev mqvpn0 proto 109").split()[0] == "10.9.0.0/16"
    assert "dev eth0" in way_to("198.51.100.1")
    assert "mtu 1350" in run("ip link show mqvpn0")


def test_prefix_length_of_an_address_changes(changer: HostChanger, tun: OpenedTun) -> None:
    plan = replace(client_plan(tun.name), routes=(ip_network("0.0.0.0/0"),))
    for length4, length6 in ((24, 64), (32, 128), (16, 48)):
        addresses = (ip_interface(f"10.0.0.2/{length4}"), ip_interface(f"fd00::2/{length6}"))
        changer.apply(replace(plan, addresses=addresses))
        shown = run("ip -br address show mqvpn0").split()
        assert shown[2:] == [str(address) for address in addresses]
        assert "dev mqvpn0" in way_to("198.51.100.1")


def test_route_equal_to_the_devices_own_subnet(changer: HostChanger, tun: OpenedTun) -> None:
    plan = replace(
        client_plan(tun.name),
        addresses=(ip_interface("10.0.0.2/24"),),
        routes=(ip_network("10.0.0.0/24"),),
    )
    assert changer.apply(plan).warnings == ()
    assert changer.apply(plan).warnings == ()
    assert run("ip route show 10.0.0.0/24").count("\n") == 1


def test_existing_route_is_reported_and_kept(changer: HostChanger, tun: OpenedTun) -> None:
    run("ip route add 198.51.100.0/24 via 192.0.2.9")
    plan = replace(client_plan(tun.name), routes=(ip_network("198.51.100.0/24"),))
    report = changer.apply(plan)
    assert len(report.warnings) == 1
    assert "198.51.100.0/24 stays outside the tunnel" in report.warnings[0]
    assert "eth0" in report.warnings[0]
    assert "via 192.0.2.9 dev eth0" in run("ip route show 198.51.100.0/24")
    changer.undo()
    assert "via 192.0.2.9 dev eth0" in run("ip route show 198.51.100.0/24")


def test_server_forwards_and_the_rules_are_loaded(changer: HostChanger, tun: OpenedTun) -> None:
    changer.apply(server_plan(tun.name))
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    assert Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text() == "1\n"
    rules = run("nft list table inet mqvpn_mqvpn0")
    assert 'oifname != "mqvpn0" ip saddr 10.0.0.0/24 masquerade' in rules
    assert 'oifname != "mqvpn0" ip6 saddr fd00::/64 masquerade' in rules


def test_ipv6_forwarding_does_not_end_router_advertisements(
    changer: HostChanger, tun: OpenedTun
) -> None:
    run("ip -6 route add default via fe80::2 dev eth0 proto ra metric 50")
    changer.apply(server_plan(tun.name))
    assert Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").read_text() == "2\n"
    assert "fe80::2" in run("ip -6 route show default")
    changer.undo()
    assert Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").read_text() == "1\n"


def test_settings_of_single_links_are_restored(changer: HostChanger, tun: OpenedTun) -> None:
    for key in ("ipv4/conf/eth0/forwarding", "ipv6/conf/eth0/forwarding"):
        Path("/proc/sys/net", key).write_text("1")
    Path("/proc/sys/net/ipv4/conf/all/accept_redirects").write_text("0")
    before = settings()
    changer.apply(server_plan(tun.name))
    changer.undo()
    after = settings()
    ours = {key for key in before if f"/{tun.name}/" in key}
    assert {key: (before[key], after[key]) for key in before if before[key] != after[key]} == {
        key: (before[key], after[key]) for key in ours if before[key] != after[key]
    }


def test_forwarding_that_was_on_stays_on(changer: HostChanger, tun: OpenedTun) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    changer.apply(server_plan(tun.name))
    changer.undo()
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    assert Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text() == "0\n"


def test_server_plan_shrinks(changer: HostChanger, tun: OpenedTun) -> None:
    plan = server_plan(tun.name)
    changer.apply(plan)
    changer.apply(
        replace(plan, forward_ipv4=False, forward_ipv6=False, nat_sources=(), isolate_clients=False)
    )
    assert run("nft list ruleset") == ""
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
    assert Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text() == "0\n"


def test_flushed_firewall_is_loaded_again(changer: HostChanger, tun: OpenedTun) -> None:
    changer.apply(server_plan(tun.name))
    before = run("nft list ruleset")
    run("nft flush ruleset")
    changer.apply(server_plan(tun.name))
    assert run("nft list ruleset") == before


def test_foreign_firewall_that_drops_is_a_warning(changer: HostChanger, tun: OpenedTun) -> None:
    run("nft add table ip other")
    run("nft add chain ip other FORWARD { type filter hook forward priority 0; policy drop; }")
    report = changer.apply(server_plan(tun.name))
    assert len(report.warnings) == 1
    assert "'ip other FORWARD' drops forwarded packets" in report.warnings[0]
    assert "table ip other" in run("nft list ruleset")


def test_device_is_silent(changer: HostChanger, tun: OpenedTun) -> None:
    changer.apply(replace(server_plan(tun.name), addresses=client_plan(tun.name).addresses))
    time.sleep(1.2)
    with pytest.raises(BlockingIOError):
        os.read(tun.fd, 65535)
    assert "fe80" not in run("ip -6 address show mqvpn0")


def test_device_that_disappeared(changer: HostChanger, tun: OpenedTun) -> None:
    run("ip link delete mqvpn0")
    with pytest.raises(HostChangeError, match="mqvpn0 is gone"):
        changer.apply(client_plan(tun.name))


def test_plan_for_another_device_is_refused(changer: HostChanger, tun: OpenedTun) -> None:
    with pytest.raises(HostChangeError, match="not our TUN device"):
        changer.apply(client_plan("eth0"))
    assert tun.name == "mqvpn0"
    assert "192.0.2.2" in run("ip address show eth0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mtu": 1279}, "IPv6 needs at least 1280"),
        ({"mtu": 67, "addresses": ()}, "68 to 65535"),
        ({"addresses": (ip_interface("224.0.0.1/32"),)}, "cannot be the address"),
        ({"addresses": (ip_interface("::1/128"),)}, "cannot be the address"),
        ({"routes": (ip_network("10.0.0.0/8"),) * 5000}, "5000 routes"),
    ],
)
def test_impossible_plans_touch_nothing(
    changer: HostChanger, tun: OpenedTun, change: dict[str, object], message: str
) -> None:
    before = machine_state()
    fields = {name: getattr(client_plan(tun.name), name) for name in HostPlan.__slots__}
    with pytest.raises(HostChangeError, match=message):
        changer.apply(HostPlan(**{**fields, **change}))
    assert machine_state() == before


class _ReadOnlySysctls(Sysctls):
    """As in a container: /proc/sys can be read only."""

    @override
    def write(self, key: str, value: str) -> None:
        if self.read(key) not in {None, value}:
            raise HostChangeError(f"cannot set {key}: read-only")


def test_read_only_settings_do_not_stop_a_client(tmp_path: Path) -> None:
    changer = HostChanger(tmp_path / "state", sysctls=_ReadOnlySysctls())
    tun = changer.open_tun("mqvpn0")
    try:
        plan = replace(client_plan(tun.name), addresses=(ip_interface("10.0.0.2/24"),))
        assert changer.apply(plan).warnings == ()
        Path("/proc/sys/net/ipv4/conf/mqvpn0/promote_secondaries").write_text("0")
        changer.apply(replace(plan, addresses=(ip_interface("10.0.0.3/24"),)))
        shown = run("ip -br address show mqvpn0 scope global")
        assert shown.split()[2:] == ["10.0.0.3/24"]
        assert "dev mqvpn0" in way_to("198.51.100.1")
    finally:
        os.close(tun.fd)


def test_read_only_forwarding_is_explained_and_undone(tmp_path: Path) -> None:
    before = machine_state()
    changer = HostChanger(tmp_path / "state", sysctls=_ReadOnlySysctls())
    tun = changer.open_tun("mqvpn0")
    with pytest.raises(HostChangeError, match="ip_forward: read-only"):
        changer.apply(server_plan(tun.name))
    changer.undo()
    os.close(tun.fd)
    assert machine_state() == before


def test_failed_start_closes_the_device(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(HostChangeError, match="state directory"):
        HostChanger(tmp_path / "state").open_tun("mqvpn0")
    assert run("ip link show type tun") == ""


@pytest.mark.parametrize("damage", ["garbage", "link", "directory", "pipe", "foreign"])
def test_hostile_journal_is_reported_and_cleared_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    precious = tmp_path / "precious"
    precious.write_text("kept")
    path = state / f"mqvpn0@{current_netns():x}.journal"
    match damage:
        case "garbage":
            path.write_bytes(os.urandom(1000))  # noqa: TID251 - any bytes will do
        case "link":
            path.symlink_to(precious)
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.write_text("{}")
            os.chown(path, 65534, 65534)
    before = machine_state()
    changer = HostChanger(state)
    if damage == "directory":
        with pytest.raises(HostChangeError, match="cannot remove the journal"):
            changer.recover()
    else:
        assert len(changer.recover()) == 1
        assert not os.path.lexists(path)
        assert "journal" in caplog.text
    assert precious.read_text() == "kept"
    assert machine_state() == before


def test_kernel_without_ipv6(tmp_path: Path) -> None:
    no_ipv6 = tmp_path / "sys"
    (no_ipv6 / "net").mkdir(parents=True)
    (no_ipv6 / "net/ipv4").symlink_to("/proc/sys/net/ipv4")
    changer = HostChanger(tmp_path / "state", sysctls=Sysctls(no_ipv6))
    tun = changer.open_tun(None)
    try:
        report = changer.apply(server_plan(tun.name))
        assert report.warnings == ("this machine has no IPv6: the tunnel carries IPv4 only",)
        shown = run(f"ip -br address show {tun.name} scope global")
        assert shown.split()[2:] == ["10.0.0.1/24"]
        changer.undo()
    finally:
        os.close(tun.fd)
