"""The ways a connection is started by: chosen links first, detours for want of them."""

from ipaddress import ip_address

import pytest

from mqvpn_core.config import LinkRole
from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex, SocketAddress
from mqvpn_core.runtime.client_links import ClientLinks
from mqvpn_core.runtime.dialing import Candidate
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.runtime.link_sockets import LinkSockets
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.usage_keeper import UsageKeeper, UsageSettings
from mqvpn_core.testing.fake_host import FakeHost
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.link_table import Link, LinkMedium
from tests.runtime.fake_links import FakeLinks
from tests.runtime.virtual_time import run_virtual
from tests.unit.tunnel.links import SERVER4, SERVER6, link
from tests.unit.tunnel.policy_scene import down

WLAN = link(1, "wlan0", medium=LinkMedium.WIRELESS)
ETH = link(2, "eth0")
VPN = link(7, "wg0", medium=LinkMedium.TUNNEL)
LOOPBACK = ip_address("127.0.0.1")
REMOTES = [SocketAddress(str(SERVER4), 443), SocketAddress(str(SERVER6), 443)]


def info(one: Link) -> LinkInfo:
    way = one.known_ways[0]
    return LinkInfo(ifindex=one.ifindex, name=one.name, source=way.source, mtu=one.mtu)


def make_chooser(links: FakeLinks, host: FakeHost, rules: LinkRules) -> ClientLinks:
    board = RuleBoard(rules)
    usage = UsageKeeper(UsageSettings(file=None, month=lambda: "2026-11"), board)
    return ClientLinks(links, board, host, LinkSockets(usage))


def found(
    *links: Link,
    rules: LinkRules | None = None,
    machine_takes: Link | None = None,
    remotes: list[SocketAddress] | None = None,
) -> list[Candidate]:
    host = FakeHost()
    if machine_takes is not None:
        host.links[SERVER4] = info(machine_takes)
    chooser = make_chooser(FakeLinks(*links), host, rules or LinkRules())

    async def main() -> list[Candidate]:
        return await chooser.find_candidates(remotes or REMOTES)

    return run_virtual(main)


def test_chosen_links_with_all_addresses() -> None:
    assert [(each.link.name, each.remote, each.is_detour) for each in found(WLAN, ETH)] == [
        ("wlan0", REMOTES[0], False),
        ("eth0", REMOTES[0], False),
        ("wlan0", REMOTES[1], False),
        ("eth0", REMOTES[1], False),
    ]


def test_the_links_are_asked_about_these_addresses() -> None:
    links = FakeLinks(WLAN)
    chooser = make_chooser(links, FakeHost(), LinkRules())

    async def main() -> None:
        await chooser.find_candidates(REMOTES)

    run_virtual(main)
    assert links.asked == [(SERVER4, SERVER6)]


def test_what_the_machine_would_take_is_a_detour() -> None:
    assert found(down(WLAN), VPN, machine_takes=VPN) == [
        Candidate(remote=REMOTES[0], link=info(VPN), is_detour=True)
    ]
    assert not any(each.is_detour for each in found(WLAN, VPN, machine_takes=VPN))


def test_a_link_that_nobody_watches_may_be_a_detour() -> None:
    assert found(machine_takes=ETH)[0].link == info(ETH)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (LinkRules(used_up=frozenset({"eth0"})), "data cap of eth0"),
        (LinkRules(roles=(("e*", LinkRole.NEVER),)), "its role is never"),
        (LinkRules(ignored=("eth*",)), "to be ignored"),
    ],
)
def test_a_detour_keeps_to_what_the_user_said(rules: LinkRules, reason: str) -> None:
    with pytest.raises(HostError, match=reason):
        found(ETH, rules=rules, machine_takes=ETH)


def test_without_any_link() -> None:
    with pytest.raises(HostError, match="is the network up"):
        found(down(WLAN))


def test_a_named_link_is_tried_also_where_the_table_knows_no_way() -> None:
    rules = LinkRules(paths=("lo",))
    (candidate,) = found(ETH, rules=rules, remotes=[SocketAddress(str(LOOPBACK), 443)])
    assert (candidate.link.name, candidate.link.source) == ("lo", LOOPBACK)
    assert candidate.link.ifindex == IfIndex(1)
    assert candidate.is_detour


def test_a_named_link_that_does_not_exist() -> None:
    with pytest.raises(HostError, match="nolink9 does not lead to"):
        found(WLAN, rules=LinkRules(paths=("nolink9",)))


def test_a_pattern_that_fits_no_link() -> None:
    with pytest.raises(HostError, match="no link leads to the server"):
        found(WLAN, rules=LinkRules(paths=("usb*",)), machine_takes=WLAN)
