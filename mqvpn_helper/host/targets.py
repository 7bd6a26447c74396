"""A plan's routes, worked out against the routing table of the moment."""

from collections.abc import Iterator
from dataclasses import dataclass

from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.host.routes import Route, covers, host_network, split_default
from mqvpn_helper.interface.host_plan import HostPlan, IPAddress, IPNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What is routed where."""

    into_tun: tuple[IPNetwork, ...]
    """Destinations to be routed into the TUN device."""
    beside: tuple[Route, ...]
    """Routes over physical links."""
    claimed: tuple[IPAddress, ...]
    """Addresses whose host routes are ours, those that stay as they are included."""
    excluded: tuple[IPNetwork, ...]
    """Networks whose routes over physical links are ours, likewise."""
    warnings: tuple[str, ...]
    """What cannot be reached now."""


def work_out(plan: HostPlan, ways: PhysicalWays) -> Targets:
    """Return where a plan's destinations go.

    Args:
        plan: desired state.
        ways: the routing table.
    """
    kept_out = {host_network(address) for address in plan.bypass}
    excluded = () if plan.split is None else tuple(_without_default(plan.split.networks))
    into_tun = tuple(
        network
        for network in split_default(plan.routes)
        if network not in kept_out and network not in excluded
    )
    # The kernel adds a route to each address's own subnet.
    subnets = tuple(address.network for address in plan.addresses)
    covering = (*into_tun, *subnets, *ways.tunnelled())
    found = _Beside(ways, covering)
    for address in dict.fromkeys(plan.bypass):
        found.add_address(address)
    for network in dict.fromkeys(excluded):
        if network not in kept_out:
            found.add_network(network)
    return Targets(
        into_tun=into_tun,
        beside=tuple(found.routes),
        claimed=tuple(found.claimed),
        excluded=tuple(found.excluded),
        warnings=tuple(found.warnings),
    )


class _Beside:
    """Collects the routes over physical links."""

    def __init__(self, ways: PhysicalWays, covering: tuple[IPNetwork, ...]) -> None:
        self.routes: list[Route] = []
        self.claimed: list[IPAddress] = []
        self.excluded: list[IPNetwork] = []
        self.warnings: list[str] = []
        self._ways = ways
        self._covering = covering
        self._have = {route.destination for route in ways.our_host_routes()}

    def add_address(self, address: IPAddress) -> None:
        if not any(covers(network, address) for network in self._covering):
            return
        if not self._ways.is_reachable(address):
            self.warnings.append(f"no link leads to {address} now")
            if host_network(address) in self._have:
                self.claimed.append(address)
            return
        route = self._ways.wanted_host_route(address, self._covering)
        if route is not None:
            self.routes.append(route)
            self.claimed.append(address)

    def add_network(self, network: IPNetwork) -> None:
        # A route that is as specific already, as to a local network, wins by itself.
        if not _is_inside(network, self._covering) or self._ways.has_route_to(network):
            return
        route = self._ways.wanted_network_route(network)
        if route is not None:
            self.routes.append(route)
            self.excluded.append(network)
            return
        self.warnings.append(f"no link leads to {network} now")
        if network in self._have:
            self.excluded.append(network)


def _without_default(networks: tuple[IPNetwork, ...]) -> Iterator[IPNetwork]:
    # To exclude everything is to have no routes into the tunnel at all.
    return (network for network in networks if network.prefixlen > 0)


def _is_inside(network: IPNetwork, covering: tuple[IPNetwork, ...]) -> bool:
    return any(
        other.prefixlen <= network.prefixlen and covers(other, network.network_address)
        for other in covering
    )
