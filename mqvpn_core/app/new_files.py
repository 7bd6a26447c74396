"""Writes files that hold secrets: never with a wider mode, never half, never over another file."""

import os
import secrets
from pathlib import Path

from mqvpn_core.errors import HostError


def write_new_file(path: Path, content: bytes, *, mode: int, overwrite: bool) -> None:
    """Write a whole file, or nothing.

    Args:
        path: where.
        content: the bytes.
        mode: permissions of the file.
        overwrite: replace a file that is there.

    Raises:
        HostError: it is there already, or the system refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)  # whatever the umask says
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # unlike a rename it fails when the name is taken
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise HostError(f"{path}: exists already; --force overwrites it") from None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
