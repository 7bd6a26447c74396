"""What all sessions of a server share: whom to let in, what to give, where packets may go."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_network
from typing import Final, Protocol

from mqvpn_core.ids import Instant
from mqvpn_core.masque.address_pool import AddressPool
from mqvpn_core.masque.authentication import Decision
from mqvpn_core.masque.route_ranges import (
    ALL_DESTINATIONS,
    RangeList,
    ranges_of_networks,
    subtract_networks,
)
from mqvpn_core.masque.site import NOT_FOUND_PAGE, SitePage
from mqvpn_core.masque.tunnel_link import LinkConfig
from mqvpn_core.wire.address_capsules import IpAddress, IpPrefix
from mqvpn_core.wire.uri_templates import TemplateMatcher

EVERYWHERE: Final = ranges_of_networks(ALL_DESTINATIONS)
"""Routes of a proxy that takes its clients everywhere."""


class AuthenticatorPort(Protocol):
    """Decides over credentials; `mqvpn_core.masque.authentication.Authenticator` is one."""

    def authenticate(self, authorization: bytes | None, peer_host: str, now: Instant) -> Decision:
        """Judge one request."""


class TunnelQuota:
    """Counts open tunnels over all sessions.

    A: ``open_count``. C: ``take``, ``give_back``, ``change_limits``.
    """

    def __init__(self, *, max_total: int = 1024, max_per_user: int = 64) -> None:
        """Start with no tunnel.

        Args:
            max_total: tunnels at the same time.
            max_per_user: tunnels of one named user at the same time; the shared key is exempt.
        """
        self.open_count = 0
        self._max_total = max_total
        self._max_per_user = max_per_user
        self._by_user: dict[str, int] = {}

    def change_limits(self, *, max_total: int, max_per_user: int) -> None:
        """Allow more or fewer from now on; tunnels that are open stay."""
        self._max_total = max_total
        self._max_per_user = max_per_user

    def take(self, user: str | None) -> bool:
        """Count one more tunnel, unless there are too many."""
        if self.open_count >= self._max_total:
            return False
        if user is not None:
            count = self._by_user.get(user, 0)
            if count >= self._max_per_user:
                return False
            self._by_user[user] = count + 1
        self.open_count += 1
        return True

    def give_back(self, user: str | None) -> None:
        """Count one tunnel less."""
        self.open_count -= 1
        if user is not None:
            self._by_user[user] -= 1
            if not self._by_user[user]:
                del self._by_user[user]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyParts:
    """What lives longer than one configuration."""

    authenticator: AuthenticatorPort
    """Who may open a tunnel."""
    pools: tuple[AddressPool, ...]
    """Inner addresses."""
    quota: TunnelQuota
    """How many tunnels there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPolicy:
    """Everything a server session decides by. Replaced as a whole at a reload."""

    matchers: tuple[TemplateMatcher, ...]
    """Where tunnels are (RFC 9484 s3): the default template and perhaps others."""
    authenticator: AuthenticatorPort
    """Who may open one."""
    pools: tuple[AddressPool, ...]
    """At most one pool of each family."""
    quota: TunnelQuota
    """How many tunnels there may be."""
    authorities: frozenset[bytes] | None = None
    """Accepted values of ``:authority``, in lower case; None for any."""
    routes: RangeList = EVERYWHERE
    """What to advertise and forward, for all protocols; only families with a pool are used."""
    denied: tuple[IpPrefix, ...] = ()
    """Destinations that clients may not reach although ``routes`` covers them."""
    client_to_client: bool = False
    """Clients may reach one another."""
    auth_challenge: bool = False
    """Say 401, 403 and 429 instead of hiding the tunnel behind the site's unknown page."""
    not_found: SitePage = NOT_FOUND_PAGE
    """The site's answer to an unknown page."""
    max_tunnels: int = 4
    """Tunnels on one connection at the same time."""
    link: LinkConfig = field(default_factory=LinkConfig)
    """MTU and capsule settings."""

    @property
    def local_addresses(self) -> tuple[IpAddress, ...]:
        """The server's own inner addresses."""
        return tuple(pool.server_address for pool in self.pools)

    @property
    def broadcasts(self) -> frozenset[bytes]:
        """Directed broadcast addresses of the pools; IPv6 has none."""
        return frozenset(
            pool.network.broadcast_address.packed
            for pool in self.pools
            if isinstance(pool.network, IPv4Network)
        )

    def prohibited(self) -> RangeList:
        """Return the destinations that clients may not reach."""
        networks: list[IpPrefix] = list(self.denied)
        if not self.client_to_client:
            networks += [pool.network for pool in self.pools]
        # The server itself is no other client; only ``denied`` can close it.
        reachable = [
            ip_network(address)
            for address in self.local_addresses
            if not any(address in network for network in self.denied)
        ]
        return subtract_networks(ranges_of_networks(networks), reachable)
