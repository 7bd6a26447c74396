"""Keeps the table of links up to date and tells when it has changed.

What arrives is bundled until it is quiet, because one event of the world makes many notifications.
The loss of a link, of its carrier or of an address is passed on at once. Nothing is polled; when
the kernel had to drop notifications, everything is listed anew.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import trio

from mqvpn_core.errors import HostError
from mqvpn_core.runtime.netlink_monitor import LinkNews
from mqvpn_core.tunnel.link_table import (
    Link,
    LinkMessage,
    LinkTable,
    WaysSeen,
    resynchronise,
    update,
)
from mqvpn_helper.interface.host_plan import IPAddress

_log = logging.getLogger(__name__)

QUIET = 0.02
"""Seconds without news after which changes are told."""
LONGEST = 0.1
"""Seconds after which changes are told although news keep coming."""
ROUTE_PAUSE = 0.5
"""Seconds between two looks at the routes while they change without any effect on us."""

RETRY_PAUSE = 1.0
"""Seconds before the kernel is asked again when that failed."""


class LinkSource(Protocol):
    """Where the news come from; see `mqvpn_core.runtime.netlink_monitor`."""

    async def wait_readable(self) -> None:
        """Wait for notifications."""

    def read(self) -> LinkNews:
        """Take the notifications that wait."""

    async def list_all(self) -> tuple[LinkMessage, ...]:
        """Return every link and address there is."""

    async def find_ways(
        self, links: Sequence[Link], servers: Sequence[IPAddress]
    ) -> tuple[WaysSeen, ...]:
        """Return the ways from these links to addresses of the server."""


class Links(Protocol):
    """What the users of a `LinkWatch` see of it."""

    @property
    def table(self) -> LinkTable:
        """The links as they were told last."""

    @property
    def version(self) -> int:
        """Grows with each change of the table."""

    async def wait_change(self, version: int) -> None:
        """Wait until there is a newer version than this one."""

    async def find_ways(self, servers: Iterable[IPAddress]) -> LinkTable:
        """Watch the ways to these addresses from now on; return the table that has them."""


class LinkWatch:
    """The links of this machine.

    A: `table`, `version`. C: `find_ways`. Tasks: `run`, `wait_change`.
    """

    def __init__(self, source: LinkSource) -> None:
        """Prepare; nothing is known before `run` says that it has started."""
        self.table = LinkTable()
        """The links as they were told last."""
        self.version = 0
        """Grows with each change of the table."""
        self._source = source
        self._draft = LinkTable()
        self._servers: tuple[IPAddress, ...] = ()
        self._changed = trio.Event()
        self._stirred = trio.Event()
        self._last_news = -math.inf
        self._asked_in_vain_at = -math.inf
        self._only_routes = False

    async def wait_change(self, version: int) -> None:
        """Wait until there is a newer version than this one."""
        while self.version <= version:
            await self._changed.wait()

    async def find_ways(self, servers: Iterable[IPAddress]) -> LinkTable:
        """Watch the ways to these addresses from now on; return the table that has them.

        Raises:
            HostError: the kernel does not answer.
        """
        self._servers = tuple(servers)
        await self._ask_ways()
        self._tell()
        return self.table

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled.

        Raises:
            HostError: the kernel does not say what links there are.
        """
        await self._list_anew()
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_when_quiet)
            while True:
                await self._source.wait_readable()
                await self._take(self._source.read())

    async def _take(self, news: LinkNews) -> None:
        if news.is_incomplete:
            await self._list_until_it_works()
            return
        change = update(self._draft, news.messages)
        self._draft = change.new
        if change.has_loss:
            self._tell()
        if not change.is_empty or news.routes_changed:
            self._stir(only_routes=change.is_empty)

    async def _list_until_it_works(self) -> None:
        _log.debug("notifications were lost: listing all links")
        while True:
            try:
                await self._list_anew()
            except HostError as error:
                _log.warning("%s; trying again", error)
                await trio.sleep(RETRY_PAUSE)
            else:
                return

    async def _list_anew(self) -> None:
        self._source.read()  # older than the listing, or repeated by what comes next
        listing = await self._source.list_all()
        self._draft = resynchronise(self._draft, listing).new
        self._tell()
        self._stir(only_routes=False)

    def _stir(self, *, only_routes: bool) -> None:
        self._only_routes = only_routes and (self._only_routes or not self._stirred.is_set())
        self._last_news = trio.current_time()
        self._stirred.set()

    async def _tell_when_quiet(self) -> None:
        while True:
            await self._stirred.wait()
            await self._wait_quiet()
            self._stirred = trio.Event()
            try:
                await self._ask_ways()
            except HostError as error:
                # Nothing else need ever happen that would make us ask again.
                _log.warning("%s; trying again", error)
                await trio.sleep(RETRY_PAUSE)
                self._stir(only_routes=False)
            if not self._tell():
                self._asked_in_vain_at = trio.current_time()

    async def _wait_quiet(self) -> None:
        latest = trio.current_time() + LONGEST
        while (until := min(self._last_news + QUIET, latest)) > trio.current_time():  # noqa: ASYNC110 - the time to wait for moves
            await trio.sleep_until(until)
        # A router whose routes never rest must not keep us busy.
        resting_until = self._asked_in_vain_at + ROUTE_PAUSE
        while self._only_routes and trio.current_time() < resting_until:  # noqa: ASYNC110 - other news end it
            await trio.sleep_until(min(resting_until, trio.current_time() + LONGEST))

    async def _ask_ways(self) -> None:
        servers = self._servers
        links = [link for link in self._draft.links.values() if link.is_running and link.addresses]
        found = await self._source.find_ways(links, servers)
        # Older than what `find_ways` was told meanwhile: that asks by itself.
        if servers == self._servers:
            self._draft = update(self._draft, found).new

    def _tell(self) -> bool:
        """Publish the draft; return whether anything is new in it."""
        if self._draft == self.table:
            return False
        self.table = self._draft
        self.version += 1
        self._changed.set()
        self._changed = trio.Event()
        return True
