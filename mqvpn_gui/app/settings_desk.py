"""What the user wants of the program: kept in its file, and done."""

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from mqvpn_gui.app import autostart
from mqvpn_gui.app.background import Background
from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.bus.background_portal import BackgroundPortal
from mqvpn_gui.model.preferences import Preferences
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.windows.settings_page import SettingsPage


class SettingsDesk(QObject):
    """Does what the page of settings asks for.

    A: `current`. C: `change`, `choose_profile`.
    """

    looks_changed = Signal()
    """Other colours, or another tray icon, are wanted."""
    failed = Signal(str, str)
    """Problem and advice."""

    def __init__(
        self,
        background: Background,
        preferences: PreferenceFile,
        page: SettingsPage,
        portal: BackgroundPortal | None,
    ) -> None:
        """Listen to the page.

        Args:
            background: for files.
            preferences: where they are kept.
            page: where they are shown.
            portal: asked about the start with the session; None: a file decides.
        """
        super().__init__(page)
        self._background = background
        self._preferences = preferences
        self._page = page
        page.preferences_chosen.connect(self.change)
        page.autostart_chosen.connect(self._switch_autostart)
        self._portal = portal
        if portal is not None:
            page.show_autostart(is_on=preferences.current.starts_with_session)
        else:
            background.run(autostart.is_on, lambda on: page.show_autostart(is_on=on), self._fail)

    @property
    def current(self) -> Preferences:
        """The wishes now."""
        return self._preferences.current

    def change(self, wanted: Preferences) -> None:
        """Take other wishes."""
        before = self._preferences.current
        if wanted != before:
            self._preferences.current = wanted
            self._background.run(self._preferences.write, lambda _: None, self._not_written)
        if (wanted.theme, wanted.is_mono_icon) != (before.theme, before.is_mono_icon):
            self.looks_changed.emit()
        if wanted.language != before.language:
            self.failed.emit(self.tr("The language changes when mqvpn is started again."), "")

    def choose_profile(self, name: str) -> None:
        """Let Connect use this server from now on."""
        self._take(replace(self.current, profile=name))

    def remember_about_quitting(self) -> None:
        """Do not ask again whether the tunnel shall stay."""
        self._take(replace(self.current, knows_quit_leaves_tunnel=True))

    def remember_about_tray(self) -> None:
        """Do not say again that no panel shows the icon."""
        self._take(replace(self.current, knows_no_tray=True))

    def _take(self, wanted: Preferences) -> None:
        self.change(wanted)
        self._page.show_preferences(wanted)

    def _switch_autostart(self, is_on: bool) -> None:
        if self._portal is None:
            self._background.run(lambda: autostart.switch(on=is_on), lambda _: None, self._fail)
            return

        def on_answer(starts: bool) -> None:
            self._take(replace(self.current, starts_with_session=starts))
            self._page.show_autostart(is_on=starts)
            if is_on and not starts:
                self.failed.emit(self.tr("The desktop does not start mqvpn with the session."), "")

        self._portal.ask(self.tr("Show the tunnel in the panel"), on_answer, on=is_on)

    def _not_written(self, error: UserError) -> None:
        self.failed.emit(
            self.tr("The settings hold until mqvpn ends: they could not be written."), error.problem
        )

    def _fail(self, error: UserError) -> None:
        self.failed.emit(error.problem, error.advice)
