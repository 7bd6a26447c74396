"""A server's parts put together, and put in order again when the configuration changes."""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mqvpn_core.app.run_records import open_records
from mqvpn_core.app.scheduler_choice import with_scheduler
from mqvpn_core.app.server_books import ServerBooks
from mqvpn_core.app.server_settings import (
    ServerMaterials,
    load_materials,
    needs_restart,
    server_policy,
)
from mqvpn_core.config import Scheduler, ServerConfig
from mqvpn_core.errors import ConfigError
from mqvpn_core.ids import ConnectionHandle
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.quic.connection_steering import ConnectionSteering
from mqvpn_core.quic.endpoint import EndpointConfig, ServerEndpoint
from mqvpn_core.runtime.client_supervisor import PlannedHost
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.mtu_follower import MtuFollower
from mqvpn_core.runtime.name_resolution import NameResolver
from mqvpn_core.runtime.packet_detour import PacketDetour
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
    host: PlannedHost
    """The machine."""
    plan: HostPlan
    """What it has."""
    steering: ConnectionSteering | None = None
    """One of several workers: which packets are its own."""
    detour: PacketDetour | None = None
    """The same: the way to the others."""


class ServerCore:
    """Everything of a running server but its tasks.

    A: `books`, `endpoint`, `driver`, `keeper`, `site`, `mtu`, `records`, `detour`, `scheduler`.
    C: `change_config`, `set_scheduler`, `close`.
    """

    def __init__(
        self,
        config: ServerConfig,
        materials: ServerMaterials,
        books: ServerBooks,
        ports: ServerPorts,
    ) -> None:
        """Put the parts together; nothing runs yet."""
        self._config = config
        self._materials = materials
        self.books = books
        """Who may have a tunnel."""
        self.endpoint = ServerEndpoint(materials.endpoint, secrets.token_bytes, ports.steering)
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
                note_leases=books.note_change,
                note_mtu=self._note_mtu,
                events=self.records.events,
                qlog=self.records.qlog,
                pass_on=None if ports.detour is None else ports.detour.send,
            ),
            server_policy(config, books.parts, self.site.not_found),
        )
        """All sessions."""
        self.driver: ServerDriver[ServerSession] = ServerDriver(
            self.endpoint, self.keeper, ports.sockets, ports.tun
        )
        """Moves the packets."""
        self.mtu = MtuFollower(ports.host, ports.plan, self.keeper.smallest_mtu)
        """Keeps the TUN device as small as needed."""
        self.detour = ports.detour
        """One of several workers: the way to the others."""

    def change_config(self, config: ServerConfig) -> None:
        """Change to another configuration; tunnels stay, but for users that are gone."""
        try:
            materials = load_materials(config)
        except ConfigError as error:
            _log.error("reload: %s; nothing is changed", error)
            return
        self._use_endpoint(materials.endpoint)
        may_stay = self.books.change_config(config)
        self.site.change_files(materials.files)
        self._materials.files.close()
        self._materials = materials
        self.keeper.change_policy(server_policy(config, self.books.parts, self.site.not_found))
        users = {user for each in self.keeper.clients.values() for user in each.tunnels.values()}
        self.keeper.close_users_but(set(filter(may_stay, users)), read_clock())
        self.driver.kick()
        for name in needs_restart(self._config, config):
            _log.warning("reload: a change of %s takes effect at the next start", name)
        self._config = config
        _log.info("the configuration was read again")

    @property
    def scheduler(self) -> Scheduler:
        """How packets are spread over paths."""
        return self._config.quic.scheduler

    def set_scheduler(self, scheduler: Scheduler) -> None:
        """Spread packets over paths in another way, for all clients of now and later."""
        self._config = with_scheduler(self._config, scheduler)
        endpoint = self._materials.endpoint
        transport = replace(endpoint.transport, scheduler=scheduler.value)
        self._materials = replace(self._materials, endpoint=replace(endpoint, transport=transport))
        self._use_endpoint(self._materials.endpoint)
        self.driver.kick()

    def _use_endpoint(self, config: EndpointConfig) -> None:
        """Change to other settings; running connections take over what they can."""
        self.endpoint.set_config(config)
        for handle, client in self.keeper.clients.items():
            client.connection.set_scheduler(config.transport.scheduler)
            self.endpoint.poll(handle)

    def close(self) -> None:
        """Close every tunnel and connection in order."""
        self.keeper.close_all(read_clock())
        self.driver.kick()
        self._materials.files.close()

    def _kick(self, handle: ConnectionHandle) -> None:
        self.driver.kick(handle)

    def _note_mtu(self) -> None:
        if self._config.mtu is None:
            self.mtu.note_change()
