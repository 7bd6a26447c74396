"""TunnelSession: one tunnel of one user, from the wish to have it to the restored machine.

The helper does what needs privilege and nothing else: it prepares the machine, starts a core that
has none, gives it the TUN device, the control socket and the secret, and watches it. When a core
dies, the device, its addresses, routes and the kill switch stay as they are, and another core takes
over. Should this process die, the next one has the session again from its `TunnelMemory`. Nothing
of the network is read here.
"""

import logging
import os
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
from mqvpn_helper.session.core_process import CoreLauncher, LaunchError
from mqvpn_helper.session.core_run import CoreEnd, CoreNews, CoreRun, CoreRunParts, start_core
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
from mqvpn_helper.session.secret_copy import SecretError
from mqvpn_helper.session.session_secret import SessionSecret
from mqvpn_helper.session.threaded_host import SessionHost
from mqvpn_helper.session.tunnel_memory import TunnelMemory, Wish
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
_SECRET_IS_LOST = SessionError(
    kind=BusError.CREDENTIALS,
    text="the secret was lost when the helper ended; it is needed once more",
)
_TAKING_OVER = (TunnelState.RECONNECTING, TunnelState.CONNECTING)


class TunnelSession:
    """One tunnel.

    A: `state`. C: `disconnect`, `provide_secrets`, `set_path_policy`, `set_kill_switch`, `set_dns`,
    `set_split`, `set_portal`, `request_stats`, `revalidate_paths`. Tasks: `run`, once.

    Everything it has to tell goes to ``emit``, in order, from within `run`; the last is `Ended`.
    """

    def __init__(
        self,
        wish: Wish,
        secrets_fd: int | None,
        host: SessionHost,
        launcher: CoreLauncher,
        memory: TunnelMemory,
        emit: Callable[[SessionEvent], None],
    ) -> None:
        """Prepare; nothing happens before `run`.

        Args:
            wish: what the user wants.
            secrets_fd: where the secret can be read, a pipe or a memfd; ours to close from now on.
                None: it has to be asked for.
            host: the machine.
            launcher: starts cores.
            memory: for the next helper, should this one not see the end.
            emit: told everything; must not block.
        """
        self.state = TunnelState.OFF
        """Where the tunnel stands."""
        self._wish = wish
        self._host = host
        self._launcher = launcher
        self._memory = memory
        self._emit = emit
        self._secret = SessionSecret(secrets_fd)
        self._has_worked = False
        self._stop = trio.Event()
        self._keeps_kill_switch = False
        self._changed = trio.Event()
        self._core: CoreRun | None = None
        self._stats_interval = 0.0
        self._portal: CaptivePortal | None = None
        self._usage = LinkUsage()

    def disconnect(self, *, keep_kill_switch: bool = False) -> None:
        """Ask for the end; `run` returns when the machine is restored, its kill switch or not."""
        self._keeps_kill_switch = keep_kill_switch
        self._stop.set()

    def provide_secrets(self, secrets_fd: int) -> None:
        """Take another secret, for the next attempt; the descriptor is ours to close from now."""
        self._secret.provide(secrets_fd)

    def set_path_policy(self, interface: str, policy: PathPolicy) -> None:
        """Change what an interface may be used for.

        Args:
            interface: its name, or a pattern.
            policy: what the user wants of it.
        """
        self._want(self._wish.with_policy(interface, policy))
        self._command(SetPath(interface=interface, policy=policy))

    def set_kill_switch(self, mode: KillSwitchMode) -> None:
        """Change when traffic outside the tunnel is blocked."""
        self._want_profile(replace(self._profile, kill_switch=mode))

    def set_dns(self, settings: DnsSettings) -> None:
        """Change the name servers."""
        self._want_profile(replace(self._profile, dns=settings))

    def set_split(self, settings: SplitSettings) -> None:
        """Change what goes beside the tunnel."""
        self._want_profile(replace(self._profile, split=settings))

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
            if error is not None:
                await self._memory.forget()
        except Exception:
            await self._memory.forget()  # it would fail again
            raise
        finally:
            self._secret.close()
            self._set_state(
                TunnelState.OFF if error is None else TunnelState.ERROR,
                "" if error is None else error.text,
            )
            self._emit(Ended(error=error))

    async def _run_with_secret(self) -> SessionError | None:
        try:
            if self._secret.is_given:
                await self._secret.take()
            # A kill switch of a helper that was killed stays without a gap.
            tun = await self._host.open_tun(
                self._profile.tun_name, keep_leftovers=self._is_blocking()
            )
        except SecretError as refusal:
            return SessionError(kind=BusError.BAD_ARGUMENTS, text=str(refusal))
        except HostChangeError as refusal:
            return SessionError(kind=BusError.NO_TUN, text=str(refusal))
        await self._remember()
        if self._secret.copy is not None:
            await self._memory.keep_secret(self._secret.copy)
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
                if not keeps_kill_switch:
                    await self._memory.forget()
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
        if self._secret.copy is None and not await self._has_another_secret(_SECRET_IS_LOST):
            return None if self._stop.is_set() else _SECRET_IS_LOST
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
        assert self._secret.copy is not None
        link, process = await start_core(self._launcher, tun, self._secret.copy)
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
                link=link,
                process=process,
                start=start,
                answer=keeper.answer,
                note=self._note,
            )
        )
        self._core = core
        try:
            for interface, policy in self._wish.policies:
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
        await keeper.leave_if_possible()
        self._emit(EventReported(kind=BusEventKind.AUTH_FAILED, detail={"text": error.text}))
        return await self._has_another_secret(error)

    async def _has_another_secret(self, error: SessionError) -> bool:
        """Ask for another secret and wait for it; tell whether it came."""
        given = self._secret.ask()
        if self._is_blocking():
            self._set_state(TunnelState.BLOCKED, error.text, error)
        self._emit(SecretsNeeded())
        patience = trio.move_on_after(float("inf") if self._is_blocking() else SECRET_PATIENCE)
        with patience:
            await wait_any(given, self._stop)
        if patience.cancelled_caught or self._stop.is_set():
            return False
        try:
            new = await self._secret.take()
        except SecretError:
            _LOGGER.exception("the new secret cannot be used")
            return False
        await self._memory.keep_secret(new)
        self._set_state(TunnelState.CONNECTING)
        return True

    async def _stay_blocked(self, error: SessionError, keeper: HostKeeper) -> SessionError | None:
        """With a kill switch nothing may leave until the user says so, tunnel or not."""
        if not self._is_blocking():
            return error
        await keeper.leave_if_possible()
        self._set_state(TunnelState.BLOCKED, error.text, error)
        while self._is_blocking() and not self._stop.is_set():
            await wait_any(self._stop, self._changed)
        return None if self._stop.is_set() else error

    async def _follow_wishes(self, keeper: HostKeeper) -> None:
        while True:
            await self._changed.wait()
            is_other = self._tell_wishes(keeper)
            await self._remember()
            if is_other:
                await keeper.refresh_if_possible()

    def _tell_wishes(self, keeper: HostKeeper) -> bool:
        self._changed = trio.Event()
        return keeper.wish(self._profile, self._portal)

    async def _remember(self) -> None:
        await self._memory.keep(self._wish, has_worked=self._has_worked)

    async def _name_servers(self) -> tuple[IPAddress, ...]:
        """Return whom the core may ask although the kill switch lets nobody ask."""
        if self._profile.known_addresses or not self._is_blocking():
            return ()
        return await self._host.name_servers()

    def _is_blocking(self) -> bool:
        return self._profile.kill_switch is not KillSwitchMode.OFF

    @property
    def _profile(self) -> Profile:
        return self._wish.profile

    def _want_profile(self, profile: Profile) -> None:
        self._want(replace(self._wish, profile=profile))

    def _want(self, wish: Wish) -> None:
        self._wish = wish
        self._changed.set()

    def _command(self, message: HelperMessage) -> None:
        if self._core is not None:
            self._core.command(message)

    def _note(self, news: CoreNews) -> None:
        match news:
            case StateReport():
                if news.state is TunnelState.UP and not self._has_worked:
                    self._has_worked = True
                    self._changed.set()
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
