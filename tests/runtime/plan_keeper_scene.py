"""A machine that notes what it is asked to become, and name servers that answer as told."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network, ip_address

import trio
import trio.testing
from typing_extensions import override

from mqvpn_core.errors import HostError
from mqvpn_core.runtime.host_operations import HostOperations, LinkInfo, TunHandle
from mqvpn_core.runtime.name_resolution import NameNotFoundError, NameResolver
from mqvpn_core.runtime.plan_keeper import PlanKeeper
from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.tunnel.assignment import Assignment
from mqvpn_core.tunnel.host_plan import ClientHostSettings
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_helper.interface.host_plan import (
    HostPlan,
    HostReport,
    IPAddress,
    KillSwitchMode,
)
from tests.runtime.fake_links import FakeLinks
from tests.unit.tunnel.links import link

OPEN = ClientHostSettings(tun_name="mqvpn0", manage_routes=True, everything=True)
GUARDED = replace(OPEN, kill_switch=KillSwitchMode.STANDARD)
SERVER = ip_address("203.0.113.2")
OTHER = ip_address("203.0.113.9")
NAME_SERVER = ip_address("192.0.2.53")
GIVEN = Assignment(
    addresses=(IPv4Interface("10.0.0.2/32"),),
    routes=(IPv4Network("0.0.0.0/0"),),
    mtu=1400,
    server=SERVER,
)


class PlanningHost(HostOperations):
    """A machine that notes what it is asked for."""

    def __init__(self) -> None:
        self.log: list[HostPlan | str] = []
        self.asked: tuple[IPAddress, ...] = ()
        self.refusal: str | None = None
        self.report = HostReport()

    @property
    def plans(self) -> list[HostPlan]:
        return [entry for entry in self.log if isinstance(entry, HostPlan)]

    def latest_links(self) -> list[str]:
        return list(self.plans[-1].links)

    @override
    async def open_tun(self, name: str | None, *, keep_leftovers: bool = False) -> TunHandle:
        raise HostError(f"no device {name} for this test")

    @override
    async def prepare(self, plan: HostPlan) -> HostReport:
        self.log.append("prepare")
        return await self.apply(plan)

    @override
    async def name_servers(self) -> tuple[IPAddress, ...]:
        return self.asked

    @override
    async def apply(self, plan: HostPlan) -> HostReport:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise HostError(self.refusal)
        self.log.append(plan)
        return self.report

    @override
    async def undo(self) -> None:
        self.log.append("undo")

    @override
    async def undo_but_block(self) -> None:
        self.log.append("undo but block")

    @override
    async def recover(self) -> tuple[str, ...]:
        return ()

    @override
    async def link_towards(self, address: IPAddress) -> LinkInfo | None:
        return None


class Answers(NameResolver):
    """Name service that knows what a test says."""

    def __init__(self, **known: tuple[str, ...]) -> None:
        super().__init__()
        self.known = known
        self.asked: list[tuple[float, str]] = []

    @override
    async def resolve(self, host: str) -> tuple[IPAddress, ...]:
        await trio.lowlevel.checkpoint()
        self.asked.append((trio.current_time(), host))
        if host not in self.known:
            raise NameNotFoundError(f"cannot resolve {host}")
        return tuple(ip_address(each) for each in self.known[host])


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    links: FakeLinks
    board: RuleBoard


def board_of(*names: str) -> Board:
    made = FakeLinks(*(link(number, name) for number, name in enumerate(names, 1)))
    return Board(links=made, board=RuleBoard(LinkRules(own_device="mqvpn0")))


async def connect(keeper: PlanKeeper) -> None:
    await keeper.prepare(())
    await keeper.apply(keeper.plan(GIVEN))


async def beside(task: Callable[[], Awaitable[None]], story: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
        await story()
        nursery.cancel_scope.cancel()
