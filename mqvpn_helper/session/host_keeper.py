"""The machine during one session: what is in force, and what the core may change of it.

Owns the order: the kill switch is in force before the first packet, and the last thing to go. Every
change goes through one plan, made from the user's wishes and from what the server gave.
"""

import contextlib
import fcntl
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never

import trio

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.bus_names import BusEventKind
from mqvpn_helper.interface.control_messages import (
    CoreRequest,
    Done,
    FindLink,
    LeaveNetwork,
    LinkFound,
    Refused,
    UseNetwork,
    UseServers,
)
from mqvpn_helper.interface.host_plan import (
    FIREWALL_IS_BACK,
    CaptivePortal,
    DnsMethod,
    HostReport,
    KillSwitchMode,
)
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.session.events import (
    AddressesAssigned,
    DnsApplied,
    EventReported,
    KillSwitchChanged,
    SessionEvent,
)
from mqvpn_helper.session.plan_making import TunnelFacts, make_plan
from mqvpn_helper.session.request_rules import (
    MachineFacts,
    RequestRefusedError,
    allowed_servers,
    check_network,
    neighbours,
)
from mqvpn_helper.session.threaded_host import SessionHost

_LOGGER = logging.getLogger(__name__)
_TUNSETPERSIST = 0x400454CB
# Without the address: a core could make up as many as it likes.
_NOT_TUNNELLED = "a name that leads into a network of this machine is not tunnelled there"


class HostKeeper:
    """The machine for one tunnel.

    A: `facts`. C: `wish`, `refresh`, `refresh_if_possible`, `answer`, `leave`,
    `leave_if_possible`, `restore`. Tasks: `follow_firewall`.
    """

    def __init__(
        self,
        host: SessionHost,
        tun: OpenedTun,
        facts: TunnelFacts,
        emit: Callable[[SessionEvent], None],
    ) -> None:
        """Take a machine on which the TUN device is there, and nothing else of ours."""
        self.facts = facts
        """What the plan is made from."""
        self._host = host
        self._tun = tun
        self._emit = emit
        self._turn = trio.Lock()
        self._mode = KillSwitchMode.OFF
        self._dns_method = DnsMethod.NONE
        self._warned: set[str] = set()

    def wish(self, profile: Profile, portal: CaptivePortal | None) -> bool:
        """Note what the user wants from now on, and whether `refresh` has to put it in force.

        Args:
            profile: the profile with all changes.
            portal: an exception from the kill switch.
        """
        before = self.facts
        self.facts = replace(before, profile=profile, portal=portal)
        return self.facts != before

    async def refresh(self) -> None:
        """Bring the machine to what is known now.

        Raises:
            HostChangeError: the machine refuses.
        """
        async with self._turn:
            await self._apply(self.facts)

    async def refresh_if_possible(self) -> None:
        """Do the same, and tell the user when the machine refuses."""
        try:
            await self.refresh()
        except HostChangeError as error:
            self._complain(str(error))

    async def follow_firewall(self) -> None:
        """Put back what others remove from the firewall, at once, until cancelled."""
        try:
            await self._host.follow_firewall(self.refresh_if_possible)
        except HostChangeError as error:
            self._complain(str(error))

    async def answer(self, request: CoreRequest) -> Done | LinkFound | Refused:
        """Carry out what the core asks for, or refuse it."""
        try:
            match request:
                case UseServers():
                    return await self._use_servers(request)
                case UseNetwork():
                    return await self._use_network(request)
                case LeaveNetwork():
                    await self.leave()
                    return Done(id=request.id)
                case FindLink():
                    return await self._find_link(request)
                case _:
                    assert_never(request)
        except RequestRefusedError as error:
            _LOGGER.warning("refused to the core: %s", error)
            return Refused(id=request.id, reason=str(error))
        except HostChangeError as error:
            _LOGGER.warning("%s", error)
            return Refused(id=request.id, reason=str(error))

    async def leave(self) -> None:
        """Take back what the server gave; the kill switch stays.

        Raises:
            HostChangeError: the machine refuses.
        """
        async with self._turn:
            if self.facts.network is None:
                return
            self.facts = replace(self.facts, network=None)
            await self._apply(self.facts)
        self._emit(self._assigned(None))

    async def leave_if_possible(self) -> None:
        """Do the same; what the machine does not give back now goes with the tunnel."""
        try:
            await self.leave()
        except HostChangeError:
            _LOGGER.exception("what the server gave could not be taken back yet")

    async def restore(self, *, keep_kill_switch: bool) -> None:
        """Take back everything; a kill switch that is ALWAYS in force stays in any case.

        Args:
            keep_kill_switch: let it stay: the user has not asked for an end.

        Raises:
            HostChangeError: something could not be undone; the journal still has it.
        """
        async with self._turn:
            _end_persistence(self._tun.fd)
            await self._host.undo(keep_kill_switch=keep_kill_switch)
        if not keep_kill_switch and self._mode is not KillSwitchMode.ALWAYS:
            self._note_mode(KillSwitchMode.OFF)
        self._note_dns(DnsMethod.NONE)

    async def _use_servers(self, request: UseServers) -> Done:
        async with self._turn:
            servers = allowed_servers(self.facts.profile, self.facts.servers, request)
            # What the core may ask name servers for is answered with this.
            facts = replace(self.facts, servers=servers, name_servers=())
            report = await self._apply(facts)
            self.facts = facts
        return Done(id=request.id, warnings=report.warnings)

    async def _use_network(self, request: UseNetwork) -> Done:
        async with self._turn:
            machine = MachineFacts(
                networks=await self._host.networks(self._tun.ifindex),
                link_names=await self._host.link_names(),
                tun_name=self._tun.name,
            )
            check_network(self.facts.profile, request, machine)
            network = self._without_neighbours(request, machine)
            facts = replace(self.facts, network=network)
            report = await self._apply(facts)
            self.facts = facts
        self._emit(self._assigned(network))
        return Done(id=request.id, warnings=report.warnings)

    def _without_neighbours(self, request: UseNetwork, machine: MachineFacts) -> UseNetwork:
        left_out = neighbours(request, machine)
        if left_out:
            self._complain_once([_NOT_TUNNELLED])
        return replace(
            request, included=tuple(each for each in request.included if each not in left_out)
        )

    async def _find_link(self, request: FindLink) -> LinkFound:
        link = await self._host.link_towards(request.address)
        if link is None:
            return LinkFound(id=request.id, ifindex=0)
        return LinkFound(
            id=request.id,
            ifindex=link.ifindex,
            name=link.name,
            source=link.source,
            mtu=link.mtu,
        )

    async def _apply(self, facts: TunnelFacts) -> HostReport:
        plan = make_plan(facts)
        report = await self._host.apply(plan)
        switch = plan.kill_switch
        self._note_mode(KillSwitchMode.OFF if switch is None else switch.mode)
        self._note_dns(report.dns_method)
        if report.firewall_was_emptied:
            self._complain(FIREWALL_IS_BACK)
        self._complain_once(report.warnings)
        return report

    def _complain_once(self, texts: Iterable[str]) -> None:
        for text in texts:
            if text not in self._warned:
                self._warned.add(text)
                self._complain(text)

    def _complain(self, text: str) -> None:
        _LOGGER.warning("%s", text)
        self._emit(EventReported(kind=BusEventKind.OTHER, detail={"text": text}))

    def _note_mode(self, mode: KillSwitchMode) -> None:
        if mode is not self._mode:
            self._mode = mode
            self._emit(KillSwitchChanged(mode=mode))

    def _note_dns(self, method: DnsMethod) -> None:
        if method is not self._dns_method:
            self._dns_method = method
            self._emit(DnsApplied(method=method))

    def _assigned(self, network: UseNetwork | None) -> AddressesAssigned:
        return AddressesAssigned(
            tun_name=self._tun.name,
            addresses=() if network is None else network.addresses,
            mtu=0 if network is None else network.mtu,
        )


def _end_persistence(fd: int) -> None:
    """Have the device go with its last descriptor, whatever a core has asked of the kernel."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, _TUNSETPERSIST, 0)
