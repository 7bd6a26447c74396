"""TunnelSession: one tunnel of one user, from the wish to have it to the restored machine.

The helper does what needs privilege and nothing else: it prepares the machine, starts a core that
has none, gives it the TUN device, the control socket and the secret, and watches it. When a core
dies, the device, its addresses, routes and the kill switch stay as they are, and another core takes
over. Nothing of the network is read here.
"""

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import replace

import trio

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.tun import OpenedTun
from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.control_messages import (
    EventReport,
    HelperMessage,
    LinkUsage,
    PathsReport,
    Revalidate,
    SetPath,
    Start,
    StateReport,
    UsageReport,
    WantStats,
)
from mqvpn_helper.interface.host_plan import CaptivePortal, IPAddress, KillSwitchMode
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import DnsSettings, PathPolicy, SplitSettings
from mqvpn_helper.session.core_link import CoreLink
from mqvpn_helper.session.core_process import CoreFiles, CoreLauncher, LaunchError
from mqvpn_helper.session.core_run import CoreEnd, CoreNews, CoreRun, CoreRunParts
from mqvpn_helper.session.events import (
    Ended,
    EventReported,
    PathStats,
    SecretsNeeded,
    SessionError,
    SessionEvent,
    StateChanged,
)
from mqvpn_helper.session.host_keeper import HostKeeper
from mqvpn_helper.session.plan_making import TunnelFacts, core_profile
from mqvpn_helper.session.secret_copy import SecretCopy, SecretError
from mqvpn_helper.session.threaded_host import SessionHost
from mqvpn_helper.session.waiting import wait_any

_LOGGER = logging.getLogger(__name__)

MAX_DEATHS = 5
"""Cores that may die one after the other without ever having had a tunnel."""
FIRST_PAUSE = 0.2
"""Seconds before a dead core is replaced; doubled each time."""
LONGEST_PAUSE = 10.0
"""Seconds that this grows to."""
RESTORE_LIMIT = 15.0
"""Seconds that restoring the machine may take, whatever else is being cancelled."""
SECRET_PATIENCE = 300.0
"""Seconds to wait for another secret when the server refused the first."""
_TAKING_OVER = (TunnelState.RECONNECTING, TunnelState.CONNECTING)


class TunnelSession:
    """One tunnel.

    A: `state`. C: `disconnect`, `provide_secrets`, `set_path_policy`, `set_kill_switch`, `set_dns`,
    `set_split`, `set_portal`, `request_stats`, `revalidate_paths`. Tasks: `run`, once.

    Everything it has to tell goes to ``emit``, in order, from within `run`; the last is `Ended`.
    """

    def __init__(
        self,
        profile: Profile,
        secrets_fd: int,
        host: SessionHost,
        launcher: CoreLauncher,
        emit: Callable[[SessionEvent], None],
    ) -> None:
        """Prepare; nothing happens before `run`.

        Args:
            profile: what the user wants.
            secrets_fd: where the secret can be read, a pipe or a memfd; ours to close from now on.
            host: the machine.
            launcher: starts cores.
            emit: told everything; must not block.
        """
        self.state = TunnelState.OFF
        """Where the tunnel stands."""
        self._profile = profile
        self._host = host
        self._launcher = launcher
        self._emit = emit
        self._secret_fd: int | None = secrets_fd
        self._has_new_secret = trio.Event()
        self._has_new_secret.set()
        self._secret: SecretCopy | None = None
        self._stop = trio.Event()
        self._keeps_kill_switch = False
        self._changed = trio.Event()
        self._core: CoreRun | None = None
        self._policies: dict[str, PathPolicy] = {}
        self._stats_interval = 0.0
        self._portal: CaptivePortal | None = None
        self._usage = LinkUsage()

    def disconnect(self, *, keep_kill_switch: bool = False) -> None:
        """Ask for the end; `run` returns when the machine is restored, its kill switch or not."""
        self._keeps_kill_switch = keep_kill_switch
        self._stop.set()

    def provide_secrets(self, secrets_fd: int) -> None:
        """Take another secret, for the next attempt; the descriptor is ours to close from now."""
        if self._secret_fd is not None:
            os.close(self._secret_fd)
        self._secret_fd = secrets_fd
        self._has_new_secret.set()

    def set_path_policy(self, interface: str, policy: PathPolicy) -> None:
        """Change what an interface may be used for.

        Args:
            interface: its name, or a pattern.
            policy: what the user wants of it.
        """
        before = self._policies.get(interface, PathPolicy())
        self._policies[interface] = PathPolicy(
            role=policy.role if policy.role is not None else before.role,
            cap_bytes=policy.cap_bytes if policy.cap_bytes is not None else before.cap_bytes,
            rate_limit=policy.rate_limit if policy.rate_limit is not None else before.rate_limit,
        )
        self._command(SetPath(interface=interface, policy=policy))

    def set_kill_switch(self, mode: KillSwitchMode) -> None:
        """Change when traffic outside the tunnel is blocked."""
        self._wish(replace(self._profile, kill_switch=mode))

    def set_dns(self, settings: DnsSettings) -> None:
        """Change the name servers."""
        self._wish(replace(self._profile, dns=settings))

    def set_split(self, settings: SplitSettings) -> None:
        """Change what goes beside the tunnel."""
        self._wish(replace(self._profile, split=settings))

    def set_portal(self, portal: CaptivePortal | None) -> None:
        """Begin or end an exception from the kill switch, to log in to a network."""
        self._portal = portal
        self._changed.set()

    def request_stats(self, interval: float | None) -> None:
        """Ask for `PathStats` at an interval in seconds; None: only when a state changes."""
        self._stats_interval = interval or 0.0
        self._command(WantStats(interval=self._stats_interval))

    def revalidate_paths(self) -> None:
        """Look at every path at once, as after the machine was asleep."""
        self._command(Revalidate())

    async def run(self) -> None:
        """Keep the tunnel until `disconnect`, or until it cannot be had."""
        error: SessionError | None = None
        self._set_state(TunnelState.CONNECTING)
        try:
            error = await self._run_with_secret()
        finally:
            if self._secret_fd is not None:
                os.close(self._secret_fd)
            if self._secret is not None:
                self._secret.close()
            self._set_state(
                TunnelState.OFF if error is None else TunnelState.ERROR,
                "" if error is None else error.text,
            )
            self._emit(Ended(error=error))

    async def _run_with_secret(self) -> SessionError | None:
        try:
            await self._take_secret()
            # A kill switch of a helper that was killed stays without a gap.
            tun = await self._host.open_tun(
                self._profile.tun_name, keep_leftovers=self._is_blocking()
            )
        except SecretError as refusal:
            return SessionError(kind=BusError.BAD_ARGUMENTS, text=str(refusal))
        except HostChangeError as refusal:
            return SessionError(kind=BusError.NO_TUN, text=str(refusal))
        self._usage = await self._host.load_usage(tun.name)
        facts = TunnelFacts(
            profile=self._profile,
            tun_name=tun.name,
            core_uid=self._launcher.uid,
            servers=self._profile.known_addresses,
            name_servers=await self._name_servers(),
        )
        keeper = HostKeeper(self._host, tun, facts, self._emit)
        keeps_kill_switch = True
        try:
            error = await self._run_with_host(tun, keeper)
            keeps_kill_switch = self._keeps_kill_switch
        finally:
            with trio.move_on_after(RESTORE_LIMIT, shield=True) as scope:
                await self._host.save_usage(tun.name, self._usage)
                try:
                    await keeper.restore(keep_kill_switch=keeps_kill_switch)
                except HostChangeError:
                    _LOGGER.exception("not everything could be taken back")
            if scope.cancelled_caught:
                _LOGGER.error("restoring the machine took too long; the next start does the rest")
            os.close(tun.fd)
        return error

    async def _run_with_host(self, tun: OpenedTun, keeper: HostKeeper) -> SessionError | None:
        self._tell_wishes(keeper)
        try:
            await keeper.refresh()  # the kill switch, before any packet of the core
        except HostChangeError as refusal:
            return SessionError(kind=BusError.HOST, text=str(refusal))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_wishes, keeper)
            nursery.start_soon(keeper.follow_firewall)
            error = await self._keep_cores(tun, keeper)
            nursery.cancel_scope.cancel()
        return error

    async def _keep_cores(self, tun: OpenedTun, keeper: HostKeeper) -> SessionError | None:
        deaths = 0
        while not self._stop.is_set():
            try:
                end = await self._run_core(tun, keeper)
            except LaunchError as refusal:
                return SessionError(kind=BusError.UNSUPPORTED, text=str(refusal))
            if self._stop.is_set():
                return None
            if end.failure is not None:
                error = SessionError(kind=end.failure.kind, text=end.failure.text)
                if not await self._may_try_again(error, keeper):
                    return None if self._stop.is_set() else error
                deaths = 0
                continue
            deaths = 1 if end.was_up else deaths + 1
            if deaths > MAX_DEATHS:
                error = SessionError(kind=BusError.CORE_DIED, text=end.fault)
                return await self._stay_blocked(error, keeper)
            await self._note_death(end.fault, deaths)
        return None

    async def _run_core(self, tun: OpenedTun, keeper: HostKeeper) -> CoreEnd:
        assert self._secret is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        secret = self._secret.open_reader()
        try:
            process = await self._launcher.launch(
                CoreFiles(tun=tun.fd, control=theirs.fileno(), secret=secret)
            )
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(secret)
            theirs.close()
        start = Start(
            profile=core_profile(self._profile),
            tun_name=tun.name,
            ifindex=tun.ifindex,
            instance=self._host.instance,
            servers=tuple(keeper.facts.servers),
            usage=self._usage,
            name_servers=tuple(keeper.facts.name_servers),
        )
        core = CoreRun(
            CoreRunParts(
                link=CoreLink(ours),
                process=process,
                start=start,
                answer=keeper.answer,
                note=self._note,
            )
        )
        self._core = core
        try:
            for interface, policy in self._policies.items():
                core.command(SetPath(interface=interface, policy=policy))
            if self._stats_interval:
                core.command(WantStats(interval=self._stats_interval))
            return await core.run(self._stop)
        finally:
            self._core = None

    async def _note_death(self, fault: str, deaths: int) -> None:
        _LOGGER.warning("%s; another one takes over", fault)
        self._emit(EventReported(kind=BusEventKind.CORE_DIED, detail={"text": fault}))
        self._set_state(TunnelState.RECONNECTING, fault)
        pause = min(FIRST_PAUSE * 2 ** (deaths - 1), LONGEST_PAUSE)
        with trio.move_on_after(pause):
            await self._stop.wait()

    async def _may_try_again(self, error: SessionError, keeper: HostKeeper) -> bool:
        """Do what can be done about a failure; tell whether another attempt makes sense."""
        if error.kind is not BusError.CREDENTIALS:
            await self._stay_blocked(error, keeper)
            return False
        await self._leave(keeper)
        self._has_new_secret = trio.Event()
        if self._is_blocking():
            self._set_state(TunnelState.BLOCKED, error.text, error)
        self._emit(EventReported(kind=BusEventKind.AUTH_FAILED, detail={"text": error.text}))
        self._emit(SecretsNeeded())
        patience = trio.move_on_after(float("inf") if self._is_blocking() else SECRET_PATIENCE)
        with patience:
            await wait_any(self._has_new_secret, self._stop)
        if patience.cancelled_caught or self._stop.is_set():
            return False
        try:
            await self._take_secret()
        except SecretError:
            _LOGGER.exception("the new secret cannot be used")
            return False
        self._set_state(TunnelState.CONNECTING)
        return True

    async def _stay_blocked(self, error: SessionError, keeper: HostKeeper) -> SessionError | None:
        """With a kill switch nothing may leave until the user says so, tunnel or not."""
        if not self._is_blocking():
            return error
        await self._leave(keeper)
        self._set_state(TunnelState.BLOCKED, error.text, error)
        while self._is_blocking() and not self._stop.is_set():
            await wait_any(self._stop, self._changed)
        return None if self._stop.is_set() else error

    async def _leave(self, keeper: HostKeeper) -> None:
        try:
            await keeper.leave()
        except HostChangeError:
            _LOGGER.exception("what the server gave could not be taken back yet")

    async def _follow_wishes(self, keeper: HostKeeper) -> None:
        while True:
            await self._changed.wait()
            self._tell_wishes(keeper)
            await keeper.refresh_if_possible()

    def _tell_wishes(self, keeper: HostKeeper) -> None:
        self._changed = trio.Event()
        keeper.wish(self._profile)
        keeper.set_portal(self._portal)

    async def _take_secret(self) -> None:
        fd, self._secret_fd = self._secret_fd, None
        assert fd is not None
        new = await SecretCopy.take(fd)
        if self._secret is not None:
            self._secret.close()
        self._secret = new

    async def _name_servers(self) -> tuple[IPAddress, ...]:
        """Return whom the core may ask although the kill switch lets nobody ask."""
        if self._profile.known_addresses or not self._is_blocking():
            return ()
        return await self._host.name_servers()

    def _is_blocking(self) -> bool:
        return self._profile.kill_switch is not KillSwitchMode.OFF

    def _wish(self, profile: Profile) -> None:
        self._profile = profile
        self._changed.set()

    def _command(self, message: HelperMessage) -> None:
        if self._core is not None:
            self._core.command(message)

    def _note(self, news: CoreNews) -> None:
        match news:
            case StateReport():
                # To the user a core that takes over does not begin anew.
                if (self.state, news.state) != _TAKING_OVER:
                    self._set_state(news.state, news.reason)
            case PathsReport():
                self._emit(PathStats(paths=news.paths, is_periodic=news.is_periodic))
            case UsageReport():
                self._usage = news.usage
            case EventReport():
                self._emit(EventReported(kind=news.kind, path=news.path, detail=news.detail))

    def _set_state(
        self, state: TunnelState, reason: str = "", error: SessionError | None = None
    ) -> None:
        if state is not self.state:
            self.state = state
            self._emit(StateChanged(state=state, reason=reason, error=error))
