"""HostPlan: the whole desired state of the machine, as one value.

Whoever applies it computes the difference from what is there; applying twice changes nothing.
Pure data, standard library only: the core, the helper and the tray all may import this room.
"""

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPInterface: TypeAlias = IPv4Interface | IPv6Interface
IPNetwork: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """Everything mqvpn wants from one machine while one tunnel (or one server) is up."""

    tun_name: str
    """Name of the TUN device, 1 to 15 bytes."""
    mtu: int
    """MTU of the TUN device in bytes, 68 to 65535; at least 1280 when an IPv6 address is set."""
    addresses: tuple[IPInterface, ...] = ()
    """Addresses of the TUN device with their on-link prefixes."""
    routes: tuple[IPNetwork, ...] = ()
    """Destinations routed into the TUN device."""
    bypass: tuple[IPAddress, ...] = ()
    """Addresses that must keep leaving by the physical link although ``routes`` covers them."""
    forward_ipv4: bool = False
    """Server: forward IPv4 between the TUN device and other links."""
    forward_ipv6: bool = False
    """Server: forward IPv6 between the TUN device and other links."""
    nat_sources: tuple[IPNetwork, ...] = ()
    """Server: inner networks whose packets leave other links with the link's own address."""
    isolate_clients: bool = False
    """Server: drop packets that come from the TUN device and would go back into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What came of a host plan."""

    warnings: tuple[str, ...] = ()
    """Wishes that could not be fulfilled although the plan is in force, for the user to read."""
