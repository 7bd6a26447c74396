"""The keeper of paths between a policy, a connection in memory and its driver."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from mqvpn_core.config import LinkRole
from mqvpn_core.errors import HostError, LocalProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.events import (
    HandshakeConfirmed,
    KeysUpdated,
    PathAbandoned,
    PathIdsAvailable,
    PathValidated,
)
from mqvpn_core.quic.http3_events import ConnectionEvent
from mqvpn_core.quic.path_manager import PathUnavailableError
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.runtime.path_keeper import LINGER, KeeperParts, KeptConnection, PathKeeper
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_core.tunnel.link_table import Link, LinkMedium
from mqvpn_core.tunnel.path_policy import FIRST_PAUSE
from mqvpn_core.wire.code_points import TransportErrorCode
from mqvpn_helper.interface.host_plan import IPAddress
from tests.runtime.fake_links import FakeLinks
from tests.runtime.fakes import FakeSocket
from tests.runtime.virtual_time import run_virtual
from tests.unit.tunnel.links import SERVER4, SERVER6, link
from tests.unit.tunnel.policy_scene import down

WLAN = link(1, "wlan0", medium=LinkMedium.WIRELESS)
ETH = link(3, "eth0")
WWAN = link(2, "wwan0", medium=LinkMedium.CELLULAR)
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


def test_further_links_get_paths_with_sockets_of_their_own() -> None:
    scene = Scene(WLAN, ETH, WWAN)

    async def story() -> None:
        paths = scene.connection.paths
        assert [each.local.host for each in paths.values()] == [
            "192.0.1.2",
            "192.0.3.2",
            "192.0.2.2",
        ]
        assert {each.remote for each in paths.values()} == {REMOTE}
        assert scene.connection.uses == {1: PathUse.PRIMARY, 2: PathUse.BACKUP}
        assert scene.driver.sockets == [socket for _, socket in scene.opened]
        assert scene.open_names == ["eth0", "wlan0", "wwan0"]
        assert scene.driver.kicks > 0
        assert not scene.is_cut_off()

    played(scene, story)


def test_nothing_is_opened_before_the_handshake_is_confirmed() -> None:
    scene = Scene(WLAN, ETH)
    scene.connection.handshake_confirmed = False

    async def story() -> None:
        assert list(scene.connection.paths) == [ZERO]
        await scene.tell(KeysUpdated(key_phase=1, initiated_locally=True), HandshakeConfirmed())
        assert len(scene.connection.paths) == 2

    played(scene, story)


def test_a_lost_link_is_given_up_and_its_socket_closed_soon() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        kicks = scene.driver.kicks
        await scene.become(ETH)
        ((path_id, code, reason),) = scene.connection.abandoned
        assert (path_id, code) == (ZERO, TransportErrorCode.PATH_UNSTABLE_OR_POOR)
        assert reason
        assert scene.driver.kicks > kicks
        assert scene.open_names == ["eth0", "wlan0"], "acknowledgements may still arrive"
        await scene.tell(gone(0))
        await trio.sleep(LINGER + 0.1)
        assert scene.driver.dropped == [scene.first]
        assert list(scene.names.values()) == ["eth0"]
        assert len(scene.opened) == 1

    played(scene, story)


def test_plugging_and_unplugging_leaves_nothing_behind() -> None:
    scene = Scene(WLAN)
    scene.connection.ids_left = 1000

    async def story() -> None:
        for path_id in range(1, 201):
            await scene.become(WLAN, ETH)
            await scene.prove(path_id)
            await scene.become(WLAN)
            await scene.tell(gone(path_id))
            await trio.sleep(2)
        assert scene.open_names == ["wlan0"]
        assert list(scene.connection.paths) == [ZERO]
        assert len(scene.names) == 1
        assert len(scene.driver.dropped) == 200
        assert len(scene.keeper._sockets) == 1
        assert scene.keeper._unclosed == {}

    played(scene, story)


def test_a_link_that_comes_back_with_the_same_port_keeps_its_name() -> None:
    scene = Scene(WLAN, ETH)
    scene.has_one_port = True

    async def story() -> None:
        await scene.prove(1)
        await scene.become(WLAN)
        await scene.tell(gone(1))
        await scene.become(WLAN, ETH)
        await scene.prove(2)
        await trio.sleep(LINGER + 0.1)
        assert scene.open_names == ["eth0", "wlan0"]

    played(scene, story)


def test_what_the_connection_cannot_do_without_is_closed_later() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        scene.connection.cannot_do_without.add(ZERO)
        await scene.become(ETH)
        assert scene.connection.abandoned == []
        scene.connection.cannot_do_without.clear()
        await scene.become(ETH, down(WWAN))
        assert [path_id for path_id, _, _ in scene.connection.abandoned] == [ZERO]

    played(scene, story)


def test_a_socket_that_cannot_be_opened_is_tried_again() -> None:
    scene = Scene(WLAN, ETH)
    scene.refused.add("eth0")

    async def story() -> None:
        assert list(scene.connection.paths) == [ZERO]
        scene.refused.clear()
        await trio.sleep(FIRST_PAUSE + 0.1)
        assert len(scene.connection.paths) == 2

    played(scene, story)


def test_without_a_free_path_id_the_socket_is_closed_until_there_is_one() -> None:
    scene = Scene(WLAN, ETH)
    scene.connection.ids_left = 0

    async def story() -> None:
        ((_, socket),) = scene.opened
        assert socket.is_closed
        assert scene.driver.sockets == []
        await trio.sleep(100)
        scene.connection.ids_left = 1
        await scene.tell(PathIdsAvailable())
        assert len(scene.connection.paths) == 2

    played(scene, story)


def test_without_multipath_the_path_is_moved() -> None:
    scene = Scene(WLAN, ETH)
    scene.connection.multipath_negotiated = False

    async def story() -> None:
        assert scene.opened == []
        await scene.become(ETH)
        assert scene.connection.paths[ZERO].local.host == "192.0.3.2"
        await trio.sleep(LINGER + 0.1)
        assert scene.first.is_closed
        assert scene.open_names == ["eth0"]

    played(scene, story)


def test_moving_that_is_refused_is_tried_again() -> None:
    scene = Scene(WLAN)
    scene.connection.multipath_negotiated = False
    kept = scene.connection.paths

    async def story() -> None:
        scene.connection.paths = {}
        await scene.become(ETH)
        assert all(socket.is_closed for _, socket in scene.opened)
        scene.connection.paths = kept
        await trio.sleep(FIRST_PAUSE + 0.1)
        assert kept[ZERO].local.host == "192.0.3.2"

    played(scene, story)


def test_roles_change_while_running() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        scene.board.set_role("eth0", LinkRole.BACKUP)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.connection.uses[PathId(1)] is PathUse.BACKUP
        scene.board.set_role("eth0", LinkRole.NEVER)
        await trio.testing.wait_all_tasks_blocked()
        assert [each[1] for each in scene.connection.abandoned] == [
            TransportErrorCode.APPLICATION_ABANDON_PATH
        ]

    played(scene, story)


def test_rates_are_limited_in_both_directions() -> None:
    scene = Scene(WLAN, ETH, rules=LinkRules(rate_limits=(("eth*", 1000),)))

    async def story() -> None:
        ((_, eth),) = scene.opened
        assert scene.connection.rates == {0: None, 1: 1000}
        assert (scene.first.rate, eth.rate) == (None, 1000)
        scene.board.set_rate_limit("wlan0", 5000)
        scene.board.set_rate_limit("eth*", None)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.connection.rates == {0: 5000, 1: None}
        assert (scene.first.rate, eth.rate) == (5000, None)
        del scene.connection.paths[PathId(1)]
        scene.board.set_rate_limit("eth0", 7)
        await trio.testing.wait_all_tasks_blocked()

    played(scene, story)


def test_a_role_for_a_path_that_has_just_ended_is_no_error() -> None:
    scene = Scene(WLAN, ETH)

    async def story() -> None:
        await scene.prove(1)
        del scene.connection.paths[PathId(1)]
        scene.board.set_role("eth0", LinkRole.BACKUP)
        await trio.testing.wait_all_tasks_blocked()
        await scene.tell(gone(1))

    played(scene, story)


def test_a_forbidden_last_link_ends_the_connection() -> None:
    scene = Scene(WWAN)

    async def story() -> None:
        scene.board.set_used_up(frozenset({"wwan0"}))
        await trio.testing.wait_all_tasks_blocked()
        assert len(scene.connection.closed) == 1
        assert scene.keeper.end_reason is not None
        assert "wwan0" in scene.keeper.end_reason

    played(scene, story)


def test_silence_means_nothing_without_any_link() -> None:
    scene = Scene(WLAN)

    async def story() -> None:
        assert not scene.is_cut_off()
        await scene.become(down(WLAN))
        assert scene.is_cut_off()
        await scene.become(WLAN)
        assert not scene.is_cut_off()
        scene.links.become(replace(WLAN, known_ways=()))
        await trio.testing.wait_all_tasks_blocked()
        assert scene.is_cut_off()

    played(scene, story)


@pytest.mark.parametrize("name", ["wg7", "lo"])
def test_on_a_detour_silence_always_counts(name: str) -> None:
    detour = link(8, name, medium=LinkMedium.TUNNEL)
    scene = Scene(detour, is_detour=True)

    async def story() -> None:
        assert not scene.is_cut_off()
        await scene.become()
        assert not scene.is_cut_off()
        await scene.become(ETH)
        await scene.prove(1)
        assert [path_id for path_id, _, _ in scene.connection.abandoned] == [ZERO]
        await scene.tell(gone(0))
        await scene.become()
        assert scene.is_cut_off(), "from now on it is a connection like others"

    played(scene, story)


def test_it_ends_when_cancelled_at_any_time() -> None:
    async def main() -> None:
        for after in (0.0, 0.5, 1.0, 1.5):
            scene = Scene(WLAN, ETH)
            with trio.move_on_after(after):
                async with scene.running():
                    await scene.prove(1)
                    await scene.become(ETH)
                    await scene.tell(gone(0))
                    await trio.sleep(10)
            assert scene.keeper._nursery is None

    run_virtual(main)
