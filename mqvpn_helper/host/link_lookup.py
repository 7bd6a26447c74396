"""What lies beside the tunnel: links that lead to an address, and the networks of the machine."""

from dataclasses import dataclass

from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.host.routes import INTO_TUNNEL_PROTOCOL, networks_of_routes
from mqvpn_helper.interface.host_plan import IPAddress
from mqvpn_helper.interface.network_rules import MachineNetworks


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


def find_networks(tun_ifindex: int | None) -> MachineNetworks:
    """Return where this machine is, beside a TUN device and what is routed into others of ours.

    Args:
        tun_ifindex: the device; None when there is none yet.
    """
    with NetlinkConfig() as netlink:
        beside = [
            route
            for route in netlink.routes()
            if route.ifindex != tun_ifindex and route.protocol != INTO_TUNNEL_PROTOCOL
        ]
        # Tunnels to several servers may well have the same address inside; they have no such route.
        links = sorted({route.ifindex for route in beside})
        addresses = [each.ip for ifindex in links for each in netlink.addresses(ifindex)]
    return networks_of_routes(beside, addresses)
