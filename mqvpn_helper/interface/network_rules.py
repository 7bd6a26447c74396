"""What no server may give to a machine, whoever judges it: the helper, or a client without one.

Pure. What is refused here could only lead traffic of the machine and of its networks astray.
"""

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from mqvpn_helper.interface.host_plan import IPAddress, IPInterface, IPNetwork

_RESERVED: Final[tuple[IPNetwork, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # RFC 1122 s3.2.1.3: this host on this network
        "127.0.0.0/8",  # the same: loopback
        "169.254.0.0/16",  # RFC 3927: link-local
        "224.0.0.0/4",  # RFC 1112: multicast
        "255.255.255.255/32",  # RFC 919: broadcast
        "::/128",  # RFC 4291 s2.5.2: unspecified
        "::1/128",  # RFC 4291 s2.5.3: loopback
        "fe80::/10",  # RFC 4291 s2.5.6: link-local
        "ff00::/8",  # RFC 4291 s2.7: multicast
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNetworks:
    """Where a machine is, beside its tunnels."""

    networks: tuple[IPNetwork, ...] = ()
    """Networks that it is in."""
    gateways: tuple[IPAddress, ...] = ()
    """Routers that it uses."""
    addresses: tuple[IPAddress, ...] = ()
    """Its own addresses on links that lead anywhere."""

    def is_neighbour(self, address: IPAddress) -> bool:
        """Tell whether an address is in a network that the machine is in.

        Args:
            address: any address.
        """
        return any(address in network for network in self.networks)


def is_reserved(address: IPAddress) -> bool:
    """Tell whether an address can belong to no host that is reached through a network.

    Args:
        address: any address.
    """
    return any(address in network for network in _RESERVED)


def objection_to_address(given: IPInterface, machine: MachineNetworks) -> str | None:
    """Say why a machine cannot have an address in its tunnel; None when it can.

    Args:
        given: the address, with the network that the kernel would lead into the tunnel with it.
        machine: where the machine is.
    """
    if is_reserved(given.ip):
        return f"{given} cannot be an address of a tunnel"
    if given.ip in machine.gateways:
        return f"{given} is the gateway of this machine"
    if given.ip in machine.addresses:
        return f"{given} is an address that this machine has already"
    # A single address only becomes our own: its neighbour cannot be reached meanwhile, and nothing
    # of his is led anywhere.
    return None if _is_host(given.network) else _objection_to_subnet(given, machine)


def objection_to_route(network: IPNetwork, machine: MachineNetworks) -> str | None:
    """Say why a machine cannot reach a network through its tunnel; None when it can.

    What is wider than a reserved range or than a network of the machine does no harm: the kernel
    has a more specific way to these.

    Args:
        network: a destination.
        machine: where the machine is.
    """
    if any(is_inside(network, reserved) for reserved in _RESERVED):
        return f"{network} cannot be reached through a tunnel"
    if any(is_inside(network, attached) for attached in machine.networks):
        return f"{network} is in the network of this machine"
    if _is_host(network) and network.network_address in machine.gateways:
        return f"{network} is the gateway of this machine"
    return None


def is_inside(inner: IPNetwork, outer: IPNetwork) -> bool:
    """Tell whether a network is another one or a part of it.

    Args:
        inner: the smaller network.
        outer: the larger one, perhaps of another family.
    """
    return inner.prefixlen >= outer.prefixlen and inner.network_address in outer


def _is_host(network: IPNetwork) -> bool:
    return network.prefixlen == network.max_prefixlen


def _objection_to_subnet(given: IPInterface, machine: MachineNetworks) -> str | None:
    """The kernel leads the whole network of an address where the address is."""
    if given.network.prefixlen == 0:
        return f"{given} would take every other address along"
    for network in machine.networks:
        if given.network.overlaps(network):
            return f"{given} collides with the network {network}"
    return None
