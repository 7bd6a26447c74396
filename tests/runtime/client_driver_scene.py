"""A client's driver with fakes on every side."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

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
from tests.runtime.virtual_time import at_work


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

    def running(self) -> AbstractAsyncContextManager[None]:
        return at_work(self.driver.run)

    @asynccontextmanager
    async def carrying(self) -> AsyncIterator[None]:
        """Run with a tunnel that is up."""
        async with self.running():
            self.driver.attach(self.session, self.observer)
            self.driver.carry(self.tun)
            yield
