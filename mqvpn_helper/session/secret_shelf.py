"""Where a secret waits for the next helper while this one may die at any moment.

Under systemd that is systemd itself: it keeps the descriptor of the sealed memfd, gives it to the
helper that it starts again, and closes it when the service is stopped. Without systemd it is a
file of root's beside the journal, and only where that directory lies in memory. Neither looks at
the bytes: the kernel copies them.
"""

import array
import fcntl
import logging
import os
import socket
from contextlib import suppress
from typing import Protocol

from typing_extensions import override

from mqvpn_helper.host.wish_files import WishFiles
from mqvpn_helper.interface.service_notices import drop_descriptors, keep_descriptor

_LOGGER = logging.getLogger(__name__)

SECRET_NAME = "mqvpn-secret"  # noqa: S105 - the name of a descriptor
"""What systemd calls it."""


class SecretShelf(Protocol):
    """One place; what goes wrong there is logged: the user will be asked for the secret again."""

    def put(self, files: WishFiles, secret: int) -> None:
        """Keep a secret, in place of an earlier one; the descriptor stays the caller's."""

    def take(self, files: WishFiles) -> int | None:
        """Return a descriptor that reads what an earlier process has put there; None: nothing."""
        ...

    def clear(self, files: WishFiles) -> None:
        """Forget it."""


class FileShelf(SecretShelf):
    """A file in memory that only root may read."""

    @override
    def put(self, files: WishFiles, secret: int) -> None:
        draft = files.secret.with_name(f"{files.secret.name}.draft")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            draft.unlink(missing_ok=True)
            files.secret.unlink(missing_ok=True)
            fd = os.open(draft, flags, 0o600)
            try:
                # What can be sealed lies in memory: nothing of it is left after a reboot.
                fcntl.fcntl(fd, fcntl.F_GET_SEALS)
                os.sendfile(fd, secret, 0, os.fstat(secret).st_size)
            except BaseException:
                draft.unlink()
                raise
            finally:
                os.close(fd)
            draft.replace(files.secret)
        except OSError as error:
            _LOGGER.info("the secret does not survive this process: %s", error)

    @override
    def take(self, files: WishFiles) -> int | None:
        try:
            return os.open(files.secret, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None

    @override
    def clear(self, files: WishFiles) -> None:
        with suppress(OSError):
            files.secret.unlink(missing_ok=True)


class ManagerShelf(SecretShelf):
    """The descriptor store of systemd."""

    def __init__(self, address: str | bytes, kept: int | None) -> None:
        """Take what systemd has said to this process.

        Args:
            address: the socket it listens on.
            kept: the descriptor that it has kept, ours to close from now on.
        """
        self._address = address
        self._kept = kept
        if kept is not None:
            os.set_inheritable(kept, False)

    @override
    def put(self, files: WishFiles, secret: int) -> None:
        self.clear(files)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [secret]))
        self._tell(keep_descriptor(SECRET_NAME), [rights])

    @override
    def take(self, files: WishFiles) -> int | None:
        kept, self._kept = self._kept, None
        return kept

    @override
    def clear(self, files: WishFiles) -> None:
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None
        self._tell(drop_descriptors(SECRET_NAME), [])

    def _tell(self, notice: bytes, rights: "list[tuple[int, int, array.array[int]]]") -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendmsg([notice], rights, 0, self._address)
        except OSError as error:
            _LOGGER.info("the service manager does not listen: %s", error)
