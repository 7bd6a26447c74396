"""The server's pump: many clients on one socket, and a wall between them."""

import pytest
import trio
import trio.testing
from typing_extensions import override

from mqvpn_core.ids import ConnectionHandle, Instant
from mqvpn_core.runtime.client_driver import MAX_PACKETS_UNDER_LOAD, MAX_READS, MAX_READS_UNDER_LOAD
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.load_watch import HIGH_COUNT, LONGEST_INTERVAL, SHORTEST_INTERVAL, WINDOW
from mqvpn_core.runtime.server_driver import MANY_CLIENTS
from tests.runtime.fakes import (
    AnsweringTun,
    FakeSession,
    transmit,
)
from tests.runtime.server_driver_scene import Scene
from tests.runtime.virtual_time import run_virtual


def test_packets_of_two_clients_cross_without_mixing() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"ip:from one")
            await scene.client_sends(2, b"ip:from two", b"ip:bad")
            assert scene.tun.written == [b"from one", b"from two"]
            assert scene.driver.refused_packet_count == 1
            await scene.host_sends(b"\x01a", b"\x02b", b"\x01c", b"\x07nobody")
            assert sorted(scene.socket.sent) == [b"ip:\x01a", b"ip:\x01c", b"ip:\x02b"]

    run_virtual(main)


def test_what_a_connection_put_off_is_done_in_the_same_round() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"hello")
            looks = len(scene.keeper.looks)
            scene.endpoint.transports[ConnectionHandle(1)].puts_off = [transmit(b"late")]
            await scene.client_sends(1, b"more")
            assert scene.socket.sent == [b"late"]
            assert len(scene.keeper.looks) == looks + 2
            assert not scene.endpoint.has_ready

    run_virtual(main)


def test_what_the_host_answers_at_once_leaves_in_the_same_round() -> None:
    async def main() -> None:
        scene = Scene(AnsweringTun())
        async with scene.running():
            await scene.client_sends(1, b"ip:\x01data")
            assert scene.tun.written == [b"\x01data"]
            assert scene.socket.sent == [b"ip:\x01data back"]

    run_virtual(main)


def test_errors_about_packets_of_the_host_go_back_at_once() -> None:
    class Judging(FakeSession):
        @override
        def take_ip_packets(self) -> list[bytes]:
            sent, self.transport.outgoing = self.transport.outgoing, []
            return [b"too big: " + each.data for each in sent]

    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"a")
            handle = ConnectionHandle(1)
            scene.keeper.live[handle] = Judging(scene.endpoint.transports[handle])
            looks = len(scene.keeper.looks)
            await scene.host_sends(b"\x01b")
            assert scene.tun.written == [b"too big: ip:\x01b"]
            assert scene.socket.sent == []
            assert len(scene.keeper.looks) == looks

    run_virtual(main)


def test_one_batch_of_reads_is_one_write_to_the_host() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, *[b"ip:x"] * (MAX_READS + MAX_READS_UNDER_LOAD + 2))
            await trio.sleep(WINDOW)
            assert scene.tun.write_sizes == [MAX_READS, MAX_READS_UNDER_LOAD, 2]

    run_virtual(main)


def test_under_load_everything_is_looked_at_together_at_intervals() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, *[b"x"] * HIGH_COUNT)
            for _ in range(HIGH_COUNT):
                await scene.client_sends(1, b"ip:up")
                await scene.host_sends(b"\x01down")
            assert scene.tun.written == []
            assert scene.socket.sent == []
            await trio.sleep(1.5 * SHORTEST_INTERVAL)
            assert scene.tun.write_sizes == [HIGH_COUNT]
            assert len(scene.socket.sent) == HIGH_COUNT
            await trio.sleep(3 * WINDOW)
            await scene.client_sends(1, b"ip:single")
            assert scene.tun.written[-1] == b"single"

    run_virtual(main)


@pytest.mark.parametrize(("clients", "served"), [(MANY_CLIENTS, 3), (MANY_CLIENTS - 1, 1)])
def test_where_many_share_the_device_one_look_takes_what_waits(clients: int, served: int) -> None:
    """Each client is then served once for all of it; few clients leave time for other work."""

    async def main() -> None:
        scene = Scene()
        async with scene.running():
            for number in range(1, clients + 1):
                await scene.client_sends(number, *[b"x"] * HIGH_COUNT)
            waiting = [bytes([1 + turn % clients]) for turn in range(3 * MAX_PACKETS_UNDER_LOAD)]
            await scene.host_sends(*waiting)
            await trio.sleep(1.5 * SHORTEST_INTERVAL)
            assert len(scene.socket.sent) == served * MAX_PACKETS_UNDER_LOAD

    run_virtual(main)


def test_timers_fire_under_load_and_after_it() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            start = read_clock()
            scene.endpoint.deadline = Instant(start + 0.01)
            while read_clock() - start < 0.03:
                await scene.client_sends(1, *[b"x"] * HIGH_COUNT)
                await trio.sleep(1.5 * LONGEST_INTERVAL)
            assert [round(at - start, 2) for at in scene.endpoint.timeouts] == [0.01]
            scene.endpoint.deadline = Instant(start + 5.0)
            await scene.client_sends(1, b"x")
            await trio.sleep(20.0)
            assert [round(at - start, 2) for at in scene.endpoint.timeouts] == [0.01, 5.0]

    run_virtual(main)


def test_the_connection_learns_what_the_link_does_not_take() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"a")
            scene.socket.largest = 20
            scene.endpoint.transports[ConnectionHandle(1)].outgoing.append(transmit(bytes(21)))
            scene.driver.kick(ConnectionHandle(1))
            assert scene.socket.sent == [b"instead of 21"]

    run_virtual(main)


def test_only_connections_with_news_are_visited() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"a")
            await scene.client_sends(2, b"a")
            scene.keeper.looks.clear()
            await scene.client_sends(2, b"b")
            assert scene.keeper.looks == [2]
            scene.driver.kick(ConnectionHandle(1))
            assert scene.keeper.looks == [2, 1]

    run_virtual(main)


def test_timers_of_sessions_fire_when_due_and_only_theirs() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            start = read_clock()
            for number in (1, 2, 3):
                await scene.client_sends(number, b"a")
                session = scene.keeper.live[ConnectionHandle(number)]
                session.deadline = Instant(start + 10.0 * number)
                await scene.client_sends(number, b"b")
            await trio.sleep(25.0)
            fired = {
                number: [round(at - start, 3) for at in session.timeouts]
                for number, session in scene.keeper.live.items()
            }
            assert fired == {1: [10.0], 2: [20.0], 3: []}

    run_virtual(main)


def test_an_idle_server_never_wakes() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"a")
            looks = len(scene.keeper.looks)
            await trio.sleep(3000.0)
            assert len(scene.keeper.looks) == looks
            assert scene.endpoint.timeouts == []

    run_virtual(main)


@pytest.mark.parametrize("poison", [b"crash", b"poison"])
def test_a_fault_while_receiving_stays_with_its_client(
    poison: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"ip:a")
            await scene.client_sends(2, poison)
            await scene.client_sends(1, b"ip:b")
            assert scene.tun.written == [b"a", b"b"]
            assert scene.driver.fault_count == 1
            assert ConnectionHandle(1) not in scene.keeper.failed

    run_virtual(main)
    assert "planted" in caplog.text
    assert "Traceback" in caplog.text


def test_a_fault_while_sending_stays_with_its_client() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"a")
            await scene.client_sends(2, b"a")
            scene.keeper.live[ConnectionHandle(2)].fail_on = b"\x02x"
            await scene.host_sends(b"\x02x", b"\x01y")
            assert scene.socket.sent == [b"ip:\x01y"]
            assert scene.keeper.failed == [2]

    run_virtual(main)


def test_a_fault_in_the_endpoint_stays_with_its_client() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            for number in (1, 2, 3):
                await scene.client_sends(number, b"a")
            scene.endpoint.fails_at_timeout.add(ConnectionHandle(2))
            scene.endpoint.deadline = Instant(read_clock() + 1.0)
            await scene.client_sends(1, b"b")
            await trio.sleep(2.0)
            assert scene.endpoint.discarded == [2]
            scene.endpoint.fails_at_sending.add(ConnectionHandle(3))
            await scene.client_sends(1, b"ip:up")
            await scene.host_sends(b"\x01down")
            assert scene.endpoint.discarded == [2, 3]
            assert scene.tun.written == [b"up"]
            assert scene.socket.sent == [b"ip:\x01down"]
            assert scene.driver.fault_count == 2

    run_virtual(main)


def test_a_fault_in_a_timer_stays_with_its_client() -> None:
    class Faulty(FakeSession):
        @override
        def handle_timeout(self, now: Instant) -> None:
            raise RuntimeError(f"planted at {now}")

    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await scene.client_sends(1, b"a")
            await scene.client_sends(2, b"a")
            faulty = Faulty(scene.endpoint.transports[ConnectionHandle(2)])
            faulty.deadline = Instant(read_clock() + 1.0)
            scene.keeper.live[ConnectionHandle(2)] = faulty
            await scene.client_sends(2, b"b")
            await trio.sleep(5.0)
            assert scene.keeper.failed == [2]
            await scene.client_sends(1, b"ip:still here")
            assert scene.tun.written == [b"still here"]

    run_virtual(main)
