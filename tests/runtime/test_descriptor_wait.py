"""Whoever has waited for packets is not woken by those that somebody else reads."""

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from mqvpn_core.errors import HostError
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.descriptor_wait import DescriptorWait
from mqvpn_core.runtime.readiness import Readiness
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket


def is_waited_for(descriptor: int) -> bool:
    """Ask the kernel whether a descriptor is in any epoll set of this process, muted or not."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if str(entry.readlink()) != "anon_inode:[eventpoll]":
                continue
            lines = Path("/proc/self/fdinfo", entry.name).read_text(encoding="ascii").splitlines()
        except FileNotFoundError:  # the directory itself
            continue
        if any(line.split()[:2] == ["tfd:", str(descriptor)] for line in lines):
            return True
    return False


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def test_a_wait_ends_when_something_comes(pair: Pair) -> None:
    async def main() -> None:
        here, there = pair
        wait = DescriptorWait(select.EPOLLIN)
        done = trio.Event()

        async def read() -> None:
            await wait.wait(here.fileno())
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            assert is_waited_for(here.fileno())
            assert not done.is_set()
            there.send(b"x")
            await done.wait()
        assert not is_waited_for(here.fileno())
        # It is still there: what nobody has read can be waited for again.
        with trio.fail_after(5):
            await wait.wait(here.fileno())
        wait.close()

    trio.run(main)


def test_who_gives_up_leaves_nothing_behind(pair: Pair) -> None:
    async def main() -> None:
        wait = DescriptorWait(select.EPOLLIN)
        with trio.move_on_after(0.01) as scope:
            await wait.wait(pair[0].fileno())
        assert scope.cancelled_caught
        assert not is_waited_for(pair[0].fileno())
        wait.close()

    trio.run(main)


def test_whoever_waits_for_what_is_closed_hears_of_it(pair: Pair) -> None:
    async def main() -> None:
        wait = DescriptorWait(select.EPOLLIN)

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await wait.wait(pair[0].fileno())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            wait.close()
        await read()
        wait.close()

    trio.run(main)


def test_too_many_descriptors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_size: int) -> None:
        raise OSError(24, "planted")

    monkeypatch.setattr(select, "epoll", refuse)
    with pytest.raises(HostError, match="Too many open files"):
        DescriptorWait(select.EPOLLIN)


def test_a_socket_that_was_read_and_written_is_in_no_set() -> None:
    async def main() -> None:
        reader, writer = (
            UdpSocket(SocketAddress(host="127.0.0.1", port=0), UdpOptions()) for _ in range(2)
        )
        readiness = Readiness([reader])
        try:
            assert not readiness.look()
            await writer.wait_writable()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(b"x", (reader.local_address.host, reader.local_address.port))
            with trio.fail_after(5):
                await reader.wait_readable()
            assert readiness.look()
            assert not is_waited_for(reader.fileno())
            assert not is_waited_for(writer.fileno())
        finally:
            reader.close()
            writer.close()
        with pytest.raises(trio.ClosedResourceError):
            await reader.wait_readable()

    trio.run(main)
