"""The little world of the demonstration, the namespace tests and the benchmark.

    client                     router                    server              web
    wlan0 192.0.2.2    ------- w0 192.0.2.1
          2001:db8:1::2           2001:db8:1::1
    lte0  198.51.100.2 ------- l0 198.51.100.1
          2001:db8:2::2           2001:db8:2::1
                               r0 203.0.113.1 ---------- eth0 203.0.113.2
                                  2001:db8:3::1               2001:db8:3::2
                                                         lan0 172.20.0.1 --- eth0 172.20.0.2
                                                              fd20::1             fd20::2

The web host is behind the server and the router knows no way to it: only the tunnel leads there.
Its own default route leads to the server, so that a world without NAT works as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mqvpn_core.demo.namespaces import NetworkNamespace, join, namespaces

SERVER_IPV4 = "203.0.113.2"
"""Where the server listens."""
SERVER_IPV6 = "2001:db8:3::2"
"""The same over IPv6."""
WEB_IPV4 = "172.20.0.2"
"""The host behind the server."""
WEB_IPV6 = "fd20::2"
"""The same over IPv6."""
SERVER_LAN_IPV4 = "172.20.0.1"
"""The server as the web host sees it."""

MEGABIT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One link of a client to the router."""

    interface: str
    """Name at the client."""
    router_interface: str
    """Name at the router."""
    ipv4: str
    """First three bytes of its /24, dotted; the router is .1, the client .2."""
    ipv6: str
    """Its /64 without the closing colons; the router is ::1, the client ::2."""
    metric: int
    """Metric of the default route over it."""
    bits_per_second: int | None = None
    """Rate in each direction; ``None`` as fast as it goes."""


WLAN = Access(
    interface="wlan0", router_interface="w0", ipv4="192.0.2", ipv6="2001:db8:1", metric=100
)
LTE = Access(
    interface="lte0", router_interface="l0", ipv4="198.51.100", ipv6="2001:db8:2", metric=200
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The namespaces, connected and ready."""

    client: NetworkNamespace
    """The machine that wants a tunnel."""
    router: NetworkNamespace
    """The network between; knows the client's links and the server, nothing inside."""
    server: NetworkNamespace
    """The tunnel's other end."""
    web: NetworkNamespace
    """A host behind the server."""
    rates_limited: bool
    """Whether the kernel could hold the links to the rates asked for."""


@contextmanager
def build_world(links: tuple[Access, ...] = (WLAN, LTE)) -> Iterator[World]:
    """Hold the world for the length of a block.

    Args:
        links: the client's links to the router.
    """
    with namespaces("client", "router", "server", "web") as (client, router, server, web):
        limited = [attach(client, router, link) for link in links]
        join(router, "r0", server, "eth0")
        _give_addresses(router, "r0", "203.0.113.1/24", "2001:db8:3::1/64")
        _give_addresses(server, "eth0", f"{SERVER_IPV4}/24", f"{SERVER_IPV6}/64")
        _default_routes(server, "203.0.113.1", "2001:db8:3::1")
        join(server, "lan0", web, "eth0")
        _give_addresses(server, "lan0", f"{SERVER_LAN_IPV4}/24", "fd20::1/64")
        _give_addresses(web, "eth0", f"{WEB_IPV4}/24", f"{WEB_IPV6}/64")
        _default_routes(web, SERVER_LAN_IPV4, "fd20::1")
        router.forward_packets()
        for namespace in (client, router, server, web):
            namespace.wait_for_addresses()
        yield World(
            client=client, router=router, server=server, web=web, rates_limited=all(limited)
        )


def attach(client: NetworkNamespace, router: NetworkNamespace, link: Access) -> bool:
    """Connect a client to the router by one link; False when its rate could not be set."""
    join(client, link.interface, router, link.router_interface)
    _give_addresses(client, link.interface, f"{link.ipv4}.2/24", f"{link.ipv6}::2/64")
    _give_addresses(router, link.router_interface, f"{link.ipv4}.1/24", f"{link.ipv6}::1/64")
    _default_routes(client, f"{link.ipv4}.1", f"{link.ipv6}::1", metric=link.metric)
    if link.bits_per_second is None:
        return True
    return all(
        namespace.limit_rate(interface, link.bits_per_second)
        for namespace, interface in (
            (client, link.interface),
            (router, link.router_interface),
        )
    )


def _give_addresses(namespace: NetworkNamespace, interface: str, ipv4: str, ipv6: str) -> None:
    namespace.add_address(interface, ipv4)
    namespace.add_address(interface, ipv6)


def _default_routes(
    namespace: NetworkNamespace, ipv4: str, ipv6: str, *, metric: int = 100
) -> None:
    namespace.add_route("0.0.0.0/0", ipv4, metric=metric)
    namespace.add_route("::/0", ipv6, metric=metric)
