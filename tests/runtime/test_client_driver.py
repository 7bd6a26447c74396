"""The client's pump: what is read goes in at once, and comes out on the other side."""

import pytest
import trio
import trio.testing

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.runtime.client_driver import (
    MAX_PACKETS,
    MAX_READS,
    MAX_READS_UNDER_LOAD,
)
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.load_watch import HIGH_COUNT, LONGEST_INTERVAL, SHORTEST_INTERVAL, WINDOW
from tests.runtime.client_driver_scene import Scene
from tests.runtime.fakes import (
    REMOTE,
    AnsweringTun,
    FakeSocket,
    datagram,
    transmit,
)
from tests.runtime.virtual_time import run_virtual


def test_the_first_flight_is_sent_at_once() -> None:
    async def main() -> None:
        scene = Scene()
        scene.transport.outgoing.append(transmit(b"initial"))
        async with scene.running():
            assert scene.socket.sent == [b"initial"]

    run_virtual(main)


def test_handshake_settles_and_replies_leave_in_the_same_round() -> None:
    async def main() -> None:
        scene = Scene(quiet=False)
        async with scene.running():
            scene.socket.arrive(datagram(b"hello"), datagram(b"more"))
            await scene.driver.settled.wait()
            assert scene.socket.sent == [b"re:hello", b"re:more"]
            assert scene.driver.received_any
            assert not scene.driver.finished.is_set()

    run_virtual(main)


def test_what_the_connection_put_off_is_done_in_the_same_round() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            scene.driver.attach(scene.session, scene.observer)
            looks = scene.observer.looks
            scene.transport.puts_off = [transmit(b"late")]
            scene.socket.arrive(datagram(b"hello"))
            await trio.testing.wait_all_tasks_blocked()
            assert scene.socket.sent == [b"late"]
            assert scene.observer.looks == looks + 2
            assert not scene.transport.has_events

    run_virtual(main)


def test_packets_cross_in_both_directions() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.carrying():
            scene.tun.route_in(b"up1", b"up2")
            scene.socket.arrive(datagram(b"ip:down"), datagram(b"ip:bad"))
            await trio.testing.wait_all_tasks_blocked()
            assert scene.socket.sent == [b"ip:up1", b"ip:up2"]
            assert scene.tun.written == [b"down"]
            assert scene.driver.refused_packet_count == 1
            assert scene.observer.looks > 0

    run_virtual(main)


def test_what_the_host_answers_at_once_leaves_in_the_same_round() -> None:
    async def main() -> None:
        scene = Scene()
        scene.tun = AnsweringTun()
        async with scene.carrying():
            scene.socket.arrive(datagram(b"ip:data"))
            await trio.testing.wait_all_tasks_blocked()
            assert scene.tun.written == [b"data"]
            assert scene.socket.sent == [b"ip:data back"]

    run_virtual(main)


def test_packets_wait_in_the_device_until_the_tunnel_carries() -> None:
    async def main() -> None:
        scene = Scene()
        scene.tun.route_in(b"kept")
        async with scene.running():
            scene.driver.attach(scene.session, scene.observer)
            await trio.testing.wait_all_tasks_blocked()
            assert scene.tun.waiting == [b"kept"]
            scene.driver.carry(scene.tun)
            await trio.testing.wait_all_tasks_blocked()
            assert scene.socket.sent == [b"ip:kept"]

    run_virtual(main)


def test_one_wake_up_does_a_bounded_amount_of_work() -> None:
    async def main() -> None:
        scene = Scene()
        scene.socket.arrive(*[datagram(b"x")] * (MAX_READS + MAX_READS_UNDER_LOAD + 1))
        scene.tun.route_in(*[b"p"] * (MAX_PACKETS + 1))
        async with scene.carrying():
            await trio.sleep(2 * WINDOW)
            reads = [count for count in scene.socket.reads if count]
            assert reads == [MAX_READS, MAX_READS_UNDER_LOAD, 1]
            assert len(scene.socket.sent) == MAX_PACKETS + 1

    run_virtual(main)


def test_under_load_everything_is_looked_at_together_at_intervals() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.carrying():
            await trio.testing.wait_all_tasks_blocked()
            scene.socket.arrive(*[datagram(b"x")] * HIGH_COUNT)
            await trio.testing.wait_all_tasks_blocked()
            looks = scene.observer.looks
            # Several sources in turn, and one look for all of them.
            for number in range(HIGH_COUNT):
                scene.socket.arrive(datagram(b"ip:down%d" % number))
                scene.tun.route_in(b"up%d" % number)
                await trio.testing.wait_all_tasks_blocked()
            assert scene.tun.written == []
            assert scene.observer.looks == looks
            await trio.sleep(1.5 * SHORTEST_INTERVAL)
            assert len(scene.tun.written) == HIGH_COUNT
            assert len(scene.socket.sent) == HIGH_COUNT
            assert scene.observer.looks == looks + 1
            # It ends when nothing comes any more: then a packet is not kept waiting.
            await trio.sleep(3 * WINDOW)
            scene.socket.arrive(datagram(b"ip:single"))
            await trio.testing.wait_all_tasks_blocked()
            assert scene.tun.written[-1] == b"single"

    run_virtual(main)


def test_timers_fire_under_load_too() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            start = read_clock()
            scene.driver.attach(scene.session, scene.observer)
            scene.socket.arrive(datagram(b"timer 0.010"), *[datagram(b"x")] * HIGH_COUNT)
            while read_clock() - start < 0.030:
                scene.socket.arrive(*[datagram(b"x")] * HIGH_COUNT)
                await trio.sleep(1.5 * LONGEST_INTERVAL)
            assert [round(at - start, 2) for at in scene.transport.timeouts] == [0.01]

    run_virtual(main)


def test_timers_fire_when_load_has_ended() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            start = read_clock()
            scene.socket.arrive(datagram(b"timer 5"), *[datagram(b"x")] * HIGH_COUNT)
            await trio.sleep(20.0)
            assert [round(at - start, 3) for at in scene.transport.timeouts] == [5.0]

    run_virtual(main)


def test_the_connection_learns_what_the_link_does_not_take() -> None:
    async def main() -> None:
        scene = Scene()
        scene.socket.largest = 20
        async with scene.running():
            scene.transport.outgoing += [transmit(bytes(21)), transmit(b"small")]
            scene.driver.kick()
            assert scene.socket.sent == [b"small", b"instead of 21"]

    run_virtual(main)


def test_timers_of_connection_and_session_fire_when_due() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            start = read_clock()
            scene.driver.attach(scene.session, scene.observer)
            scene.session.deadline = Instant(start + 3.0)
            scene.socket.arrive(datagram(b"timer 7"))
            await trio.sleep(20.0)
            fired = [round(at - start, 3) for at in scene.transport.timeouts]
            assert fired == [3.0, 7.0]
            assert [round(at - start, 3) for at in scene.session.timeouts] == [3.0, 7.0]

    run_virtual(main)


def test_an_idle_driver_never_wakes() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            scene.driver.attach(scene.session, scene.observer)
            looks = scene.observer.looks
            await trio.sleep(3000.0)
            assert scene.observer.looks == looks
            assert scene.transport.timeouts == []

    run_virtual(main)


LTE = SocketAddress("198.51.100.7", 6000)
LTE_TUPLE = FourTuple(LTE, REMOTE)


def test_a_further_socket_sends_and_receives() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            lte = FakeSocket(LTE)
            lte.room = 1
            scene.driver.add_socket(lte)
            scene.transport.outgoing += [transmit(b"1", LTE_TUPLE), transmit(b"2", LTE_TUPLE)]
            scene.driver.kick()
            assert lte.sent == [b"1"]
            lte.make_room(100)
            lte.arrive(datagram(b"news", LTE_TUPLE))
            await trio.testing.wait_all_tasks_blocked()
            assert lte.sent == [b"1", b"2"]
            assert [data for _, data in scene.transport.received] == [b"news"]
        assert lte.is_closed, "what was added is the driver's to close"
        assert not scene.socket.is_closed

    run_virtual(main)


@pytest.mark.parametrize("pause", [True, False])
def test_a_dropped_socket_is_closed_and_forgotten(*, pause: bool) -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            lte = FakeSocket(LTE)
            scene.driver.add_socket(lte)
            if pause:
                await trio.testing.wait_all_tasks_blocked()
            scene.driver.drop_socket(lte)
            scene.driver.drop_socket(lte)
            scene.driver.drop_socket(scene.socket)
            lte.arrive(datagram(b"late", LTE_TUPLE))
            scene.transport.outgoing += [transmit(b"1", LTE_TUPLE), transmit(b"2")]
            scene.driver.kick()
            await trio.testing.wait_all_tasks_blocked()
            assert lte.is_closed
            assert scene.socket.is_closed
            assert lte.sent == scene.socket.sent == []
            assert scene.transport.received == []
            assert not scene.driver.finished.is_set()

    run_virtual(main)


def test_sockets_come_and_go_before_the_driver_runs() -> None:
    async def main() -> None:
        scene = Scene()
        early, gone = FakeSocket(LTE), FakeSocket(SocketAddress("198.51.100.8", 1))
        scene.driver.add_socket(early)
        scene.driver.add_socket(gone)
        scene.driver.drop_socket(gone)
        assert gone.is_closed
        async with scene.running():
            early.arrive(datagram(b"news", LTE_TUPLE))
            await trio.testing.wait_all_tasks_blocked()
            assert [data for _, data in scene.transport.received] == [b"news"]
        assert early.is_closed

    run_virtual(main)
