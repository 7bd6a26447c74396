"""What ``mqvpn-core status`` shows of a server."""

import os
from dataclasses import replace

from mqvpn_core.app.client_status import packet_counts
from mqvpn_core.app.local_time import read_wall_clock
from mqvpn_core.app.path_status import path_statuses, send_loss_counts
from mqvpn_core.app.server_core import ServerCore
from mqvpn_core.app.version import program_version
from mqvpn_core.config import Scheduler
from mqvpn_core.dataplane.kernel import KERNEL_CHOICE
from mqvpn_core.ids import ConnectionHandle, Instant, SocketAddress
from mqvpn_core.runtime.address_text import address_text
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.server_keeper import ServedClient
from mqvpn_core.runtime.status_values import ClientStatus, Status, encode_status_values
from mqvpn_helper.interface.host_plan import HostPlan

MAX_DETAILED_CLIENTS = 2000
"""With more clients their paths are left out: all of it would be too long for one answer."""


def without_clients(
    plan: HostPlan, listening: tuple[SocketAddress, ...], scheduler: Scheduler, *, since: Instant
) -> Status:
    """Return what is the same of a server with and without workers.

    Args:
        plan: what the machine has.
        listening: the addresses of its sockets.
        scheduler: how packets are spread over paths.
        since: when it started.
    """
    return Status(
        role="server",
        state="running",
        seconds_in_state=read_clock() - since,
        version=program_version(),
        pid=os.getpid(),
        scheduler=scheduler.value,
        kernel=KERNEL_CHOICE.name,
        kernel_reason=KERNEL_CHOICE.reason,
        tun_name=plan.tun_name,
        mtu=plan.mtu,
        taken_at=read_wall_clock(),
        server=" ".join(map(address_text, listening)),
        addresses=tuple(map(str, plan.addresses)),
    )


class ServerStatus:
    """Takes snapshots of a server."""

    def __init__(
        self,
        core: ServerCore,
        listening: tuple[SocketAddress, ...],
    ) -> None:
        """Look at this server.

        Args:
            core: the server.
            listening: the addresses of its sockets.
        """
        self._core = core
        self._keeper = core.keeper
        self._driver = core.driver
        self._listening = listening
        self._mtu = core.mtu
        self._since = read_clock()

    @property
    def listening_text(self) -> str:
        """The sockets' addresses, for a line of the log."""
        return " and ".join(address_text(address) for address in self._listening)

    @property
    def tun_name(self) -> str:
        """The TUN device."""
        return self._mtu.plan.tun_name

    def take(self) -> JsonValue:
        """Return the status of the moment."""
        now = read_clock()
        served = {
            handle: client for handle, client in self._keeper.clients.items() if client.tunnels
        }
        with_paths = len(served) <= MAX_DETAILED_CLIENTS
        clients = tuple(
            self._client(handle, client, now, with_paths=with_paths)
            for handle, client in served.items()
        )
        counters = packet_counts(self._keeper.total_counters())
        counters |= send_loss_counts(self._driver.send_losses)
        counters["connections"] = len(self._keeper.clients)
        counters["strays"] = self._keeper.stray_count
        counters["refused_by_host"] = self._driver.refused_packet_count
        counters["bypassed_packets"] = self._driver.bypassed_packet_count
        counters["internal_errors"] = self._driver.fault_count
        counters["site_transfers"] = self._core.site.transfer_count
        if self._core.detour is not None:
            counters["lost_between_workers"] = self._core.detour.lost_count
        status = without_clients(
            self._mtu.plan, self._listening, self._core.scheduler, since=self._since
        )
        return encode_status_values(
            replace(
                status,
                client_count=sum(len(client.tunnels) for client in self._keeper.clients.values()),
                clients=clients,
                counters=counters,
            )
        )

    def _client(
        self, handle: ConnectionHandle, client: ServedClient, now: Instant, *, with_paths: bool
    ) -> ClientStatus:
        paths = path_statuses(client.connection, client.watch, lambda _four_tuple: "", now)
        return ClientStatus(
            user=", ".join(sorted({user or "" for user in client.tunnels.values()})),
            remote=paths[0].remote if paths else address_text(client.remote),
            addresses=tuple(map(str, self._keeper.sessions[handle].addresses)),
            seconds_connected=now - (client.tunnel_since or now),
            srtt_ms=min((path.srtt_ms for path in paths), default=0.0),
            tx_bytes=sum(path.tx_bytes for path in paths),
            rx_bytes=sum(path.rx_bytes for path in paths),
            tx_rate=sum(path.tx_rate for path in paths),
            rx_rate=sum(path.rx_rate for path in paths),
            paths=paths if with_paths else (),
        )
