"""A server's parts put together, and put in order again when the configuration changes."""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from mqvpn_core.app.run_records import open_records
from mqvpn_core.app.server_settings import (
    PolicyParts,
    ServerMaterials,
    load_materials,
    needs_restart,
    server_policy,
)
from mqvpn_core.config import ServerConfig
from mqvpn_core.errors import ConfigError
from mqvpn_core.ids import ConnectionHandle
from mqvpn_core.masque.address_pool import AddressPool
from mqvpn_core.masque.authentication import AuthenticationLimits, Authenticator
from mqvpn_core.masque.server_policy import TunnelQuota
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.quic.endpoint import ServerEndpoint
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.host_operations import HostOperations
from mqvpn_core.runtime.lease_keeper import LeaseKeeper
from mqvpn_core.runtime.mtu_follower import MtuFollower
from mqvpn_core.runtime.name_resolution import NameResolver
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.runtime.server_driver import ServerDriver
from mqvpn_core.runtime.server_keeper import ServerKeeper, ServerKeeperParts
from mqvpn_core.runtime.site_service import SiteService
from mqvpn_core.runtime.tun_device import PacketDevice
from mqvpn_helper.interface.host_plan import HostPlan

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPorts:
    """The holes to the world."""

    sockets: Sequence[DatagramSocket]
    """UDP sockets."""
    tun: PacketDevice
    """The TUN device."""
    resolver: NameResolver
    """Name service."""
    host: HostOperations
    """The machine."""
    plan: HostPlan
    """What it has."""


class ServerCore:
    """Everything of a running server but its tasks.

    A: `endpoint`, `driver`, `keeper`, `site`, `leases`, `mtu`, `records`.
    C: `change_config`, `close`.
    """

    def __init__(
        self,
        config: ServerConfig,
        materials: ServerMaterials,
        pools: tuple[AddressPool, ...],
        ports: ServerPorts,
    ) -> None:
        """Put the parts together; nothing runs yet."""
        self._config = config
        self._files = materials.files
        self._authenticator = Authenticator(
            config.users,
            config.shared_key,
            AuthenticationLimits(max_failures=config.max_auth_failures),
        )
        self._policy_parts = PolicyParts(
            authenticator=self._authenticator,
            pools=pools,
            quota=TunnelQuota(
                max_total=config.max_clients, max_per_user=config.max_clients_per_user
            ),
        )
        self.leases = LeaseKeeper(config.lease_file, pools)
        """The lease table."""
        self.endpoint = ServerEndpoint(materials.endpoint, secrets.token_bytes)
        """All connections."""
        self.site = SiteService(materials.files, self._kick)
        """The web site."""
        self.records = open_records(config.qlog, log_level=logging.DEBUG)
        """What has happened of late, and traces of it."""
        self.keeper = ServerKeeper(
            ServerKeeperParts(
                endpoint=self.endpoint,
                site=self.site,
                resolver=ports.resolver,
                kick=self._kick,
                note_leases=self.leases.note_change,
                note_mtu=self._note_mtu,
                events=self.records.events,
                qlog=self.records.qlog,
            ),
            server_policy(config, self._policy_parts, self.site.not_found),
        )
        """All sessions."""
        self.driver: ServerDriver[ServerSession] = ServerDriver(
            self.endpoint, self.keeper, ports.sockets, ports.tun
        )
        """Moves the packets."""
        self.mtu = MtuFollower(ports.host, ports.plan, self.keeper.smallest_mtu)
        """Keeps the TUN device as small as needed."""

    def change_config(self, config: ServerConfig) -> None:
        """Change to another configuration; tunnels stay, but for users that are gone."""
        try:
            materials = load_materials(config)
        except ConfigError as error:
            _log.error("reload: %s; nothing is changed", error)
            return
        self.endpoint.set_config(materials.endpoint)
        self._authenticator.replace_keys(config.users, config.shared_key)
        self._policy_parts.quota.change_limits(
            max_total=config.max_clients, max_per_user=config.max_clients_per_user
        )
        self.site.change_files(materials.files)
        self._files.close()
        self._files = materials.files
        self.keeper.change_policy(server_policy(config, self._policy_parts, self.site.not_found))
        known = {*config.users, *([None] if config.shared_key is not None else [])}
        self.keeper.close_users_but(known, read_clock())
        self.driver.kick()
        for name in needs_restart(self._config, config):
            _log.warning("reload: a change of %s takes effect at the next start", name)
        self._config = config
        _log.info("the configuration was read again")

    def close(self) -> None:
        """Close every tunnel and connection in order."""
        self.keeper.close_all(read_clock())
        self.driver.kick()
        self._files.close()

    def _kick(self, handle: ConnectionHandle) -> None:
        self.driver.kick(handle)

    def _note_mtu(self) -> None:
        if self._config.mtu is None:
            self.mtu.note_change()
