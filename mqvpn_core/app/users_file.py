"""The file of users that a program may change: a line ``NAME:sha256:SALT:DIGEST`` for each.

The server reads it with its configuration, at the start and at SIGHUP; ``mqvpn-core user`` writes
it, whole or not at all, and one at a time. There are hashes in it only: who can read it learns the
names of users and nothing that would let them in.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mqvpn_core.app.given_files import read_given_file
from mqvpn_core.app.new_files import write_new_file
from mqvpn_core.config import parsing
from mqvpn_core.config.secret_values import HashedKey
from mqvpn_core.errors import ConfigError, HostError

_HEADING = "# users of mqvpn-core; made by 'mqvpn-core user add', read by the server at SIGHUP\n"
_MODE = 0o600


def read_users_file(path: Path) -> dict[str, HashedKey]:
    """Return the users in a file; none when there is no file yet.

    Raises:
        ConfigError: it cannot be read, or a line of it is not a user. It quotes no line.
    """
    data = read_given_file(path, "a file of users", missing=b"")
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: binary data, not a file of users") from None
    users: dict[str, HashedKey] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            name, key = parsing.user(text)
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from None
        if not isinstance(key, HashedKey):
            raise ConfigError(f"{path}:{number}: a key in plain; only hashes may stand here")
        if name in users:
            raise ConfigError(f"{path}:{number}: there are two users {name}")
        users[name] = key
    return users


@contextmanager
def changing_users_file(path: Path) -> Iterator[dict[str, HashedKey]]:
    """Give the users in a file to be changed; written back at the end, unless it ends by an error.

    Nobody else changes the file meanwhile. Its owner and mode stay.

    Raises:
        ConfigError: as `read_users_file`.
        HostError: it cannot be written.
    """
    with _lock(path):
        users = read_users_file(path)
        yield users
        _write(path, users)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # The directory is locked, not the file: that one is replaced by another with its name.
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{path.parent}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, users: Mapping[str, HashedKey]) -> None:
    lines = (f"{name}:{users[name].to_text()}\n" for name in sorted(users))
    content = (_HEADING + "".join(lines)).encode()
    try:
        before = path.stat()
    except OSError:
        write_new_file(path, content, mode=_MODE, overwrite=True)
        return
    write_new_file(path, content, mode=stat.S_IMODE(before.st_mode), overwrite=True)
    with suppress(PermissionError):  # whoever may not give it away owns it already
        os.chown(path, before.st_uid, before.st_gid)
