"""A session on a machine in memory, with cores that are played by the test."""

import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import trio
import trio.testing
from typing_extensions import override

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.bus_names import TunnelState
from mqvpn_helper.interface.control_messages import (
    HEARTBEAT,
    PROTOCOL_VERSION,
    CoreMessage,
    Disconnect,
    Hello,
    HelperMessage,
    LinkUsage,
    Start,
    StateReport,
)
from mqvpn_helper.interface.core_coding import encode_core_message
from mqvpn_helper.interface.helper_coding import decode_helper_message
from mqvpn_helper.interface.host_plan import HostPlan, HostReport, IPAddress
from mqvpn_helper.interface.network_rules import MachineNetworks
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.session.core_process import CoreFiles, CoreLauncher, CoreProcess, LaunchError
from mqvpn_helper.session.events import Ended, SessionEvent, StateChanged
from mqvpn_helper.session.secret_copy import SecretCopy
from mqvpn_helper.session.threaded_host import LinkBeside, SessionHost
from mqvpn_helper.session.tunnel_memory import TunnelMemory, Wish
from mqvpn_helper.session.tunnel_session import TunnelSession
from tests.session.samples import MACHINE, TUN_IFINDEX

SECRET = b"a key of some length"
CORE_UID = 4711
E = TypeVar("E", bound=SessionEvent)


class FakeSessionHost(SessionHost):
    """Remembers plans."""

    def __init__(self) -> None:
        self.plans: list[HostPlan] = []
        self.undone: list[bool] = []
        self.kept_leftovers: bool | None = None
        self.refusal: str | None = None
        self.link: LinkBeside | None = None
        self.usage = LinkUsage()
        self.name_servers_of_machine: tuple[IPAddress, ...] = ()
        self.removal = trio.Event()
        self.was_emptied = False

    @property
    @override
    def instance(self) -> str:
        return "instance"

    @override
    async def open_tun(self, name: str, *, keep_leftovers: bool) -> OpenedTun:
        await self._begin()
        self.kept_leftovers = keep_leftovers
        fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        return OpenedTun(fd=fd, name=name, ifindex=TUN_IFINDEX)

    @override
    async def apply(self, plan: HostPlan) -> HostReport:
        await self._begin()
        self.plans.append(plan)
        was_emptied, self.was_emptied = self.was_emptied, False
        return HostReport(firewall_was_emptied=was_emptied)

    @override
    async def undo(self, *, keep_kill_switch: bool) -> None:
        await self._begin()
        self.undone.append(keep_kill_switch)

    @override
    async def link_towards(self, address: IPAddress) -> LinkBeside | None:
        await self._begin()
        return self.link

    @override
    async def networks(self, tun_ifindex: int) -> MachineNetworks:
        await self._begin()
        return MACHINE.networks

    @override
    async def link_names(self) -> frozenset[str]:
        await self._begin()
        return MACHINE.link_names

    @override
    async def name_servers(self) -> tuple[IPAddress, ...]:
        await self._begin()
        return self.name_servers_of_machine

    @override
    async def follow_firewall(self, changed: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self.removal.wait()
            self.removal = trio.Event()
            await changed()

    @override
    async def load_usage(self, tun_name: str) -> LinkUsage:
        await trio.lowlevel.checkpoint()
        return self.usage

    @override
    async def save_usage(self, tun_name: str, usage: LinkUsage) -> None:
        await trio.lowlevel.checkpoint()
        self.usage = usage

    async def _begin(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            message, self.refusal = self.refusal, None
            raise HostChangeError(message)


class FakeMemory(TunnelMemory):
    """Remembers, in order, wishes with whether they have worked, secrets, and None for an end."""

    def __init__(self) -> None:
        self.kept: list[tuple[Wish, bool] | bytes | None] = []

    @property
    def is_empty(self) -> bool:
        return not self.kept or self.kept[-1] is None

    @override
    async def keep(self, wish: Wish, *, has_worked: bool) -> None:
        await trio.lowlevel.checkpoint()
        self.kept.append((wish, has_worked))

    @override
    async def keep_secret(self, secret: SecretCopy) -> None:
        await trio.lowlevel.checkpoint()
        self.kept.append(os.pread(secret.fileno(), 4096, 0))

    @override
    async def forget(self) -> None:
        await trio.lowlevel.checkpoint()
        self.kept.append(None)


class PlayedCore(CoreProcess):
    """A core as the helper sees its process, and as the test plays it."""

    def __init__(self, files: CoreFiles, pid: int) -> None:
        self.secret = os.pread(files.secret, 4096, 0)
        self.was_killed = False
        control = socket.socket(fileno=os.dup(files.control))
        control.setblocking(False)
        self.socket = trio.socket.from_stdlib_socket(control)
        self._pid = pid
        self._code: int | None = None
        self._over = trio.Event()
        self._scope = trio.CancelScope()

    @property
    @override
    def pid(self) -> int:
        return self._pid

    @override
    async def wait(self) -> int:
        await self._over.wait()
        return self._code or 0

    @override
    def kill(self) -> None:
        self.was_killed = True
        self._code = -9
        self._scope.cancel()

    async def play(self, script: "Script") -> None:
        try:
            with self._scope:
                await script(self)
        finally:
            self.socket.close()
            self._over.set()

    async def send(self, message: CoreMessage) -> None:
        await self.socket.send(encode_core_message(message))

    async def receive(self) -> HelperMessage | None:
        try:
            packet = await self.socket.recv(65536)
        except ConnectionResetError:  # the helper had not read everything
            return None
        return decode_helper_message(packet) if packet else None

    async def ask(self, message: CoreMessage) -> HelperMessage | None:
        await self.send(message)
        return await self.receive()

    async def greet(self) -> Start:
        start = await self.ask(Hello(protocol=PROTOCOL_VERSION))
        assert isinstance(start, Start)
        return start

    async def wait_end(self) -> None:
        """Wait until the helper says so or has closed the socket."""
        while await self.receive() is not None:
            pass


Script = Callable[[PlayedCore], Awaitable[None]]


class PlayingLauncher(CoreLauncher):
    """Gives each core a script; the last one is for all that follow."""

    def __init__(self, nursery: trio.Nursery, scripts: Sequence[Script]) -> None:
        self.cores: list[PlayedCore] = []
        self.refusal: str | None = None
        self._nursery = nursery
        self._scripts = scripts

    @property
    @override
    def uid(self) -> int:
        return CORE_UID

    @override
    async def launch(self, files: CoreFiles) -> CoreProcess:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise LaunchError(self.refusal)
        script = self._scripts[min(len(self.cores), len(self._scripts) - 1)]
        core = PlayedCore(files, pid=100 + len(self.cores))
        self.cores.append(core)
        self._nursery.start_soon(core.play, script)
        return core


@dataclass
class Stage:
    """One session with everything around it."""

    session: TunnelSession
    host: FakeSessionHost
    launcher: PlayingLauncher
    memory: FakeMemory
    events: list[SessionEvent] = field(default_factory=list)

    @property
    def states(self) -> list[TunnelState]:
        return [event.state for event in self.of(StateChanged)]

    @property
    def end(self) -> Ended:
        last = self.events[-1]
        assert isinstance(last, Ended)
        return last

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


def secret_pipe(secret: bytes = SECRET) -> int:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.write(writer, secret)
    os.close(writer)
    return reader


def perform(
    *scripts: Script,
    meanwhile: Callable[[Stage], Awaitable[None]] | None = None,
    host: FakeSessionHost | None = None,
    secret: bytes | None = SECRET,
    **members: object,
) -> Stage:
    """Run a session to its end, in virtual time.

    Args:
        scripts: what the cores do, one after the other.
        meanwhile: what the user does.
        host: the machine.
        secret: what the user has given; None: nothing.
        members: more of the profile.
    """
    profile = Profile.from_mapping({"server": "203.0.113.2", **members})

    async def main() -> Stage:
        with trio.fail_after(3600):
            async with trio.open_nursery() as nursery:
                events: list[SessionEvent] = []
                launcher = PlayingLauncher(nursery, scripts)
                machine = host or FakeSessionHost()
                memory = FakeMemory()
                session = TunnelSession(
                    Wish(profile=profile),
                    None if secret is None else secret_pipe(secret),
                    machine,
                    launcher,
                    memory,
                    events.append,
                )
                stage = Stage(
                    session=session, host=machine, launcher=launcher, memory=memory, events=events
                )
                if meanwhile is not None:
                    nursery.start_soon(meanwhile, stage)
                await session.run()
                nursery.cancel_scope.cancel()
        return stage

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def up(core: PlayedCore) -> None:
    """Play a core whose tunnel is up until somebody ends it."""
    await core.greet()
    await core.send(StateReport(state=TunnelState.UP))
    await until_told_to_leave(core)


async def until_told_to_leave(core: PlayedCore) -> None:
    """Play on, with signs of life, until the helper asks for an end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_show_life, core)
        while (message := await core.receive()) is not None:
            if isinstance(message, Disconnect):
                break
        nursery.cancel_scope.cancel()


async def _show_life(core: PlayedCore) -> None:
    while True:
        await trio.sleep(HEARTBEAT)
        with suppress(OSError):
            await core.send(StateReport(state=TunnelState.UP))
