"""Undoing: what a journal record speaks of is taken back unless another instance needs it too."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mqvpn_helper.host.dns import NameService
from mqvpn_helper.host.excluded_programs import forget_excluded_programs
from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall import boot_file
from mqvpn_helper.host.journal import DamagedJournalError, Journal, JournalRecord
from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.nft_rules import Nft
from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.host.record_changes import held_back, surplus
from mqvpn_helper.host.routes import host_network
from mqvpn_helper.host.sysctls import ForwardingGroup, Sysctls
from mqvpn_helper.host.wish_files import find_wishes
from mqvpn_helper.interface.host_plan import (
    DnsMethod,
    HostPlan,
    IPNetwork,
    KillSwitchMode,
)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoTools:
    """What changes are taken back with."""

    sysctls: Sysctls
    """Kernel settings."""
    nft: Nft
    """The nftables command."""
    names: NameService
    """The resolver."""
    boot_directory: Path
    """Where rules for the next boot are."""


class Undoer:
    """Takes back journalled changes; the journal must be locked by the caller."""

    def __init__(self, journal: Journal, tools: UndoTools) -> None:
        """Take the tools.

        Args:
            journal: the directory of records.
            tools: the rest.
        """
        self._journal = journal
        self._sysctls = tools.sysctls
        self._nft = tools.nft
        self._names = tools.names
        self._boot_directory = tools.boot_directory

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

    def undo_recorded(self, tun_name: str, netlink: NetlinkConfig, *, keep: KillSwitchMode) -> None:
        """Take back all that the record of a TUN device speaks of, and remove the record.

        Args:
            tun_name: the device.
            netlink: open conversation.
            keep: the weakest kill switch that stays in force, and in the record; ``OFF``: none.

        Raises:
            HostChangeError: something could not be undone; the record stays.
        """
        record = self.read(tun_name)
        if record is None:
            self._journal.remove(tun_name, current_netns())
            return
        remaining = held_back(record, keep)
        self.drop(surplus(record, remaining), netlink)
        if remaining.has_changes:
            self._journal.write(remaining)
        else:
            self._journal.remove(tun_name, current_netns())

    def drop(self, changes: JournalRecord, netlink: NetlinkConfig) -> None:
        """Take back changes that other living instances have not made as well.

        A kill switch goes last: until then nothing leaves that it would have held back.

        Args:
            changes: what to take back.
            netlink: open conversation.

        Raises:
            HostChangeError: something could not be undone; all the rest was.
        """
        living = [other for other in self.others(changes.tun_name) if other.owner.is_alive()]
        failures = Failures()
        shared = {network for other in living for network in _networks_of(other)}
        networks = [network for network in _networks_of(changes) if network not in shared]
        if networks:
            failures.catch(lambda: PhysicalWays(netlink, None).remove(networks))
        if changes.has_rules and not any(other.has_rules for other in living):
            failures.catch(lambda: forget_excluded_programs(netlink))
        for group, saved in changes.settings.items():
            if not any(group in other.settings for other in living):
                _LOGGER.debug("restore %s", group.value)
                failures.catch(partial(self._sysctls.restore, group, saved))
        for key, value in changes.link_settings.items():
            if not any(key in other.link_settings for other in living):
                _LOGGER.debug("restore %s", key)
                failures.catch(partial(self._sysctls.write, key, value))
        failures.catch(lambda: self._restore_names(changes, living, netlink))
        if changes.has_table:
            _LOGGER.debug("delete the table of %s", changes.tun_name)
            failures.catch(lambda: self._nft.delete_table(changes.tun_name))
        if changes.kill_switch is KillSwitchMode.ALWAYS:
            failures.catch(lambda: self._remove_boot_file(changes.tun_name))
        failures.raise_any()

    def forget_names(self, told: JournalRecord) -> None:
        """Take back what a resolver was told that has failed; another one will be told.

        Args:
            told: record with the method that failed.
        """
        try:
            self._names.restore(told.dns, told.tun_name, lambda _name: None)
        except HostChangeError as error:
            _LOGGER.debug("%s", error)

    def _restore_names(
        self, changes: JournalRecord, living: list[JournalRecord], netlink: NetlinkConfig
    ) -> None:
        is_shared = changes.dns is DnsMethod.FILE
        if is_shared and any(other.dns is changes.dns for other in living):
            return

        def index_of(name: str) -> int | None:
            link = netlink.link_named(name)
            return None if link is None else link.ifindex

        self._names.restore(changes.dns, changes.tun_name, index_of)

    def refuse_second_kill_switch(self, plan: HostPlan) -> None:
        """Refuse a plan whose kill switch would cut off another tunnel that has one.

        Args:
            plan: desired state.

        Raises:
            HostChangeError: another instance has a kill switch in force.
        """
        if plan.kill_switch is None:
            return
        for other in self.others(plan.tun_name):
            if other.kill_switch is not KillSwitchMode.OFF:
                raise HostChangeError(
                    f"the tunnel {other.tun_name} has a kill switch in force, and two would block"
                    " each other: stop it, or take back what it left with 'mqvpn-core recover'"
                )

    def release_boot_rules(self, tun_name: str) -> None:
        """Take back a kill switch that is in force since boot, because it is not wanted any more.

        Args:
            tun_name: the device.
        """
        if boot_file(self._boot_directory, tun_name).exists():
            self._nft.delete_table(tun_name)
            self._remove_boot_file(tun_name)

    def inherited_link_setting(self, tun_name: str, key: str) -> str | None:
        """Return a setting of a link as it was before any other instance changed it.

        Args:
            tun_name: the device that is about to change it too.
            key: the setting.
        """
        for other in self.others(tun_name):
            if key in other.link_settings:
                return other.link_settings[key]
        return None

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

    def forget_wishes(self) -> tuple[str, ...]:
        """Forget the tunnels of processes that are gone; return what was found."""
        found = []
        for files in find_wishes(self._journal.directory, current_netns()):
            record = self.read(files.tun_name)
            if record is None or not record.owner.is_alive():
                files.forget()
                found.append(f"forgot that {files.tun_name} was wanted")
        return tuple(found)

    def sweep(self, netlink: NetlinkConfig, *, keep: KillSwitchMode) -> tuple[str, ...]:
        """Remove routes, rules, tables and resolver entries of ours that no living instance has.

        This is what finds the traces of a process whose journal is lost as well.

        Args:
            netlink: open conversation.
            keep: ``OFF`` takes kill switches back as well.

        Returns:
            What was found.
        """
        records = self.others("")
        living = [record for record in records if record.owner.is_alive()]
        claimed = {network for record in living for network in _networks_of(record)}
        found = []
        for route in PhysicalWays(netlink, None).our_host_routes():
            if route.destination not in claimed:
                netlink.remove_route(route)
                found.append(f"removed a forgotten route to {_shown(route.destination)}")
        if not any(record.has_rules for record in living) and forget_excluded_programs(netlink):
            found.append("removed forgotten policy rules")
        found += self._names.restore_forgotten(record.dns for record in living)
        found += self._sweep_tables(netlink, {record.tun_name for record in living}, keep)
        return tuple(found)

    def _sweep_tables(
        self, netlink: NetlinkConfig, living: Collection[str], keep: KillSwitchMode
    ) -> Iterator[str]:
        for name in self._nft.tun_names_with_table() if self._nft.is_installed else ():
            if netlink.link_named(name) is not None or name in living:
                continue
            is_switch = self._nft.has_kill_switch(name)
            if is_switch and keep is not KillSwitchMode.OFF:
                continue
            _LOGGER.debug("delete the table of %s", name)
            self._nft.delete_table(name)
            what = "kill switch" if is_switch else "forgotten firewall table"
            yield f"removed the {what} of {name}"
        if keep is KillSwitchMode.OFF:
            for path in sorted(self._boot_directory.glob("kill-switch-*.nft")):
                if path.stem.removeprefix("kill-switch-") not in living:
                    self._remove_boot_file(path.stem.removeprefix("kill-switch-"))
                    yield f"removed {path}"

    def _remove_boot_file(self, tun_name: str) -> None:
        path = boot_file(self._boot_directory, tun_name)
        _LOGGER.debug("remove %s", path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise HostChangeError(f"cannot remove {path}: {error.strerror}") from error
        with suppress(OSError):
            path.parent.rmdir()  # whoever keeps something there keeps the directory


def _networks_of(record: JournalRecord) -> tuple[IPNetwork, ...]:
    """Return the destinations of our routes over physical links."""
    return (*(host_network(address) for address in record.bypass), *record.excluded)


def _shown(network: IPNetwork) -> str:
    is_host = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_host else network)
