"""Small JSON files that survive a restart: read with suspicion, replaced in one step.

A crash leaves the old file or the new one, never half a one.
"""

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import cast


def read_json(path: Path, max_bytes: int) -> object:
    """Return what a JSON file holds.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, or is no regular file.
        ValueError: it is too large, or no JSON.
    """
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "this is no regular file")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError("the file is too large")
    try:
        return cast("object", json.loads(data))
    except RecursionError:
        raise ValueError("nested too deep") from None


def replace_file(path: Path, data: bytes) -> None:
    """Put a file of mode 600 in the place of the old one; blocks for the disk.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
