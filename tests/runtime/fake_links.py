"""Links that change at a test's word."""

from collections.abc import Iterable

import trio

from mqvpn_core.tunnel.link_table import Link, LinkTable
from mqvpn_helper.interface.host_plan import IPAddress
from tests.unit.tunnel.links import table


class FakeLinks:
    """A watch over links: `mqvpn_core.runtime.link_watch.Links`."""

    def __init__(self, *links: Link) -> None:
        self.table: LinkTable = table(*links)
        self.version = 0
        self.asked: list[tuple[IPAddress, ...]] = []
        self._changed = trio.Event()

    def become(self, *links: Link) -> None:
        """The machine has exactly these links now."""
        self.table = table(*links)
        self.version += 1
        self._changed.set()
        self._changed = trio.Event()

    async def wait_change(self, version: int) -> None:
        while self.version <= version:
            await self._changed.wait()

    async def find_ways(self, servers: Iterable[IPAddress]) -> LinkTable:
        await trio.lowlevel.checkpoint()
        self.asked.append(tuple(servers))
        return self.table
