"""From what the user wants and what the server gave to the whole desired state of the machine.

Pure. What the core asks for has passed `mqvpn_helper.session.request_rules` before it comes here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Network

from mqvpn_helper.host.routes import host_network, split_default
from mqvpn_helper.interface.control_messages import UseNetwork
from mqvpn_helper.interface.host_plan import (
    CaptivePortal,
    HostPlan,
    IPAddress,
    IPNetwork,
    KillSwitch,
    KillSwitchMode,
    ServerEndpoint,
    Split,
)
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import DnsSettings, SplitSettings, TunnelRoutes

_IPV6_MIN_MTU = 1280  # RFC 8200 s5
_IDLE_MTU = 1280
_EVERYTHING: tuple[IPNetwork, ...] = (IPv4Network((0, 0)), IPv6Network((0, 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelFacts:
    """What a session knows at a moment."""

    profile: Profile
    """What the user wants, later changes included."""
    tun_name: str
    """The TUN device."""
    core_uid: int
    """The user that the core runs as."""
    servers: Sequence[IPAddress] = ()
    """Addresses of the server that are allowed."""
    name_servers: Sequence[IPAddress] = ()
    """Whom the core may ask for the server's address through the kill switch."""
    network: UseNetwork | None = None
    """What the server gave; None while there is nothing."""
    portal: CaptivePortal | None = None
    """An exception from the kill switch for a captive portal."""


def make_plan(facts: TunnelFacts) -> HostPlan:
    """Return what the machine should be like."""
    network = facts.network
    kill_switch = _kill_switch(facts)
    if network is None:
        return HostPlan(tun_name=facts.tun_name, mtu=_IDLE_MTU, kill_switch=kill_switch)
    profile = facts.profile
    # RFC 9484 s7.2: a link below 1280 bytes cannot carry IPv6.
    addresses = tuple(
        address
        for address in network.addresses
        if isinstance(address, IPv4Interface) or network.mtu >= _IPV6_MIN_MTU
    )
    has_routes = profile.routes is not TunnelRoutes.NONE
    outside = (*profile.split.exclude, *map(host_network, network.excluded))
    split = None
    if outside or profile.split.cgroups:
        split = Split(networks=tuple(dict.fromkeys(outside)), cgroups=profile.split.cgroups)
    return HostPlan(
        tun_name=facts.tun_name,
        mtu=network.mtu,
        addresses=addresses,
        routes=_routes(profile, network, {address.version for address in addresses}),
        bypass=tuple(facts.servers) if has_routes else (),
        kill_switch=kill_switch,
        dns=profile.dns.servers,
        split=split if has_routes else None,
        links=network.links,
    )


def core_profile(profile: Profile) -> Profile:
    """Return what a core has to know; what the helper does for itself is none of its business."""
    names = SplitSettings(
        exclude_names=profile.split.exclude_names, include_names=profile.split.include_names
    )
    return replace(profile, name="", dns=DnsSettings(), split=names, inner_networks=())


def _routes(profile: Profile, network: UseNetwork, versions: set[int]) -> tuple[IPNetwork, ...]:
    if profile.routes is TunnelRoutes.NONE:
        return ()
    wanted = network.routes if profile.routes is TunnelRoutes.ADVERTISED else _EVERYTHING
    if profile.split.has_include:
        wanted = (*profile.split.include, *map(host_network, network.included))
    # A route without an address of its family would only swallow packets.
    return split_default(each for each in wanted if each.version in versions)


def _kill_switch(facts: TunnelFacts) -> KillSwitch | None:
    profile = facts.profile
    if profile.kill_switch is KillSwitchMode.OFF:
        return None
    return KillSwitch(
        mode=profile.kill_switch,
        servers=tuple(
            ServerEndpoint(address=address, port=profile.port) for address in facts.servers
        ),
        core_uid=facts.core_uid,
        allow_lan=profile.split.allow_lan,
        name_servers=tuple(facts.name_servers),
        portal=facts.portal,
    )
