"""The machine as a session sees it: the synchronous host code, one call at a time, in a thread.

A call runs to its end even when the session is cancelled: half a change is never left to chance.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

import trio
from typing_extensions import override

from mqvpn_helper.host.dns import NameService
from mqvpn_helper.host.firewall_news import FirewallNews
from mqvpn_helper.host.link_lookup import find_networks
from mqvpn_helper.host.operations import DEFAULT_STATE_DIRECTORY, HostChanger
from mqvpn_helper.host.tun import OpenedTun, TunBusyError
from mqvpn_helper.interface.control_messages import LinkUsage
from mqvpn_helper.interface.host_plan import HostPlan, HostReport, IPAddress
from mqvpn_helper.interface.network_rules import MachineNetworks
from mqvpn_helper.session.usage_file import DEFAULT_USAGE_DIRECTORY, UsageFile

_T = TypeVar("_T")

DEVICE_PATIENCE = 10.0
"""Seconds to wait for the core of a helper that was killed to let go of the device."""
_DEVICE_PAUSE = 0.05


class LinkBeside(Protocol):
    """The link by which an address is reached beside the tunnel."""

    @property
    def ifindex(self) -> int:
        """Its index."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def source(self) -> IPAddress:
        """Address to send from."""

    @property
    def mtu(self) -> int:
        """Its MTU in bytes."""


class SessionHost(Protocol):
    """What a session needs of the machine; every method may raise HostChangeError."""

    @property
    def instance(self) -> str:
        """Random name of the TUN device's owner; after a crash the next owner has it again."""

    async def open_tun(self, name: str, *, keep_leftovers: bool) -> OpenedTun:
        """Create the TUN device; the caller closes the descriptor.

        What a helper that is gone left in force is undone, or stays until `apply` replaces it.
        """
        ...

    async def apply(self, plan: HostPlan) -> HostReport:
        """Bring the machine to a plan."""
        ...

    async def undo(self, *, keep_kill_switch: bool) -> None:
        """Take back everything, or everything but the kill switch."""
        ...

    async def link_towards(self, address: IPAddress) -> LinkBeside | None:
        """Return the link that leads to an address beside the tunnel."""
        ...

    async def networks(self, tun_ifindex: int) -> MachineNetworks:
        """Return where the machine is, beside a TUN device."""
        ...

    async def link_names(self) -> frozenset[str]:
        """Return the names of all links."""
        ...

    async def name_servers(self) -> tuple[IPAddress, ...]:
        """Return whom the machine asks for names outside the tunnel."""
        ...

    async def follow_firewall(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Call ``changed`` whenever somebody has removed firewall tables, until cancelled."""

    async def load_usage(self, tun_name: str) -> LinkUsage:
        """Return what links had carried when that was last saved."""
        ...

    async def save_usage(self, tun_name: str, usage: LinkUsage) -> None:
        """Keep what links have carried."""
        ...


class ThreadedHost(SessionHost):
    """The machine that this process runs on."""

    def __init__(
        self,
        state_directory: Path = DEFAULT_STATE_DIRECTORY,
        usage_directory: Path | None = None,
    ) -> None:
        """Prepare; nothing is touched yet.

        Args:
            state_directory: where the journal is.
            usage_directory: where it is kept what links have carried; by default a place that
                survives a reboot, or beside a journal that is elsewhere than usual.
        """
        is_usual = state_directory == DEFAULT_STATE_DIRECTORY
        elsewhere = DEFAULT_USAGE_DIRECTORY if is_usual else state_directory
        self._usage_directory = usage_directory or elsewhere
        self._changer = HostChanger(state_directory)
        self._limiter = trio.CapacityLimiter(1)

    @property
    @override
    def instance(self) -> str:
        return self._changer.instance

    @override
    async def open_tun(self, name: str, *, keep_leftovers: bool) -> OpenedTun:
        deadline = trio.current_time() + DEVICE_PATIENCE
        while True:
            try:
                return await self._call(
                    lambda: self._changer.open_tun(name, keep_leftovers=keep_leftovers)
                )
            except TunBusyError:
                if trio.current_time() > deadline:
                    raise
            await trio.sleep(_DEVICE_PAUSE)

    @override
    async def apply(self, plan: HostPlan) -> HostReport:
        return await self._call(lambda: self._changer.apply(plan))

    @override
    async def undo(self, *, keep_kill_switch: bool) -> None:
        await self._call(lambda: self._changer.undo(keep_kill_switch=keep_kill_switch))

    @override
    async def link_towards(self, address: IPAddress) -> LinkBeside | None:
        return await self._call(lambda: self._changer.link_towards(address))

    @override
    async def networks(self, tun_ifindex: int) -> MachineNetworks:
        return await self._call(lambda: find_networks(tun_ifindex))

    @override
    async def link_names(self) -> frozenset[str]:
        return await self._call(lambda: frozenset(name for _, name in socket.if_nameindex()))

    @override
    async def name_servers(self) -> tuple[IPAddress, ...]:
        return await self._call(NameService().present_servers)

    @override
    async def follow_firewall(self, changed: Callable[[], Awaitable[None]]) -> None:
        with closing(FirewallNews()) as news:
            while True:
                await trio.lowlevel.wait_readable(news.fileno())
                if news.take():
                    await changed()

    @override
    async def load_usage(self, tun_name: str) -> LinkUsage:
        return await self._call(UsageFile(self._usage_directory, tun_name).load)

    @override
    async def save_usage(self, tun_name: str, usage: LinkUsage) -> None:
        file = UsageFile(self._usage_directory, tun_name)
        await self._call(lambda: file.save(usage))

    async def _call(self, operation: Callable[[], _T]) -> _T:
        return await trio.to_thread.run_sync(operation, limiter=self._limiter)
