"""Links for the tests of this room."""

from dataclasses import replace
from ipaddress import ip_address

from mqvpn_core.ids import IfIndex
from mqvpn_core.tunnel.link_table import Link, LinkMedium, LinkTable, Way

SERVER4 = ip_address("203.0.113.2")
SERVER6 = ip_address("2001:db8:3::2")


def link(number: int, name: str, *, medium: LinkMedium = LinkMedium.WIRED) -> Link:
    """A link of both families that leads to the server."""
    ipv4 = ip_address(f"192.0.{number}.2")
    ipv6 = ip_address(f"2001:db8:{number}::2")
    return Link(
        ifindex=IfIndex(number),
        name=name,
        medium=medium,
        is_up=True,
        has_carrier=True,
        mtu=1500,
        addresses=frozenset({ipv4, ipv6}),
        known_ways=(
            Way(server=SERVER4, source=ipv4, metric=number * 100),
            Way(server=SERVER6, source=ipv6, metric=number * 100),
        ),
    )


def without_ipv4(one: Link) -> Link:
    return replace(one, addresses=frozenset(each for each in one.addresses if each.version == 6))


def without_ipv6(one: Link) -> Link:
    return replace(one, addresses=frozenset(each for each in one.addresses if each.version == 4))


def table(*links: Link) -> LinkTable:
    return LinkTable(links={one.ifindex: one for one in links})


WLAN = link(1, "wlan0", medium=LinkMedium.WIRELESS)
WWAN = link(2, "wwan0", medium=LinkMedium.CELLULAR)
ETH = link(3, "eth0")
