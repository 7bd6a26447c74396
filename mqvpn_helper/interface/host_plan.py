"""HostPlan: the whole desired state of the machine, as one value.

Whoever applies it computes the difference from what is there; applying twice changes nothing.
Pure data, standard library only: the core, the helper and the tray all may import this room.
"""

import enum
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

CORE_MARK = 0x6D71
"""Socket mark (SO_MARK) by which a kill switch knows a core that has no user ID of its own."""

FIREWALL_IS_BACK = (
    "somebody emptied the firewall of this machine; its rules for the tunnel are back"
)
"""What the user is told then."""


class KillSwitchMode(enum.Enum):
    """How long traffic outside the tunnel is blocked."""

    OFF = "off"
    """Never."""
    STANDARD = "standard"
    """While the user wants the tunnel, through reconnections and crashes."""
    ALWAYS = "always"
    """From boot to shutdown, whether the tunnel is wanted or not."""


class DnsMethod(enum.Enum):
    """Who was told about the name servers of the tunnel."""

    NONE = "none"
    """Nobody: the resolver is as the user left it."""
    RESOLVED = "systemd-resolved"
    """systemd-resolved, for the TUN device's link."""
    RESOLVCONF = "resolvconf"
    """The program resolvconf (Debian's or openresolv)."""
    NETWORK_MANAGER = "NetworkManager"
    """NetworkManager, by a configuration file that a reboot removes."""
    FILE = "resolv.conf"
    """The file /etc/resolv.conf itself, with a backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEndpoint:
    """Where the core sends its packets."""

    address: IPAddress
    """Address of the server."""
    port: int
    """UDP port, 1 to 65535."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptivePortal:
    """A hole in the kill switch for signing in to a network; the kernel closes it by itself."""

    interface: str
    """The one physical link that it is for."""
    until: float
    """When it ends, by CLOCK_BOOTTIME in seconds; at most an hour ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitch:
    """Nothing leaves by physical links except what the fields let through.

    Loopback, DHCP and neighbour discovery always pass, port 53 only where a field says so.
    """

    mode: KillSwitchMode
    """``STANDARD`` or ``ALWAYS``; a plan without kill switch has none at all."""
    servers: tuple[ServerEndpoint, ...] = ()
    """Where the core may send UDP."""
    core_uid: int | None = None
    """User ID of the core; None: it marks its sockets with `CORE_MARK`."""
    allow_lan: bool = False
    """Private and link-local addresses may be reached, except for name service."""
    name_servers: tuple[IPAddress, ...] = ()
    """Whom the core itself may ask for the server's address, while it knows none."""
    portal: CaptivePortal | None = None
    """While it lasts, routes into the TUN device and its name servers are left out of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What stays outside a tunnel that has everything else."""

    networks: tuple[IPNetwork, ...] = ()
    """Destinations that leave by the physical links; more specific than ``routes``."""
    cgroups: tuple[str, ...] = ()
    """Processes in these control groups (paths below the cgroup2 root) leave by physical links."""


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
    kill_switch: KillSwitch | None = None
    """Client: what may leave beside the tunnel; None: everything that no route leads into it."""
    dns: tuple[IPAddress, ...] = ()
    """Client: name servers that the machine shall use for every name; none: as the user has it."""
    split: Split | None = None
    """Client: exceptions from ``routes``."""
    links: tuple[str, ...] = ()
    """Client: physical links the core sends by. Answers may come in by any of them, so strict
    source validation (``rp_filter=1``) is made loose on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What came of a host plan."""

    warnings: tuple[str, ...] = ()
    """Wishes that could not be fulfilled although the plan is in force, for the user to read."""
    dns_method: DnsMethod = DnsMethod.NONE
    """Who was told about the plan's name servers."""
    firewall_was_emptied: bool = False
    """Somebody else had removed the firewall rules; they are back."""
