"""Keeps the paths of one connection as `mqvpn_core.tunnel.path_policy` wants them.

Tells the policy what happens to links, rules and paths, and carries out its commands: each path
has a socket of its own, bound to its link and its address, which the driver serves in a task.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol, assert_never

import trio

from mqvpn_core.config import LinkRole
from mqvpn_core.errors import HostError, LocalProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.events import (
    HandshakeConfirmed,
    PathAbandoned,
    PathIdsAvailable,
    PathValidated,
)
from mqvpn_core.quic.http3_events import ConnectionEvent
from mqvpn_core.quic.path_manager import PathUnavailableError
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.runtime.clock import DeadlineTimer, read_clock
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.runtime.link_watch import Links
from mqvpn_core.runtime.packet_ports import DatagramSocket, LimitableSocket
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.tunnel.link_rules import role_of, value_for
from mqvpn_core.tunnel.path_messages import (
    ClosePath,
    Command,
    EndConnection,
    Event,
    HandshakeDone,
    LinksChanged,
    MigratePath,
    OpeningFailed,
    OpenPath,
    PathEnded,
    PathIdsFreed,
    PathProved,
    PathStarted,
    PathView,
    RulesChanged,
    SetPathUse,
    TimeCame,
)
from mqvpn_core.tunnel.path_policy import PathPolicy, next_timeout, step
from mqvpn_core.wire.code_points import Http3ErrorCode
from mqvpn_helper.interface.host_plan import IPAddress

_log = logging.getLogger(__name__)

LINGER = 1.0
"""Seconds a socket stays open behind its path: acknowledgements may still arrive."""

_USES = {
    LinkRole.PRIMARY: PathUse.PRIMARY,
    LinkRole.SECONDARY: PathUse.SECONDARY,
    LinkRole.BACKUP: PathUse.BACKUP,
}

OpenSocket = Callable[[str, IPAddress], LimitableSocket]
"""Opens a socket bound to a link and an address; raises HostError."""


class PathTransport(Protocol):
    """What the keeper needs of a QUIC connection."""

    @property
    def handshake_confirmed(self) -> bool:
        """The server is known to have finished the handshake."""

    @property
    def multipath_negotiated(self) -> bool:
        """Further paths may be opened."""

    def open_path(self, four_tuple: FourTuple, now: Instant) -> PathId:
        """Open a path; raises PathUnavailableError while no path ID is free."""

    def migrate_path(self, path_id: PathId, four_tuple: FourTuple, now: Instant) -> None:
        """Move a path."""

    def abandon_path(
        self, path_id: PathId, error_code: int, now: Instant, reason: str = ...
    ) -> None:
        """Give a path up; raises LocalProtocolError for the only one."""

    def set_path_use(self, path_id: PathId, use: PathUse) -> None:
        """Decide what a path is for."""

    def limit_path_rate(self, path_id: PathId, bytes_per_second: float | None) -> None:
        """Limit what is sent on a path."""

    def close(self, error_code: int, reason: str, *, is_application: bool = ...) -> None:
        """Close the connection."""


class PathDriver(Protocol):
    """What the keeper needs of the connection's driver."""

    def add_socket(self, socket: DatagramSocket) -> None:
        """Serve one more socket."""

    def drop_socket(self, socket: DatagramSocket) -> None:
        """Close a socket."""

    def hold_out(self, *, is_cut_off: bool) -> None:
        """Say whether silence means anything."""

    def kick(self) -> None:
        """Send what a command has caused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptConnection:
    """One connection with its first path."""

    transport: PathTransport
    """The connection."""
    driver: PathDriver
    """Moves its packets."""
    events: deque[ConnectionEvent]
    """What it tells of its paths, for the keeper alone."""
    socket: LimitableSocket
    """Socket of the first path."""
    link: LinkInfo
    """Link of the first path."""
    remote: SocketAddress
    """Address of the server that answered."""
    is_detour: bool
    """It uses a link that no rule would choose, such as the loopback, for want of a better one."""
    link_names: dict[SocketAddress, str]
    """Filled by the keeper: by the local address of a path the name of its link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperParts:
    """What keepers work with."""

    links: Links
    """The links of this machine."""
    board: RuleBoard
    """The user's rules."""
    open_socket: OpenSocket
    """Makes sockets."""
    servers: tuple[IPAddress, ...]
    """Addresses of the server, best first."""


class PathKeeper:
    """The paths of one connection.

    A: `end_reason`. B: `look`. Tasks: `run`.
    """

    def __init__(self, kept: KeptConnection, parts: KeeperParts) -> None:
        """Prepare; nothing happens before `run`."""
        self.end_reason: str | None = None
        """Why the connection was ended from here."""
        self._kept = kept
        self._parts = parts
        self._policy = PathPolicy(
            rules=parts.board.rules, table=parts.links.table, servers=parts.servers
        )
        self._sockets = {PathId(0): kept.socket}
        kept.link_names[kept.socket.local_address] = kept.link.name
        self._is_detour = kept.is_detour
        self._unclosed: dict[PathId, ClosePath] = {}
        self._news = trio.Event()
        self._timer = DeadlineTimer()
        self._nursery: trio.Nursery | None = None

    def look(self, now: Instant) -> None:
        """Notice that the connection has news; they are dealt with in a moment."""
        del now
        if self._kept.events:
            self._news.set()

    async def run(self) -> None:
        """Keep the paths until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._feed(self._first_path())
                if self._kept.transport.handshake_confirmed:
                    self._feed(self._handshake_done())
                nursery.start_soon(self._follow_links)
                nursery.start_soon(self._follow_rules)
                nursery.start_soon(self._watch_timer)
                while True:
                    self._read_events()
                    await self._news.wait()
                    self._news = trio.Event()
        finally:
            self._nursery = None

    async def _follow_links(self) -> None:
        links = self._parts.links
        while True:
            version = links.version
            self._feed(LinksChanged(table=links.table))
            await links.wait_change(version)

    async def _follow_rules(self) -> None:
        board = self._parts.board
        while True:
            version = board.version
            self._feed(RulesChanged(rules=board.rules))
            for path_id in self._sockets:
                self._limit_rate(path_id)
            await board.wait_change(version)

    async def _watch_timer(self) -> None:
        while True:
            await self._timer.wait()
            self._feed(TimeCame())

    def _read_events(self) -> None:
        while self._kept.events:
            match self._kept.events.popleft():
                case HandshakeConfirmed():
                    self._feed(self._handshake_done())
                case PathValidated() as event:
                    self._feed(PathProved(path_id=event.path_id))
                case PathAbandoned() as event:
                    self._retire_socket(event.path_id)
                    self._feed(PathEnded(path_id=event.path_id))
                case PathIdsAvailable():
                    self._feed(PathIdsFreed())
                case _:
                    pass

    def _first_path(self) -> PathStarted:
        view = PathView(
            ifindex=self._kept.link.ifindex,
            source=self._kept.link.source,
            server=ip_address(self._kept.remote.host),
            role=LinkRole.PRIMARY,
            is_validated=True,
        )
        return PathStarted(path_id=PathId(0), view=view)

    def _handshake_done(self) -> HandshakeDone:
        return HandshakeDone(is_multipath=self._kept.transport.multipath_negotiated)

    def _feed(self, event: Event) -> None:
        """Step the policy with an event and with what its commands cause."""
        now = read_clock()
        pending = deque([event])
        was_commanded = bool(self._unclosed)
        self._close_late(now)
        while pending:
            self._policy, commands = step(self._policy, pending.popleft(), now)
            was_commanded |= bool(commands)
            for command in commands:
                answer = self._execute(command, now)
                if answer is not None:
                    pending.append(answer)
        self._timer.set(next_timeout(self._policy))
        self._kept.driver.hold_out(is_cut_off=self._is_cut_off())
        if was_commanded:
            self._kept.driver.kick()

    def _execute(self, command: Command, now: Instant) -> Event | None:
        match command:
            case OpenPath() | MigratePath():
                return self._open(command, now)
            case ClosePath():
                self._close(command, now)
            case SetPathUse():
                self._set_use(command.path_id, command.role)
            case EndConnection():
                self.end_reason = command.reason
                self._kept.transport.close(Http3ErrorCode.H3_NO_ERROR, "")
            case _:
                assert_never(command)
        return None

    def _open(self, command: OpenPath | MigratePath, now: Instant) -> Event:
        link, way = command.link, command.way
        try:
            socket = self._parts.open_socket(link.name, way.source)
        except HostError as error:
            _log.debug("no path over %s: %s", link.name, error)
            return OpeningFailed(ifindex=link.ifindex, for_want_of_ids=False)
        four_tuple = FourTuple(
            socket.local_address, SocketAddress(str(way.server), self._kept.remote.port)
        )
        try:
            path_id = self._start(command, four_tuple, now)
        except LocalProtocolError as error:
            _log.debug("no path over %s: %s", link.name, error)
            socket.close()
            for_want_of_ids = isinstance(error, PathUnavailableError)
            return OpeningFailed(ifindex=link.ifindex, for_want_of_ids=for_want_of_ids)
        self._retire_socket(path_id)
        self._sockets[path_id] = socket
        self._kept.link_names[socket.local_address] = link.name
        self._kept.driver.add_socket(socket)
        self._set_use(path_id, command.role)
        self._limit_rate(path_id)
        _log.debug("path %d over %s from %s", path_id, link.name, way.source)
        view = PathView(
            ifindex=link.ifindex, source=way.source, server=way.server, role=command.role
        )
        return PathStarted(path_id=path_id, view=view)

    def _start(
        self, command: OpenPath | MigratePath, four_tuple: FourTuple, now: Instant
    ) -> PathId:
        if isinstance(command, OpenPath):
            return self._kept.transport.open_path(four_tuple, now)
        self._kept.transport.migrate_path(command.path_id, four_tuple, now)
        return command.path_id

    def _close(self, command: ClosePath, now: Instant) -> None:
        transport = self._kept.transport
        try:
            transport.abandon_path(command.path_id, command.error_code, now, command.reason)
        except LocalProtocolError:
            # The connection cannot do without it yet.
            self._unclosed[command.path_id] = command

    def _close_late(self, now: Instant) -> None:
        unclosed, self._unclosed = self._unclosed, {}
        for command in unclosed.values():
            self._close(command, now)

    def _set_use(self, path_id: PathId, role: LinkRole) -> None:
        try:
            self._kept.transport.set_path_use(path_id, _USES[role])
        except LocalProtocolError as error:
            _log.debug("path %d: %s", path_id, error)  # it has ended, and says so in a moment

    def _limit_rate(self, path_id: PathId) -> None:
        socket = self._sockets[path_id]
        link_name = self._kept.link_names[socket.local_address]
        limit = value_for(self._parts.board.rules.rate_limits, link_name)
        socket.limit(limit)
        try:
            self._kept.transport.limit_path_rate(path_id, limit)
        except LocalProtocolError as error:
            _log.debug("path %d: %s", path_id, error)  # as above

    def _retire_socket(self, path_id: PathId) -> None:
        self._unclosed.pop(path_id, None)
        self._is_detour &= path_id != 0
        socket = self._sockets.pop(path_id, None)
        if socket is not None and self._nursery is not None:
            self._nursery.start_soon(self._drop_later, socket)

    async def _drop_later(self, socket: DatagramSocket) -> None:
        await trio.sleep(LINGER)
        local = socket.local_address
        # Sockets bound to different devices may have one address and port: a link that comes back
        # at once is another device.
        if all(other.local_address != local for other in self._sockets.values()):
            self._kept.link_names.pop(local, None)
        self._kept.driver.drop_socket(socket)

    def _is_cut_off(self) -> bool:
        """Tell whether no link leads to the server: then silence means nothing."""
        policy = self._policy
        return not self._is_detour and not any(
            link.ways and role_of(policy.rules, link) is not LinkRole.NEVER
            for link in policy.table.links.values()
        )
