"""The desk: one of everything, wired together. State flows one way, from the bus to what is seen.

Nothing here decides what is true: the helper does. What the user asks for goes to the helper, and
comes back as state.
"""

import os
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QApplication, QFileDialog, QInputDialog, QLineEdit, QMessageBox

from mqvpn_gui.app.attention import Attention
from mqvpn_gui.app.background import Background
from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.app.diagnostics_desk import DiagnosticsDesk
from mqvpn_gui.app.notices import Notices
from mqvpn_gui.app.own_checks import own_checks
from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.app.servers_desk import ServersDesk
from mqvpn_gui.app.settings_desk import SettingsDesk
from mqvpn_gui.app.text_files import write_text
from mqvpn_gui.app.tunnel_control import TunnelControl
from mqvpn_gui.bus.helper_proxy import MIN_API_LEVEL, HelperProxy
from mqvpn_gui.bus.notifications import Notifications
from mqvpn_gui.bus.qt_bus import CallError, QtBus
from mqvpn_gui.look.theme import Colours, ThemeChoice, apply_theme
from mqvpn_gui.model.diagnosis import Check
from mqvpn_gui.model.event_store import EventRecord, EventStore
from mqvpn_gui.model.helper_state import HelperState
from mqvpn_gui.model.history import History
from mqvpn_gui.tray.tray_icon import TrayIcon
from mqvpn_gui.tray.tray_menu import TrayMenu
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.names import APPLICATION_ID
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.secret_store import SecretStore
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.windows.banner import Message
from mqvpn_gui.windows.diagnostics_page import DiagnosticsPage
from mqvpn_gui.windows.first_run import FirstRunPage
from mqvpn_gui.windows.home_page import HomePage
from mqvpn_gui.windows.main_window import MainWindow
from mqvpn_gui.windows.servers_page import ServersPage
from mqvpn_gui.windows.settings_page import SettingsPage

STATISTICS_MS = 1000
"""Milliseconds between two readings of the paths while somebody looks."""

_CALL_FAILED = "call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the program finds around it; tests bring their own."""

    system_bus: QtBus
    """Where the helper is."""
    session_bus: QtBus
    """Where panel and notifications are."""
    clocks: Clocks
    """What time it is."""
    preferences: PreferenceFile
    """What the user wants of this program."""
    profiles: ProfileStore
    """The user's servers."""
    secrets: SecretStore
    """Their keys."""


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
        self._store = EventStore()
        self._names: tuple[str, ...] = ()
        self._may_connect_at_start = True
        colours = self._dress()
        self.helper = HelperProxy(around.system_bus, self)
        """The helper."""
        self._background = Background(self)
        self._control = TunnelControl(
            self.helper, self._background, around.profiles, around.secrets
        )
        self.window = MainWindow()
        """The window."""
        self._home = HomePage(self._history, self._store, self._clock, colours)
        self.window.add_page("home", self.tr("&Tunnel"), self._home)
        self._servers = ServersPage()
        self.window.add_page("servers", self.tr("&Servers"), self._servers)
        self._settings = SettingsPage(self._preferences.current)
        self.window.add_page("settings", self.tr("Se&ttings"), self._settings)
        diagnostics = DiagnosticsPage()
        self.window.add_page("diagnostics", self.tr("Dia&gnostics"), diagnostics)
        self._first_run = FirstRunPage()
        self.window.add_hidden_page("first-run", self._first_run)
        self._servers_desk = ServersDesk(
            self._background, around.profiles, around.secrets, self._servers, self.window
        )
        self._settings_desk = SettingsDesk(self._background, self._preferences, self._settings)
        self._diagnostics_desk = DiagnosticsDesk(
            self._background, self.helper, diagnostics, self._own_checks
        )
        self._menu = TrayMenu(self)
        self.tray = TrayIcon(around.session_bus, self._menu.menu, colours)
        """The icon in the panel."""
        notifications = Notifications(around.session_bus, "mqvpn", APPLICATION_ID, self._clock)
        self._notices = Notices(
            notifications, lambda: self._preferences.current, self._home.name_of
        )
        notifications.action_chosen.connect(lambda _subject, _action: self.show_window())
        self._attention = Attention(self._home.banner, around.clocks, os.getuid())
        self._second = QTimer(self)
        self._second.setInterval(1000)
        self._second.timeout.connect(self._tick)
        self._wire()
        self._servers_desk.read_names()

    def start(self, *, is_hidden: bool = False) -> None:
        """Open the buses; show the window, unless it shall be hidden and there is a tray.

        Args:
            is_hidden: hide it this time, whatever the preferences say.
        """
        for bus in self._buses:
            bus.open()
        hides = is_hidden or self._preferences.current.starts_hidden
        if not (hides and self.tray.is_visible):
            self.show_window()

    def show_window(self) -> None:
        """Show the window above the others."""
        self.window.bring_to_front()

    def finish(self) -> None:
        """Let go of the buses and wait for what is being written."""
        self._second.stop()
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

    def _wire(self) -> None:
        helper, control, home, menu = self.helper, self._control, self._home, self._menu
        helper.state_changed.connect(self._on_state)
        helper.events_arrived.connect(self._on_events)
        helper.restarted.connect(self._on_restart)
        helper.reached.connect(self._on_reached)
        control.busy_changed.connect(home.header.set_busy)
        control.failed.connect(self._show_problem)
        control.secret_missing.connect(self._ask_for_secret)
        home.header.toggle_wanted.connect(self.toggle)
        home.header.profile_chosen.connect(self._choose_profile)
        home.role_chosen.connect(control.set_role)
        home.events.export_wanted.connect(self._export_events)
        menu.toggle_wanted.connect(self.toggle)
        menu.profile_chosen.connect(self._switch_to)
        menu.role_chosen.connect(control.set_role)
        menu.kill_switch_chosen.connect(control.set_kill_switch)
        menu.window_wanted.connect(self.show_window)
        menu.diagnostics_wanted.connect(self._show_diagnostics)
        menu.quit_wanted.connect(self._quit)
        self._attention.portal_wanted.connect(control.allow_portal)
        self._servers_desk.names_changed.connect(self._show_profiles)
        self._servers_desk.connect_wanted.connect(self._switch_to)
        self._servers_desk.failed.connect(self._show_problem)
        self._settings.kill_switch_chosen.connect(control.set_kill_switch)
        self._settings_desk.looks_changed.connect(self._dress_again)
        self._settings_desk.failed.connect(self._show_problem)
        self._diagnostics_desk.failed.connect(self._show_problem)
        self._first_run.check_wanted.connect(helper.look_again)
        self.tray.clicked.connect(self._toggle_window)
        self.tray.middle_clicked.connect(self.toggle)
        self.tray.availability_changed.connect(self._on_tray)
        self.window.visibility_changed.connect(self._on_visibility)
        self.window.closed.connect(self._on_closed)
        self._application.styleHints().colorSchemeChanged.connect(self._dress_again)

    def _on_state(self, state: HelperState) -> None:
        now = self._clock()
        for path in state.paths:
            self._history.add(path, now)
        self._home.show_state(state)
        self._settings.show_state(state)
        self._attention.show_state(state)
        self._menu.show_state(state)
        self.tray.show_state(state)
        if state.error[1]:
            self._show_problem(state.error[1], "")

    def _on_events(self, records: list[EventRecord]) -> None:
        is_first = self._store.last_id == 0 and len(records) > 1
        new = self._store.add(records)
        self._home.show_events(new)
        if is_first:
            return  # read at the start: these are old news
        for record in new:
            self._notices.tell(record)

    def _on_restart(self) -> None:
        self._store.clear()
        self._home.events.table.refresh()

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

    def _own_checks(self) -> list[Check]:
        return own_checks(self.helper.state, self._chosen_profile(), has_tray=self.tray.is_visible)

    def _on_tray(self, has_tray: bool) -> None:
        if not has_tray and not self.window.isVisible():
            self.show_window()

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
        elif chosen := self._chosen_profile():
            self._control.connect_with(chosen)

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

    def _quit(self) -> None:
        """End, and say once that the tunnel stays: it belongs to the helper."""
        wanted = self._preferences.current
        if wanted.knows_quit_leaves_tunnel or not self.helper.state.is_wanted:
            self.quit_wanted.emit()
            return
        question = QMessageBox(
            QMessageBox.Icon.Question,
            self.tr("Quit mqvpn"),
            self.tr("The tunnel can stay up without this window. Leave it up?"),
            QMessageBox.StandardButton.Yes
            | QMessageBox.StandardButton.No
            | QMessageBox.StandardButton.Cancel,
            self.window,
        )
        question.finished.connect(self._on_quit_answer)
        question.finished.connect(question.deleteLater)
        self.show_window()
        question.open()

    def _on_quit_answer(self, answer: int) -> None:
        if answer == QMessageBox.StandardButton.Cancel:
            return
        self._settings_desk.remember_about_quitting()
        if answer == QMessageBox.StandardButton.No:
            self.helper.disconnect_tunnel(lambda _error: self.quit_wanted.emit())
        else:
            self.quit_wanted.emit()

    def _show_diagnostics(self) -> None:
        self.show_window()
        self.window.open_page("diagnostics")

    def _toggle_window(self) -> None:
        if self.window.isVisible() and self.window.isActiveWindow():
            self.window.hide()
        else:
            self.show_window()

    def _ask_for_secret(self, profile: str, why: str) -> None:
        self.show_window()
        text, is_given = QInputDialog.getText(
            self.window,
            self.tr("Key for {0}").format(profile),
            self.tr("{0}\nThe key is used once and not kept.").format(why),
            QLineEdit.EchoMode.Password,
        )
        if not is_given:
            return
        try:
            secret = SecretText(text.strip())
        except UserError as error:
            self._show_problem(error.problem, error.advice)
            return
        self._control.connect_asked(profile, secret)

    def _export_events(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self.window, self.tr("Export events"), "mqvpn-events.csv", "CSV (*.csv)"
        )
        if path:
            text = self._home.events.table.as_csv()
            self._background.run(lambda: write_text(path, text), lambda _: None, self._fail)

    # Messages and looks

    def _show_problem(self, problem: str, advice: str) -> None:
        text = f"{problem}\n{advice}" if advice else problem
        self._home.banner.show_message(Message(subject=_CALL_FAILED, text=text))

    def _fail(self, error: UserError) -> None:
        self._show_problem(error.problem, error.advice)

    def _dress(self) -> Colours:
        return apply_theme(self._application, ThemeChoice(self._preferences.current.theme))

    def _dress_again(self) -> None:
        colours = self._dress()
        self._home.set_colours(colours)
        self.tray.set_colours(colours, is_mono=self._preferences.current.is_mono_icon)
