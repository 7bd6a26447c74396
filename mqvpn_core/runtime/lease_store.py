"""The lease table on disk, so that clients find their addresses again after a restart.

One JSON file, replaced in one step: a crash leaves the old table or the new one, never half a one.
It holds user names and inner addresses, no secrets.
"""

import json
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from mqvpn_core.errors import HostError
from mqvpn_core.masque.address_pool import LeaseRecord
from mqvpn_core.runtime.state_files import replace_file

MAX_FILE_BYTES = 64 * 1024 * 1024
"""A longer file is not ours."""

_VERSION = 1
_FIELDS = ("address", "user", "instance")
_log = logging.getLogger(__name__)


def load_leases(path: Path) -> tuple[LeaseRecord, ...]:
    """Read the table; none when there is no file yet.

    A damaged file costs clients their old addresses, which is no reason not to start: it is
    reported, and replaced by the next `save_leases`.

    Raises:
        HostError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise HostError(f"lease file {path}: this is no regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise HostError(
            f"lease file {path}: {error.strerror}; choose another one with --lease-file PATH,"
            " or none with --lease-file off"
        ) from error
    records = _decode(data)
    if records is None:
        _log.warning("lease file %s is damaged: clients may get other addresses", path)
        return ()
    return records


def save_leases(path: Path, records: Sequence[LeaseRecord]) -> None:
    """Replace the table; blocks for the disk.

    Raises:
        HostError: it cannot be written; the old table is still there.
    """
    document = {
        "version": _VERSION,
        "leases": [{name: getattr(record, name) for name in _FIELDS} for record in records],
    }
    data = json.dumps(document, indent=0).encode() + b"\n"
    try:
        replace_file(path, data)
    except OSError as error:
        raise HostError(f"lease file {path}: {error.strerror}") from error


def _decode(data: bytes) -> tuple[LeaseRecord, ...] | None:
    if len(data) > MAX_FILE_BYTES:
        return None
    try:
        document = cast("object", json.loads(data))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        return None
    leases = document.get("leases")
    if not isinstance(leases, list):
        return None
    records: list[LeaseRecord] = []
    for lease in leases:
        values = [lease.get(name) if isinstance(lease, dict) else None for name in _FIELDS]
        address, user, instance = values
        if not (isinstance(address, str) and isinstance(user, str) and isinstance(instance, str)):
            return None
        records.append(LeaseRecord(address=address, user=user, instance=instance))
    return tuple(records)
