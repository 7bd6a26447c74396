"""The lease table on disk, so that clients find their addresses again after a restart.

One JSON file, replaced in one step: a crash leaves the old table or the new one, never half a one.
It holds user names and inner addresses, no secrets.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mqvpn_core.errors import HostError
from mqvpn_core.masque.address_pool import LeaseRecord
from mqvpn_core.runtime.state_files import members_of, read_json, replace_file

MAX_FILE_BYTES = 64 * 1024 * 1024
"""A longer file is not ours."""

_VERSION = 1
_FIELDS = ("address", "user", "instance")
_log = logging.getLogger(__name__)


def load_leases(path: Path) -> tuple[LeaseRecord, ...]:
    """Read the table; none when there is no file yet.

    A damaged file, or one of a newer version, costs clients their old addresses, which is no reason
    not to start: it is reported, and replaced by the next `save_leases`.

    Raises:
        HostError: the file cannot be read.
    """
    try:
        document = read_json(path, MAX_FILE_BYTES)
        return _decode(members_of(path, document, _VERSION))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise HostError(
            f"lease file {path}: {error.strerror}; choose another one with --lease-file PATH,"
            " or none with --lease-file off"
        ) from error
    except ValueError as error:
        _log.warning(
            "lease file %s cannot be used (%s): clients may get other addresses", path, error
        )
        return ()


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


def _decode(document: Mapping[str, object]) -> tuple[LeaseRecord, ...]:
    """Read what `save_leases` wrote; raises ValueError."""
    leases = document.get("leases")
    if not isinstance(leases, list):
        raise ValueError("no leases")  # noqa: TRY004 - the caller asks for one kind
    return tuple(map(_record, leases))


def _record(lease: object) -> LeaseRecord:
    values = [lease.get(name) if isinstance(lease, dict) else None for name in _FIELDS]
    address, user, instance = values
    if not (isinstance(address, str) and isinstance(user, str) and isinstance(instance, str)):
        raise ValueError("a lease lacks something")  # noqa: TRY004 - as above
    return LeaseRecord(address=address, user=user, instance=instance)
