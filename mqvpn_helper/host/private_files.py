"""Small files that only we may read: replaced as a whole, read with a bound, never by a link."""

import os
from pathlib import Path

_PRIVATE = 0o600


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in the place of an earlier one; whoever reads sees one of the two, whole.

    Args:
        path: the file, in a directory that nobody else can write to.
        data: its content.

    Raises:
        OSError: it cannot be written; the earlier one is still there.
    """
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, _PRIVATE), "wb") as file:
        file.write(data)
    draft.replace(path)


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a file.

    Args:
        path: the file.
        limit: bytes that it has at most; what is behind them is left out.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        return file.read(limit)
