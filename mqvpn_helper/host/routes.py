"""Routes as values, and the decisions about them that need no kernel."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from mqvpn_helper.interface.host_plan import IPAddress, IPNetwork
from mqvpn_helper.interface.network_rules import MachineNetworks

INTO_TUNNEL_PROTOCOL = 0x6D
"""The ``proto`` number of our routes into a TUN device."""

BESIDE_TUNNEL_PROTOCOL = 0x6E
"""The ``proto`` number of our host routes over physical links: they outlive the TUN device and are
recognised by it even without a journal."""

IPV6_ROUTE_METRIC = 1
"""IPv6 knows no metric 0; the kernel's own routes have 256 and most others 1024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One unicast route of the main table."""

    destination: IPNetwork
    """What it leads to."""
    ifindex: int
    """Index of the link it leaves by."""
    protocol: int
    """Who installed it (``proto`` of ``ip route``)."""
    gateway: IPAddress | None = None
    """Next hop; None when the destination is on the link."""
    source: IPAddress | None = None
    """Preferred source address, when the route names one."""
    metric: int = 0
    """Lower wins among routes to the same destination."""
    usable: bool = True
    """Neither dead nor without carrier."""

    @property
    def is_ours(self) -> bool:
        """Whether an mqvpn process installed it."""
        return self.protocol in {INTO_TUNNEL_PROTOCOL, BESIDE_TUNNEL_PROTOCOL}

    @property
    def is_attached(self) -> bool:
        """Whether the machine is in what it leads to.

        A default route over a link without a gateway, or a half of one as other VPNs make it, is
        none.
        """
        return self.gateway is None and self.destination.prefixlen > 1


def networks_of_routes(routes: Iterable[Route], addresses: Iterable[IPAddress]) -> MachineNetworks:
    """Return where a machine is.

    Args:
        routes: routes over links.
        addresses: its own addresses on these links.
    """
    known = tuple(routes)
    gateways = [route.gateway for route in known if route.gateway is not None]
    return MachineNetworks(
        networks=tuple(dict.fromkeys(route.destination for route in known if route.is_attached)),
        gateways=tuple(dict.fromkeys(gateways)),
        addresses=tuple(dict.fromkeys(addresses)),
    )


def our_metric(destination: IPNetwork) -> int:
    """Return the metric of our route to a destination."""
    return IPV6_ROUTE_METRIC if isinstance(destination, IPv6Network) else 0


def host_network(address: IPAddress) -> IPNetwork:
    """Return the network that holds only this address."""
    if isinstance(address, IPv4Address):
        return IPv4Network(address)
    return IPv6Network(address)


def split_default(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Replace each default route by its two halves and drop duplicates, keeping the order.

    The halves are more specific than the user's default route, which is therefore never touched
    and in force again as soon as they are gone.
    """
    split: dict[IPNetwork, None] = {}
    for network in networks:
        parts = network.subnets() if network.prefixlen == 0 else (network,)
        split.update(dict.fromkeys(parts))
    return tuple(split)


def covers(network: IPNetwork, address: IPAddress) -> bool:
    """Return whether the network holds the address; of different families it never does."""
    return network.version == address.version and address in network


def best_route(routes: Iterable[Route], address: IPAddress) -> Route | None:
    """Choose as the kernel does: the longest prefix first, then the lowest metric.

    Args:
        routes: candidates.
        address: where to go.
    """
    fitting = [route for route in routes if route.usable and covers(route.destination, address)]
    return min(
        fitting, key=lambda route: (-route.destination.prefixlen, route.metric), default=None
    )


def best_route_to_network(routes: Iterable[Route], network: IPNetwork) -> Route | None:
    """Choose the route that holds a whole network: the longest prefix, then the lowest metric.

    Args:
        routes: candidates.
        network: where to go.
    """
    fitting = [
        route
        for route in routes
        if route.usable
        and route.destination.prefixlen <= network.prefixlen
        and covers(route.destination, network.network_address)
    ]
    return min(
        fitting, key=lambda route: (-route.destination.prefixlen, route.metric), default=None
    )
