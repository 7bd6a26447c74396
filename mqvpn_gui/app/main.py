"""``mqvpn-gui``: the tray icon and the window."""

import sys
from collections.abc import Sequence

from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import QApplication

from mqvpn_gui.app.clocks import qt_clocks
from mqvpn_gui.app.desk import Desk
from mqvpn_gui.app.options import make_parser
from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.app.stop_signals import StopSignals
from mqvpn_gui.app.surroundings import Surroundings
from mqvpn_gui.bus.addresses import session_bus_address, system_bus_address
from mqvpn_gui.bus.qt_bus import QtBus
from mqvpn_gui.bus.single_program import SingleProgram
from mqvpn_gui.user.names import APPLICATION_ID
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.sandbox import is_sandboxed
from mqvpn_gui.user.secret_store import SecretStore
from mqvpn_gui.words.translation import install_translation


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until the user quits."""
    options = make_parser().parse_args(arguments)
    application = QApplication(sys.argv[:1])
    application.setApplicationName("mqvpn")
    application.setApplicationDisplayName("mqvpn")
    application.setDesktopFileName(APPLICATION_ID)
    application.setQuitOnLastWindowClosed(False)
    application.setAttribute(Qt.ApplicationAttribute.AA_DontShowIconsInMenus, False)
    around = _surroundings()
    _translate(application, around.preferences.current.language)
    desk = Desk(application, around)
    desk.quit_wanted.connect(application.quit)
    single = SingleProgram(around.session_bus, APPLICATION_ID, options.link)
    single.is_second.connect(application.quit)
    single.woken.connect(desk.wake_up)
    stop = StopSignals(application.quit)
    desk.start(is_hidden=options.hidden)
    for link in options.link:
        desk.add_server(link)
    code = application.exec()
    desk.finish()
    stop.close()
    return code


def _translate(application: QApplication, language: str) -> None:
    if language:
        QLocale.setDefault(QLocale(language))
    install_translation(language, application)


def _surroundings() -> Surroundings:
    return Surroundings(
        system_bus=QtBus(system_bus_address),
        session_bus=QtBus(session_bus_address),
        clocks=qt_clocks(),
        preferences=PreferenceFile(),
        profiles=ProfileStore(),
        secrets=SecretStore(),
        is_sandboxed=is_sandboxed(),
    )


if __name__ == "__main__":
    sys.exit(main())
