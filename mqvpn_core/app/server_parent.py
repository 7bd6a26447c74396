"""A server with several worker processes: what the one above them does.

    run_workers
    |- serve_control      answers ``mqvpn-core status`` and ``events`` for all of them
    |- crew.run           starts workers, answers their questions, starts them again
    |- books.run          writes the lease table
    |- mtu.run            keeps the TUN device as small as the smallest tunnel of all
    `- _reload_on         SIGHUP: reads the configuration again

It owns all that is there once: device, addresses, NAT and their journal, sockets, leases, keys and
limits. It reads no packet, so nothing of the network can bring it down.
"""

import logging
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import trio

from mqvpn_core.app.local_time import read_wall_clock
from mqvpn_core.app.scheduler_choice import switch_scheduler, with_scheduler
from mqvpn_core.app.server_books import OwnBooks
from mqvpn_core.app.server_requisites import ServerOrders, ServerSurroundings, open_sockets
from mqvpn_core.app.server_settings import (
    load_materials,
    make_pools,
    needs_restart,
    server_host_settings,
)
from mqvpn_core.app.server_status import without_clients
from mqvpn_core.app.worker_crew import CrewBooks, CrewThings, WorkerCrew
from mqvpn_core.config import Scheduler, ServerConfig
from mqvpn_core.errors import ConfigError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.connection_steering import KEY_BYTES, SteeringKey
from mqvpn_core.runtime.address_text import address_text
from mqvpn_core.runtime.client_supervisor import RESTORE_LIMIT, PlannedHost
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_core.runtime.control_readers import ControlSources
from mqvpn_core.runtime.control_socket import serve_control
from mqvpn_core.runtime.event_log import EventLog
from mqvpn_core.runtime.host_operations import TunHandle
from mqvpn_core.runtime.mtu_follower import MtuFollower
from mqvpn_core.runtime.status_values import encode_status_values
from mqvpn_core.runtime.steering_filter import open_shared
from mqvpn_core.runtime.worker_ledger import WorkerLedger
from mqvpn_core.tunnel.host_plan import server_host_plan

_log = logging.getLogger(__name__)


async def run_workers(
    config: ServerConfig,
    surroundings: ServerSurroundings,
    orders: ServerOrders,
    *,
    task_status: trio.TaskStatus[tuple[SocketAddress, ...]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve by several processes until ordered to stop.

    Args:
        config: the settings.
        surroundings: the world; its machine gives a device with a queue for each worker.
        orders: what the operator wants.
        task_status: told the addresses when all workers listen.

    Raises:
        ConfigError: the certificate, its key or the site cannot be used.
        HostError: the machine refuses what a server needs.
    """
    load_materials(config).files.close()  # what is wrong with them is said once, and here
    pools = make_pools(config)
    host = surroundings.host
    key = SteeringKey.from_bytes(secrets.token_bytes(KEY_BYTES))
    with ExitStack() as resources:
        ports = open_sockets(
            config, resources, lambda address: open_shared(address, key, config.workers)
        )
        handle = await host.open_tun(config.tun_name, keep_leftovers=True)
        queues = _queues(handle, resources)
        is_left = False
        try:
            for line in await host.recover():
                _log.info("%s", line)
            plan = server_host_plan(server_host_settings(config, pools, handle.name))
            books = OwnBooks(config, pools)
            _log.debug("%d leases of earlier runs", books.leases.load())
            for warning in (await host.apply(plan)).warnings:
                _log.warning("%s", warning)
            things = CrewThings(ports=tuple(ports), queues=queues, plan=plan, key=key)
            await ServerParent(config, books, things, host).serve(orders, task_status)
            is_left = orders.hand_over.is_set()
        finally:
            if not is_left:
                with trio.move_on_after(RESTORE_LIMIT, shield=True):
                    await host.undo()
    _log.info("stopped")


def _queues(handle: TunHandle, resources: ExitStack) -> tuple[int, ...]:
    queues = (handle.fd, *handle.further_queues)
    for fd in queues:
        resources.callback(os.close, fd)
    return queues


class ServerParent:
    """The parent's parts put together. Tasks: `serve`."""

    def __init__(
        self, config: ServerConfig, books: OwnBooks, things: CrewThings, host: PlannedHost
    ) -> None:
        """Put them together; nothing runs yet."""
        self._config = config
        self._books = books
        self._events = EventLog(read_wall_clock, log_level=logging.DEBUG)
        parts = books.parts
        self._ledger = WorkerLedger(parts, config.workers)
        self._crew = WorkerCrew(
            config,
            things,
            CrewBooks(
                ledger=self._ledger,
                note_leases=books.note_change,
                note_mtu=self._note_mtu,
                events=self._events,
            ),
        )
        self._mtu = MtuFollower(host, things.plan, self._crew.smallest_mtu)
        self._listening = tuple(port.local_address for port in things.ports)
        self._since = read_clock()

    async def serve(
        self, orders: ServerOrders, task_status: trio.TaskStatus[tuple[SocketAddress, ...]]
    ) -> None:
        """Serve until ordered to stop.

        Args:
            orders: what the operator wants.
            task_status: told the addresses when all workers listen.
        """
        async with trio.open_nursery() as nursery:
            if self._config.control_socket is not None:
                sources = ControlSources(
                    status=self._take_status,
                    events=self._events,
                    gather=self._crew.gather,
                    set_scheduler=partial(switch_scheduler, self._set_scheduler),
                )
                await nursery.start(serve_control, self._config.control_socket, sources)
            for task in (self._books.run, self._mtu.run):
                nursery.start_soon(task)
            nursery.start_soon(self._reload_on, orders.reloads)
            async with trio.open_nursery() as working:
                working.start_soon(self._crew.run)
                await self._crew.is_listening.wait()
                task_status.started(self._listening)
                where = " and ".join(address_text(each) for each in self._listening)
                _log.info(
                    "listening on %s (UDP), device %s, %d workers",
                    *(where, self._mtu.plan.tun_name, self._config.workers),
                )
                await orders.stop.wait()
                self._crew.stop()
            nursery.cancel_scope.cancel()

    def _note_mtu(self) -> None:
        self._mtu.note_change()

    def _set_scheduler(self, scheduler: Scheduler) -> None:
        self._config = with_scheduler(self._config, scheduler)
        self._crew.reload(self._config, frozenset())

    async def _reload_on(self, reloads: AsyncIterator[ServerConfig]) -> None:
        async for config in reloads:
            self._change_config(config)

    def _change_config(self, config: ServerConfig) -> None:
        try:
            load_materials(config).files.close()
        except ConfigError as error:
            _log.error("reload: %s; nothing is changed", error)
            return
        may_stay = self._books.change_config(config)
        gone = frozenset(user for user in self._ledger.users if not may_stay(user))
        fixed = needs_restart(self._config, config)
        for name in fixed:
            _log.warning("reload: a change of %s takes effect at the next start", name)
        # A worker that is started again must fit the pools, sockets and device that are there.
        kept = {name: getattr(self._config, name) for name in fixed}
        self._config = replace(config, **kept)
        self._crew.reload(self._config, gone)
        _log.info("the configuration was read again")

    def _take_status(self) -> JsonValue:
        statuses = self._crew.statuses
        counters: Counter[str] = Counter()
        for each in statuses:
            counters.update(each.counters)
        status = without_clients(
            self._mtu.plan, self._listening, self._config.quic.scheduler, since=self._since
        )
        return encode_status_values(
            replace(
                status,
                client_count=sum(each.client_count for each in statuses),
                clients=tuple(client for each in statuses for client in each.clients),
                workers=self._crew.worker_statuses,
                counters=dict(counters),
            )
        )
