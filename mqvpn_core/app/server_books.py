"""Who may have a tunnel and with which address: the books of a server, for all its processes.

A server in one process keeps them itself. With several workers the parent keeps them and every
worker asks (`runtime/shared_books`).
"""

from collections.abc import Callable
from typing import Protocol

from typing_extensions import override

from mqvpn_core.config import ServerConfig
from mqvpn_core.masque.address_pool import AddressPool
from mqvpn_core.masque.authentication import AuthenticationLimits, Authenticator
from mqvpn_core.masque.server_policy import PolicyParts, TunnelQuota
from mqvpn_core.runtime.lease_keeper import LeaseKeeper


class ServerBooks(Protocol):
    """What a running server needs of them."""

    @property
    def parts(self) -> PolicyParts:
        """What sessions decide by."""

    def note_change(self) -> None:
        """The leases have changed."""

    def change_config(self, config: ServerConfig) -> Callable[[str | None], bool]:
        """Go by another configuration; return what tells whose tunnels may stay."""

    async def run(self) -> None:
        """Do what takes time, until cancelled."""


class OwnBooks(ServerBooks):
    """The books themselves. A: `parts`, `leases`, `authenticator`. Tasks: `run`."""

    def __init__(self, config: ServerConfig, pools: tuple[AddressPool, ...]) -> None:
        """Begin with no tunnel."""
        self.authenticator = Authenticator(
            config.users,
            config.shared_key,
            AuthenticationLimits(max_failures=config.max_auth_failures),
        )
        """Judges keys."""
        self.leases = LeaseKeeper(config.lease_file, pools)
        """The lease table."""
        self._parts = PolicyParts(
            authenticator=self.authenticator,
            pools=pools,
            quota=TunnelQuota(
                max_total=config.max_clients, max_per_user=config.max_clients_per_user
            ),
        )

    @property
    @override
    def parts(self) -> PolicyParts:
        """What sessions decide by."""
        return self._parts

    @override
    def note_change(self) -> None:
        """Have the leases written soon."""
        self.leases.note_change()

    @override
    def change_config(self, config: ServerConfig) -> Callable[[str | None], bool]:
        """Go by other keys and limits; leases stay. Return what tells whose tunnels may stay."""
        self.authenticator.replace_keys(config.users, config.shared_key)
        self._parts.quota.change_limits(
            max_total=config.max_clients, max_per_user=config.max_clients_per_user
        )
        return {*config.users, *([None] if config.shared_key is not None else [])}.__contains__

    @override
    async def run(self) -> None:
        """Write leases until cancelled."""
        await self.leases.run()
