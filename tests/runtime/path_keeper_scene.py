"""A keeper of paths between a policy, a connection in memory and its driver."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing

from mqvpn_core.errors import HostError, LocalProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.events import (
    PathAbandoned,
    PathValidated,
)
from mqvpn_core.quic.http3_events import ConnectionEvent
from mqvpn_core.quic.path_manager import PathUnavailableError
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.runtime.path_keeper import KeeperParts, KeptConnection, PathKeeper
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.link_table import Link
from mqvpn_helper.interface.host_plan import IPAddress
from tests.runtime.fake_links import FakeLinks
from tests.runtime.fakes import FakeSocket
from tests.runtime.virtual_time import run_virtual
from tests.unit.tunnel.links import SERVER4, SERVER6

REMOTE = SocketAddress(str(SERVER4), 443)
ZERO = PathId(0)


class FakeConnection:
    """A connection that does as it is told, and remembers it."""

    def __init__(self) -> None:
        self.handshake_confirmed = True
        self.multipath_negotiated = True
        self.paths: dict[PathId, FourTuple] = {}
        self.uses: dict[PathId, PathUse] = {}
        self.rates: dict[PathId, float | None] = {}
        self.abandoned: list[tuple[PathId, int, str]] = []
        self.closed: list[int] = []
        self.ids_left = 100
        self.cannot_do_without: set[PathId] = set()
        self._next_id = 1

    def open_path(self, four_tuple: FourTuple, now: Instant) -> PathId:
        del now
        if self.ids_left == 0:
            raise PathUnavailableError("no path ID")
        self.ids_left -= 1
        path_id = PathId(self._next_id)
        self._next_id += 1
        self.paths[path_id] = four_tuple
        return path_id

    def migrate_path(self, path_id: PathId, four_tuple: FourTuple, now: Instant) -> None:
        del now
        if path_id not in self.paths:
            raise LocalProtocolError("no such path")
        self.paths[path_id] = four_tuple

    def abandon_path(
        self, path_id: PathId, error_code: int, now: Instant, reason: str = ""
    ) -> None:
        del now
        if path_id in self.cannot_do_without:
            raise LocalProtocolError("the only path")
        del self.paths[path_id]
        self.abandoned.append((path_id, error_code, reason))

    def set_path_use(self, path_id: PathId, use: PathUse) -> None:
        if path_id not in self.paths:
            raise LocalProtocolError("no such path")
        self.uses[path_id] = use

    def limit_path_rate(self, path_id: PathId, bytes_per_second: float | None) -> None:
        if path_id not in self.paths:
            raise LocalProtocolError("no such path")
        self.rates[path_id] = bytes_per_second

    def close(self, error_code: int, reason: str, *, is_application: bool = True) -> None:
        del reason, is_application
        self.closed.append(error_code)


class FakeDriver:
    """Remembers its sockets."""

    def __init__(self) -> None:
        self.sockets: list[DatagramSocket] = []
        self.dropped: list[DatagramSocket] = []
        self.is_cut_off = False
        self.kicks = 0

    def add_socket(self, socket: DatagramSocket) -> None:
        self.sockets.append(socket)

    def drop_socket(self, socket: DatagramSocket) -> None:
        self.dropped.append(socket)
        socket.close()

    def hold_out(self, *, is_cut_off: bool) -> None:
        self.is_cut_off = is_cut_off

    def kick(self) -> None:
        self.kicks += 1


class Scene:
    """A keeper of a connection that started over the first of these links."""

    def __init__(
        self, *links: Link, rules: LinkRules | None = None, is_detour: bool = False
    ) -> None:
        self.links = FakeLinks(*links)
        self.board = RuleBoard(rules or LinkRules())
        self.connection = FakeConnection()
        self.driver = FakeDriver()
        self.news: deque[ConnectionEvent] = deque()
        self.names: dict[SocketAddress, str] = {}
        self.refused: set[str] = set()
        self.has_one_port = False
        self.opened: list[tuple[str, FakeSocket]] = []
        first = links[0]
        self.first = FakeSocket(SocketAddress(str(first.known_ways[0].source), 5000))
        self.connection.paths[ZERO] = FourTuple(self.first.local_address, REMOTE)
        self.keeper = PathKeeper(
            KeptConnection(
                transport=self.connection,
                driver=self.driver,
                events=self.news,
                socket=self.first,
                link=LinkInfo(
                    ifindex=first.ifindex,
                    name=first.name,
                    source=first.known_ways[0].source,
                    mtu=1500,
                ),
                remote=REMOTE,
                is_detour=is_detour,
                link_names=self.names,
            ),
            KeeperParts(
                links=self.links,
                board=self.board,
                open_socket=self._open_socket,
                servers=(SERVER4, SERVER6),
            ),
        )

    def _open_socket(self, link_name: str, source: IPAddress) -> FakeSocket:
        if link_name in self.refused:
            raise HostError("no such interface")
        port = 5001 if self.has_one_port else 5001 + len(self.opened)
        socket = FakeSocket(SocketAddress(str(source), port))
        self.opened.append((link_name, socket))
        return socket

    @property
    def open_names(self) -> list[str]:
        """Links of sockets that are open, the first one included."""
        sockets = [self.first, *(socket for _, socket in self.opened)]
        return sorted(self.names[each.local_address] for each in sockets if not each.is_closed)

    def is_cut_off(self) -> bool:
        """The driver was told that silence means nothing."""
        return self.driver.is_cut_off

    async def tell(self, *events: ConnectionEvent) -> None:
        """The connection has news."""
        self.news.extend(events)
        self.keeper.look(Instant(trio.current_time()))
        await trio.testing.wait_all_tasks_blocked()

    async def prove(self, *path_ids: int) -> None:
        await self.tell(
            *(
                PathValidated(path_id=PathId(each), four_tuple=self.connection.paths[PathId(each)])
                for each in path_ids
            )
        )

    async def become(self, *links: Link) -> None:
        self.links.become(*links)
        await trio.testing.wait_all_tasks_blocked()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keeper.run)
            await trio.testing.wait_all_tasks_blocked()
            yield
            nursery.cancel_scope.cancel()


def gone(path_id: int) -> PathAbandoned:
    return PathAbandoned(path_id=PathId(path_id), error_code=0, by_peer=True, reason="")


def played(scene: Scene, story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with scene.running():
            await story()

    run_virtual(main)
