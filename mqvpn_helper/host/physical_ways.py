"""How an address is reached over physical links, and the host routes that keep it so.

The tunnels of other instances count as tunnels too: one is never put into another unless the user's
own routes say so.
"""

import logging
from collections.abc import Iterable

from mqvpn_helper.host.netlink_config import Lookup, NetlinkConfig
from mqvpn_helper.host.routes import (
    BESIDE_TUNNEL_PROTOCOL,
    INTO_TUNNEL_PROTOCOL,
    Route,
    best_route,
    best_route_to_network,
    covers,
    host_network,
    our_metric,
)
from mqvpn_helper.interface.host_plan import IPAddress, IPNetwork

_LOGGER = logging.getLogger(__name__)


class PhysicalWays:
    """Finds ways round one TUN device; made afresh for each change because links come and go."""

    def __init__(self, netlink: NetlinkConfig, tun_ifindex: int | None) -> None:
        """Take a picture of the routing table.

        Args:
            netlink: open conversation.
            tun_ifindex: the device to be ignored; None when there is none yet.
        """
        self._netlink = netlink
        self._tun_ifindex = tun_ifindex
        self._routes = netlink.routes()

    def have_changed(self) -> bool:
        """Tell whether the picture is out of date: what was worked out from it may be wrong."""
        now = self._netlink.routes()
        return {route for route in self._routes if not self._is_ours(route)} != {
            route for route in now if not self._is_ours(route)
        }

    def way_to(self, address: IPAddress) -> Route | None:
        """Return the route that would lead to an address if our own did not exist.

        None when there is no such way, or when the address is this machine itself.

        Args:
            address: where to go.
        """
        answer = self._netlink.lookup(address)
        if answer is not None and answer.is_local:
            return None
        return self._way(address, answer)

    def is_reachable(self, address: IPAddress) -> bool:
        """Return whether an address is this machine itself or has a way beside our own routes.

        Args:
            address: where to go.
        """
        answer = self._netlink.lookup(address)
        if answer is not None and answer.is_local:
            return True
        return self._way(address, answer) is not None

    def our_host_routes(self) -> tuple[Route, ...]:
        """Return the routes over physical links that some mqvpn instance installed."""
        return tuple(route for route in self._routes if route.protocol == BESIDE_TUNNEL_PROTOCOL)

    def tunnelled(self) -> tuple[IPNetwork, ...]:
        """Return the destinations that some mqvpn instance routes into a tunnel."""
        return tuple(
            route.destination for route in self._routes if route.protocol == INTO_TUNNEL_PROTOCOL
        )

    def wanted_host_route(self, address: IPAddress, rivals: Iterable[IPNetwork]) -> Route | None:
        """Return the host route that keeps an address out of the tunnel; None when none is needed.

        Args:
            address: where to go.
            rivals: destinations of routes into tunnels.
        """
        way = self.way_to(address)
        # A route that is more specific than any of ours, as to a local network, wins by itself.
        if way is None or not any(
            covers(rival, address) and rival.prefixlen >= way.destination.prefixlen
            for rival in rivals
        ):
            return None
        return _beside(host_network(address), way)

    def wanted_network_route(self, network: IPNetwork) -> Route | None:
        """Return the route that keeps a network out of the tunnel; None when no link leads there.

        Args:
            network: where to go.
        """
        way = best_route_to_network(
            (route for route in self._routes if not self._is_ours(route)), network
        )
        return None if way is None else _beside(network, way)

    def has_route_to(self, network: IPNetwork) -> bool:
        """Return whether somebody else's route leads to exactly this network.

        Args:
            network: where to go.
        """
        return any(
            route.destination == network and route.usable and not self._is_ours(route)
            for route in self._routes
        )

    def install(self, wanted: Route) -> None:
        """Bring one route into force.

        Args:
            wanted: the route.
        """
        rivals = [old for old in self.our_host_routes() if old.destination == wanted.destination]
        if wanted in rivals:
            return
        _LOGGER.debug("route %s beside the tunnel", wanted.destination)
        # Replacing leaves no moment in which the address would be reached through the tunnel.
        self._netlink.add_route(wanted, replace=bool(rivals))

    def remove(self, networks: Iterable[IPNetwork]) -> None:
        """Remove our routes to these networks.

        Args:
            networks: where they lead.
        """
        destinations = set(networks)
        for route in self.our_host_routes():
            if route.destination in destinations:
                _LOGGER.debug("remove the route to %s beside the tunnel", route.destination)
                self._netlink.remove_route(route)

    def _way(self, address: IPAddress, answer: Lookup | None) -> Route | None:
        if answer is not None and not self._is_ours(answer.route):
            return answer.route
        # The kernel's answer, policy rules included, is one of our own routes: choose among the
        # others by the kernel's order.
        return best_route((route for route in self._routes if not self._is_ours(route)), address)

    def _is_ours(self, route: Route) -> bool:
        return route.is_ours or route.ifindex == self._tun_ifindex


def _beside(destination: IPNetwork, way: Route) -> Route:
    return Route(
        destination=destination,
        ifindex=way.ifindex,
        protocol=BESIDE_TUNNEL_PROTOCOL,
        gateway=way.gateway,
        source=way.source,
        metric=our_metric(destination),
    )
