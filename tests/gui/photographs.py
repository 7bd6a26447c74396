"""Pictures of every page in light and dark, at 1x and 1.5x, in German and mirrored, to look at.

``python -m tests.gui.photographs DIR`` writes them; the tests take one of each state as well.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLocale, Qt
from PySide6.QtWidgets import QApplication, QTabWidget, QWidget

from mqvpn_gui.app.attention import Attention
from mqvpn_gui.app.checks import Findings, all_checks
from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.app.machine_look import MachineLook
from mqvpn_gui.app.problems import Problems
from mqvpn_gui.bus.permission import Permission
from mqvpn_gui.look.theme import Colours, ThemeChoice, apply_theme
from mqvpn_gui.model.diagnosis import MachineFacts, pretty_report
from mqvpn_gui.model.event_store import EventRecord, EventStore
from mqvpn_gui.model.helper_state import OFFLINE, HelperState, KillSwitch, PathState
from mqvpn_gui.model.history import History
from mqvpn_gui.model.preferences import Preferences
from mqvpn_gui.windows.add_server import AddServerDialog
from mqvpn_gui.windows.diagnostics_page import DiagnosticsPage
from mqvpn_gui.windows.first_run import FirstRunPage
from mqvpn_gui.windows.home_page import HomePage
from mqvpn_gui.windows.key_dialog import KeyDialog
from mqvpn_gui.windows.main_window import MainWindow
from mqvpn_gui.windows.profile_editor import ProfileEditor
from mqvpn_gui.windows.servers_page import ServersPage
from mqvpn_gui.windows.settings_page import SettingsPage
from mqvpn_gui.windows.share_dialog import ShareDialog
from mqvpn_gui.words.messages import sentences
from mqvpn_gui.words.states import link_name
from mqvpn_gui.words.translation import install_translation
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState
from mqvpn_helper.interface.profile import Profile
from tests.gui.samples import CONNECTED, LTE, OFF, WIFI

SCALES = (1.0, 1.5)
"""Pixels of the screen for one of the program."""
GERMAN, MIRRORED = "de", "rtl"
"""Endings of pictures in German, and of those for readers from right to left."""
WIDTHS = (760, 360)
"""Widths of the window; the second is the least one."""

_NOW = 1_000.0
_NO_KEY = "There is no key for this server in the keyring."
_LOCKED = "Your keyring is locked, and the key is in it."
_LINK = "mqvpn://alice@vpn.example.org/?name=Office#0123456789abcdef0123456789abcdef"

STATES: dict[str, HelperState] = {
    "no-helper": OFFLINE,
    "off": OFF,
    "connecting": replace(
        OFF, state=TunnelState.CONNECTING, paths=(replace(WIFI, state=PathState.VALIDATING),)
    ),
    "up": CONNECTED,
    "degraded": replace(
        CONNECTED,
        state=TunnelState.DEGRADED,
        paths=(
            replace(WIFI, state=PathState.SUSPECT, rx_bps=0, tx_bps=0, share=0.0),
            replace(LTE, rx_bps=9_600_000, tx_bps=720_000, share=1.0),
        ),
    ),
    "reconnecting": replace(
        CONNECTED,
        state=TunnelState.RECONNECTING,
        paths=tuple(replace(each, state=PathState.ABANDONING) for each in CONNECTED.paths),
    ),
    "blocked": replace(OFF, state=TunnelState.BLOCKED, kill_switch=KillSwitch.STANDARD),
    "error": replace(
        OFF, state=TunnelState.ERROR, error=("Credentials", "the server does not accept the key")
    ),
}
"""Every state that the page of the tunnel can show."""


@dataclass(frozen=True, slots=True)
class Studio:
    """What the pictures have in common."""

    colours: Colours
    history: History
    events: EventStore

    def home(self, state: HelperState) -> HomePage:
        """The page of the tunnel in a state."""
        page = HomePage(self.history, self.events, lambda: _NOW, self.colours)
        page.header.show_profiles(("Frankfurt", "Office"), "Frankfurt")
        page.show_state(CONNECTED)  # so that links have names in the events
        page.show_state(state)
        page.header.tick(state.since + 761)
        page.refresh_graph()
        return page


def studio(colours: Colours) -> Studio:
    """Numbers and events that are the same in every picture."""
    history, events = History(), EventStore()
    for step in range(240):
        for number, path in enumerate(CONNECTED.paths):
            wave = 1 + 0.3 * math.sin(step / 7 + number)
            history.add(replace(path, rtt_ms=path.rtt_ms * wave), _NOW - 60 + step / 4)
    events.add(
        [
            _event(1, BusEventKind.CONNECTED, server="fra1.example"),
            _event(2, BusEventKind.FAILOVER, "wlan0", to_interface="wwan0", gap_ms=62.0),
            _event(3, BusEventKind.RECOVERED, "wlan0", silent_ms=1234.0),
            _event(4, BusEventKind.ROLE_CHANGED, "wwan0", role="backup"),
        ]
    )
    return Studio(colours, history, events)


def _event(number: int, kind: BusEventKind, path: str = "", **detail: str | float) -> EventRecord:
    return EventRecord(id=number, at=1.7e9 + 5 * number, kind=kind, path=path, detail=dict(detail))


def scenes(colours: Colours) -> Iterator[tuple[str, Callable[[], QWidget]]]:
    """Every picture: its name, and what makes the window."""
    common = studio(colours)
    for name, state in STATES.items():
        yield f"tunnel-{name}", partial(_tunnel, common, state)
    yield "first-run", lambda: _window(FirstRunPage(), "first-run")
    yield "servers", lambda: _window(_servers(("Frankfurt", "Office")), "servers")
    yield "servers-none", lambda: _window(_servers(()), "servers")
    yield "settings", lambda: _window(SettingsPage(Preferences()), "settings")
    yield "diagnostics", lambda: _window(_diagnostics(), "diagnostics")
    yield "add-server", _add_server
    yield "add-server-refused", _add_server_refused
    yield (
        "key",
        lambda: KeyDialog("Office", _said("KeyDesk", _NO_KEY), can_keep=True, can_unlock=False),
    )
    yield (
        "key-locked",
        lambda: KeyDialog("Office", _said("KeyDesk", _LOCKED), can_keep=False, can_unlock=True),
    )
    yield "share", lambda: ShareDialog("Office", _LINK, has_key=True)
    for tab in range(4):
        yield f"editor-{tab + 1}", partial(_editor, tab)


def _tunnel(common: Studio, state: HelperState) -> QWidget:
    window = _window(common.home(state), "home")
    Problems(window.banner).show_state(state)
    Attention(window.banner, Clocks(steady=lambda: 0.0, wall=lambda: 0.0), 1000).show_state(state)
    return window


def _window(page: QWidget, name: str) -> MainWindow:
    window = MainWindow()
    titles = {
        "home": "&Tunnel",
        "servers": "&Servers",
        "settings": "Sett&ings",
        "diagnostics": "Dia&gnostics",
    }
    for each, title in titles.items():
        said = QCoreApplication.translate("window_pages", title)
        window.add_page(each, said, page if each == name else QWidget())
    if name not in titles:
        window.add_hidden_page(name, page)
    window.open_page(name)
    return window


def _servers(names: tuple[str, ...]) -> QWidget:
    page = ServersPage()
    page.show_names(names, names[0] if names else "")
    return page


def _diagnostics() -> QWidget:
    page = DiagnosticsPage()
    checks = all_checks(
        Findings(
            state=CONNECTED,
            profile="Frankfurt",
            has_tray=True,
            machine=MachineLook(is_clock_kept=False, takes_tunnel=True, wants_everything=True),
            permission=Permission.YES,
            facts=MachineFacts(has_tun=True, has_nft=False, journals=()),
        )
    )
    page.show_checks(checks)
    page.show_report(pretty_report(checks, {"screen": "xcb"}, None))
    return page


def _add_server() -> QWidget:
    dialog = AddServerDialog()
    dialog.give_text(_LINK)
    checks = _said("ServersDesk", "the key in the link")
    dialog.show_found("Office", "vpn.example.org:443", checks, (), has_key=True)
    links = f"{link_name(WIFI)} 18 ms, {link_name(LTE)} 41 ms"
    dialog.show_trial(_said("ConnectionTest", "It works over {0}.").format(links), is_good=True)
    return dialog


def _said(who: str, text: str) -> str:
    """What a part of the program says, in the language of the picture."""
    return QCoreApplication.translate(who, text)


def _add_server_refused() -> QWidget:
    dialog = AddServerDialog()
    dialog.give_text("mqvpn://")
    advice = "copy it whole; docs/links.md describes what it looks like"
    dialog.show_problem(sentences("the link cannot be used: there is no link", advice))
    return dialog


def _editor(tab: int) -> QWidget:
    editor = ProfileEditor("Office", Profile(host="vpn.example.org"))
    editor.findChildren(QTabWidget)[0].setCurrentIndex(tab)
    return editor


def photograph(folder: Path, application: QApplication, ending: str) -> int:
    """Write all pictures as the application is set up; return how many.

    Args:
        folder: where to.
        application: with its scale, language and direction.
        ending: of the names: what is special about them.
    """
    count = 0
    for theme in (ThemeChoice.LIGHT, ThemeChoice.DARK):
        colours = apply_theme(application, theme)
        for name, make in scenes(colours):
            widget = make()
            for width in WIDTHS if isinstance(widget, MainWindow) else (0,):
                if width:
                    widget.resize(width, 760)
                widget.show()
                application.processEvents()
                path = folder / f"{name}-{theme.value}-{widget.width()}-{ending}.png"
                if not widget.grab().save(str(path)):
                    raise OSError(f"{path} could not be written")
                count += 1
            widget.close()
            widget.deleteLater()
    return count


def main() -> int:
    """Write the pictures, each kind in a process of its own: Qt reads the scale at the start."""
    parser = argparse.ArgumentParser(prog="python -m tests.gui.photographs", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--one", metavar="ENDING", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.one:
        return _take(options.folder, options.one)
    for ending in (*(f"{scale:g}x" for scale in SCALES), GERMAN, MIRRORED):
        take(options.folder, ending)
    return 0


def take(folder: Path, ending: str) -> None:
    """Write one kind of pictures, named by its ending."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "QT_SCALE_FACTOR": ending.removesuffix("x") if ending.endswith("x") else "1",
            "XDG_CONFIG_HOME": home,
            "LC_ALL": "C.UTF-8",
        }
        command = [sys.executable, "-m", "tests.gui.photographs", str(folder)]
        command += ["--one", ending]
        subprocess.run(command, env=environment, check=True)  # noqa: S603 - this very program


def _take(folder: Path, ending: str) -> int:
    application = QApplication([])
    if ending == GERMAN:
        QLocale.setDefault(QLocale(GERMAN))
        install_translation(GERMAN, application)
    if ending == MIRRORED:
        application.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    count = photograph(folder, application, ending)
    sys.stdout.write(f"{count} pictures, {ending}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
