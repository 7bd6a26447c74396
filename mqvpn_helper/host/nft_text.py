"""Words of nftables: sets and chains as text."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from mqvpn_helper.interface.host_plan import IPNetwork


def by_family(networks: Iterable[IPNetwork]) -> Iterator[tuple[str, Iterable[IPNetwork]]]:
    """Group networks by the word that nft has for their family, without overlaps.

    Args:
        networks: of both families.
    """
    networks = tuple(networks)
    ipv4 = [network for network in networks if isinstance(network, IPv4Network)]
    ipv6 = [network for network in networks if isinstance(network, IPv6Network)]
    # A set refuses overlapping networks.
    if ipv4:
        yield "ip", collapse_addresses(ipv4)
    if ipv6:
        yield "ip6", collapse_addresses(ipv6)


def nft_set(members: Iterable[object]) -> str:
    """Return an anonymous set.

    Args:
        members: what is in it.
    """
    return "{ " + ", ".join(str(member) for member in members) + " }"


def chain(name: str, hook: str, rules: Sequence[str]) -> str:
    """Return a chain.

    Args:
        name: its name.
        hook: where the kernel calls it; empty when only other chains do.
        rules: one statement each.
    """
    # One rule a line: nft 1.0.6 does not parse some of them otherwise.
    lines = [f"    {line}" for line in (hook, *rules) if line]
    return "\n".join([f"  chain {name} {{", *lines, "  }"])
