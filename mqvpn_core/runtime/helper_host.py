"""The machine by way of the privileged helper, for a core that may change nothing itself."""

import contextlib
from collections.abc import Sequence

import trio
from typing_extensions import override

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.address_text import is_address
from mqvpn_core.runtime.direct_names import ask_directly
from mqvpn_core.runtime.helper_link import HelperLink
from mqvpn_core.runtime.host_operations import HostOperations, LinkInfo, TunHandle
from mqvpn_core.runtime.name_resolution import Lookup, NameNotFoundError, NameResolver
from mqvpn_helper.interface.control_messages import (
    MAX_LINKS,
    MAX_NAMED,
    MAX_ROUTES,
    Done,
    FindLink,
    LeaveNetwork,
    LinkFound,
    Start,
    UseNetwork,
    UseServers,
)
from mqvpn_helper.interface.control_packets import link_name
from mqvpn_helper.interface.host_plan import HostPlan, HostReport, IPAddress, IPNetwork
from mqvpn_helper.interface.profile import MAX_SERVER_ADDRESSES

KNOWN_LIMIT = 0.8
"""Seconds to resolve a name again whose addresses are known, less than attempts give for that."""


class HelperHost(HostOperations):
    """The machine; what is not the server's to give (kill switch, DNS, exceptions) is the helper's.

    A: `has_network`.
    """

    def __init__(self, link: HelperLink, start: Start, tun_fd: int) -> None:
        """Use the inherited device.

        Args:
            link: the helper.
            start: what it told us.
            tun_fd: non-blocking descriptor of the device.
        """
        self.has_network = False
        """What the server gave is in force."""
        self._link = link
        self._start = start
        self._tun_fd = tun_fd

    @override
    async def open_tun(self, name: str | None, *, keep_leftovers: bool = False) -> TunHandle:
        del name, keep_leftovers  # the helper has decided both
        return TunHandle(
            fd=self._tun_fd,
            name=self._start.tun_name,
            ifindex=IfIndex(self._start.ifindex),
            instance=self._start.instance,
        )

    @override
    async def apply(self, plan: HostPlan) -> HostReport:
        if not plan.addresses:
            return HostReport()  # nothing of the server's yet
        # Routes to where names lead are told as such: the helper makes both kinds of routes itself.
        has_names = bool(self._start.profile.split.include_names)
        routes = () if has_names else plan.routes
        if len(routes) > MAX_ROUTES:
            raise HostError(f"the server advertises more than {MAX_ROUTES} routes")
        excluded = plan.split.networks if plan.split is not None else ()
        reply = await self._link.ask(
            lambda number: UseNetwork(
                id=number,
                mtu=plan.mtu,
                addresses=plan.addresses,
                routes=routes,
                links=tuple(name for name in plan.links if link_name(name))[:MAX_LINKS],
                excluded=_hosts(excluded),
                included=_hosts(plan.routes) if has_names else (),
            )
        )
        self.has_network = True
        return HostReport(warnings=reply.warnings if isinstance(reply, Done) else ())

    @override
    async def undo(self) -> None:
        if self.has_network and not self._link.lost.is_set():
            self.has_network = False
            await self._link.ask(lambda number: LeaveNetwork(id=number))

    @override
    async def recover(self) -> tuple[str, ...]:
        return ()  # the helper has done so before it started us

    @override
    async def link_towards(self, address: IPAddress) -> LinkInfo | None:
        reply = await self._link.ask(lambda number: FindLink(id=number, address=address))
        if not isinstance(reply, LinkFound) or reply.source is None or not reply.ifindex:
            return None
        return LinkInfo(
            ifindex=IfIndex(reply.ifindex), name=reply.name, source=reply.source, mtu=reply.mtu
        )


class HelperResolver(NameResolver):
    """Finds the server's addresses, and has the helper let them through before they are used."""

    def __init__(self, link: HelperLink, start: Start, lookup: Lookup | None = None) -> None:
        """Know what the helper knows.

        Args:
            link: the helper.
            start: what it told us.
            lookup: blocking look-up; the system's when absent.
        """
        super().__init__(lookup)
        self._link = link
        self._server = start.profile.host
        self._allowed = start.servers
        self._only = start.profile.known_addresses
        self._name_servers = start.name_servers

    @override
    async def resolve(self, host: str) -> tuple[IPAddress, ...]:
        if host != self._server:
            return await super().resolve(host)  # of split tunnelling: no address of the server
        if self._only:
            return self._only
        found = (await self._find(host))[:MAX_SERVER_ADDRESSES]
        if not set(found) <= set(self._allowed):
            await self._link.ask(lambda number: UseServers(id=number, addresses=found))
            self._allowed = tuple(dict.fromkeys((*found, *self._allowed)))
        return found

    async def _find(self, host: str) -> tuple[IPAddress, ...]:
        if self._allowed and not is_address(host):
            # Behind a kill switch there may be nobody to ask; what was right a while ago may be
            # right still.
            with trio.move_on_after(KNOWN_LIMIT), contextlib.suppress(NameNotFoundError):
                return await super().resolve(host)
            return self._allowed
        if self._name_servers:
            with contextlib.suppress(NameNotFoundError):
                return await ask_directly(host, self._name_servers)
        return await super().resolve(host)


def _hosts(networks: Sequence[IPNetwork]) -> tuple[IPAddress, ...]:
    return tuple(network.network_address for network in networks)[:MAX_NAMED]
