"""A user's secret between the program that has it and the core that needs it.

The bytes go from a pipe or memfd into a memfd of ours inside the kernel; this process never looks
at them. Each core gets a descriptor of its own, so that one that replaces a dead one has it too.
"""

import fcntl
import os
import stat

import trio

MAX_SECRET_BYTES = 4096
"""Longest secret."""
READ_LIMIT = 10.0
"""Seconds in which whoever holds the other end has to have written it."""


class SecretError(Exception):
    """The descriptor does not lead to a secret; the message says why."""


class SecretCopy:
    """One secret. A: `is_empty`, `fileno`. C: `open_reader`, `close`."""

    def __init__(self, fd: int) -> None:
        """Own a memfd that holds it."""
        self._fd = fd

    @classmethod
    async def take(cls, fd: int) -> "SecretCopy":
        """Copy the secret that a descriptor leads to, and close the descriptor.

        Raises:
            SecretError: it is no pipe and no memfd, too long, or not written in time.
        """
        memory = os.memfd_create("mqvpn-secret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with trio.move_on_after(READ_LIMIT) as scope:
                await _copy(fd, memory)
            if scope.cancelled_caught:
                raise SecretError("the secret was not written in time")  # noqa: TRY301 - see finally
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
        except OSError as error:
            os.close(memory)
            raise SecretError(f"the secret cannot be read: {error.strerror}") from error
        except BaseException:
            os.close(memory)
            raise
        finally:
            os.close(fd)
        return cls(memory)

    @property
    def is_empty(self) -> bool:
        """Nobody has a secret for this tunnel."""
        return os.fstat(self._fd).st_size == 0

    def fileno(self) -> int:
        """Return the sealed memfd itself; it stays ours."""
        return self._fd

    def open_reader(self) -> int:
        """Return a new descriptor that reads it from the beginning; the caller closes it."""
        return os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Forget it."""
        os.close(self._fd)


async def _copy(fd: int, memory: int) -> None:
    status = os.fstat(fd)
    if stat.S_ISFIFO(status.st_mode):
        await _copy_pipe(fd, memory)
    elif stat.S_ISREG(status.st_mode):
        _refuse_other_files(fd)
        if status.st_size > MAX_SECRET_BYTES:
            raise SecretError("the secret is too long")
        os.sendfile(memory, fd, 0, status.st_size)
    else:
        raise SecretError("a secret comes through a pipe or a memfd")


async def _copy_pipe(fd: int, memory: int) -> None:
    os.set_blocking(fd, False)
    size = 0
    while True:
        await trio.lowlevel.wait_readable(fd)
        try:
            count = os.splice(fd, memory, MAX_SECRET_BYTES + 1 - size, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            continue
        if count == 0:
            return
        size += count
        if size > MAX_SECRET_BYTES:
            raise SecretError("the secret is too long")


def _refuse_other_files(fd: int) -> None:
    """A file could lie on a slow or hostile file system; what can be sealed lies in memory."""
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        raise SecretError("a secret comes through a pipe or a memfd") from None
