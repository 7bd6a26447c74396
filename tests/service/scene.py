"""A helper on a bus that is made up, with tunnels that are made up too."""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self, TypeVar

import trio
import trio.testing

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.interface.bus_names import TunnelState
from mqvpn_helper.interface.host_plan import CaptivePortal, KillSwitchMode
from mqvpn_helper.interface.tunnel_settings import DnsSettings, PathPolicy, SplitSettings
from mqvpn_helper.service.bus_link import BusLink
from mqvpn_helper.service.helper import Helper, HelperParts
from mqvpn_helper.service.machine_care import MachineFindings
from mqvpn_helper.session.events import Ended, SessionError, SessionEvent, StateChanged
from mqvpn_helper.session.tunnel_memory import WantedTunnel
from tests.service.fake_bus import FakeBus, FakeCaller

T = TypeVar("T")
ALICE = 1001
BOB = 1002
PROFILE = {"server": ("s", "vpn.example.org"), "name": ("s", "home")}
ALL_GRANTED = (True, False)


class FakeSession:
    """A tunnel that is up at once and does what the test says."""

    def __init__(self, wanted: WantedTunnel, emit: Callable[[SessionEvent], None]) -> None:
        self.profile = wanted.wish.profile
        self.secret = None if wanted.secret is None else os.read(wanted.secret, 100)
        if wanted.secret is not None:
            os.close(wanted.secret)
        self.emit = emit
        self.wishes: list[object] = []
        self.error: SessionError | None = None
        self.crash: Exception | None = None
        self.keeps_kill_switch = False
        self._over = trio.Event()

    async def run(self) -> None:
        self.emit(StateChanged(state=TunnelState.UP))
        await self._over.wait()
        if self.crash is not None:
            raise self.crash
        self.emit(Ended(error=self.error))

    def fail(self, error: SessionError | Exception) -> None:
        if isinstance(error, SessionError):
            self.error = error
        else:
            self.crash = error
        self._over.set()

    def disconnect(self, *, keep_kill_switch: bool = False) -> None:
        self.keeps_kill_switch = keep_kill_switch
        self._over.set()

    def provide_secrets(self, fd: int) -> None:
        self.secret = os.read(fd, 100)
        os.close(fd)

    def set_path_policy(self, interface: str, policy: PathPolicy) -> None:
        self.wishes.append((interface, policy))

    def set_kill_switch(self, mode: KillSwitchMode) -> None:
        self.wishes.append(mode)

    def set_portal(self, portal: CaptivePortal | None) -> None:
        self.wishes.append(portal)

    def set_dns(self, settings: DnsSettings) -> None:
        self.wishes.append(settings)

    def set_split(self, settings: SplitSettings) -> None:
        self.wishes.append(settings)

    def request_stats(self, interval: float | None) -> None:
        self.wishes.append(interval)

    def revalidate_paths(self) -> None:
        self.wishes.append("revalidate")


class FakeMachine:
    """A machine that remembers a kill switch."""

    def __init__(self) -> None:
        self.left_behind = KillSwitchMode.OFF
        self.is_broken = False
        self.recovered = 0
        self.owner: int | None = None
        self.remembered: WantedTunnel | None = None
        self.is_holding = False
        self.emptied = trio.Event()

    async def recall(self) -> WantedTunnel | None:
        return self.remembered

    async def hold_kill_switches(self) -> None:
        self.is_holding = self.left_behind is not KillSwitchMode.OFF

    def let_go(self) -> None:
        self.is_holding = False

    async def follow_firewall(self, put_back: Callable[[str], None]) -> None:
        await self.emptied.wait()
        if self.is_holding:
            put_back("mqvpn0")
        await trio.sleep_forever()

    async def reconcile(self) -> tuple[str, ...]:
        return ("undid something",)

    async def recover(self) -> tuple[str, ...]:
        if self.is_broken:
            raise HostChangeError("nft is not there")
        self.recovered += 1
        self.left_behind = KillSwitchMode.OFF
        return ()

    async def kill_switch(self) -> KillSwitchMode:
        return self.left_behind

    async def findings(self) -> MachineFindings:
        return MachineFindings(has_tun=True, has_nft=True, journal=("mqvpn0",), boot_rules=())

    async def remember_owner(self, uid: int) -> None:
        self.owner = uid

    async def last_owner(self) -> int | None:
        return self.owner


class Scene:
    """Everything that a test looks at."""

    def __init__(self, bus: FakeBus, machine: FakeMachine) -> None:
        self.bus = bus
        self.machine = machine
        self.sessions: list[FakeSession] = []
        self.alice = bus.caller(ALICE)
        self.bob = bus.caller(BOB)
        self.root = bus.caller(0)

    def make_session(
        self, wanted: WantedTunnel, emit: Callable[[SessionEvent], None]
    ) -> FakeSession:
        self.sessions.append(FakeSession(wanted, emit))
        return self.sessions[-1]

    async def connect(self, caller: FakeCaller, **members: tuple[str, object]) -> FakeSession:
        """Let somebody connect."""
        with Pipe(b"s3cret") as secrets:
            await caller.call("Connect", {**PROFILE, **members}, secrets.fileno())
        return self.sessions[-1]

    async def changed(self, name: str, value: object) -> None:
        """Wait until a public property has been announced to have this value."""
        while True:
            for message in self.bus.broadcast:
                values = message.body[1]
                if isinstance(values, dict) and values.get(name, ("", None))[1] == value:
                    return
            await self.bus.wait_news()


class Pipe:
    """The read end of a pipe with something in it."""

    def __init__(self, content: bytes) -> None:
        self._read_end, write_end = os.pipe()
        os.write(write_end, content)
        os.close(write_end)

    def fileno(self) -> int:
        return self._read_end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._read_end)


@asynccontextmanager
async def helper_on_bus(
    *, idle_seconds: float = 1e6, machine: FakeMachine | None = None
) -> AsyncIterator[Scene]:
    """Run a helper; what is not said otherwise is a challenge to polkit, `connect` is allowed."""
    fake_machine = machine or FakeMachine()
    with tempfile.TemporaryDirectory(prefix="mq-bus-") as directory:
        bus = FakeBus(Path(directory, "bus"))
        bus.polkit_answers["org.mqvpn.connect"] = ALL_GRANTED
        scene = Scene(bus, fake_machine)
        parts = HelperParts(
            make_session=scene.make_session, machine=fake_machine, idle_seconds=idle_seconds
        )
        async with trio.open_nursery() as outer:
            await outer.start(bus.serve)
            async with BusLink(bus.address) as link, trio.open_nursery() as nursery:
                helper = Helper(link, nursery, parts)
                await nursery.start(link.run, helper.receive)
                nursery.start_soon(helper.run)
                await bus.requested_name.wait()
                yield scene
                nursery.cancel_scope.cancel()
            outer.cancel_scope.cancel()


def run(test: Callable[[], Awaitable[T]]) -> T:
    """Run a test with a clock that jumps ahead, and a limit for the case that it hangs."""

    async def limited() -> T:
        with trio.fail_after(2000):
            return await test()

    return trio.run(limited, clock=trio.testing.MockClock(autojump_threshold=0.02))
