"""Sealed bytes wait for their socket, in order and within bounds."""

import trio
import trio.testing

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.runtime.outbox import MAX_BACKLOG, Outbox
from tests.runtime.fakes import LOCAL, REMOTE, FakeSocket, transmit
from tests.runtime.virtual_time import run_virtual


def test_each_transmit_leaves_by_its_own_socket() -> None:
    other = SocketAddress("198.51.100.7", 6000)
    one, two = FakeSocket(), FakeSocket(other)
    outbox = Outbox([one, two])
    there = FourTuple(other, REMOTE)
    outbox.send([transmit(b"1"), transmit(b"2", there), transmit(b"3", there), transmit(b"4")])
    assert one.sent == [b"1", b"4"]
    assert two.sent == [b"2", b"3"]


def test_the_newest_of_two_sockets_of_one_address_sends() -> None:
    old, new = FakeSocket(), FakeSocket()
    outbox = Outbox([old])
    outbox.send([transmit(b"1")])
    outbox.add(new)
    outbox.send([transmit(b"2")])
    outbox.remove(new)
    outbox.send([transmit(b"3")])
    assert (old.sent, new.sent) == ([b"1", b"3"], [b"2"])


def test_wildcard_sockets_take_their_family() -> None:
    v4 = FakeSocket(SocketAddress("0.0.0.0", 443))  # noqa: S104 - a name, nothing is bound
    v6 = FakeSocket(SocketAddress("::", 443))
    outbox = Outbox([v6, v4])
    peer6 = SocketAddress("2001:db8::9", 1)
    outbox.send(
        [
            transmit(b"four", FourTuple(SocketAddress("192.0.2.1", 443), LOCAL)),
            transmit(b"six", FourTuple(SocketAddress("2001:db8::1", 443), peer6)),
            transmit(b"nowhere", FourTuple(SocketAddress("192.0.2.1", 444), LOCAL)),
        ]
    )
    assert v4.sent == [b"four"]
    assert v6.sent == [b"six"]
    assert outbox.losses.no_socket_count == 1


def test_backlog_is_sent_in_order_when_the_socket_is_writable() -> None:
    async def main() -> None:
        socket = FakeSocket()
        socket.room = 2
        outbox = Outbox([socket])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            outbox.send([transmit(bytes([n])) for n in range(5)])
            outbox.send([transmit(bytes([5]))])
            await trio.testing.wait_all_tasks_blocked()
            assert socket.sent == [bytes([n]) for n in range(2)]
            socket.make_room(1)
            await trio.testing.wait_all_tasks_blocked()
            assert socket.sent == [bytes([n]) for n in range(3)]
            socket.make_room(100)
            await trio.testing.wait_all_tasks_blocked()
            assert socket.sent == [bytes([n]) for n in range(6)]
            outbox.send([transmit(b"x")])
            assert socket.sent[-1] == b"x"
            nursery.cancel_scope.cancel()
        assert outbox.losses.no_room_count == 0

    run_virtual(main)


def test_what_exceeds_the_backlog_is_dropped_and_counted() -> None:
    socket = FakeSocket()
    socket.room = 0
    outbox = Outbox([socket])
    outbox.send([transmit(b"x")] * (MAX_BACKLOG + 3))
    outbox.send([transmit(b"y")] * 2)
    assert outbox.losses.no_room_count == 5


def test_one_full_socket_does_not_hold_up_another() -> None:
    other = SocketAddress("198.51.100.7", 6000)
    full, free = FakeSocket(), FakeSocket(other)
    full.room = 0
    outbox = Outbox([full, free])
    outbox.send([transmit(b"1"), transmit(b"2", FourTuple(other, REMOTE))])
    assert full.sent == []
    assert free.sent == [b"2"]


def test_sockets_may_come_and_go() -> None:
    async def main() -> None:
        lte = SocketAddress("198.51.100.7", 6000)
        there = transmit(b"there", FourTuple(lte, REMOTE))
        outbox = Outbox([FakeSocket()])
        outbox.send([there])
        assert outbox.losses.no_socket_count == 1
        socket = FakeSocket(lte)
        socket.room = 1
        outbox.add(socket)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.flush, socket)
            outbox.send([there, there])
            socket.make_room(9)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert socket.sent == [b"there", b"there"]
        outbox.remove(socket)
        outbox.remove(socket)
        outbox.send([there])
        assert outbox.losses.no_socket_count == 2
        await outbox.flush(socket)

    run_virtual(main)
