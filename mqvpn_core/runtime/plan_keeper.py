"""Keeps the machine as everything that is known wants it, whoever learned it.

The supervisor brings assignments, the resolver addresses of the server, the links their names, and
split tunnelling where names lead. Each makes one plan, and plans are applied one at a time.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import trio
from typing_extensions import override

from mqvpn_core.config import LinkRole
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.address_text import is_address
from mqvpn_core.runtime.direct_names import ask_directly
from mqvpn_core.runtime.host_operations import HostOperations
from mqvpn_core.runtime.link_watch import Links
from mqvpn_core.runtime.name_resolution import NameNotFoundError, NameResolver
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.host_plan import ClientFacts, ClientHostSettings, client_host_plan
from mqvpn_core.tunnel.link_rules import role_of
from mqvpn_helper.interface.host_plan import (
    CORE_MARK,
    FIREWALL_IS_BACK,
    CaptivePortal,
    DnsMethod,
    HostPlan,
    HostReport,
    IPAddress,
    KillSwitchMode,
)

_log = logging.getLogger(__name__)

NAMES_AGAIN = 60.0
"""Seconds between two look-ups of names that split tunnelling knows."""
NAMES_AGAIN_AFTER_FAILURE = 5.0
"""The same while a name has not been found."""
_NAMES_LIMIT = 10.0
_MAX_ADDRESSES_OF_NAMES = 512
_MAX_SERVERS = 32


class LinkBoard(Protocol):
    """What is asked about the links."""

    @property
    def links(self) -> Links:
        """The links of this machine."""

    @property
    def board(self) -> RuleBoard:
        """The user's rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNames:
    """Host names of split tunnelling."""

    exclude: tuple[str, ...] = ()
    """Where they lead stays outside the tunnel."""
    include: tuple[str, ...] = ()
    """Where they lead goes into it."""


class PlanKeeper:
    """The machine as the client wants it.

    A: `facts`, `dns_method`. C: `prepare`, `let_through`, `plan`, `apply`, `leave`, `undo`,
    `set_portal`. Tasks: `follow_links`, `follow_names`, `follow_firewall`.
    """

    def __init__(self, host: HostOperations, settings: ClientHostSettings) -> None:
        """Prepare; nothing is touched yet.

        Args:
            host: the machine.
            settings: the user's decisions.
        """
        self.facts = ClientFacts()
        """What is known."""
        self.dns_method = DnsMethod.NONE
        """Who was told about the tunnel's name servers."""
        self._host = host
        self._settings = settings
        self._lock = trio.Lock()
        self._in_force: HostPlan | None = None
        self._is_carrying = trio.Event()
        self._is_user_leaving = False
        self._is_over = False
        self._warned: set[str] = set()

    @property
    def has_kill_switch(self) -> bool:
        """Whether traffic outside the tunnel is to be blocked."""
        return self._settings.kill_switch is not KillSwitchMode.OFF

    async def prepare(self, links: tuple[str, ...]) -> None:
        """Bring into force what must be there before the first connection.

        Args:
            links: links the connection may use.

        Raises:
            HostError: the machine refuses.
        """
        self.facts = replace(self.facts, links=links, name_servers=await self._name_servers())
        async with self._lock:
            plan = client_host_plan(self._settings, self.facts)
            self._take(plan, await self._host.prepare(plan))
        if self.has_kill_switch:
            _log.info(
                "kill switch (%s): nothing leaves outside the tunnel. When this program fails or"
                " is killed that stays so; the next start, or 'mqvpn-core recover', ends it",
                self._settings.kill_switch.value,
            )

    async def let_through(self, servers: Sequence[IPAddress]) -> None:
        """Make sure that the server can be reached at these addresses.

        Args:
            servers: its addresses, best first.

        Raises:
            HostError: the machine refuses.
        """
        known = tuple(dict.fromkeys((*servers, *self.facts.servers)))[:_MAX_SERVERS]
        if known == self.facts.servers:
            return
        self.facts = replace(self.facts, servers=known)
        if self.has_kill_switch:
            await self._refresh()

    def plan(self, assignment: Assignment) -> HostPlan:
        """Return the plan for an assignment, which counts from now on.

        Args:
            assignment: what the proxy gave.
        """
        self.facts = replace(self.facts, assignment=assignment)
        return client_host_plan(self._settings, self.facts)

    async def apply(self, plan: HostPlan) -> HostReport:
        """Bring the machine to a plan.

        Args:
            plan: what `plan` returned.

        Raises:
            HostError: the machine refuses.
        """
        async with self._lock:
            report = await self._host.apply(plan)
            self._take(plan, replace(report, warnings=()))  # these are for the caller to tell
            self._is_carrying.set()
            return report

    def leave(self) -> None:
        """The user wants the end: a kill switch may go as well."""
        self._is_user_leaving = True

    async def undo(self) -> None:
        """Take back every change; a kill switch only when the user wants the end."""
        is_first, self._is_over = not self._is_over, True
        async with self._lock:
            is_always = self._settings.kill_switch is KillSwitchMode.ALWAYS
            stays = is_always or (self.has_kill_switch and not self._is_user_leaving)
            if is_first and stays and self._in_force is not None:
                _log.warning(
                    "the kill switch stays in force: start again, or open the network without a"
                    " tunnel by 'mqvpn-core recover'"
                )
            if self._is_user_leaving:
                await self._host.undo()
            else:
                await self._host.undo_but_block()

    async def follow_links(self, watched: LinkBoard) -> None:
        """Bring routes and settings of links up to date when links change, until cancelled.

        Args:
            watched: the links.
        """
        while True:
            version = watched.links.version
            before = self.facts
            names = await self._name_servers()
            self.facts = replace(self.facts, links=usable_links(watched), name_servers=names)
            has_news = self.facts != before
            plan = self._in_force
            # Routes past the tunnel go with the link they were on.
            if has_news or (plan is not None and plan.split is not None):
                await self._refresh_if_possible(always=not has_news)
            await watched.links.wait_change(version)

    async def follow_firewall(self, wait_change: Callable[[], Awaitable[None]]) -> None:
        """Put a kill switch back when somebody has removed it, until cancelled.

        Args:
            wait_change: returns after a change of the firewall, our own ones included.
        """
        while True:
            await wait_change()
            await self._refresh_if_possible(always=True)

    async def set_portal(self, portal: CaptivePortal | None) -> None:
        """Begin or end an exception from the kill switch, for signing in to a network.

        Args:
            portal: the exception.
        """
        self.facts = replace(self.facts, portal=portal)
        await self._refresh_if_possible(always=True)

    async def follow_names(self, names: SplitNames, resolver: NameResolver) -> None:
        """Look up the names of split tunnelling again and again, until cancelled.

        An address that a name once had counts to the end: connections to it may still exist.

        Args:
            names: the names.
            resolver: name service.
        """
        if not (names.exclude or names.include):
            return
        # Before, the questions would go to whoever is outside.
        await self._is_carrying.wait()
        while True:
            excluded = await self._look_up(names.exclude, resolver)
            included = await self._look_up(names.include, resolver)
            facts = replace(
                self.facts,
                excluded=_grown(self.facts.excluded, excluded.addresses),
                included=_grown(self.facts.included, included.addresses),
            )
            if facts != self.facts:
                self.facts = facts
                await self._refresh_if_possible()
            is_whole = excluded.is_whole and included.is_whole
            await trio.sleep(NAMES_AGAIN if is_whole else NAMES_AGAIN_AFTER_FAILURE)

    async def _name_servers(self) -> tuple[IPAddress, ...]:
        """Return whom to ask for the server behind our own kill switch, while that is needed."""
        needs_some = self.has_kill_switch and not self.facts.servers
        return (await self._host.name_servers())[:_MAX_SERVERS] if needs_some else ()

    async def _look_up(self, names: Sequence[str], resolver: NameResolver) -> "_Found":
        found: list[IPAddress] = []
        is_whole = True
        for name in names:
            answered = False
            with trio.move_on_after(_NAMES_LIMIT):
                try:
                    found += await resolver.resolve(name)
                    answered = True
                except HostError as error:
                    _log.debug("split tunnelling: %s", error)
            is_whole = is_whole and answered
        return _Found(addresses=tuple(found), is_whole=is_whole)

    async def _refresh_if_possible(self, *, always: bool = False) -> None:
        try:
            await self._refresh(always=always)
        except HostError as error:
            self._warn((f"the machine could not be brought up to date: {error}",))

    async def _refresh(self, *, always: bool = False) -> None:
        """Apply the plan that follows from what is known now, unless nothing is in force yet."""
        async with self._lock:
            if self._is_over or self._in_force is None:
                return
            plan = client_host_plan(self._settings, self.facts)
            if always or plan != self._in_force:
                self._take(plan, await self._host.apply(plan))

    def _take(self, plan: HostPlan, report: HostReport) -> None:
        self._in_force = plan
        if report.dns_method is not self.dns_method:
            self.dns_method = report.dns_method
            if report.dns_method is not DnsMethod.NONE:
                _log.info("names are resolved through the tunnel, by %s", report.dns_method.value)
        if report.firewall_was_emptied:
            _log.warning("%s", FIREWALL_IS_BACK)
        self._warn(report.warnings)

    def _warn(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            if warning not in self._warned:
                _log.warning("%s", warning)
        self._warned.update(warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What came of looking names up."""

    addresses: tuple[IPAddress, ...]
    """Where they lead."""
    is_whole: bool
    """Every name was found."""


AskDirectly: TypeAlias = Callable[[str, Sequence[IPAddress]], Awaitable[tuple[IPAddress, ...]]]


async def ask_with_mark(host: str, name_servers: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
    """Ask with the mark that a kill switch lets through.

    Args:
        host: a name.
        name_servers: whom to ask.

    Raises:
        NameNotFoundError: nobody knows.
    """
    return await ask_directly(host, name_servers, mark=CORE_MARK)


class LettingResolver(NameResolver):
    """Finds the server, and has its addresses let through before they are used."""

    def __init__(
        self, resolver: NameResolver, keeper: PlanKeeper, ask: AskDirectly = ask_with_mark
    ) -> None:
        """Prepare.

        Args:
            resolver: who really finds.
            keeper: who lets through.
            ask: asks a name server past the machine's resolver.
        """
        super().__init__()
        self._resolver = resolver
        self._keeper = keeper
        self._ask = ask

    @override
    async def resolve(self, host: str) -> tuple[IPAddress, ...]:
        """Return the addresses of a host, which can be reached from now on.

        Raises:
            HostError: there are none, or the machine refuses.
        """
        found = await self._find(host)
        await self._keeper.let_through(found)
        return found

    async def _find(self, host: str) -> tuple[IPAddress, ...]:
        facts = self._keeper.facts
        if facts.name_servers and not facts.servers and not is_address(host):
            # The machine's own resolver is behind the kill switch like everybody else.
            with suppress(NameNotFoundError):
                return await self._ask(host, facts.name_servers)
        try:
            return await self._resolver.resolve(host)
        except NameNotFoundError:
            # Nobody answers behind a kill switch; what was right a while ago may be right still.
            if not facts.servers or not self._keeper.has_kill_switch:
                raise
            return facts.servers


def usable_links(watched: LinkBoard) -> tuple[str, ...]:
    """Return the names of the links that a connection may use, whether they work now or not.

    Args:
        watched: the links and the user's rules.
    """
    rules = watched.board.rules
    return tuple(
        sorted(
            link.name
            for link in watched.links.table.links.values()
            if role_of(rules, link) is not LinkRole.NEVER
        )
    )


def _grown(known: tuple[IPAddress, ...], found: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
    return tuple(dict.fromkeys((*known, *found)))[-_MAX_ADDRESSES_OF_NAMES:]
