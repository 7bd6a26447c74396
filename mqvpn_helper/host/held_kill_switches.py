"""Kill switches that are in force although no tunnel is there to look after them.

Whoever empties the firewall would open the network that their user has not opened. So while there
is no tunnel, somebody remembers the text of their tables and puts back what is gone. What was taken
back in order (the journal and the rules for the next boot know) is not put back.
"""

import logging
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall import boot_file
from mqvpn_helper.host.journal import DamagedJournalError, Journal
from mqvpn_helper.host.nft_rules import Nft
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.interface.host_plan import KillSwitchMode

_LOGGER = logging.getLogger(__name__)


class HeldKillSwitches:
    """The tables. C: `look`, `let_go`, `put_back`."""

    def __init__(self, journal: Journal, nft: Nft, boot_directory: Path) -> None:
        """Take the tools; nothing is held yet.

        Args:
            journal: which tells what is still wanted.
            nft: the nftables command.
            boot_directory: where rules for the next boot are.
        """
        self._journal = journal
        self._nft = nft
        self._boot_directory = boot_directory
        self._texts: dict[str, str] = {}

    def look(self) -> None:
        """Hold what is in force now, and what should be since the machine was started.

        Raises:
            HostChangeError: nftables cannot be used, or the rules for the next boot not be read.
        """
        self._texts = {}
        if not self._nft.is_installed:
            return
        there = self._nft.tun_names_with_table()
        for name in there:
            if self._nft.has_kill_switch(name) and not self._has_living_owner(name):
                self._texts[name] = self._nft.table_text(name)
        for path in self._boot_directory.glob("kill-switch-*.nft"):
            name = path.stem.removeprefix("kill-switch-")
            if name not in there:
                self._texts[name] = _read(path)

    def let_go(self) -> None:
        """Hold nothing: a tunnel looks after its own, or all is taken back."""
        self._texts = {}

    def put_back(self) -> tuple[str, ...]:
        """Load what somebody has removed; return the devices.

        Raises:
            HostChangeError: nftables refuses.
        """
        if not self._texts:
            return ()
        with self._journal.locked():
            there = self._nft.tun_names_with_table()
            gone = [name for name in self._texts if name not in there]
            for name in gone:
                if self._is_wanted(name):
                    _LOGGER.debug("load the table of %s", name)
                    self._nft.load(self._texts[name])
                else:
                    del self._texts[name]
        return tuple(name for name in gone if name in self._texts)

    def _has_living_owner(self, name: str) -> bool:
        """Return whether a client without helper looks after it, and changes it as it needs."""
        try:
            record = self._journal.read(name, current_netns())
        except DamagedJournalError:
            return False
        return record is not None and record.owner.is_alive()

    def _is_wanted(self, name: str) -> bool:
        if boot_file(self._boot_directory, name).exists():
            return True
        try:
            record = self._journal.read(name, current_netns())
        except DamagedJournalError:
            return True  # it is not known that somebody has opened the network
        return record is not None and record.kill_switch is not KillSwitchMode.OFF


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise HostChangeError(f"cannot read {path}: {error}") from error
