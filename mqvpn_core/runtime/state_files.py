"""Small JSON files that survive a restart: read with suspicion, replaced in one step.

A crash leaves the old file or the new one, never half a one. A file says which version of its
format it has; one that a newer mqvpn has left to an older one is kept aside, not written over.
"""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
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


def members_of(path: Path, document: object, version: int) -> Mapping[str, object]:
    """Return the members of a document after a look at its version.

    Args:
        path: where it was read.
        document: what was read.
        version: of the format that the caller knows.

    Raises:
        ValueError: it is no object, or has another version. If that is a newer one the file is now
            called NAME.newer, in the place of an earlier one.
        OSError: it should be called so, and cannot.
    """
    if not isinstance(document, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - the caller asks for one kind
    members = cast("dict[str, object]", document)
    found = members.get("version")
    if not isinstance(found, int) or isinstance(found, bool) or found < version:
        raise ValueError("another version")
    if found > version:
        kept = path.with_name(f"{path.name}.newer")
        path.replace(kept)
        raise ValueError(f"written by a newer mqvpn, kept as {kept}")
    return members


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
