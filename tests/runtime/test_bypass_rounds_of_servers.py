"""Whatever a server does, the bypass stands still meanwhile; between rounds it works."""

import errno
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from typing_extensions import override

from mqvpn_core.errors import HostLostError
from mqvpn_core.ids import ConnectionHandle, Instant
from mqvpn_core.quic.bypass_lanes import BypassLanes
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.server_driver import ServerDriver
from tests.runtime.bypass_scene import (
    BypassScene,
    StillEndpoint,
    StillTransport,
    bypass_scene,
)
from tests.runtime.fakes import FakeSession
from tests.runtime.scripted_bypass import CID, open_tunnel, taken, way_in
from tests.runtime.server_driver_scene import FakeKeeper
from tests.runtime.virtual_time import at_work, rest, run_virtual

ONE, TWO = ConnectionHandle(49), ConnectionHandle(50)  # b"1", b"2"


class Keeper(FakeKeeper):
    """Gives sessions a tunnel that may be bypassed."""

    def open(self, handle: ConnectionHandle, transport: StillTransport) -> FakeSession:
        session = self.live[handle] = FakeSession(transport)
        session.bypass = open_tunnel()
        return session


class Server:
    """A server's driver on such a scene, with one client that has lanes."""

    def __init__(self, scene: BypassScene) -> None:
        self.scene = scene
        self.bypass = scene.bypass
        self.endpoint = StillEndpoint(scene.bypass)
        self.keeper = Keeper(self.endpoint)
        self.driver: ServerDriver[FakeSession] = ServerDriver(
            self.endpoint, self.keeper, [scene.socket], scene.device
        )
        self.client = self.endpoint.add(ONE)
        self.keeper.open(ONE, self.client)
        scene.open_lanes(self.client.own_lanes)


def on_server(story: Callable[[Server], Awaitable[None]]) -> None:
    async def main() -> None:
        with bypass_scene() as scene:
            server = Server(scene)
            async with at_work(server.driver.run):
                await rest()
                await story(server)
            assert scene.bypass.is_closed

    run_virtual(main)


def test_a_server_holds_it_whatever_it_does() -> None:
    async def story(server: Server) -> None:
        assert not server.bypass.is_held
        assert CID in server.bypass.inbound
        before = server.bypass.release_count
        server.driver.kick()
        server.driver.kick(ONE)
        server.driver.feed([b"1 packet"])
        assert server.bypass.release_count == before + 3
        server.endpoint.deadline = Instant(trio.current_time() + 1)
        server.driver.kick()
        await trio.sleep(2)
        assert len(server.endpoint.timeouts) == 1
        assert not server.bypass.is_held

    on_server(story)


def test_a_server_goes_on_with_what_is_handed_up_as_of_when_it_came() -> None:
    async def story(server: Server) -> None:
        key = next(iter(server.bypass.sockets))
        handed = (key, (server.scene.peer_key, b"any", 3, 0), 0.25)
        server.scene.tell(([], [handed], [], [], [], 0, 0, 1))
        await rest()
        port = server.scene.four_tuple.remote.port
        ((at, data),) = server.endpoint.transports[ConnectionHandle(port)].received
        assert data == b"any"
        assert at < read_clock() - 0.2

    on_server(story)


def test_a_server_that_fails_at_the_start_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_now: Instant) -> None:
        raise HostLostError("planted")

    async def main() -> None:
        with bypass_scene() as scene:
            server = Server(scene)
            monkeypatch.setattr(server.keeper, "take_endpoint_events", fail)
            with pytest.raises(HostLostError, match="planted"):
                await server.driver.run()
            assert scene.bypass.is_closed

    run_virtual(main)


def test_a_client_that_is_discarded_has_no_lanes_after_the_round() -> None:
    async def story(server: Server) -> None:
        server.endpoint.discard(ONE)
        server.keeper.live.pop(ONE)
        server.driver.kick()
        assert server.bypass.inbound == {}
        assert server.bypass.outbound == {}
        assert server.bypass.armed == []

    on_server(story)


def test_a_tunnel_that_ends_takes_its_lanes_with_it() -> None:
    async def story(server: Server) -> None:
        server.keeper.live[ONE].bypass = None
        server.driver.kick(ONE)
        assert server.bypass.inbound == {}

    on_server(story)


def test_a_server_goes_on_with_what_is_handed_up() -> None:
    async def story(server: Server) -> None:
        lanes = server.client.own_lanes
        lanes.places[b"1 packet"] = 3, lanes.ways_out[0].path_id
        server.scene.tell(([], [taken()], [], [b"1 packet"], [], 1, 0, 1))
        await rest()
        assert lanes.notes[0][0] == "received"
        assert server.driver.refused_packet_count == 1
        assert server.driver.bypassed_packet_count == 3
        # It has taken the ordinary way, and the next one like it need not.
        (out,) = server.bypass.outbound.values()
        assert list(out.approved) == [b"1 packet"]
        assert server.bypass.device_is_armed

    on_server(story)


class FaultyTransport(StillTransport):
    """Fails when it is told what went past it."""

    @override
    def note_bypassed(self, take: Callable[[BypassLanes], None]) -> None:
        raise RuntimeError("planted")


def test_a_fault_in_a_report_ends_one_client_alone() -> None:
    async def story(server: Server) -> None:
        faulty = FaultyTransport(server.bypass)
        server.endpoint.transports[TWO] = faulty
        server.endpoint.touched.add(TWO)
        server.keeper.open(TWO, faulty)
        faulty.own_lanes.ways_in = [way_in(server.scene.four_tuple, cid=b"otherone")]
        server.driver.kick()
        assert set(server.bypass.inbound) == {CID, b"otherone"}
        server.scene.tell(([], [taken(b"otherone"), taken(CID)], [], [], [], 0, 0, 0))
        await rest()
        assert server.keeper.failed == [TWO]
        assert [note[0] for note in server.client.own_lanes.notes] == ["received"]
        assert set(server.bypass.inbound) == {CID}

    on_server(story)


def test_a_lost_device_ends_a_server() -> None:
    seen = []

    async def story(server: Server) -> None:
        seen.append(server)
        server.scene.tell(([], [], [], [], [], 0, errno.EBADFD, 0))
        await trio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        on_server(story)
    assert caught.group_contains(HostLostError, match="has been removed")
    assert seen[0].bypass.is_closed
