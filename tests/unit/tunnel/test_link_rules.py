"""Which links are used, for what, and in which order they are tried."""

from dataclasses import replace

import pytest

from mqvpn_core.config import LinkRole
from mqvpn_core.tunnel.link_rules import DialTarget, LinkRules, dial_targets, role_of
from mqvpn_core.tunnel.link_table import LinkMedium
from tests.unit.tunnel.links import SERVER4, SERVER6, link, table, without_ipv4, without_ipv6

PRIMARY, SECONDARY = LinkRole.PRIMARY, LinkRole.SECONDARY
BACKUP, NEVER = LinkRole.BACKUP, LinkRole.NEVER
SERVERS = [SERVER4, SERVER6]
WLAN = link(1, "wlan0", medium=LinkMedium.WIRELESS)
WWAN = link(2, "wwan0", medium=LinkMedium.CELLULAR)
ETH = link(3, "eth0")


@pytest.mark.parametrize(
    ("name", "medium", "role"),
    [
        ("eth0", LinkMedium.WIRED, PRIMARY),
        ("wlan0", LinkMedium.WIRELESS, PRIMARY),
        ("wwan0", LinkMedium.CELLULAR, BACKUP),
        ("br0", LinkMedium.WIRED, PRIMARY),
        ("lo", LinkMedium.LOOPBACK, NEVER),
        ("dummy0", LinkMedium.TUNNEL, NEVER),
        ("docker0", LinkMedium.WIRED, NEVER),
        ("br-0123456789ab", LinkMedium.WIRED, NEVER),
        ("virbr0", LinkMedium.WIRED, NEVER),
        ("wg0", LinkMedium.WIRED, NEVER),
    ],
)
def test_roles_without_any_word_of_the_user(name: str, medium: LinkMedium, role: LinkRole) -> None:
    assert role_of(LinkRules(), link(1, name, medium=medium)) is role


@pytest.mark.parametrize(
    ("rules", "roles"),
    [
        (LinkRules(paths=("wlan0",)), (PRIMARY, NEVER, NEVER)),
        (LinkRules(paths=("w*",)), (PRIMARY, BACKUP, NEVER)),
        (LinkRules(paths=("auto", "wwan0"), ignored=("w*",)), (NEVER, BACKUP, PRIMARY)),
        (LinkRules(roles=(("wwan*", PRIMARY),)), (PRIMARY, PRIMARY, PRIMARY)),
        (LinkRules(roles=(("w*", NEVER), ("wwan0", BACKUP))), (NEVER, BACKUP, PRIMARY)),
        (LinkRules(roles=(("w*", SECONDARY), ("wlan*", NEVER))), (SECONDARY, SECONDARY, PRIMARY)),
        (LinkRules(ignored=("eth*",)), (PRIMARY, BACKUP, NEVER)),
        (LinkRules(ignored=("eth*",), roles=(("eth0", BACKUP),)), (PRIMARY, BACKUP, BACKUP)),
        (LinkRules(ignored=("eth*",), roles=(("eth*", BACKUP),)), (PRIMARY, BACKUP, NEVER)),
        (LinkRules(paths=("wlan0",), roles=(("eth0", PRIMARY),)), (PRIMARY, NEVER, NEVER)),
        (
            LinkRules(used_up=frozenset({"wwan0"}), roles=(("wwan0", PRIMARY),)),
            (PRIMARY, NEVER, PRIMARY),
        ),
        (LinkRules(paths=("*",), own_device="wlan0"), (NEVER, BACKUP, PRIMARY)),
    ],
)
def test_roles_the_user_asked_for(rules: LinkRules, roles: tuple[LinkRole, ...]) -> None:
    assert tuple(role_of(rules, each) for each in (WLAN, WWAN, ETH)) == roles


def order(targets: tuple[DialTarget, ...]) -> list[tuple[str, int]]:
    return [(target.link.name, target.way.server.version) for target in targets]


def test_every_link_has_its_turn_before_the_second_address() -> None:
    links = table(WWAN, ETH, WLAN)
    assert order(dial_targets(links, LinkRules(), SERVERS)) == [
        ("wlan0", 4),
        ("eth0", 4),
        ("wwan0", 4),
        ("wlan0", 6),
        ("eth0", 6),
        ("wwan0", 6),
    ]
    assert order(dial_targets(links, LinkRules(), [SERVER6])) == [
        ("wlan0", 6),
        ("eth0", 6),
        ("wwan0", 6),
    ]


def test_the_order_of_the_user_comes_before_that_of_the_machine() -> None:
    links = table(WLAN, WWAN, ETH)
    rules = LinkRules(paths=("eth0", "wlan0", "wwan0"))
    assert order(dial_targets(links, rules, [SERVER4]))[0] == ("eth0", 4)
    rules = LinkRules(paths=("wwan0", "wlan0"))
    assert order(dial_targets(links, rules, [SERVER4]))[0] == ("wlan0", 4), "roles come first"
    rules = LinkRules(roles=(("wlan0", SECONDARY), ("wwan0", PRIMARY)))
    assert [name for name, _ in order(dial_targets(links, rules, [SERVER4]))] == [
        "wwan0",
        "eth0",
        "wlan0",
    ]


def test_a_link_of_one_family_is_tried_with_what_it_has() -> None:
    links = table(without_ipv4(WLAN), without_ipv6(ETH))
    assert order(dial_targets(links, LinkRules(), SERVERS)) == [("wlan0", 6), ("eth0", 4)]


def test_links_that_lead_nowhere_are_not_tried() -> None:
    down = replace(WLAN, has_carrier=False)
    assert dial_targets(table(down), LinkRules(), SERVERS) == ()
    assert dial_targets(table(WLAN), LinkRules(paths=("eth0",)), SERVERS) == ()
