"""The desk: one of everything, wired together. State flows one way, from the bus to what is seen.

Nothing here decides what is true: the helper does. What the user asks for goes to the helper, and
comes back as state.
"""

import os
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QApplication

from mqvpn_gui.app.attention import NO_TRAY, Attention
from mqvpn_gui.app.background import Background
from mqvpn_gui.app.connection_test import ConnectionTest
from mqvpn_gui.app.diagnostics_desk import DiagnosticsDesk, Sources
from mqvpn_gui.app.event_desk import EventDesk
from mqvpn_gui.app.key_desk import KeyDesk
from mqvpn_gui.app.leaving import Leaving
from mqvpn_gui.app.notices import Notices
from mqvpn_gui.app.problems import Problems
from mqvpn_gui.app.servers_desk import ServersDesk
from mqvpn_gui.app.settings_desk import SettingsDesk
from mqvpn_gui.app.surroundings import Surroundings
from mqvpn_gui.app.tunnel_control import KeyQuestion, TunnelControl
from mqvpn_gui.app.window_pages import make_pages
from mqvpn_gui.bus.background_portal import BackgroundPortal
from mqvpn_gui.bus.helper_proxy import MIN_API_LEVEL, HelperProxy
from mqvpn_gui.bus.network_watch import NetworkWatch
from mqvpn_gui.bus.notifications import Notifications
from mqvpn_gui.bus.qt_bus import CallError
from mqvpn_gui.look.theme import Colours, ThemeChoice, apply_theme
from mqvpn_gui.model.event_store import EventStore
from mqvpn_gui.model.helper_state import OFFLINE, HelperState, KillSwitch
from mqvpn_gui.model.history import History
from mqvpn_gui.model.preferences import Preferences
from mqvpn_gui.model.what_to_do import Remedy
from mqvpn_gui.tray.tray_icon import TrayIcon
from mqvpn_gui.tray.tray_menu import TrayMenu
from mqvpn_gui.user.names import APPLICATION_ID
from mqvpn_gui.words.events import sentence

STATISTICS_MS = 1000
"""Milliseconds between two readings of the paths while somebody looks."""

TRAY_PATIENCE_MS = 8000
"""Milliseconds that a panel has to come, or to come back, before the window shows itself."""


class Desk(QObject):
    """The running program.

    C: `start`, `show_window`, `finish`.
    """

    quit_wanted = Signal()
    """The user wants the program to end."""

    def __init__(self, application: QApplication, around: Surroundings) -> None:
        """Build everything; `start` opens the buses.

        Args:
            application: the one of Qt.
            around: buses, clocks and files.
        """
        super().__init__()
        self._application = application
        self._around = around
        self._buses = (around.system_bus, around.session_bus)
        self._preferences = around.preferences
        self._clock = around.clocks.steady
        self._history = History()
        self._names: tuple[str, ...] = ()
        self._may_connect_at_start = True
        self._seen = OFFLINE
        store, colours = EventStore(), self._dress()
        pages = make_pages(self._history, store, self._clock, colours, self._preferences.current)
        self._failovers = store.failovers
        self.window = pages.window
        """The window."""
        self._home, self._servers = pages.home, pages.servers
        self._settings, self._first_run = pages.settings, pages.first_run
        self.helper = HelperProxy(around.system_bus, self)
        """The helper."""
        self._background = Background(self)
        self._control = TunnelControl(
            self.helper, self._background, around.profiles, around.secrets, self._wishes
        )
        self._trial = ConnectionTest(self.helper)
        self._servers_desk = ServersDesk(
            self._background, around.profiles, around.secrets, self._servers, self._trial
        )
        portal = BackgroundPortal(around.session_bus) if around.is_sandboxed else None
        self._settings_desk = SettingsDesk(
            self._background, self._preferences, self._settings, portal
        )
        self._leaving = Leaving(self.helper, self._settings_desk, self.window)
        self._keys = KeyDesk(self._control, self.window)
        self._diagnostics_desk = DiagnosticsDesk(
            self._background, self._sources(), pages.diagnostics
        )
        self._menu = TrayMenu(self)
        self.tray = TrayIcon(around.session_bus, self._menu.menu, colours)
        """The icon in the panel."""
        bubbles = Notifications(around.session_bus, "mqvpn", APPLICATION_ID, self._clock)
        bubbles.action_chosen.connect(lambda _subject, _action: self.show_window())
        self._notices = Notices(bubbles, self._wishes, self._home.name_of)
        self._events = EventDesk(store, self._home, self._notices, self._background)
        self._problems = Problems(self.window.banner)
        self._attention = Attention(self.window.banner, around.clocks, os.getuid())
        self._networks = NetworkWatch(around.system_bus)
        self._second = self._timer(1000, self._tick)
        self._panel_wait = self._timer(TRAY_PATIENCE_MS, self._show_unless_tray)
        self._panel_wait.setSingleShot(True)
        self._wire()
        self._wire_helpers()
        self._servers_desk.read_names()

    def start(self, *, is_hidden: bool = False) -> None:
        """Open the buses; show the window, unless it shall be hidden and there is a tray.

        Args:
            is_hidden: hide it this time, whatever the preferences say.
        """
        for bus in self._buses:
            bus.open()
        if not (is_hidden or self._preferences.current.starts_hidden):
            self.show_window()
        # With the session the panel starts as well, and may take longer than this program.
        self._on_tray(self.tray.is_visible)

    def show_window(self) -> None:
        """Show the window above the others."""
        self.window.bring_to_front()

    def finish(self) -> None:
        """Let go of the buses and wait for what is being written."""
        self._second.stop()
        self._panel_wait.stop()
        self.tray.stop()
        self.helper.stop()
        self._application.styleHints().colorSchemeChanged.disconnect(self._dress_again)
        for bus in self._buses:
            bus.close()
        self._background.finish(2.0)

    def add_server(self, link: str) -> None:
        """Ask whether to keep the server of a link that the user has opened."""
        self.show_window()
        self.window.open_page("servers")
        self._servers_desk.add(link)

    def wake_up(self, links: list[str]) -> None:
        """Show the window, and ask about the links that somebody opened."""
        self.show_window()
        for link in links[:1]:
            self.add_server(link)

    # Wiring

    def _timer(self, milliseconds: int, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setInterval(milliseconds)
        timer.timeout.connect(act)
        return timer

    def _wire(self) -> None:
        helper, control, home, menu = self.helper, self._control, self._home, self._menu
        helper.state_changed.connect(self._on_state)
        helper.events_arrived.connect(self._events.take_news)
        helper.history_read.connect(self._events.take_history)
        helper.restarted.connect(self._events.begin_anew)
        helper.events_arrived.connect(self._tell_tray)
        helper.history_read.connect(self._tell_tray)
        helper.died.connect(self._on_death)
        helper.reached.connect(self._on_reached)
        helper.secrets_needed.connect(self._on_secrets_needed)
        control.busy_changed.connect(home.header.set_busy)
        home.header.toggle_wanted.connect(self.toggle)
        home.header.profile_chosen.connect(self._choose_profile)
        home.role_chosen.connect(control.set_role)
        menu.toggle_wanted.connect(self.toggle)
        menu.profile_chosen.connect(self._switch_to)
        menu.role_chosen.connect(control.set_role)
        menu.kill_switch_chosen.connect(control.set_kill_switch)
        menu.window_wanted.connect(self.show_window)
        menu.diagnostics_wanted.connect(self._show_diagnostics)
        menu.quit_wanted.connect(self._leaving.quit)
        self.tray.clicked.connect(self._toggle_window)
        self.tray.middle_clicked.connect(self.toggle)
        self.tray.availability_changed.connect(self._on_tray)
        self.window.visibility_changed.connect(self._on_visibility)
        self.window.closed.connect(self._on_closed)
        self._application.styleHints().colorSchemeChanged.connect(self._dress_again)

    def _wire_helpers(self) -> None:
        for part in (
            self._control,
            self._servers_desk,
            self._settings_desk,
            self._diagnostics_desk,
            self._events,
        ):
            part.failed.connect(self._problems.show)
        self.window.banner.dismissed.connect(self._on_dismissed)
        self._problems.remedy_wanted.connect(self._help)
        self._attention.portal_wanted.connect(self._control.allow_portal)
        self._attention.role_wanted.connect(self._control.set_role)
        self._attention.tunnel_wanted.connect(self._connect)
        self._attention.release_wanted.connect(self._release)
        self._attention.page_wanted.connect(lambda uri: QDesktopServices.openUrl(QUrl(uri)))
        self._networks.changed.connect(self._attention.show_network)
        self._leaving.agreed.connect(self.quit_wanted)
        self._servers_desk.names_changed.connect(self._show_profiles)
        self._servers_desk.connect_wanted.connect(self._switch_to)
        self._settings.kill_switch_chosen.connect(self._control.set_kill_switch)
        self._settings_desk.looks_changed.connect(self._dress_again)
        self._first_run.check_wanted.connect(self.helper.look_again)

    def _on_state(self, state: HelperState) -> None:
        now = self._clock()
        for path in state.paths:
            if path.is_measured:
                self._history.add(path, now)
        self._home.show_state(state)
        self._settings.show_state(state)
        self._networks.ask_about(path.interface for path in state.paths)
        self._attention.show_state(state)
        self._problems.show_state(state)
        self._menu.show_state(state)
        self._tell_tray()
        before, self._seen = self._seen, state
        self._notices.tell_state(before, state)

    def _tell_tray(self) -> None:
        state = self.helper.state
        record = self._failovers.explaining(state)
        story = "" if record is None else sentence(record, self._home.name_of)
        self.tray.show_state(state, story)
        self._menu.tell(story)

    def _on_death(self) -> None:
        self._events.note_death(self._around.clocks.wall())
        self._attention.tell_of_death()

    def _on_secrets_needed(self, profile: str) -> None:
        if self._trial.is_running:
            self._trial.refuse_key()
        else:
            self._control.ask_again(profile)

    def _on_reached(self, obstacle: CallError | None) -> None:
        if obstacle is not None:
            self._first_run.show_missing(obstacle.text)
            self.window.open_page("first-run")
        elif self.helper.state.api_level < MIN_API_LEVEL:
            self._first_run.show_too_old(self.helper.state.version)
            self.window.open_page("first-run")
        else:
            if self.window.page == "first-run":
                self.window.open_page("home" if self._names else "servers")
            self._connect_at_start()

    def _connect_at_start(self) -> None:
        """Bring the last server's tunnel up, once, when the user wants that and nothing is up."""
        wanted = self._preferences.current
        if self._may_connect_at_start and wanted.connects_at_start and wanted.profile:
            self._may_connect_at_start = False
            if not self.helper.state.is_wanted:
                self._control.connect_with(wanted.profile)

    def _wishes(self) -> Preferences:
        return self._preferences.current

    def _sources(self) -> Sources:
        return Sources(
            helper=self.helper,
            system_bus=self._around.system_bus,
            profiles=self._around.profiles,
            wall=self._around.clocks.wall,
            profile=self._chosen_profile,
            has_tray=lambda: self.tray.is_visible,
        )

    def _on_tray(self, has_tray: bool) -> None:
        if has_tray:
            self._panel_wait.stop()
            self.window.banner.take_back(NO_TRAY)
        else:
            self._panel_wait.start()

    def _show_unless_tray(self) -> None:
        if self.tray.is_visible:
            return
        if not self.window.isVisible():
            self.show_window()
        if not self._wishes().knows_no_tray:
            self._attention.tell_of_tray()

    def _on_dismissed(self, subject: str) -> None:
        if subject == NO_TRAY:
            self._settings_desk.remember_about_tray()

    def _on_visibility(self, is_visible: bool) -> None:
        # Nobody looks: neither the helper nor this program has to count and paint.
        self.helper.watch_statistics(STATISTICS_MS if is_visible else 0)
        if is_visible:
            self._second.start()
            self._tick()
        else:
            self._second.stop()

    def _on_closed(self) -> None:
        if not self.tray.is_visible:
            self.quit_wanted.emit()

    def _tick(self) -> None:
        self._home.header.tick(self._around.clocks.wall())
        self._home.refresh_graph()
        self._attention.tick()

    # What the user asks for

    def toggle(self) -> None:
        """Connect, cancel or disconnect."""
        if self.helper.state.is_wanted:
            self._control.disconnect_tunnel()
        else:
            self._connect()

    def _connect(self) -> None:
        if chosen := self._chosen_profile():
            self._control.connect_with(chosen)

    def _release(self) -> None:
        """Let traffic out although there is no tunnel."""
        if self.helper.state.kill_switch is KillSwitch.ALWAYS:
            self._control.set_kill_switch(KillSwitch.OFF)
        else:
            self._control.disconnect_tunnel()

    def _help(self, remedy: Remedy) -> None:
        chosen = self._chosen_profile()
        match remedy:
            case Remedy.RETRY:
                self._connect()
            case Remedy.KEY if chosen:
                self._keys.ask(KeyQuestion(profile=chosen, is_refused=True))
            case Remedy.SETTINGS if chosen:
                self._servers_desk.edit(chosen)
            case Remedy.DIAGNOSTICS:
                self._show_diagnostics()
            case _:
                self.window.open_page("servers")

    def _switch_to(self, name: str) -> None:
        self._choose_profile(name)
        if not self.helper.state.is_wanted:
            self._control.connect_with(name)

    def _choose_profile(self, name: str) -> None:
        self._settings_desk.choose_profile(name)
        self._show_profiles(self._names)

    def _chosen_profile(self) -> str:
        wanted = self._preferences.current.profile
        return wanted if wanted in self._names else next(iter(self._names), "")

    def _show_profiles(self, names: tuple[str, ...]) -> None:
        self._names = names
        chosen = self._chosen_profile()
        self._servers.show_names(names, chosen)
        self._home.header.show_profiles(names, chosen)
        self._menu.show_profiles(names, chosen)

    def _show_diagnostics(self) -> None:
        self.show_window()
        self.window.open_page("diagnostics")

    def _toggle_window(self) -> None:
        if self.window.isVisible() and self.window.isActiveWindow():
            self.window.hide()
        else:
            self.show_window()

    # Looks

    def _dress(self) -> Colours:
        return apply_theme(self._application, ThemeChoice(self._preferences.current.theme))

    def _dress_again(self) -> None:
        colours = self._dress()
        self._home.set_colours(colours)
        self.tray.set_colours(colours, is_mono=self._preferences.current.is_mono_icon)
