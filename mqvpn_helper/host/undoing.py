"""Undoing: what a journal record speaks of is taken back unless another instance needs it too."""

import logging
from collections.abc import Callable
from functools import partial

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.journal import DamagedJournalError, Journal, JournalRecord
from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.nft_rules import Nft
from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.host.sysctls import ForwardingGroup, Sysctls
from mqvpn_helper.interface.host_plan import IPAddress

_LOGGER = logging.getLogger(__name__)


class Failures:
    """Collects what went wrong while everything else is still undone."""

    def __init__(self) -> None:
        """Begin with none."""
        self._messages: list[str] = []

    def catch(self, action: Callable[[], object]) -> bool:
        """Do something; note its failure.

        Args:
            action: what to do.

        Returns:
            Whether it succeeded.
        """
        try:
            action()
        except HostChangeError as error:
            self._messages.append(str(error))
            return False
        return True

    def raise_any(self) -> None:
        """Raise one error with everything that was noted.

        Raises:
            HostChangeError: something had failed.
        """
        if self._messages:
            raise HostChangeError("not everything could be undone: " + "; ".join(self._messages))


class Undoer:
    """Takes back journalled changes; the journal must be locked by the caller."""

    def __init__(self, journal: Journal, sysctls: Sysctls, nft: Nft) -> None:
        """Take the tools.

        Args:
            journal: the directory of records.
            sysctls: kernel settings.
            nft: the nftables command.
        """
        self._journal = journal
        self._sysctls = sysctls
        self._nft = nft

    def read(self, tun_name: str) -> JournalRecord | None:
        """Return the record of a TUN device in this network namespace; a damaged one is none.

        Args:
            tun_name: the device.
        """
        try:
            return self._journal.read(tun_name, current_netns())
        except DamagedJournalError as error:
            _LOGGER.warning("%s", error)
            return None

    def others(self, tun_name: str) -> tuple[JournalRecord, ...]:
        """Return the records of the other TUN devices in this network namespace.

        Args:
            tun_name: the device whose record is left out.
        """
        names = self._journal.tun_names(current_netns())
        records = (self.read(name) for name in names if name != tun_name)
        return tuple(record for record in records if record is not None)

    def undo_recorded(self, tun_name: str, netlink: NetlinkConfig) -> None:
        """Take back all that the record of a TUN device speaks of, and remove the record.

        Args:
            tun_name: the device.
            netlink: open conversation.

        Raises:
            HostChangeError: something could not be undone; the record stays.
        """
        record = self.read(tun_name)
        if record is not None:
            self.drop(record, netlink)
        self._journal.remove(tun_name, current_netns())

    def drop(self, surplus: JournalRecord, netlink: NetlinkConfig) -> None:
        """Take back changes that other living instances have not made as well.

        Args:
            surplus: the changes.
            netlink: open conversation.

        Raises:
            HostChangeError: something could not be undone; all the rest was.
        """
        living = [other for other in self.others(surplus.tun_name) if other.owner.is_alive()]
        failures = Failures()
        shared = {address for other in living for address in other.bypass}
        addresses = [address for address in surplus.bypass if address not in shared]
        if addresses:
            failures.catch(lambda: PhysicalWays(netlink, None).remove(addresses))
        for group, saved in surplus.settings.items():
            if not any(group in other.settings for other in living):
                _LOGGER.debug("restore %s", group.value)
                failures.catch(partial(self._sysctls.restore, group, saved))
        if surplus.has_table:
            _LOGGER.debug("delete the table of %s", surplus.tun_name)
            failures.catch(lambda: self._nft.delete_table(surplus.tun_name))
        failures.raise_any()

    def inherited_settings(self, tun_name: str, group: ForwardingGroup) -> dict[str, str] | None:
        """Return the settings as they were before any other instance changed them.

        Args:
            tun_name: the device that is about to change them too.
            group: IP version.

        Returns:
            None when no other instance, living or dead, has changed them.
        """
        for other in self.others(tun_name):
            if group in other.settings:
                return dict(other.settings[group])
        return None

    def sweep(self, netlink: NetlinkConfig) -> tuple[str, ...]:
        """Remove host routes and tables of ours that no living instance's journal speaks of.

        This is what finds the traces of a process whose journal is lost as well.

        Args:
            netlink: open conversation.

        Returns:
            What was found.
        """
        living = [record for record in self.others("") if record.owner.is_alive()]
        claimed: set[IPAddress] = {address for record in living for address in record.bypass}
        found = []
        for route in PhysicalWays(netlink, None).our_host_routes():
            if route.destination.network_address not in claimed:
                netlink.remove_route(route)
                found.append(f"removed a forgotten route to {route.destination.network_address}")
        for name in self._nft.tun_names_with_table() if self._nft.is_installed else ():
            if netlink.link_named(name) is None and name not in {one.tun_name for one in living}:
                self._nft.delete_table(name)
                found.append(f"removed the forgotten firewall table of {name}")
        return tuple(found)
