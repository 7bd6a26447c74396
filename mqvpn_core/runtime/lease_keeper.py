"""Writes the lease table soon after it has changed, and once more at the end."""

import logging
from collections.abc import Callable
from pathlib import Path

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.masque.address_pool import AddressPool, LeaseRecord
from mqvpn_core.runtime.lease_store import load_leases, save_leases

SAVE_DELAY = 1.0
"""Seconds in which further changes go into the same file."""

_log = logging.getLogger(__name__)

Save = Callable[[Path, tuple[LeaseRecord, ...]], None]


class LeaseKeeper:
    """The leases of some pools in one file.

    C: `load`, `note_change`. Tasks: `run`.
    """

    def __init__(
        self, path: Path | None, pools: tuple[AddressPool, ...], save: Save = save_leases
    ) -> None:
        """Prepare.

        Args:
            path: the file; None keeps leases in memory only.
            pools: whose leases.
            save: writes a table; blocks.
        """
        self._path = path
        self._pools = pools
        self._save = save
        self._changed = trio.Event()

    def load(self) -> int:
        """Take the leases of an earlier run; return how many.

        Raises:
            HostError: the file cannot be read.
        """
        if self._path is None:
            return 0
        records = load_leases(self._path)
        return sum(pool.import_leases(records) for pool in self._pools)

    def note_change(self) -> None:
        """Have the table written soon."""
        self._changed.set()

    async def run(self) -> None:
        """Write the table when it has changed; when cancelled, a last time."""
        try:
            while True:
                await self._changed.wait()
                await trio.sleep(SAVE_DELAY)
                self._changed = trio.Event()
                await self._write()
        finally:
            if self._changed.is_set():
                with trio.CancelScope(shield=True):
                    await self._write()

    async def _write(self) -> None:
        if self._path is None:
            return
        records = tuple(record for pool in self._pools for record in pool.export_leases())
        try:
            await trio.to_thread.run_sync(self._save, self._path, records)
        except HostError as error:
            _log.warning("%s; clients may get other addresses after a restart", error)
