"""``mqvpn-core server``: puts the parts of a server together and runs them.

The tree of tasks:

    run_server
    |- serve_control      answers ``mqvpn-core status`` and ``events``
    |- driver.run         sockets, TUN device and timers of all clients
    |- site.run           one task for each file being sent
    |- keeper.run         one task for each name being resolved
    |- books.run          writes the lease table
    |- records.run        writes traces, if they are wanted
    |- mtu.run            keeps the TUN device as small as the smallest tunnel
    `- _reload_on         SIGHUP: reads the configuration again

A server that dies, or is told by SIGUSR2 that another one takes its place, leaves firewall table
and forwarding in force; the next one replaces them in one step.
"""

import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial

import trio

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.own_machine import own_machine
from mqvpn_core.app.scheduler_choice import switch_scheduler
from mqvpn_core.app.server_books import OwnBooks
from mqvpn_core.app.server_core import ServerCore, ServerPorts
from mqvpn_core.app.server_parent import run_workers
from mqvpn_core.app.server_requisites import ServerOrders, ServerSurroundings, open_sockets
from mqvpn_core.app.server_settings import load_materials, make_pools, server_host_settings
from mqvpn_core.app.server_status import ServerStatus
from mqvpn_core.app.service_reports import ServerReports
from mqvpn_core.app.termination import STOP_SIGNALS, report_errors, set_on_signal
from mqvpn_core.config import ServerConfig
from mqvpn_core.errors import ConfigError, HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.client_supervisor import RESTORE_LIMIT
from mqvpn_core.runtime.collector import spare_what_stays
from mqvpn_core.runtime.control_readers import ControlSources
from mqvpn_core.runtime.control_socket import serve_control
from mqvpn_core.runtime.descriptor_limit import claim_descriptors
from mqvpn_core.runtime.freed_memory import give_back_what_is_too_much
from mqvpn_core.runtime.service_manager import ServiceManager
from mqvpn_core.runtime.tun_device import TunDevice
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from mqvpn_core.tunnel.host_plan import server_host_plan

_log = logging.getLogger(__name__)


def run(config: ServerConfig, reload: Callable[[], ServerConfig] | None = None) -> int:
    """Run a server until it is stopped; return the exit code.

    Args:
        config: the settings.
        reload: reads them again at SIGHUP; when it raises ConfigError nothing changes.
    """
    spare_what_stays()
    return trio.run(_main, config, reload)


async def _serve_as_wanted(
    config: ServerConfig,
    orders: ServerOrders,
    task_status: trio.TaskStatus[tuple[SocketAddress, ...]],
) -> None:
    if config.workers == 1:
        await run_server(config, ServerSurroundings(), orders, task_status=task_status)
        return
    surroundings = ServerSurroundings(host=own_machine(tun_queues=config.workers))
    await run_workers(config, surroundings, orders, task_status=task_status)


async def _main(config: ServerConfig, reload: Callable[[], ServerConfig] | None) -> ExitCode:
    code = ExitCode.OK
    try:
        claim_descriptors()
        with (
            trio.open_signal_receiver(*STOP_SIGNALS) as signals,
            trio.open_signal_receiver(signal.SIGHUP) as hang_ups,
            trio.open_signal_receiver(signal.SIGUSR2) as hand_overs,
        ):
            async with trio.open_nursery() as nursery:
                orders = ServerOrders(stop=trio.Event(), reloads=read_again(hang_ups, reload))
                reports = ServerReports(ServiceManager())
                nursery.start_soon(set_on_signal, signals, orders.stop)
                nursery.start_soon(_hand_over_on, hand_overs, orders)
                nursery.start_soon(reports.run)
                await _serve_as_wanted(config, orders, reports)
                nursery.cancel_scope.cancel()
    except* (HostError, ConfigError) as group:
        code = report_errors(group)
    return code


async def _hand_over_on(signals: AsyncIterator[int], orders: ServerOrders) -> None:
    async for _ in signals:
        _log.info("SIGUSR2: stopping; the machine stays as it is for the next server")
        orders.hand_over.set()
        orders.stop.set()


async def run_server(
    config: ServerConfig,
    surroundings: ServerSurroundings,
    orders: ServerOrders,
    *,
    task_status: trio.TaskStatus[tuple[SocketAddress, ...]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ordered to stop.

    Args:
        config: the settings.
        surroundings: the world.
        orders: what the operator wants.
        task_status: told the addresses when they are listened on.

    Raises:
        ConfigError: the certificate, its key or the site cannot be used.
        HostError: the machine refuses what a server needs.
    """
    materials = load_materials(config)
    pools = make_pools(config)
    host = surroundings.host
    with ExitStack() as resources:
        resources.callback(materials.files.close)
        sockets = open_sockets(config, resources, lambda local: UdpSocket(local, UdpOptions()))
        handle = await host.open_tun(config.tun_name, keep_leftovers=True)
        tun = TunDevice(handle.fd)
        resources.callback(tun.close)
        is_left = False
        try:
            for line in await host.recover():
                _log.info("%s", line)
            plan = server_host_plan(server_host_settings(config, pools, handle.name))
            ports = ServerPorts(
                sockets=sockets, tun=tun, resolver=surroundings.resolver, host=host, plan=plan
            )
            books = OwnBooks(config, pools)
            core = ServerCore(config, materials, books, ports)
            _log.debug("%d leases of earlier runs", books.leases.load())
            for warning in (await host.apply(plan)).warnings:
                _log.warning("%s", warning)
            listening = tuple(socket.local_address for socket in sockets)
            status = ServerStatus(core, listening)
            task_status.started(listening)
            await _serve(config, core, status, orders)
            is_left = orders.hand_over.is_set()
        finally:
            if not is_left:
                with trio.move_on_after(RESTORE_LIMIT, shield=True):
                    await host.undo()
    _log.info("stopped")


async def _serve(
    config: ServerConfig,
    core: ServerCore,
    status: ServerStatus,
    orders: ServerOrders,
) -> None:
    async with trio.open_nursery() as nursery:
        try:
            if config.control_socket is not None:
                sources = ControlSources(
                    status=status.take,
                    events=core.records.events,
                    set_scheduler=partial(switch_scheduler, core.set_scheduler),
                )
                await nursery.start(serve_control, config.control_socket, sources)
            for task in (
                core.driver.run,
                core.site.run,
                core.keeper.run,
                core.books.run,
                core.mtu.run,
                core.records.run,
                give_back_what_is_too_much,
            ):
                nursery.start_soon(task)
            nursery.start_soon(_reload_on, orders.reloads, core)
            _log.info("listening on %s (UDP), device %s", status.listening_text, status.tun_name)
            await orders.stop.wait()
        finally:
            # Sends synchronously: the sockets are still open, whatever is being cancelled.
            core.close()
            nursery.cancel_scope.cancel()


async def _reload_on(reloads: AsyncIterator[ServerConfig], core: ServerCore) -> None:
    async for config in reloads:
        core.change_config(config)


async def read_again(
    hang_ups: AsyncIterator[int], reload: Callable[[], ServerConfig] | None
) -> AsyncIterator[ServerConfig]:
    """Give the configuration anew at each SIGHUP, if it can be had and used."""
    async for _ in hang_ups:
        if reload is None:
            _log.warning("SIGHUP: there is nothing to read again")
            continue
        try:
            config = await trio.to_thread.run_sync(reload)
        except ConfigError as error:
            _log.error("reload: %s; nothing is changed", error)
            continue
        yield config
