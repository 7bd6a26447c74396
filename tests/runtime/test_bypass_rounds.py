"""Whatever a client does, the bypass stands still meanwhile; between rounds it works."""

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.client_driver import ClientDriver
from mqvpn_core.runtime.clock import read_clock
from tests.runtime.bypass_scene import (
    BypassScene,
    StillSession,
    StillTransport,
    bypass_scene,
)
from tests.runtime.scripted_bypass import open_tunnel, taken
from tests.runtime.virtual_time import at_work, rest, run_virtual


class Client:
    """A client's driver on such a scene."""

    def __init__(self, scene: BypassScene) -> None:
        self.scene = scene
        self.bypass = scene.bypass
        self.transport = StillTransport(scene.bypass)
        self.session = StillSession(self.transport)
        self.session.bypass = open_tunnel()
        self.driver = ClientDriver(self.transport, [scene.socket])

    def open_lanes(self) -> None:
        self.scene.open_lanes(self.transport.own_lanes)


@asynccontextmanager
async def carrying(*, has_lanes: bool = True) -> AsyncIterator[Client]:
    with bypass_scene() as scene:
        client = Client(scene)
        async with at_work(client.driver.run):
            client.driver.attach(client.session)
            client.driver.carry(scene.device)
            if has_lanes:
                client.open_lanes()
            client.driver.kick()
            await rest()
            yield client
        assert scene.bypass.is_closed


def on_client(story: Callable[[Client], Awaitable[None]], *, has_lanes: bool = True) -> None:
    async def main() -> None:
        async with carrying(has_lanes=has_lanes) as client:
            await story(client)

    run_virtual(main)


def test_a_client_holds_it_whatever_it_does() -> None:
    async def story(client: Client) -> None:
        assert not client.bypass.is_held
        assert client.bypass.armed
        driver, transport = client.driver, client.transport
        transport.own_lanes.ways_in = []  # so that the socket is the driver's
        transport.calls.clear()
        driver.kick()
        client.scene.arrive(b"hello")
        await rest()
        assert "receive" in transport.calls
        client.scene.host.send(b"packet")
        await rest()
        assert client.session.sent == [b"packet"]
        transport.deadline = Instant(trio.current_time() + 1)
        driver.kick()
        await trio.sleep(2)
        assert "timeout" in transport.calls
        client.open_lanes()
        driver.kick()
        assert not client.bypass.is_held

    on_client(story)


def test_a_client_lets_the_bypass_read_what_it_reads() -> None:
    async def story(client: Client) -> None:
        client.scene.arrive(b"for the bypass")
        await rest()
        assert client.transport.received == []
        client.transport.own_lanes.ways_in = []
        client.driver.kick()
        await rest()
        assert [data for _, data in client.transport.received] == [b"for the bypass"]

    on_client(story)


def test_a_client_lets_the_bypass_read_the_device() -> None:
    async def story(client: Client) -> None:
        lanes = client.transport.own_lanes
        lanes.places[b"first"] = 1, lanes.ways_out[0].path_id
        client.scene.host.send(b"first")
        await rest()
        assert client.bypass.device_is_armed
        client.scene.host.send(b"second")
        await rest()
        assert client.session.sent == [b"first"]
        lanes.ways_out = []
        client.driver.kick()
        await rest()
        assert client.session.sent == [b"first", b"second"]

    on_client(story)


def test_a_client_goes_on_with_what_is_handed_up() -> None:
    async def story(client: Client) -> None:
        key = next(iter(client.bypass.sockets))
        handed = (key, (client.scene.peer_key, b"hello", 5, 0), 0.25)
        client.transport.calls.clear()
        client.scene.tell(([], [taken(), handed], [], [b"packet"], [], 2, 0, 1))
        await rest()
        assert client.transport.handshake_complete
        # As of when it came.
        assert client.transport.received[-1][0] < read_clock() - 0.2
        assert client.session.sent == [b"packet"]
        assert client.transport.calls[-1] == "transmits"
        assert client.transport.outgoing == []
        assert client.driver.refused_packet_count == 2
        assert client.driver.bypassed_packet_count == 3
        assert client.driver.received_any
        assert not client.bypass.is_held

    on_client(story)


def test_a_client_sends_what_a_socket_did_not_take() -> None:
    async def story(client: Client) -> None:
        lane = next(iter(client.bypass.outbound))
        client.scene.tell(([], [], [(lane, b"sealed", 6)], [], [], 0, 0, 0))
        await rest()
        assert client.scene.peer.recv(100) == b"sealed"

    on_client(story)


def test_sockets_come_and_go_between_rounds() -> None:
    async def story(client: Client) -> None:
        other = client.scene.open_socket()
        client.driver.add_socket(other)
        assert len(client.bypass.sockets) == 2
        assert not client.bypass.is_held
        client.driver.drop_socket(client.scene.socket)
        await rest()
        assert list(client.bypass.sockets.values()) == [other.fileno()]
        assert client.bypass.inbound == {}
        assert client.bypass.armed == []
        client.driver.drop_socket(client.scene.socket)

    on_client(story)


def test_an_exception_leaves_it_held() -> None:
    seen = []

    async def story(client: Client) -> None:
        seen.append((client, client.bypass.release_count))
        key = next(iter(client.bypass.sockets))
        handed = (key, (client.scene.peer_key, b"crash", 5, 0), 0.0)
        client.scene.tell(([], [handed], [], [], [], 0, 0, 0))
        await trio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        on_client(story)
    assert caught.group_contains(RuntimeError, match="planted")
    ((client, released),) = seen
    assert client.bypass.release_count == released
    assert client.bypass.is_closed


@pytest.mark.parametrize("by_bypass", [True, False])
def test_a_lost_device_ends_a_client(*, by_bypass: bool) -> None:
    async def story(client: Client) -> None:
        if by_bypass:
            client.scene.tell(([], [], [], [], [], 0, errno.EBADFD, 0))
            await client.driver.finished.wait()
            assert "has been removed" in str(client.driver.device_failure)
        else:
            client.driver.finish()
            assert client.driver.device_failure is None

    on_client(story)


def test_the_last_word_comes_after_the_report() -> None:
    """CONNECTION_CLOSE takes a number: those that the bypass has used are known by then."""

    async def story(client: Client) -> None:
        lanes = client.transport.own_lanes
        lane = next(iter(client.bypass.outbound))
        client.bypass.happened = (
            [(lane, 100, [(50, 2, 100)], [], [], 0.0)],
            [],
            [],
            [],
            [],
            0,
            0,
            0,
        )
        client.transport.calls.clear()
        client.transport.is_ending = True
        lanes.ways_in, lanes.ways_out = [], []
        client.driver.finish()
        assert [note[0] for note in lanes.notes] == ["sent"]
        assert client.transport.calls[0] == "transmits"
        assert client.bypass.is_held
        assert client.bypass.outbound == {}

    on_client(story)


def test_a_client_that_has_ended_takes_no_bypass_any_more() -> None:
    """The machine may be ready for the tunnel only when the connection is over already."""

    async def main() -> None:
        with bypass_scene() as scene:
            client = Client(scene)
            client.driver.attach(client.session)
            client.driver.finish()
            await client.driver.run()
            client.driver.carry(scene.device)
            assert scene.bypass.sockets == {}, "it was not even asked for"

    run_virtual(main)
