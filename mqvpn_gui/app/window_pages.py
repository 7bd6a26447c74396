"""The window with all its pages, as they are at the start."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from mqvpn_gui.look.theme import Colours
from mqvpn_gui.model.event_store import EventStore
from mqvpn_gui.model.history import History
from mqvpn_gui.model.preferences import Preferences
from mqvpn_gui.windows.diagnostics_page import DiagnosticsPage
from mqvpn_gui.windows.first_run import FirstRunPage
from mqvpn_gui.windows.home_page import HomePage
from mqvpn_gui.windows.main_window import MainWindow
from mqvpn_gui.windows.servers_page import ServersPage
from mqvpn_gui.windows.settings_page import SettingsPage


def _tr(text: str) -> str:
    return QCoreApplication.translate("window_pages", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The window and what is on it."""

    window: MainWindow
    """Holds the pages."""
    home: HomePage
    """State, paths, graph, events."""
    servers: ServersPage
    """The list of servers."""
    settings: SettingsPage
    """What the user wants of the program."""
    diagnostics: DiagnosticsPage
    """Checks and report."""
    first_run: FirstRunPage
    """What to do while there is no helper."""


def make_pages(
    history: History,
    store: EventStore,
    clock: Callable[[], float],
    colours: Colours,
    preferences: Preferences,
) -> Pages:
    """Make the window; nothing is shown yet.

    Args:
        history: numbers of the paths.
        store: the events.
        clock: seconds of the clock that the history uses.
        colours: of the theme.
        preferences: what the user wants.
    """
    window = MainWindow()
    pages = Pages(
        window=window,
        home=HomePage(history, store, clock, colours),
        servers=ServersPage(),
        settings=SettingsPage(preferences),
        diagnostics=DiagnosticsPage(),
        first_run=FirstRunPage(),
    )
    window.add_page("home", _tr("&Tunnel"), pages.home)
    window.add_page("servers", _tr("&Servers"), pages.servers)
    window.add_page("settings", _tr("Sett&ings"), pages.settings)
    window.add_page("diagnostics", _tr("Dia&gnostics"), pages.diagnostics)
    window.add_hidden_page("first-run", pages.first_run)
    return pages
