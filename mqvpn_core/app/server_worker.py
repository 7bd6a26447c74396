"""One of several processes of a server: serves its share of the connections.

    _work
    |- driver, site, keeper, mtu, records   as in a server of one process, see `app/server`
    |- readers                              status and events, for the parent
    |- _take_detour                         packets that other workers were given by mistake
    `- _obey                                orders of the parent, until it says stop or is gone

It has no privilege to use: sockets, device and everything else were opened by the parent. So it
gives up what it has of them, see `app/worker_capabilities`.
"""

import logging
import math
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import trio
from typing_extensions import override

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.logging_setup import set_up_logging
from mqvpn_core.app.server_books import ServerBooks
from mqvpn_core.app.server_core import ServerCore, ServerPorts
from mqvpn_core.app.server_settings import load_materials, make_pools
from mqvpn_core.app.server_status import ServerStatus
from mqvpn_core.app.termination import report_errors
from mqvpn_core.app.worker_capabilities import give_up_capabilities
from mqvpn_core.app.worker_orders import (
    MAX_ORDER_BYTES,
    Begin,
    Reload,
    Stop,
    UsersGone,
    decode_order,
    receive_begin,
)
from mqvpn_core.config import ServerConfig
from mqvpn_core.errors import ConfigError, DecodeError, HostError
from mqvpn_core.masque.server_policy import PolicyParts
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.runtime.collector import spare_what_stays
from mqvpn_core.runtime.control_readers import ControlReaders, ControlSources
from mqvpn_core.runtime.freed_memory import give_back_what_is_too_much
from mqvpn_core.runtime.name_resolution import NameResolver
from mqvpn_core.runtime.packet_detour import PacketDetour
from mqvpn_core.runtime.server_driver import ServerDriver
from mqvpn_core.runtime.shared_books import (
    ParentDesk,
    SharedAuthenticator,
    SharedPool,
    SharedQuota,
)
from mqvpn_core.runtime.tun_device import TunDevice
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from mqvpn_core.runtime.worker_messages import (
    AddressMoved,
    LeaseLost,
    Listening,
    SmallestMtu,
    encode_report,
)
from mqvpn_helper.interface.host_plan import HostPlan, HostReport

_log = logging.getLogger(__name__)

# They reach every process of a terminal or a service at once; the parent says what they mean.
_SIGNALS_OF_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


def run(channel_number: int) -> int:
    """Serve until the parent says stop; return the exit code.

    Args:
        channel_number: descriptor over which orders come.
    """
    for number in _SIGNALS_OF_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=channel_number) as channel:
        try:
            begin = receive_begin(channel)
            set_up_logging(begin.config.log_level)
            give_up_capabilities(writes_files=begin.config.qlog is not None)
            spare_what_stays()
            code = trio.run(_work, channel, begin)
        except* (HostError, ConfigError) as group:
            code = report_errors(group)
    return code


class WorkerBooks(ServerBooks):
    """The books that the parent keeps. C: `lose`, `note_gone`."""

    def __init__(self, config: ServerConfig, desk: ParentDesk) -> None:
        """Ask there."""
        self._pools = tuple(SharedPool(pool.network, desk) for pool in make_pools(config))
        self._parts = PolicyParts(
            authenticator=SharedAuthenticator(desk), pools=self._pools, quota=SharedQuota(desk)
        )
        self._gone: frozenset[str | None] = frozenset()

    @property
    @override
    def parts(self) -> PolicyParts:
        return self._parts

    def lose(self, lost: LeaseLost) -> None:
        """A client is elsewhere now."""
        for pool in self._pools:
            pool.lose(lost)

    def note_gone(self, users: frozenset[str | None]) -> None:
        """These as well are no longer users at the next change of the configuration."""
        self._gone |= users

    @override
    def note_change(self) -> None:
        """The parent knows already: it has leased."""

    @override
    def change_config(self, config: ServerConfig) -> Callable[[str | None], bool]:
        gone, self._gone = self._gone, frozenset()
        return lambda user: user not in gone

    @override
    async def run(self) -> None:
        await trio.sleep_forever()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReportedHost:
    """The machine as a worker sees it: wishes are reports to the parent, who knows all of them."""

    channel: trio.socket.SocketType
    """Where to report."""

    async def apply(self, plan: HostPlan) -> HostReport:
        """Say which MTU the tunnels here need."""
        await self.channel.send(encode_report(SmallestMtu(mtu=plan.mtu)))
        return HostReport()

    async def undo(self) -> None:
        """Leave everything to the parent."""


async def _work(plain_channel: socket.socket, begin: Begin) -> ExitCode:
    channel = trio.socket.from_stdlib_socket(plain_channel)
    config = begin.config
    with ExitStack() as resources:
        desk = resources.enter_context(socket.socket(fileno=begin.desk))
        inbox = resources.enter_context(socket.socket(fileno=begin.inbox))
        outboxes = [
            None if fd is None else resources.enter_context(socket.socket(fileno=fd))
            for fd in begin.outboxes
        ]
        sockets = [UdpSocket(local, UdpOptions(descriptor=fd)) for fd, local in begin.sockets]
        for each in sockets:
            resources.callback(each.close)
        tun = TunDevice(begin.tun)
        resources.callback(tun.close)
        detour = PacketDetour(begin.steering.own, inbox, outboxes)
        books = WorkerBooks(config, ParentDesk(desk))
        ports = ServerPorts(
            sockets=sockets,
            tun=tun,
            resolver=NameResolver(),
            host=_ReportedHost(channel=channel),
            plan=begin.plan,
            steering=begin.steering,
            detour=detour,
        )
        core = ServerCore(config, load_materials(config), books, ports)
        listening = tuple(local for _, local in begin.sockets)
        status = ServerStatus(core, listening)
        sources = ControlSources(status=status.take, events=core.records.events)
        readers = ControlReaders(sources, idle_timeout=math.inf)
        return await _serve(begin, core, _Links(channel, books, detour), readers)


class _Links:
    """What leads to the other processes."""

    def __init__(
        self, channel: trio.socket.SocketType, books: WorkerBooks, detour: PacketDetour
    ) -> None:
        self.channel = channel
        self.books = books
        self.detour = detour


async def _serve(
    begin: Begin, core: ServerCore, links: _Links, readers: ControlReaders
) -> ExitCode:
    async with trio.open_nursery() as nursery:
        try:
            for task in (
                core.driver.run,
                core.site.run,
                core.keeper.run,
                core.mtu.run,
                core.records.run,
                give_back_what_is_too_much,
            ):
                nursery.start_soon(task)
            for number in begin.readers:
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(_socket_of(number)))
                nursery.start_soon(readers.serve, stream)
            nursery.start_soon(_take_detour, links.detour, core.driver)
            await links.channel.send(encode_report(Listening()))
            return await _obey(core, links)
        finally:
            # Sends synchronously: the sockets are still open, whatever is being cancelled.
            core.close()
            nursery.cancel_scope.cancel()


def _socket_of(number: int) -> socket.socket:
    return socket.socket(fileno=number)


async def _take_detour(detour: PacketDetour, driver: ServerDriver[ServerSession]) -> None:
    while True:
        await detour.wait_readable()
        detour.deliver(driver.feed)


async def _obey(core: ServerCore, links: _Links) -> ExitCode:
    while data := await links.channel.recv(MAX_ORDER_BYTES):
        try:
            order = decode_order(data)
        except DecodeError as error:
            _log.error("the parent process says what makes no sense (%s)", error)
            return ExitCode.FAILURE
        match order:
            case Stop():
                return ExitCode.OK
            case AddressMoved() as moved:
                links.detour.note(moved)
            case LeaseLost() as lost:
                links.books.lose(lost)
                core.keeper.look_at_all()
                core.driver.kick()
            case UsersGone() as gone:
                links.books.note_gone(gone.users)
            case Reload() as reload:
                core.change_config(reload.config)
            case Begin():
                _log.error("ordered to begin twice")
    _log.error("the parent process is gone: closing all tunnels")
    return ExitCode.FAILURE
