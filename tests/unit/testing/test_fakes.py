"""The in-memory twins of the TUN device and of UDP sockets behave like the real ones."""

from collections.abc import Callable, Coroutine

import pytest
import trio
import trio.testing

from mqvpn_core.errors import HostError
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.fake_tun import FakeTun
from mqvpn_core.testing.fake_udp import FakeUdp, FakeUdpNetwork

ONE, OTHER = SocketAddress("192.0.2.1", 1), SocketAddress("192.0.2.2", 2)


def transmit(data: bytes, segment_size: int) -> Transmit:
    four_tuple = FourTuple(local=ONE, remote=OTHER)
    return Transmit(four_tuple=four_tuple, data=data, segment_size=segment_size, ecn=2)


def is_waiting(wait: Callable[[], Coroutine[object, object, None]]) -> bool:
    async def main() -> bool:
        with trio.move_on_after(1) as scope:
            await wait()
        return scope.cancelled_caught

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_network_carries_to_the_bound_socket() -> None:
    network = FakeUdpNetwork()
    one, other = FakeUdp(ONE, network), FakeUdp(SocketAddress("0.0.0.0", 2), network)  # noqa: S104 - nothing is bound
    assert one.send([transmit(b"aabbc", 2)]) == []
    assert other.receive(8) == [
        ReceivedDatagrams(FourTuple(local=OTHER, remote=ONE), b"aabbc", 2, 2)
    ]
    other.close()
    other.close()
    assert other.is_closed
    assert one.send([transmit(b"lost", 4)]) == []
    assert [each.data for each in one.sent] == [b"aabbc", b"lost"]


def test_full_socket_gives_back_the_rest() -> None:
    one = FakeUdp(ONE)
    one.limit(3)
    rest = one.send([transmit(b"aabb", 2), transmit(b"ccddee", 2), transmit(b"f", 1)])
    assert [each.data for each in one.sent] == [b"aabb", b"cc"]
    assert [each.data for each in rest] == [b"ddee", b"f"]
    assert is_waiting(one.wait_writable)
    one.limit(None)
    assert not is_waiting(one.wait_writable)
    assert one.send(rest) == []


def test_reads_of_the_socket_are_bounded_and_waited_for() -> None:
    one = FakeUdp(ONE)
    assert is_waiting(one.wait_readable)
    batches = [
        ReceivedDatagrams(FourTuple(local=ONE, remote=OTHER), bytes([n]), 1, 0) for n in range(3)
    ]
    for batch in batches:
        one.arrive(batch)
    assert not is_waiting(one.wait_readable)
    assert one.receive(2) == batches[:2]
    assert one.receive(2) == batches[2:]


def test_arrival_wakes_who_waits() -> None:
    async def main() -> None:
        one, tun = FakeUdp(ONE), FakeTun()
        one.limit(0)
        async with trio.open_nursery() as nursery:
            for wait in (one.wait_readable, one.wait_writable, tun.wait_readable):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            one.arrive(ReceivedDatagrams(FourTuple(local=ONE, remote=OTHER), b"x", 1, 0))
            one.limit(5)
            tun.route([b"\x45"])

    trio.run(main)


def test_tun_gives_and_takes() -> None:
    tun = FakeTun(queue_length=2)
    assert is_waiting(tun.wait_readable)
    tun.route([b"\x45 a", b"\x60 b", b"\x45 c"])
    assert not is_waiting(tun.wait_readable)
    assert tun.read_packets(2) == [b"\x45 a", b"\x60 b"]
    assert tun.read_packets(2) == [b"\x45 c"]
    assert tun.write_packets([b"", b"\x00", b"\x45 d", b"\x60 e", b"\x45 too many"]) == 3
    assert tun.written == [b"\x45 d", b"\x60 e"]
    tun.close()
    assert tun.is_closed


def test_tun_that_was_removed() -> None:
    tun = FakeTun()
    tun.remove()
    assert not is_waiting(tun.wait_readable)
    assert tun.write_packets([b"\x45"]) == 1
    with pytest.raises(HostError, match="removed"):
        tun.read_packets(1)
