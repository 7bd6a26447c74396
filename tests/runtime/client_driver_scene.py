"""A client's driver with fakes on every side."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.client_driver import (
    ClientDriver,
)
from tests.runtime.fakes import (
    FakeSession,
    FakeSocket,
    FakeTransport,
    FakeTun,
)


class CountingObserver:
    """Counts its looks; may end the driver."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self, now: Instant) -> None:
        del now
        self.looks += 1


class Scene:
    """A driver with fakes on every side."""

    def __init__(self, *, quiet: bool = True) -> None:
        self.socket = FakeSocket()
        self.tun = FakeTun()
        self.transport = FakeTransport(quiet=quiet)
        self.session = FakeSession(self.transport)
        self.observer = CountingObserver()
        self.driver = ClientDriver(self.transport, [self.socket])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.driver.run)
            await trio.testing.wait_all_tasks_blocked()
            yield
            nursery.cancel_scope.cancel()
