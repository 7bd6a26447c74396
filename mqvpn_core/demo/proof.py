"""Did the bytes really cross the tunnel? Counters of both ends, against what was downloaded."""

from dataclasses import dataclass

from mqvpn_core.demo.namespaces import NetworkNamespace

MAX_OVERHEAD = 0.15
"""Headers of IP and TCP on top of the payload, with acknowledgements and repeats, as a share."""

MAX_DISAGREEMENT = 0.05
"""How far the two TUN devices may be apart: what was sent and lost on the way, as a share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Bytes towards the client, counted at three places."""

    server_tun: int
    """What the server's TUN device took from the kernel."""
    links: int
    """What the client's links received from the network."""
    client_tun: int
    """What the client's TUN device gave to the kernel."""

    def since(self, before: "Reading") -> "Reading":
        """The difference of two readings."""
        return Reading(
            server_tun=self.server_tun - before.server_tun,
            links=self.links - before.links,
            client_tun=self.client_tun - before.client_tun,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingPoints:
    """Where to read the counters."""

    server: NetworkNamespace
    """The server's machine."""
    server_tun: str
    """Its TUN device."""
    client: NetworkNamespace
    """The client's machine."""
    client_tun: str
    """Its TUN device."""
    links: tuple[str, ...]
    """Its links to the network."""

    def read(self) -> Reading:
        """Read all counters now."""
        return Reading(
            # The kernel sends into a TUN device what the program reads from it, and the reverse.
            server_tun=self.server.counters(self.server_tun).sent_bytes,
            links=sum(self.client.counters(link).received_bytes for link in self.links),
            client_tun=self.client.counters(self.client_tun).received_bytes,
        )


def objections(moved: Reading, payload_bytes: int) -> list[str]:
    """Say what speaks against ``payload_bytes`` having crossed the tunnel; empty: nothing."""
    found = []
    for place, count in (("client's", moved.client_tun), ("server's", moved.server_tun)):
        if not payload_bytes <= count <= payload_bytes * (1 + MAX_OVERHEAD):
            found.append(f"the {place} TUN device moved {count} bytes for {payload_bytes}")
    if moved.links < moved.client_tun:
        found.append(f"the links received {moved.links} bytes, fewer than came out of the tunnel")
    if abs(moved.server_tun - moved.client_tun) > payload_bytes * MAX_DISAGREEMENT:
        found.append(
            f"the ends disagree: {moved.server_tun} bytes in, {moved.client_tun} bytes out"
        )
    return found
