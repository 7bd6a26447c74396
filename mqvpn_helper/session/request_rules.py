"""What a core may ask of the machine: everything that the user's profile allows, and nothing else.

Pure. The core is not trusted: whatever has taken it over must not be able to lead traffic away from
the local network, past the tunnel, or to open the kill switch further than the profile says.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mqvpn_helper.host.routes import INTO_TUNNEL_PROTOCOL, Route, covers
from mqvpn_helper.interface.control_messages import UseNetwork, UseServers
from mqvpn_helper.interface.host_plan import IPAddress, IPInterface, IPNetwork
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import TunnelRoutes

MAX_SERVERS = 64
"""Addresses a server may have in the life of one session, all together."""
_RESERVED_LINKS = frozenset({"lo", "all", "default", ".", ".."})


class RequestRefusedError(Exception):
    """The core asks for something that is not its to have; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What there is on the machine beside the tunnel."""

    routes: Sequence[Route]
    """The routing table."""
    link_names: frozenset[str]
    """Names of all links."""
    tun_name: str
    """The tunnel's own device."""
    tun_ifindex: int
    """Its index."""


def allowed_servers(
    profile: Profile, known: Sequence[IPAddress], asked: UseServers
) -> tuple[IPAddress, ...]:
    """Return the server's addresses from now on.

    Args:
        profile: what the user wants.
        known: addresses of the server so far, in this session.
        asked: the request.

    Raises:
        RequestRefusedError: one of them cannot be an address of that server.
    """
    only = profile.known_addresses
    for address in asked.addresses:
        if only and address not in only:
            raise RequestRefusedError(f"{address} is not an address of the profile's server")
        if _is_special(address):
            raise RequestRefusedError(f"{address} cannot be the address of a server")
        if address in profile.dns.servers:
            raise RequestRefusedError(f"{address} is a name server inside the tunnel")
    together = tuple(dict.fromkeys((*known, *asked.addresses)))
    if len(together) > MAX_SERVERS:
        raise RequestRefusedError(f"the server had more than {MAX_SERVERS} addresses already")
    return together


def check_network(profile: Profile, asked: UseNetwork, facts: MachineFacts) -> None:
    """Refuse a request that goes beyond what a server may give under this profile.

    Args:
        profile: what the user wants.
        asked: the request.
        facts: the machine.

    Raises:
        RequestRefusedError: something in it is not allowed.
    """
    if profile.mtu and asked.mtu > profile.mtu:
        raise RequestRefusedError(f"an MTU of {asked.mtu} is above the profile's {profile.mtu}")
    beside = [route for route in facts.routes if not _is_of_tunnel(route, facts)]
    for address in asked.addresses:
        _check_address(profile, address, beside)
    if profile.routes is TunnelRoutes.ADVERTISED:
        for network in asked.routes:
            _check_route(network, beside)
    _check_named(asked.excluded, profile.split.exclude_names, beside)
    _check_named(asked.included, profile.split.include_names, beside)
    for name in asked.links:
        if name in _RESERVED_LINKS or name == facts.tun_name or name not in facts.link_names:
            raise RequestRefusedError(f"{name} is no link to the network")


def neighbours(asked: UseNetwork, facts: MachineFacts) -> tuple[IPAddress, ...]:
    """Return what the core would lead into the tunnel although it is in a network of this machine.

    A name of the user's may well lead there, at home or in the office; its traffic stays there.
    Only the profile itself, by an address or a network, can take it away.

    Args:
        asked: the request.
        facts: the machine.
    """
    attached = [
        route
        for route in facts.routes
        if not _is_of_tunnel(route, facts) and _is_attached_network(route)
    ]
    return tuple(
        address
        for address in asked.included
        if any(covers(route.destination, address) for route in attached)
    )


def _check_address(profile: Profile, address: IPInterface, beside: Iterable[Route]) -> None:
    if not (profile.ipv4 if address.version == 4 else profile.ipv6):  # noqa: PLR2004 - IP version
        raise RequestRefusedError(f"{address} is of a family that the profile does not want")
    if _is_special(address.ip):
        raise RequestRefusedError(f"{address} cannot be an address of a tunnel")
    if profile.inner_networks and not any(
        _is_inside(address.network, network) for network in profile.inner_networks
    ):
        raise RequestRefusedError(f"{address} is outside the inner networks of the profile")
    for route in beside:
        if route.gateway is not None and route.gateway == address.ip:
            raise RequestRefusedError(f"{address} is the gateway of this machine")
        # The kernel would send the whole subnet into the tunnel. A single address only becomes our
        # own: its neighbour cannot be reached meanwhile, and nothing of his is led anywhere.
        if _is_host(address.network) or not _is_attached_network(route):
            continue
        if _overlap(address.network, route.destination):
            raise RequestRefusedError(f"{address} collides with the network {route.destination}")


def _check_named(
    addresses: Sequence[IPAddress], names: Sequence[str], beside: Iterable[Route]
) -> None:
    if addresses and not names:
        raise RequestRefusedError("the profile has no names whose addresses these could be")
    for address in addresses:
        if _is_special(address):
            raise RequestRefusedError(f"{address} cannot be the address of a named host")
        for route in beside:
            if address == route.gateway:
                raise RequestRefusedError(f"{address} is the gateway of this machine")


def _check_route(network: IPNetwork, beside: Iterable[Route]) -> None:
    if network.prefixlen and _is_special(network.network_address):
        raise RequestRefusedError(f"{network} cannot be reached through a tunnel")
    for route in beside:
        if _is_attached_network(route) and _is_inside(network, route.destination):
            raise RequestRefusedError(f"{network} is in the network of this machine")
        if route.gateway is not None and route.gateway in network and _is_host(network):
            raise RequestRefusedError(f"{network} is the gateway of this machine")


def _is_of_tunnel(route: Route, facts: MachineFacts) -> bool:
    return route.ifindex == facts.tun_ifindex or route.protocol == INTO_TUNNEL_PROTOCOL


def _is_attached_network(route: Route) -> bool:
    """Whether the machine is in what the route leads to.

    A default route over a link without a gateway, or a half of one as other VPNs make it, is none.
    """
    return route.gateway is None and route.destination.prefixlen > 1


def _is_special(address: IPAddress) -> bool:
    return (
        address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or address.is_unspecified
        or str(address) == "255.255.255.255"
    )


def _is_host(network: IPNetwork) -> bool:
    return network.prefixlen == network.max_prefixlen


def _is_inside(inner: IPNetwork, outer: IPNetwork) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and inner.network_address in outer
    )


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return _is_inside(one, other) or _is_inside(other, one)
