"""A socket that is read no faster than it may be."""

import socket

import pytest
import trio

from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.limited_socket import SMALLEST_BURST, SMALLEST_QUEUE, LimitedSocket
from mqvpn_core.runtime.udp_opening import RECEIVE_BUFFER_BYTES, UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.runtime.fakes import FakeSocket, datagram, transmit
from tests.runtime.virtual_time import run_virtual

RATE = 10_000.0
PACKET = 1000


class BufferedFake(FakeSocket):
    """Remembers the buffers it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[int | None] = []

    def set_receive_buffer(self, wanted_bytes: int | None) -> None:
        self.buffers.append(wanted_bytes)


async def read_for(limited: LimitedSocket, seconds: float) -> int:
    """Read all that may be read for a while; return the bytes."""
    total = 0
    with trio.move_on_after(seconds):
        while True:
            await limited.wait_readable()
            batches = limited.receive(32)
            total += sum(len(batch.data) for batch in batches)
    return total


def test_without_a_limit_everything_passes() -> None:
    async def main() -> None:
        inner = BufferedFake()
        limited = LimitedSocket(inner)
        inner.arrive(*(datagram(bytes(PACKET)) for _ in range(100)))
        await limited.wait_readable()
        assert len(limited.receive(200)) == 100
        assert limited.send([transmit(b"x")]) == []
        await limited.wait_writable()
        assert inner.sent == [b"x"]
        assert limited.local_address == inner.local_address
        limited.close()
        assert inner.is_closed

    run_virtual(main)


def test_a_limit_holds_over_time() -> None:
    async def main() -> None:
        inner = BufferedFake()
        limited = LimitedSocket(inner)
        limited.limit(RATE)
        inner.arrive(*(datagram(bytes(PACKET)) for _ in range(1000)))
        assert await read_for(limited, 10.0) == pytest.approx(10 * RATE, rel=0.05)
        limited.limit(None)
        assert await read_for(limited, 1.0) > 800 * PACKET

    run_virtual(main)


def test_a_pause_saves_up_no_more_than_a_burst() -> None:
    async def main() -> None:
        inner = BufferedFake()
        limited = LimitedSocket(inner)
        limited.limit(RATE)
        await trio.sleep(100)
        inner.arrive(*(datagram(bytes(PACKET)) for _ in range(100)))
        taken = sum(len(batch.data) for batch in limited.receive(100))
        assert SMALLEST_BURST <= taken <= SMALLEST_BURST + PACKET

    run_virtual(main)


def test_what_waits_has_a_small_buffer() -> None:
    async def main() -> None:
        inner = BufferedFake()
        limited = LimitedSocket(inner)
        for rate in (RATE, RATE, 10_000_000.0, None, None):
            limited.limit(rate)
        assert inner.buffers == [SMALLEST_QUEUE, 1_000_000, None]
        await trio.lowlevel.checkpoint()

    run_virtual(main)


def test_an_empty_socket_is_waited_for() -> None:
    async def main() -> None:
        inner = BufferedFake()
        limited = LimitedSocket(inner)
        limited.limit(RATE)
        assert limited.receive(5) == []
        inner.arrive(datagram(bytes(PACKET)))
        await limited.wait_readable()
        assert len(limited.receive(5)) == 1

    run_virtual(main)


def test_the_kernel_takes_the_buffers() -> None:
    real = UdpSocket(SocketAddress("127.0.0.1", 0), UdpOptions())
    try:
        size = real._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        real.set_receive_buffer(SMALLEST_QUEUE)
        small = real._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert small == 2 * SMALLEST_QUEUE
        real.set_receive_buffer(None)
        assert real._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == size
        assert RECEIVE_BUFFER_BYTES > SMALLEST_QUEUE
        assert not real.is_closed
    finally:
        real.close()
    assert real.is_closed
