"""The one tunnel of this machine: starts its session, ends it, and watches over it meanwhile.

Knows whose it is, not who may do what. A session that fails in an unforeseen way ends alone: the
helper goes on, and its owner reads why.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import trio

from mqvpn_helper.host.firewall import seconds_since_boot
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import BusError, BusEventKind, TunnelState
from mqvpn_helper.interface.host_plan import CaptivePortal, KillSwitchMode
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import DnsSettings, PathPolicy, SplitSettings
from mqvpn_helper.service.calls import Caller, CallError
from mqvpn_helper.service.name_watch import NameWatch
from mqvpn_helper.service.news_desk import NewsDesk
from mqvpn_helper.service.ownership import Ownership
from mqvpn_helper.service.property_board import PropertyBoard
from mqvpn_helper.session.core_process import LaunchError
from mqvpn_helper.session.events import Ended, SessionError, SessionEvent
from mqvpn_helper.session.tunnel_memory import WantedTunnel, Wish

_log = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000


class Session(Protocol):
    """One tunnel of one user; `mqvpn_helper.session.tunnel_session` has the real one."""

    async def run(self) -> None:
        """Stay until the tunnel is over and the machine restored."""

    def disconnect(self, *, keep_kill_switch: bool = False) -> None:
        """End `run` in order; a kill switch may stay."""

    def provide_secrets(self, fd: int) -> None:
        """Take the secret once more; the descriptor is the session's from now on."""

    def set_path_policy(self, interface: str, policy: PathPolicy) -> None:
        """Change what an interface is used for."""

    def set_kill_switch(self, mode: KillSwitchMode) -> None:
        """Change the kill switch."""

    def set_portal(self, portal: CaptivePortal | None) -> None:
        """Let one interface past the kill switch for a while, or end that."""

    def set_dns(self, settings: DnsSettings) -> None:
        """Change how names are resolved."""

    def set_split(self, settings: SplitSettings) -> None:
        """Change what goes beside the tunnel."""

    def request_stats(self, interval: float | None) -> None:
        """Ask for statistics each so many seconds, or not any more."""

    def revalidate_paths(self) -> None:
        """Look at all paths again at once."""


SessionMaker: TypeAlias = Callable[[WantedTunnel, Callable[[SessionEvent], None]], Session]
"""Makes a session of what is wanted and where its news go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a tunnel lives among."""

    nursery: trio.Nursery
    """Sessions are tasks in it."""
    ownership: Ownership
    """Whose the tunnel is."""
    board: PropertyBoard
    """The properties."""
    desk: NewsDesk
    """Where news go."""
    wall_clock_us: Callable[[], int]
    """Microseconds since 1970."""
    names: NameWatch
    """Tells when the connection is gone that a tunnel is tied to."""
    watch_machine: Callable[[], Awaitable[None]]
    """Runs as long as the tunnel, and tells of suspend, resume and links that cost money."""
    before_start: Callable[[int], Awaitable[None]]
    """Notes whose tunnel begins."""
    after_end: Callable[[], Awaitable[None]]
    """Looks at what the tunnel has left behind."""


@dataclass(slots=True, kw_only=True)
class _Running:
    """The session of the moment."""

    session: Session
    owner: int
    profile: Profile
    tied_to: str
    ended: trio.Event = field(default_factory=trio.Event)


class TunnelKeeper:
    """Keeps the tunnel.

    A: `is_up`, `session`. C: `make_room`, `start`, `resume`, `stop`, `close`, `allow_portal`,
    `set_split`, `caller_gone`, `fall_asleep`, `wake_up`.
    """

    def __init__(self, make_session: SessionMaker, surroundings: Surroundings) -> None:
        """Start without a tunnel."""
        self._make_session = make_session
        self._around = surroundings
        self._running: _Running | None = None
        self._closed_for = ""
        self._portal_scope = trio.CancelScope()

    @property
    def is_up(self) -> bool:
        """There is a session, whatever its state."""
        return self._running is not None

    @property
    def session(self) -> Session:
        """The session of the moment.

        Raises:
            CallError: there is none.
        """
        if self._running is None:
            raise CallError(BusError.NOT_CONNECTED, "there is no tunnel")
        return self._running.session

    def start(self, profile: Profile, secrets: int, caller: Caller) -> None:
        """Start the tunnel of a profile; the descriptor is ours in any case.

        Raises:
            CallError: there is a tunnel already, or there cannot be one.
        """
        wanted = WantedTunnel(wish=Wish(profile=profile), owner=caller.uid, secret=secrets)
        self._begin(wanted, tied_to=caller.sender if profile.tied else "")

    def resume(self, wanted: WantedTunnel) -> None:
        """Start the tunnel of a helper that is gone, as its user would want it."""
        try:
            self._begin(wanted, tied_to="")
        except CallError as error:
            _log.warning("the tunnel of an earlier helper is not brought up: %s", error.text)
            return
        text = "the helper was started anew and brings the tunnel up again"
        _log.info("%s", text)
        self._around.desk.tell(BusEventKind.OTHER, owner=wanted.owner, detail={"text": text})

    def _begin(self, wanted: WantedTunnel, *, tied_to: str) -> None:
        profile, owner = wanted.wish.profile, wanted.owner
        around = self._around

        def emit(news: SessionEvent) -> None:
            around.desk.receive(news, owner=owner, profile=profile.name)

        try:
            session = self._make_session_if_free(wanted, emit)
        except CallError:
            if wanted.secret is not None:
                os.close(wanted.secret)
            raise
        around.ownership.take(owner)
        around.board.put(table.OWNER, owner)
        around.board.put(table.PROFILE, profile.name)
        around.board.put(table.SERVER, profile.server)
        self._show_split(profile.split)
        # Whoever looks as soon as the answer is there sees that it has begun.
        around.desk.show_state(TunnelState.CONNECTING, None)
        self._running = _Running(
            session=session,
            owner=owner,
            profile=profile,
            tied_to=tied_to,
        )
        around.nursery.start_soon(self._run, self._running)

    def _make_session_if_free(
        self, wanted: WantedTunnel, emit: Callable[[SessionEvent], None]
    ) -> Session:
        reason = "a tunnel is up already" if self._running else self._closed_for
        if reason:
            raise CallError(BusError.BUSY, reason)
        try:
            return self._make_session(wanted, emit)
        except LaunchError as error:
            raise CallError(BusError.UNSUPPORTED, str(error)) from error

    async def make_room(self, caller: Caller) -> None:
        """End a tunnel of the same user that only holds its kill switch, which stays in force.

        Between that tunnel and the next one nothing may leave, as the user wanted.
        """
        running = self._running
        is_blocked = self._around.board.value(table.STATE) == TunnelState.BLOCKED.value
        if running is not None and is_blocked and running.owner == caller.uid:
            await self.stop(keep_kill_switch=True)

    async def stop(self, *, keep_kill_switch: bool = False) -> None:
        """End the tunnel and wait until the machine is restored; nothing when there is none.

        Args:
            keep_kill_switch: let it stay in force: it is not the user who wants the end.
        """
        running = self._running
        if running is not None:
            running.session.disconnect(keep_kill_switch=keep_kill_switch)
            await running.ended.wait()

    def close(self, reason: str) -> None:
        """Start no tunnels from now on, for this reason; an empty one ends that."""
        self._closed_for = reason

    def set_split(self, settings: SplitSettings) -> None:
        """Change what goes beside the tunnel.

        Raises:
            CallError: there is no tunnel.
        """
        self.session.set_split(settings)
        self._show_split(settings)

    def caller_gone(self, name: str) -> None:
        """Note that a connection to the bus is gone; the tunnel may be tied to it."""
        if self._running is not None and self._running.tied_to == name:
            self._running.session.disconnect()

    def allow_portal(self, interface: str, seconds: int) -> None:
        """Let an interface past the kill switch for a while; 0 seconds end that.

        Raises:
            CallError: there is no tunnel.
        """
        if self._running is None:
            raise CallError(BusError.NOT_CONNECTED, "there is no kill switch to pass")
        self._portal_scope.cancel()
        self._portal_scope = trio.CancelScope()
        around, scope = self._around, self._portal_scope
        around.nursery.start_soon(self._keep_portal, self._running, interface, seconds, scope)

    def fall_asleep(self) -> None:
        """The machine is going to sleep."""
        if self._running is not None:
            self._around.desk.tell(BusEventKind.SUSPENDED, owner=self._running.owner)

    def wake_up(self) -> None:
        """The machine is awake again: what was silent is looked at now, not at its next timeout."""
        if self._running is not None:
            self._running.session.revalidate_paths()
            self._around.desk.tell(BusEventKind.RESUMED, owner=self._running.owner)

    def _show_split(self, settings: SplitSettings) -> None:
        lists = {name: values for name, values in settings.lists().items() if values}
        self._around.board.put(table.SPLIT, lists)

    async def _keep_portal(
        self, running: _Running, interface: str, seconds: int, scope: trio.CancelScope
    ) -> None:
        with scope:
            if seconds:
                running.session.set_portal(
                    CaptivePortal(interface=interface, until=seconds_since_boot() + seconds)
                )
                until = self._around.wall_clock_us() + seconds * _MICROSECONDS
                self._show_portal(running, interface, until)
                with trio.move_on_after(seconds):
                    await running.ended.wait()
            running.session.set_portal(None)
            self._show_portal(running, "", 0)

    def _show_portal(self, running: _Running, interface: str, until: int) -> None:
        around = self._around
        around.board.put(table.PORTAL_INTERFACE, interface)
        around.board.put(table.PORTAL_UNTIL, until)
        around.desk.tell(
            BusEventKind.PORTAL, owner=running.owner, path=interface, detail={"until": until}
        )

    async def _run(self, running: _Running) -> None:
        around = self._around
        try:
            await around.before_start(running.owner)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(around.watch_machine)
                if running.tied_to:
                    nursery.start_soon(around.names.watch, running.tied_to)
                await running.session.run()
                nursery.cancel_scope.cancel()
        except Exception:  # noqa: BLE001 - fault boundary: the tunnel is over, the helper is not
            _log.exception("the session failed")
            error = SessionError(kind=BusError.FAILED, text="the helper failed; its log has more")
            around.desk.receive(
                Ended(error=error), owner=running.owner, profile=running.profile.name
            )
        finally:
            self._running = None
            around.names.unwatch(running.tied_to)
            around.ownership.leave()
            for each, value in _NOTHING_UP.items():
                around.board.put(each, value)
            try:
                await around.after_end()
            finally:
                running.ended.set()


_NOTHING_UP: dict[table.Property, object] = {
    table.OWNER: table.NO_OWNER,
    table.TUN_NAME: "",
    table.ADDRESSES: [],
    table.SPLIT: {},
    table.PATHS: {},
    table.PORTAL_INTERFACE: "",
    table.PORTAL_UNTIL: 0,
}
