"""LocalHost: the host operations carried out in this process, for a core that has the privilege.

The host code is synchronous; each call runs in a worker thread, one at a time, and to its end even
when the caller is cancelled: half a change is never left to chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio
from typing_extensions import override

from mqvpn_core.errors import HostError
from mqvpn_core.ids import IfIndex
from mqvpn_core.runtime.host_operations import HostOperations, LinkInfo, TunHandle
from mqvpn_helper.host.dns import NameService
from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.firewall_news import FirewallNews
from mqvpn_helper.host.link_lookup import find_networks
from mqvpn_helper.host.operations import DEFAULT_STATE_DIRECTORY, HostChanger
from mqvpn_helper.host.owners import end_process
from mqvpn_helper.interface.host_plan import HostPlan, HostReport, IPAddress
from mqvpn_helper.interface.network_rules import MachineNetworks

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a recovery came to."""

    found: tuple[str, ...]
    """What was taken back."""
    living: tuple[tuple[str, int], ...]
    """TUN devices of running processes, which were left alone, with the process IDs."""


def recover_machine(
    state_directory: Path = DEFAULT_STATE_DIRECTORY, *, ends_owners: bool = False
) -> Recovered:
    """Take back everything that no running process needs, kill switches included.

    Args:
        state_directory: where the journal of changes is kept.
        ends_owners: end the processes that need something first.

    Raises:
        HostError: something could not be taken back.
    """
    changer = HostChanger(state_directory)
    try:
        if ends_owners:
            for _, owner in changer.living_owners():
                end_process(owner)
        # What is on the machine without a journal can only be told from what every journal says.
        is_only_one = state_directory == DEFAULT_STATE_DIRECTORY
        found = changer.recover(release_kill_switch=True, sweep=is_only_one)
        living = tuple((name, owner.pid) for name, owner in changer.living_owners())
        return Recovered(found=found, living=living)
    except HostChangeError as error:
        raise HostError(str(error)) from error


def follow_firewall() -> FirewallNews:
    """Return what tells of removed firewall tables.

    Raises:
        HostError: the kernel has no nftables, or the privilege is missing.
    """
    try:
        return FirewallNews()
    except HostChangeError as error:
        raise HostError(str(error)) from error


class LocalHost(HostOperations):
    """The machine this process runs on, in the network namespace it runs in."""

    def __init__(
        self, state_directory: Path = DEFAULT_STATE_DIRECTORY, *, tun_queues: int = 1
    ) -> None:
        """Prepare; nothing is touched yet.

        Args:
            state_directory: where the journal of changes is kept.
            tun_queues: descriptors that the TUN device will have.
        """
        self._changer = HostChanger(state_directory, tun_queues=tun_queues)
        self._limiter = trio.CapacityLimiter(1)
        self._tun_ifindex: int | None = None

    @override
    async def open_tun(self, name: str | None, *, keep_leftovers: bool = False) -> TunHandle:
        tun = await self._call(lambda: self._changer.open_tun(name, keep_leftovers=keep_leftovers))
        self._tun_ifindex = tun.ifindex
        return TunHandle(
            fd=tun.fd,
            name=tun.name,
            ifindex=IfIndex(tun.ifindex),
            instance=self._changer.instance,
            further_queues=tun.further_queues,
        )

    @override
    async def apply(self, plan: HostPlan) -> HostReport:
        return await self._call(lambda: self._changer.apply(plan))

    @override
    async def prepare(self, plan: HostPlan) -> HostReport:
        return await self.apply(plan)

    @override
    async def name_servers(self) -> tuple[IPAddress, ...]:
        return await self._call(NameService().present_servers)

    @override
    async def networks(self) -> MachineNetworks:
        return await self._call(lambda: find_networks(self._tun_ifindex))

    @override
    async def undo(self) -> None:
        await self._call(self._changer.undo)

    @override
    async def undo_but_block(self) -> None:
        await self._call(lambda: self._changer.undo(keep_kill_switch=True))

    @override
    async def recover(self) -> tuple[str, ...]:
        return await self._call(self._changer.recover)

    @override
    async def link_towards(self, address: IPAddress) -> LinkInfo | None:
        link = await self._call(lambda: self._changer.link_towards(address))
        if link is None:
            return None
        return LinkInfo(
            ifindex=IfIndex(link.ifindex), name=link.name, source=link.source, mtu=link.mtu
        )

    async def _call(self, operation: Callable[[], _Result]) -> _Result:
        try:
            return await trio.to_thread.run_sync(operation, limiter=self._limiter)
        except HostChangeError as error:
            raise HostError(str(error)) from error
