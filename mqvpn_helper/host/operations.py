"""HostChanger: bring the machine to a host plan, and back, through a journal.

Order of every change: check, journal, act, verify. What would outlive a crash (host routes over
physical links, the nftables table, forwarding) is in the journal before it is done, so that
another process can undo it. What dies with the TUN device is simply compared with what is there.

What a process that died had changed is taken back by the next one. A server that takes its place
keeps it in force instead and replaces it in one step: connections of its clients to other hosts
survive, because nobody ever answers their segments by a reset.

Several instances share a machine. Whatever two of them need at once (forwarding, a host route to
the same server) is in both journals and goes with the last of them.
"""

import logging
import os
import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path

from mqvpn_helper.host.dns import NameService
from mqvpn_helper.host.excluded_programs import lead_excluded_programs
from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall import DEFAULT_BOOT_DIRECTORY, Firewall
from mqvpn_helper.host.journal import Journal, JournalRecord
from mqvpn_helper.host.link_lookup import LinkTowards, find_link
from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.nft_rules import Nft
from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.host.plan_check import check_plan
from mqvpn_helper.host.plan_variants import as_of_now, needs_ipv6, wanted_groups, without_ipv6
from mqvpn_helper.host.process_identity import ProcessIdentity, current_netns, current_process
from mqvpn_helper.host.record_changes import held_back, surplus, union
from mqvpn_helper.host.sysctls import ForwardingGroup, Sysctls
from mqvpn_helper.host.targets import Targets, work_out
from mqvpn_helper.host.tun import OpenedTun, open_tun
from mqvpn_helper.host.tun_link import TunLink
from mqvpn_helper.host.undoing import Failures, Undoer, UndoTools
from mqvpn_helper.interface.host_plan import (
    DnsMethod,
    HostPlan,
    HostReport,
    IPAddress,
    KillSwitchMode,
)

_LOGGER = logging.getLogger(__name__)

DEFAULT_STATE_DIRECTORY = Path("/run/mqvpn")
"""Emptied by a reboot, like everything the journal speaks of."""
_INSTANCE_BYTES = 9
_FURTHER_ATTEMPTS = 3


class HostChanger:
    """Changes one machine for one TUN device; used by one thread at a time.

    A: ``link_towards``, ``instance``. C: ``open_tun`` first, then ``recover``, then any number of
    ``apply``, then ``undo``. Closing the descriptor removes the device.
    """

    def __init__(
        self,
        state_directory: Path = DEFAULT_STATE_DIRECTORY,
        *,
        sysctls: Sysctls | None = None,
        nft: Nft | None = None,
        names: NameService | None = None,
        boot_directory: Path = DEFAULT_BOOT_DIRECTORY,
        tun_queues: int = 1,
    ) -> None:
        """Take the tools; nothing is touched yet.

        Args:
            state_directory: where the journal is.
            sysctls: kernel settings; the machine's own by default.
            nft: the nftables command; the machine's own by default.
            names: the resolver; the machine's own by default.
            boot_directory: where the rules of a kill switch wait for the next boot.
            tun_queues: descriptors that the TUN device will have.
        """
        self._journal = Journal(state_directory)
        self._sysctls = sysctls or Sysctls()
        self._nft = nft or Nft()
        self._names = names or NameService()
        self._firewall = Firewall(self._nft, boot_directory)
        tools = UndoTools(
            sysctls=self._sysctls, nft=self._nft, names=self._names, boot_directory=boot_directory
        )
        self._undoer = Undoer(self._journal, tools)
        self._tun: OpenedTun | None = None
        self._instance = ""
        self._tun_queues = tun_queues

    @property
    def instance(self) -> str:
        """Random name of the TUN device's owner: after a crash the next owner has it again."""
        return self._instance

    def open_tun(self, name: str | None, *, keep_leftovers: bool = False) -> OpenedTun:
        """Create the TUN device; what an earlier owner of that name left behind is undone.

        Args:
            name: wanted name; None lets the kernel choose.
            keep_leftovers: leave it in force until ``apply`` replaces it or ``undo`` takes it back.

        Raises:
            HostChangeError: no TUN support, no permission, or the name is taken.
        """
        # Whoever owns it decides about offloads; the header alone changes nothing else.
        tun = open_tun(name, vnet_header=True, queue_count=self._tun_queues)
        try:
            with self._journal.locked(), NetlinkConfig() as netlink:
                self._take_over(tun.name, netlink, keep_leftovers=keep_leftovers)
        except BaseException:
            for fd in (tun.fd, *tun.further_queues):
                os.close(fd)
            raise
        self._tun = tun
        self._firewall.forget()
        return tun

    def apply(self, plan: HostPlan) -> HostReport:
        """Bring the machine to the plan, changing only what differs.

        After a failure part of the plan may be in force: apply again or ``undo``.

        Args:
            plan: the whole desired state.

        Raises:
            HostChangeError: the plan is impossible or the machine refused.
        """
        check_plan(plan)
        if (tun := self._tun) is None or tun.name != plan.tun_name:
            raise HostChangeError(f"the plan is for {plan.tun_name}, which is not our TUN device")
        plan = as_of_now(plan)
        has_table = self._firewall.check(plan)
        with self._journal.locked(), NetlinkConfig() as netlink:
            link = TunLink(netlink, self._sysctls, tun)
            report = self._apply_steadily(plan, link, netlink, has_table=has_table)
        if plan.forward_ipv4 or plan.forward_ipv6:
            warnings = [
                f"the firewall chain {chain!r} drops forwarded packets by default: clients reach "
                f"other networks only if it accepts packets from and to {plan.tun_name}"
                for chain in self._nft.foreign_forward_drops(plan.tun_name)
            ]
            report = replace(report, warnings=(*report.warnings, *warnings))
        return report

    def undo(self, *, keep_kill_switch: bool = False) -> None:
        """Take back everything; the TUN device stays, bare, until its descriptor is closed.

        Goes on past what fails, so that as much as possible is undone. A kill switch that is
        ``ALWAYS`` in force stays, until the next plan without it or `recover`.

        Args:
            keep_kill_switch: leave one that is ``STANDARD`` in force as well.

        Raises:
            HostChangeError: something could not be undone; the journal still has it.
        """
        if (tun := self._tun) is None:
            return
        keep = KillSwitchMode.STANDARD if keep_kill_switch else KillSwitchMode.ALWAYS
        failures = Failures()
        with self._journal.locked(), NetlinkConfig() as netlink:
            failures.catch(TunLink(netlink, self._sysctls, tun).clear)
            failures.catch(lambda: self._undoer.undo_recorded(tun.name, netlink, keep=keep))
        self._firewall.forget()
        failures.raise_any()

    def recover(self, *, release_kill_switch: bool = False, sweep: bool = True) -> tuple[str, ...]:
        """Undo what processes that no longer live left behind in this network namespace.

        Args:
            release_kill_switch: also take back kill switches, which otherwise stay in force until
                their own tunnel starts again: the user has not said that he wants traffic outside.
            sweep: also remove what no journal speaks of. Not for a journal that is one of several.

        Returns:
            What was found, for the log.

        Raises:
            HostChangeError: something could not be undone.
        """
        found: list[str] = []
        keep = KillSwitchMode.OFF if release_kill_switch else KillSwitchMode.STANDARD
        failures = Failures()
        with self._journal.locked(), NetlinkConfig() as netlink:
            for name in self._journal.tun_names(current_netns()):
                record = self._undoer.read(name)
                if record is not None and record.owner.is_alive():
                    continue
                if record is None or surplus(record, held_back(record, keep)).has_changes:
                    found.append(f"undid what a process that is gone had changed for {name}")
                failures.catch(partial(self._undoer.undo_recorded, name, netlink, keep=keep))
            if sweep:
                failures.catch(lambda: found.extend(self._undoer.sweep(netlink, keep=keep)))
            if release_kill_switch:
                failures.catch(lambda: found.extend(self._undoer.forget_wishes()))
        failures.raise_any()
        return tuple(found)

    def living_owners(self) -> tuple[tuple[str, ProcessIdentity], ...]:
        """Return the TUN devices of processes that live, with the processes."""
        with self._journal.locked():
            records = [self._undoer.read(name) for name in self._journal.tun_names(current_netns())]
        return tuple(
            (record.tun_name, record.owner)
            for record in records
            if record is not None and record.owner.is_alive()
        )

    def link_towards(self, address: IPAddress) -> LinkTowards | None:
        """Return the link that leads to an address beside our own TUN device; None for none.

        Args:
            address: where to go.
        """
        return find_link(address, self._tun.ifindex if self._tun else None)

    def _take_over(self, tun_name: str, netlink: NetlinkConfig, *, keep_leftovers: bool) -> None:
        # We hold the name, so whoever wrote a journal for it has lost its device.
        left = self._undoer.read(tun_name)
        self._instance = left.instance if left else ""
        if not self._instance:
            self._instance = secrets.token_urlsafe(_INSTANCE_BYTES)
        ours = self._new_record(tun_name)
        if left is not None and keep_leftovers:
            ours = replace(left, owner=ours.owner, instance=ours.instance)
        elif left is not None:
            self._undoer.drop(left, netlink)
        if not keep_leftovers:
            self._undoer.release_boot_rules(tun_name)
        self._journal.write(ours)

    def _new_record(self, tun_name: str) -> JournalRecord:
        return JournalRecord(
            owner=current_process(),
            tun_name=tun_name,
            netns=current_netns(),
            instance=self._instance,
        )

    def _apply_steadily(
        self, plan: HostPlan, link: TunLink, netlink: NetlinkConfig, *, has_table: bool
    ) -> HostReport:
        """Try again when links change: one that goes takes the ways over it along at any moment."""
        for _ in range(_FURTHER_ATTEMPTS):
            ways = PhysicalWays(netlink, link.ifindex)
            try:
                return self._apply_locked(plan, link, netlink, has_table=has_table)
            except HostChangeError:
                if not ways.have_changed():
                    raise
        return self._apply_locked(plan, link, netlink, has_table=has_table)

    def _apply_locked(
        self, plan: HostPlan, link: TunLink, netlink: NetlinkConfig, *, has_table: bool
    ) -> HostReport:
        self._undoer.refuse_second_kill_switch(plan)
        old = self._undoer.read(plan.tun_name) or self._new_record(plan.tun_name)
        # What restricts comes before what it restricts: nothing slips out meanwhile.
        shielded = replace(
            old,
            has_table=has_table,
            kill_switch=KillSwitchMode.OFF if plan.kill_switch is None else plan.kill_switch.mode,
        )
        self._journal.write(union(old, shielded))
        was_emptied = self._firewall.load(plan)
        link.prepare(plan.mtu)
        warnings: list[str] = []
        if needs_ipv6(plan) and not link.has_ipv6:
            plan = without_ipv6(plan)
            warnings.append("this machine has no IPv6: the tunnel carries IPv4 only")
        ways = PhysicalWays(netlink, link.ifindex)
        targets = work_out(plan, ways)
        new = replace(
            shielded,
            bypass=targets.claimed,
            excluded=targets.excluded,
            settings=self._wanted_settings(plan, old),
            link_settings=self._wanted_link_settings(plan, old),
            has_rules=bool(plan.split and plan.split.cgroups),
        )
        # Until the old is gone, the journal has both.
        self._journal.write(union(old, new))
        warnings += self._switch_on(plan, link)
        link.set_addresses(plan.addresses)
        for route in targets.beside:
            ways.install(route)
        warnings += link.set_routes(targets.into_tun)
        self._change_settings(new)
        if new.has_rules:
            lead_excluded_programs(netlink)
        new, refusals = self._tell_resolver(plan, old, new)
        self._undoer.drop(surplus(old, new), netlink)
        self._journal.write(new)
        self._verify(plan, targets, netlink, link.ifindex)
        return HostReport(
            warnings=(*targets.warnings, *warnings, *refusals),
            dns_method=new.dns,
            firewall_was_emptied=was_emptied,
        )

    def _switch_on(self, plan: HostPlan, link: TunLink) -> list[str]:
        """Switch the device on as soon as there is something for it to carry."""
        has_work = plan.addresses or plan.routes or plan.forward_ipv4 or plan.forward_ipv6
        if link.is_up or not has_work:
            return []
        warnings = []
        if plan.dns and self._tun is not None:
            try:
                self._names.silence(self._tun)
            except HostChangeError as error:
                warnings.append(f"the resolver may announce this machine in the tunnel: {error}")
        link.switch_on()
        return warnings

    def _change_settings(self, new: JournalRecord) -> None:
        # Last: what restricts forwarding is in force before it begins.
        for group in new.settings:
            if not self._sysctls.is_forwarding(group):
                _LOGGER.debug("switch %s on", group.value)
                self._sysctls.enable(group)
        for key in new.link_settings:
            _LOGGER.debug("make %s loose", key)
            self._sysctls.loosen(key)

    def _tell_resolver(
        self, plan: HostPlan, old: JournalRecord, new: JournalRecord
    ) -> tuple[JournalRecord, list[str]]:
        """Tell the first resolver that listens; each is in the journal before it is told."""
        if not plan.dns or self._tun is None:
            return replace(new, dns=DnsMethod.NONE), []
        in_use = [] if old.dns is DnsMethod.NONE else [old.dns]
        refusals: list[str] = []
        for method in dict.fromkeys([*in_use, *self._names.methods()]):
            told = replace(new, dns=method)
            self._journal.write(union(old, told))
            try:
                self._names.set_servers(method, self._tun, plan.dns)
            except HostChangeError as error:
                refusals.append(f"name servers: {error}")
                self._undoer.forget_names(told)
            else:
                return told, refusals
        refusals.append("the name servers of the tunnel are not in use: nothing would take them")
        return replace(new, dns=DnsMethod.NONE), refusals

    def _wanted_settings(
        self, plan: HostPlan, old: JournalRecord
    ) -> dict[ForwardingGroup, dict[str, str]]:
        settings: dict[ForwardingGroup, dict[str, str]] = {}
        for group in wanted_groups(plan):
            saved = old.settings.get(group) or self._undoer.inherited_settings(plan.tun_name, group)
            if saved is not None:
                settings[group] = dict(saved)
            elif not self._sysctls.is_forwarding(group):
                settings[group] = self._sysctls.snapshot(group)
        return settings

    def _wanted_link_settings(self, plan: HostPlan, old: JournalRecord) -> dict[str, str]:
        settings: dict[str, str] = {}
        for name in plan.links:
            strict = self._sysctls.strict_link_setting(name)
            key = f"net/ipv4/conf/{name}/rp_filter" if strict is None else strict[0]
            saved = old.link_settings.get(key)
            if saved is None:
                saved = self._undoer.inherited_link_setting(plan.tun_name, key)
            if saved is None and strict is not None:
                saved = strict[1]
            if saved is not None:
                settings[key] = saved
        return settings

    def _verify(
        self, plan: HostPlan, targets: Targets, netlink: NetlinkConfig, ifindex: int
    ) -> None:
        missing = [
            str(address) for address in set(plan.addresses) - set(netlink.addresses(ifindex))
        ]
        present = {(route.destination, route.ifindex) for route in netlink.routes()}
        missing += [
            f"the route to {route.destination}"
            for route in targets.beside
            if (route.destination, route.ifindex) not in present
        ]
        missing += [
            f"forwarding ({group.value})"
            for group in wanted_groups(plan)
            if not self._sysctls.is_forwarding(group)
        ]
        if missing:
            raise HostChangeError(
                f"{', '.join(missing)} did not come into force: something else manages the "
                f"network of this machine and removed it; let it leave {plan.tun_name} alone"
            )
