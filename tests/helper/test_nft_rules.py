"""The firewall rules: what they say, and that the kernel takes them."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.nft_rules import Nft, portal_opening, ruleset
from mqvpn_helper.interface.host_plan import (
    CaptivePortal,
    HostPlan,
    KillSwitch,
    KillSwitchMode,
    ServerEndpoint,
)
from tests.helper.namespaces import run
from tests.helper.plans import SERVER4, client_plan, server_plan


def rules_of(plan: HostPlan) -> str:
    text = ruleset(plan)
    assert text is not None
    return text


def test_client_needs_no_rules() -> None:
    assert ruleset(client_plan("mqvpn0")) is None


def test_whole_ruleset() -> None:
    assert (
        rules_of(server_plan("mqvpn0"))
        == """\
table inet mqvpn_mqvpn0
delete table inet mqvpn_mqvpn0
table inet mqvpn_mqvpn0 {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "mqvpn0" oifname "mqvpn0" counter drop
    ip daddr { 10.0.0.0/24 } oifname != "mqvpn0" drop
    ip6 daddr { fd00::/64 } oifname != "mqvpn0" drop
    iifname "mqvpn0" ip saddr { 10.0.0.0/24 } ct state invalid drop
    iifname "mqvpn0" ip6 saddr { fd00::/64 } ct state invalid drop
    iifname "mqvpn0" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    oifname "mqvpn0" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
  }
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "mqvpn0" icmp type redirect drop
    oifname "mqvpn0" icmpv6 type { mld-listener-report, mld2-listener-report } drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname != "mqvpn0" ip saddr { 10.0.0.0/24 } masquerade
    oifname != "mqvpn0" ip6 saddr { fd00::/64 } masquerade
  }
}
"""
    )


def test_whole_kill_switch() -> None:
    """Every way past the tunnel, on one page; `test_kill_switch` tries them."""
    servers = (ServerEndpoint(address=SERVER4, port=443),)
    plan = HostPlan(
        tun_name="mqvpn0",
        mtu=1400,
        kill_switch=KillSwitch(mode=KillSwitchMode.STANDARD, servers=servers),
    )
    assert (
        rules_of(plan)
        == """\
table inet mqvpn_mqvpn0
delete table inet mqvpn_mqvpn0
table inet mqvpn_mqvpn0 {
  set servers4 {
    type ipv4_addr . inet_service
    elements = { 203.0.113.7 . 443 }
  }
  set servers6 {
    type ipv6_addr . inet_service
  }
  set portal {
    type ifname
    flags timeout
  }
  chain refused {
    counter
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }
  chain kill_switch {
    type filter hook output priority filter - 10; policy drop;
    oifname "lo" accept
    oifname "mqvpn0" accept
    meta mark 28017 ip daddr . udp dport @servers4 accept
    meta mark 28017 ip6 daddr . udp dport @servers6 accept
    udp sport 68 udp dport 67 accept
    ip6 daddr { ff02::1:2, fe80::/10 } udp sport 546 udp dport 547 accept
    ip6 hoplimit 255 icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept
    ip6 daddr ff02::/16 icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept
    oifname @portal meta l4proto { tcp, udp } th dport { 53, 80, 443, 8080, 8443 } accept
    meta l4proto { tcp, udp } th dport { 53, 853 } goto refused
    goto refused
  }
  chain kill_switch_forward {
    type filter hook forward priority filter - 10; policy drop;
    oifname "mqvpn0" accept
    iifname "mqvpn0" accept
  }
}
"""  # noqa: E501 - a rule is a line
    )


def test_a_portal_whose_time_is_over_opens_nothing() -> None:
    portal = CaptivePortal(interface="eth0", until=100.0)
    switch = KillSwitch(mode=KillSwitchMode.STANDARD, servers=(), portal=portal)
    plan = HostPlan(tun_name="mqvpn0", mtu=1400, kill_switch=switch)
    assert 'portal { "eth0" timeout 500ms }' in portal_opening(plan, 99.5)
    for now in (100.0, 101.0):
        assert portal_opening(plan, now) == ""


def test_clients_that_may_meet_are_not_kept_apart() -> None:
    text = rules_of(replace(server_plan("mqvpn0"), isolate_clients=False))
    assert "counter drop" not in text


def test_networks_that_overlap_are_joined() -> None:
    nets = tuple(map(ip_network, ("10.0.0.0/24", "10.0.0.0/16", "10.1.0.0/16", "10.0.0.0/24")))
    text = rules_of(replace(server_plan("mqvpn0"), nat_sources=nets))
    assert "ip saddr { 10.0.0.0/15 } masquerade" in text
    assert "ip6 saddr" not in text


def test_only_what_is_forwarded_is_kept_to_the_device() -> None:
    text = rules_of(replace(server_plan("mqvpn0"), forward_ipv6=False, nat_sources=()))
    assert 'ip daddr { 10.0.0.0/24 } oifname != "mqvpn0" drop' in text
    assert "ip6 daddr" not in text
    assert "ct state" not in text


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("name", ["mqvpn0", "a", "0", "tun-1.x_y", "A23456789012345"])
def test_kernel_takes_the_rules_and_gives_them_back(name: str) -> None:
    nft = Nft()
    text = rules_of(server_plan(name))
    nft.check(text)
    assert nft.tun_names_with_table() == ()
    nft.load(text)
    loaded = run("nft list ruleset")
    nft.load(text)
    assert run("nft list ruleset") == loaded
    assert nft.tun_names_with_table() == (name,)
    nft.delete_table(name)
    nft.delete_table(name)
    assert run("nft list ruleset") == ""


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_refused_rules_change_nothing() -> None:
    nft = Nft()
    nft.load(rules_of(server_plan("mqvpn0")))
    before = run("nft list ruleset")
    broken = rules_of(server_plan("mqvpn0")).replace("masquerade", "masquerad")
    for refuse in (nft.check, nft.load):
        with pytest.raises(HostChangeError, match=r"nft refused the firewall rules: .*masquerad"):
            refuse(broken)
    assert run("nft list ruleset") == before


def test_missing_command_is_named(tmp_path: Path) -> None:
    nft = Nft(search_path=str(tmp_path))
    assert not nft.is_installed
    with pytest.raises(HostChangeError, match="install the package nftables"):
        nft.check("")


def test_command_that_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "nft").write_text("#!/nowhere\n")
    (tmp_path / "nft").chmod(0o755)
    with pytest.raises(HostChangeError, match="cannot run"):
        Nft(search_path=str(tmp_path)).check("")


def answering(directory: Path, answer: str) -> Nft:
    (directory / "answer").write_text(answer)
    (directory / "nft").write_text(f"#!/bin/sh\nexec cat {directory}/answer\n")
    (directory / "nft").chmod(0o755)
    return Nft(search_path=f"{directory}:/usr/bin:/bin")


def test_our_tables_among_others(tmp_path: Path) -> None:
    listing = "table ip filter\ntable inet mqvpn_a\ntable ip6 mqvpn_b\ntable inet mqvpn_c.d-e\n"
    assert answering(tmp_path, listing).tun_names_with_table() == ("a", "c.d-e")
    assert answering(tmp_path, "").tun_names_with_table() == ()


CHAINS = """\
table ip filter {
\tchain INPUT {
\t\ttype filter hook input priority filter; policy drop;
\t}
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy drop;
\t}
\tchain DOCKER {
\t}
}
table inet mqvpn_mqvpn0 {
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
table inet open {
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t}
}
table inet mqvpn_mqvpn01 {
\tchain forward {
\t\ttype filter hook forward priority -10; policy drop;
\t}
}
"""


def test_chains_of_others_that_drop(tmp_path: Path) -> None:
    nft = answering(tmp_path, CHAINS)
    assert nft.foreign_forward_drops("mqvpn0") == (
        "ip filter FORWARD",
        "inet mqvpn_mqvpn01 forward",
    )
    assert answering(tmp_path, "").foreign_forward_drops("mqvpn0") == ()
