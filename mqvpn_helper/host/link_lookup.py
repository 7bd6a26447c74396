"""By which link an address is reached beside the tunnel."""

from dataclasses import dataclass

from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.interface.host_plan import IPAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTowards:
    """The link by which an address is reached beside the tunnel."""

    ifindex: int
    """Index of the interface."""
    name: str
    """Name of the interface."""
    source: IPAddress
    """Source address the kernel would choose."""
    mtu: int
    """MTU of the interface in bytes."""


def find_link(address: IPAddress, tun_ifindex: int | None) -> LinkTowards | None:
    """Return the link that leads to an address beside a TUN device; None for none.

    Args:
        address: where to go.
        tun_ifindex: the device; None when there is none yet.
    """
    source: IPAddress | None = None
    with NetlinkConfig() as netlink:
        answer = netlink.lookup(address)
        if answer is not None and answer.is_local:
            # The link that has the address: with its packets the kernel counts the traffic
            # of the machine with itself, although it passes over the loopback link.
            link = netlink.link_at(answer.route.ifindex)
            source = address
        else:
            way = PhysicalWays(netlink, tun_ifindex).way_to(address)
            link = netlink.link_at(way.ifindex) if way else None
            source = netlink.source_towards(address, link.ifindex) if link else None
    if link is None or source is None:
        return None
    return LinkTowards(ifindex=link.ifindex, name=link.name, source=source, mtu=link.mtu)
