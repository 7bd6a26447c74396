"""From an assignment or a pool to the whole desired state of the machine.

Pure functions; the host applies the plan and finds the difference by itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Network,
)

from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_helper.interface.host_plan import (
    CaptivePortal,
    HostPlan,
    IPAddress,
    IPInterface,
    IPNetwork,
    KillSwitch,
    KillSwitchMode,
    ServerEndpoint,
    Split,
)

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
    dns: tuple[IPAddress, ...] = ()
    """Name servers while the tunnel is up."""
    kill_switch: KillSwitchMode = KillSwitchMode.OFF
    """How long everything else is blocked."""
    server_port: int = 443
    """UDP port of the server, for the kill switch."""
    allow_lan: bool = False
    """The kill switch lets the local network through."""
    exclude: tuple[IPNetwork, ...] = ()
    """Networks that stay outside the tunnel."""
    only_included: bool = False
    """Nothing goes into the tunnel but ``include`` and what names of it lead to."""
    include: tuple[IPNetwork, ...] = ()
    """The networks that do."""
    cgroups: tuple[str, ...] = ()
    """Control groups that stay outside the tunnel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFacts:
    """What is known at a moment."""

    assignment: Assignment | None = None
    """What the proxy gave; None before the first connection."""
    servers: tuple[IPAddress, ...] = ()
    """Addresses of the server that a connection may use."""
    name_servers: tuple[IPAddress, ...] = ()
    """Whom to ask for them while there are none."""
    links: tuple[str, ...] = ()
    """Physical links that packets of the connection go over."""
    excluded: tuple[IPAddress, ...] = ()
    """Where excluded names lead."""
    included: tuple[IPAddress, ...] = ()
    """Where included names lead."""
    portal: CaptivePortal | None = None
    """An exception from the kill switch for signing in to a network."""


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


def client_host_plan(settings: ClientHostSettings, facts: ClientFacts) -> HostPlan:
    """Return the plan of a client: before its first connection, up, or coming back.

    Args:
        settings: the user's decisions.
        facts: what is known.
    """
    plan = HostPlan(
        tun_name=settings.tun_name,
        mtu=_IPV6_MIN_MTU,
        links=facts.links if settings.manage_routes else (),
        kill_switch=_kill_switch(settings, facts),
        split=_split(settings, facts),
    )
    return plan if facts.assignment is None else _carrying(plan, settings, facts, facts.assignment)


def _carrying(
    plan: HostPlan, settings: ClientHostSettings, facts: ClientFacts, assignment: Assignment
) -> HostPlan:
    # RFC 9484 s7.2, RFC 8200 s5: a link below 1280 bytes cannot carry IPv6.
    addresses = tuple(
        address
        for address in assignment.addresses
        if isinstance(address, IPv4Interface) or assignment.mtu >= _IPV6_MIN_MTU
    )
    plan = replace(plan, mtu=assignment.mtu, addresses=addresses, dns=settings.dns)
    if not settings.manage_routes:
        return plan
    if settings.only_included:
        wanted = (*settings.include, *_hosts(facts.included))
    else:
        wanted = _EVERYTHING if settings.everything else assignment.routes
    # A route without an address of its family would only swallow packets.
    versions = {address.version for address in addresses}
    routes = split_default([net for net in dict.fromkeys(wanted) if net.version in versions])
    return replace(plan, routes=routes, bypass=_servers(facts))


def _servers(facts: ClientFacts) -> tuple[IPAddress, ...]:
    known = {*facts.servers, *([facts.assignment.server] if facts.assignment else [])}
    return tuple(sorted(known, key=lambda address: (address.version, int(address))))


def _kill_switch(settings: ClientHostSettings, facts: ClientFacts) -> KillSwitch | None:
    if settings.kill_switch is KillSwitchMode.OFF:
        return None
    servers = _servers(facts)
    return KillSwitch(
        mode=settings.kill_switch,
        servers=tuple(
            ServerEndpoint(address=address, port=settings.server_port) for address in servers
        ),
        allow_lan=settings.allow_lan,
        name_servers=() if servers else facts.name_servers,
        portal=facts.portal,
    )


def _split(settings: ClientHostSettings, facts: ClientFacts) -> Split | None:
    networks = tuple(dict.fromkeys((*settings.exclude, *_hosts(facts.excluded))))
    if not (networks or settings.cgroups):
        return None
    return Split(networks=networks, cgroups=settings.cgroups)


def _hosts(addresses: Iterable[IPAddress]) -> Iterator[IPNetwork]:
    return (
        IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)
        for address in addresses
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
