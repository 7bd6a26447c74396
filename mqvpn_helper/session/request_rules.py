"""What a core may ask of the machine: everything that the user's profile allows, and nothing else.

Pure. The core is not trusted: whatever has taken it over must not be able to lead traffic away from
the local network, past the tunnel, or to open the kill switch further than the profile says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mqvpn_helper.interface.control_messages import UseNetwork, UseServers
from mqvpn_helper.interface.host_plan import IPAddress, IPInterface
from mqvpn_helper.interface.network_rules import (
    MachineNetworks,
    is_inside,
    is_reserved,
    objection_to_address,
    objection_to_route,
)
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

    networks: MachineNetworks
    """Where it is."""
    link_names: frozenset[str]
    """Names of all links."""
    tun_name: str
    """The tunnel's own device."""


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
        if is_reserved(address):
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
    for address in asked.addresses:
        _check_address(profile, address, facts.networks)
    if profile.routes is TunnelRoutes.ADVERTISED:
        for network in asked.routes:
            _refuse(objection_to_route(network, facts.networks))
    _check_named(asked.excluded, profile.split.exclude_names, facts.networks)
    _check_named(asked.included, profile.split.include_names, facts.networks)
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
    return tuple(address for address in asked.included if facts.networks.is_neighbour(address))


def _check_address(profile: Profile, address: IPInterface, machine: MachineNetworks) -> None:
    if not (profile.ipv4 if address.version == 4 else profile.ipv6):  # noqa: PLR2004 - IP version
        raise RequestRefusedError(f"{address} is of a family that the profile does not want")
    if profile.inner_networks and not any(
        is_inside(address.network, network) for network in profile.inner_networks
    ):
        raise RequestRefusedError(f"{address} is outside the inner networks of the profile")
    _refuse(objection_to_address(address, machine))


def _check_named(
    addresses: Sequence[IPAddress], names: Sequence[str], machine: MachineNetworks
) -> None:
    if addresses and not names:
        raise RequestRefusedError("the profile has no names whose addresses these could be")
    for address in addresses:
        if is_reserved(address):
            raise RequestRefusedError(f"{address} cannot be the address of a named host")
        if address in machine.gateways:
            raise RequestRefusedError(f"{address} is the gateway of this machine")


def _refuse(objection: str | None) -> None:
    if objection is not None:
        raise RequestRefusedError(objection)
