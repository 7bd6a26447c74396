"""What the proxy gave this tunnel, as one value.

Owns the comparison "did anything change for the host?". Knows nothing of capsules or streams;
the shell builds it from the events of the MASQUE session (RFC 9484 s4.7).
"""

from dataclasses import dataclass

from mqvpn_helper.interface.host_plan import IPAddress, IPInterface, IPNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Addresses, destinations and packet size of one tunnel; compared to find changes."""

    addresses: tuple[IPInterface, ...]
    """Assigned addresses (ADDRESS_ASSIGN), with their prefix lengths."""
    routes: tuple[IPNetwork, ...]
    """Destinations reachable through the proxy (ROUTE_ADVERTISEMENT), as networks."""
    mtu: int
    """Largest IP packet that the tunnel carries, in bytes."""
    server: IPAddress
    """Address of the server that the connection uses; must stay outside the tunnel."""
