"""From an assignment or a pool to the whole desired state of the machine.

Pure functions; the host applies the plan and finds the difference by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Network,
)

from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_helper.interface.host_plan import HostPlan, IPAddress, IPInterface, IPNetwork

_IPV6_MIN_MTU = 1280
_EVERYTHING: tuple[IPNetwork, ...] = (IPv4Network((0, 0)), IPv6Network((0, 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHostSettings:
    """What the user decided about his own machine."""

    tun_name: str
    """Name of the TUN device."""
    manage_routes: bool
    """Install routes at all (``--no-routes`` clears it)."""
    everything: bool
    """Send all destinations into the tunnel rather than those that the proxy advertises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHostSettings:
    """What the operator decided about the server's machine."""

    tun_name: str
    """Name of the TUN device."""
    mtu: int
    """MTU of the TUN device in bytes."""
    gateways: tuple[IPInterface, ...]
    """Our own address in each pool, with the pool's prefix length."""
    nat: bool
    """Hide the clients behind the addresses of the other links."""
    client_to_client: bool
    """Clients may reach one another."""


def client_host_plan(
    settings: ClientHostSettings, assignment: Assignment, servers: Iterable[IPAddress] = ()
) -> HostPlan:
    """Return the plan of a client whose tunnel is up or coming back.

    Args:
        settings: the user's decisions.
        assignment: what the proxy gave.
        servers: further addresses of the server that a reconnect may use.
    """
    # RFC 9484 s7.2, RFC 8200 s5: a link below 1280 bytes cannot carry IPv6.
    addresses = tuple(
        address
        for address in assignment.addresses
        if isinstance(address, IPv4Interface) or assignment.mtu >= _IPV6_MIN_MTU
    )
    versions = {address.version for address in addresses}
    routes: tuple[IPNetwork, ...] = ()
    bypass: tuple[IPAddress, ...] = ()
    if settings.manage_routes:
        wanted = _EVERYTHING if settings.everything else assignment.routes
        # A route without an address of its family would only swallow packets.
        routes = split_default([net for net in wanted if net.version in versions])
        known = {assignment.server, *servers}
        bypass = tuple(sorted(known, key=lambda address: (address.version, int(address))))
    return HostPlan(
        tun_name=settings.tun_name,
        mtu=assignment.mtu,
        addresses=addresses,
        routes=routes,
        bypass=bypass,
    )


def server_host_plan(settings: ServerHostSettings) -> HostPlan:
    """Return the plan of a server."""
    networks = tuple(gateway.network for gateway in settings.gateways)
    return HostPlan(
        tun_name=settings.tun_name,
        mtu=settings.mtu,
        addresses=settings.gateways,
        forward_ipv4=any(isinstance(network, IPv4Network) for network in networks),
        forward_ipv6=any(isinstance(network, IPv6Network) for network in networks),
        nat_sources=networks if settings.nat else (),
        isolate_clients=not settings.client_to_client,
    )


def split_default(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Replace a default route by its two halves, so that the host's own one is not touched."""
    routes: list[IPNetwork] = []
    for network in networks:
        if network.prefixlen == 0:
            routes.extend(network.subnets())
        else:
            routes.append(network)
    return tuple(routes)
