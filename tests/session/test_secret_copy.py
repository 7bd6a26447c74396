"""A secret on its way to the core: copied inside the kernel, bounded, readable again and again."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from mqvpn_helper.session.secret_copy import (
    MAX_SECRET_BYTES,
    READ_LIMIT,
    SecretCopy,
    SecretError,
)
from tests.session.stage import secret_pipe


def _memfd(content: bytes) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(fd, content)
    return fd


def _take(fd: int) -> SecretCopy:
    return trio.run(SecretCopy.take, fd, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("make", [secret_pipe, _memfd])
@pytest.mark.parametrize("size", [0, 1, 43, MAX_SECRET_BYTES])
def test_every_core_reads_the_whole_secret(make: Callable[[bytes], int], size: int) -> None:
    secret = os.urandom(size)  # noqa: TID251 - any bytes will do
    fd = make(secret)
    copy = _take(fd)
    try:
        for _ in range(2):
            reader = copy.open_reader()
            assert os.read(reader, MAX_SECRET_BYTES + 1) == secret
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(reader, b"x")
            os.close(reader)
    finally:
        copy.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_secret_that_comes_in_pieces() -> None:
    async def main() -> bytes:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        copies: list[SecretCopy] = []

        async def take() -> None:
            copies.append(await SecretCopy.take(reader))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            for piece in (b"a ", b"secret"):
                await trio.testing.wait_all_tasks_blocked()
                os.write(writer, piece)
            await trio.testing.wait_all_tasks_blocked()
            os.close(writer)
        fd = copies[0].open_reader()
        copies[0].close()
        try:
            return os.read(fd, 100)
        finally:
            os.close(fd)

    assert trio.run(main) == b"a secret"


def _endless_pipe() -> int:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.write(writer, b"half a secret")
    _ENDS.append(writer)
    return reader


_ENDS: list[int] = []


def _socket() -> int:
    left, right = socket.socketpair()
    right.close()
    return left.detach()


def _file() -> int:
    return os.open(Path(__file__), os.O_RDONLY | os.O_CLOEXEC)


def _device() -> int:
    return os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)


@pytest.mark.parametrize(
    "make",
    [
        lambda: secret_pipe(bytes(MAX_SECRET_BYTES + 1)),
        lambda: _memfd(bytes(MAX_SECRET_BYTES + 1)),
        _endless_pipe,
        _socket,
        _file,
        _device,
    ],
    ids=["long pipe", "long memfd", "endless", "socket", "file", "device"],
)
def test_what_leads_to_no_secret_is_refused_and_closed(make: Callable[[], int]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    fd = make()
    with pytest.raises(SecretError):
        _take(fd)
    while _ENDS:
        os.close(_ENDS.pop())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_writer_that_stalls_costs_a_bounded_time() -> None:
    async def main() -> float:
        started = trio.current_time()
        with pytest.raises(SecretError, match="in time"):
            await SecretCopy.take(_endless_pipe())
        return trio.current_time() - started

    took = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    os.close(_ENDS.pop())
    assert took == pytest.approx(READ_LIMIT)


def test_the_copy_cannot_be_changed_by_whoever_wrote_it() -> None:
    fd = _memfd(b"first")
    other = os.dup(fd)
    copy = _take(fd)
    os.pwrite(other, b"other", 0)
    os.close(other)
    reader = copy.open_reader()
    assert os.read(reader, 10) == b"first"
    os.close(reader)
    copy.close()


def test_what_was_copied_cannot_be_changed() -> None:
    copy = _take(secret_pipe(b"a key"))
    try:
        writer = os.open(f"/proc/self/fd/{copy.fileno()}", os.O_WRONLY | os.O_CLOEXEC)
        for change in (lambda: os.write(writer, b"x"), lambda: os.truncate(writer, 0)):
            with pytest.raises(OSError, match="Operation not permitted"):
                change()
        os.close(writer)
    finally:
        copy.close()
