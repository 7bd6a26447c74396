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
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv6Interface, IPv6Network
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.journal import Journal, JournalRecord
from mqvpn_helper.host.netlink_config import NetlinkConfig
from mqvpn_helper.host.nft_rules import Nft, ruleset
from mqvpn_helper.host.physical_ways import PhysicalWays
from mqvpn_helper.host.plan_check import check_plan
from mqvpn_helper.host.process_identity import current_netns, current_process
from mqvpn_helper.host.routes import Route, covers, host_network, split_default
from mqvpn_helper.host.sysctls import ForwardingGroup, Sysctls
from mqvpn_helper.host.tun import OpenedTun, open_tun
from mqvpn_helper.host.tun_link import TunLink
from mqvpn_helper.host.undoing import Failures, Undoer
from mqvpn_helper.interface.host_plan import HostPlan, HostReport, IPAddress, IPNetwork

_LOGGER = logging.getLogger(__name__)

DEFAULT_STATE_DIRECTORY = Path("/run/mqvpn")
"""Emptied by a reboot, like everything the journal speaks of."""
_INSTANCE_BYTES = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTowards:
    """The link by which an address is reached beside the tunnel."""

    ifindex: int
    """Index of the interface."""
    name: str
    """Name of the interface."""
    source: IPAddress
    """Source address the kernel would choose."""
    mtu: int
    """MTU of the interface in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    """A plan's routes, worked out against the routing table of the moment."""

    into_tun: tuple[IPNetwork, ...]
    """Destinations to be routed into the TUN device."""
    beside: tuple[Route, ...]
    """Host routes over physical links."""
    claimed: tuple[IPAddress, ...]
    """Addresses whose host routes are ours, those that stay as they are included."""
    warnings: tuple[str, ...]
    """Addresses that cannot be reached now."""


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
    ) -> None:
        """Take the tools; nothing is touched yet.

        Args:
            state_directory: where the journal is.
            sysctls: kernel settings; the machine's own by default.
            nft: the nftables command; the machine's own by default.
        """
        self._journal = Journal(state_directory)
        self._sysctls = sysctls or Sysctls()
        self._nft = nft or Nft()
        self._undoer = Undoer(self._journal, self._sysctls, self._nft)
        self._tun: OpenedTun | None = None
        self._loaded_rules: str | None = None
        self._instance = ""

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
        tun = open_tun(name)
        try:
            with self._journal.locked(), NetlinkConfig() as netlink:
                self._take_over(tun.name, netlink, keep_leftovers=keep_leftovers)
        except BaseException:
            os.close(tun.fd)
            raise
        self._tun = tun
        self._loaded_rules = None
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
        tun = self._tun
        if tun is None or tun.name != plan.tun_name:
            raise HostChangeError(f"the plan is for {plan.tun_name}, which is not our TUN device")
        warnings: list[str] = []
        rules = ruleset(plan)
        if rules is not None and rules != self._loaded_rules:
            self._nft.check(rules)
        with self._journal.locked(), NetlinkConfig() as netlink:
            link = TunLink(netlink, self._sysctls, tun)
            link.bring_up(plan.mtu)
            if _needs_ipv6(plan) and not link.has_ipv6:
                plan = _without_ipv6(plan)
                warnings.append("this machine has no IPv6: the tunnel carries IPv4 only")
            warnings += self._apply_locked(plan, rules, netlink, link)
        if plan.forward_ipv4 or plan.forward_ipv6:
            warnings += [
                f"the firewall chain {chain!r} drops forwarded packets by default: clients reach "
                f"other networks only if it accepts packets from and to {plan.tun_name}"
                for chain in self._nft.foreign_forward_drops(plan.tun_name)
            ]
        return HostReport(warnings=tuple(warnings))

    def undo(self) -> None:
        """Take back everything; the TUN device stays, bare, until its descriptor is closed.

        Goes on past what fails, so that as much as possible is undone.

        Raises:
            HostChangeError: something could not be undone; the journal still has it.
        """
        tun = self._tun
        if tun is None:
            return
        failures = Failures()
        with self._journal.locked(), NetlinkConfig() as netlink:
            failures.catch(TunLink(netlink, self._sysctls, tun).clear)
            failures.catch(lambda: self._undoer.undo_recorded(tun.name, netlink))
        self._loaded_rules = None
        failures.raise_any()

    def recover(self) -> tuple[str, ...]:
        """Undo what processes that no longer live left behind in this network namespace.

        Returns:
            What was found, for the log.

        Raises:
            HostChangeError: something could not be undone.
        """
        found: list[str] = []
        failures = Failures()
        with self._journal.locked(), NetlinkConfig() as netlink:
            for name in self._journal.tun_names(current_netns()):
                record = self._undoer.read(name)
                if record is not None and record.owner.is_alive():
                    continue
                if record is None or record.has_changes:
                    found.append(f"undid what a process that is gone had changed for {name}")
                failures.catch(partial(self._undoer.undo_recorded, name, netlink))
            failures.catch(lambda: found.extend(self._undoer.sweep(netlink)))
        failures.raise_any()
        return tuple(found)

    def link_towards(self, address: IPAddress) -> LinkTowards | None:
        """Return the link that leads to an address beside our own TUN device; None for none.

        Args:
            address: where to go.
        """
        source: IPAddress | None = None
        with NetlinkConfig() as netlink:
            answer = netlink.lookup(address)
            if answer is not None and answer.is_local:
                # The link that has the address: with its packets the kernel counts the traffic
                # of the machine with itself, although it passes over the loopback link.
                link = netlink.link_at(answer.route.ifindex)
                source = address
            else:
                ways = PhysicalWays(netlink, self._tun.ifindex if self._tun else None)
                way = ways.way_to(address)
                link = netlink.link_at(way.ifindex) if way else None
                source = netlink.source_towards(address, link.ifindex) if link else None
        if link is None or source is None:
            return None
        return LinkTowards(ifindex=link.ifindex, name=link.name, source=source, mtu=link.mtu)

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
        self._journal.write(ours)

    def _new_record(self, tun_name: str) -> JournalRecord:
        return JournalRecord(
            owner=current_process(),
            tun_name=tun_name,
            netns=current_netns(),
            instance=self._instance,
        )

    def _apply_locked(
        self, plan: HostPlan, rules: str | None, netlink: NetlinkConfig, link: TunLink
    ) -> tuple[str, ...]:
        ways = PhysicalWays(netlink, link.ifindex)
        targets = _targets(plan, ways)
        old = self._undoer.read(plan.tun_name) or self._new_record(plan.tun_name)
        new = replace(
            old,
            bypass=targets.claimed,
            has_table=rules is not None,
            settings=self._wanted_settings(plan, old),
        )
        # Until the old is gone, the journal has both.
        self._journal.write(_union(old, new))
        self._load(rules, plan.tun_name)
        link.set_addresses(plan.addresses)
        for route in targets.beside:
            ways.install(route)
        outside = link.set_routes(targets.into_tun)
        # Last: what restricts forwarding is in force before it begins.
        for group in new.settings:
            if not self._sysctls.is_forwarding(group):
                _LOGGER.debug("switch %s on", group.value)
                self._sysctls.enable(group)
        self._undoer.drop(_surplus(old, new), netlink)
        self._journal.write(new)
        self._verify(plan, targets, netlink, link.ifindex)
        return (*targets.warnings, *outside)

    def _load(self, rules: str | None, tun_name: str) -> None:
        if rules is None:
            self._loaded_rules = None
            return
        # Reloading the machine's own firewall often flushes every table, so look.
        if rules == self._loaded_rules and tun_name in self._nft.tun_names_with_table():
            return
        _LOGGER.debug("load the table of %s", tun_name)
        self._nft.load(rules)
        self._loaded_rules = rules

    def _wanted_settings(
        self, plan: HostPlan, old: JournalRecord
    ) -> dict[ForwardingGroup, dict[str, str]]:
        settings: dict[ForwardingGroup, dict[str, str]] = {}
        for group in _wanted_groups(plan):
            saved = old.settings.get(group) or self._undoer.inherited_settings(plan.tun_name, group)
            if saved is not None:
                settings[group] = dict(saved)
            elif not self._sysctls.is_forwarding(group):
                settings[group] = self._sysctls.snapshot(group)
        return settings

    def _verify(
        self, plan: HostPlan, targets: _Targets, netlink: NetlinkConfig, ifindex: int
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
            for group in _wanted_groups(plan)
            if not self._sysctls.is_forwarding(group)
        ]
        if missing:
            raise HostChangeError(
                f"{', '.join(missing)} did not come into force: something else manages the "
                f"network of this machine and removed it; let it leave {plan.tun_name} alone"
            )


def _targets(plan: HostPlan, ways: PhysicalWays) -> _Targets:
    kept_out = {host_network(address) for address in plan.bypass}
    into_tun = tuple(network for network in split_default(plan.routes) if network not in kept_out)
    # The kernel adds a route to each address's own subnet.
    subnets = tuple(address.network for address in plan.addresses)
    covering = (*into_tun, *subnets, *ways.tunnelled())
    have = {route.destination for route in ways.our_host_routes()}
    beside: list[Route] = []
    claimed: list[IPAddress] = []
    warnings: list[str] = []
    for address in dict.fromkeys(plan.bypass):
        if not any(covers(network, address) for network in covering):
            continue
        if not ways.is_reachable(address):
            warnings.append(f"no link leads to {address} now")
            if host_network(address) in have:
                claimed.append(address)
            continue
        route = ways.wanted_host_route(address, covering)
        if route is not None:
            beside.append(route)
            claimed.append(address)
    return _Targets(
        into_tun=into_tun,
        beside=tuple(beside),
        claimed=tuple(claimed),
        warnings=tuple(warnings),
    )


def _wanted_groups(plan: HostPlan) -> tuple[ForwardingGroup, ...]:
    wanted = {ForwardingGroup.IPV4: plan.forward_ipv4, ForwardingGroup.IPV6: plan.forward_ipv6}
    return tuple(group for group, is_wanted in wanted.items() if is_wanted)


def _union(old: JournalRecord, new: JournalRecord) -> JournalRecord:
    return replace(
        new,
        bypass=tuple(dict.fromkeys((*old.bypass, *new.bypass))),
        has_table=old.has_table or new.has_table,
        settings={**old.settings, **new.settings},
    )


def _surplus(old: JournalRecord, new: JournalRecord) -> JournalRecord:
    return replace(
        old,
        bypass=tuple(address for address in old.bypass if address not in new.bypass),
        has_table=old.has_table and not new.has_table,
        settings={
            group: saved for group, saved in old.settings.items() if group not in new.settings
        },
    )


def _needs_ipv6(plan: HostPlan) -> bool:
    return plan != _without_ipv6(plan)


def _without_ipv6(plan: HostPlan) -> HostPlan:
    return replace(
        plan,
        addresses=tuple(one for one in plan.addresses if not isinstance(one, IPv6Interface)),
        routes=tuple(one for one in plan.routes if not isinstance(one, IPv6Network)),
        nat_sources=tuple(one for one in plan.nat_sources if not isinstance(one, IPv6Network)),
        forward_ipv6=False,
    )
