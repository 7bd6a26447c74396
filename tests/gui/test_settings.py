"""What the user wants of the program is done, and known at the next start."""

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QMessageBox
from pytestqt.qtbot import QtBot

from mqvpn_gui.app.autostart import entry_path
from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.look.theme import DARK, LIGHT
from mqvpn_gui.model.event_store import EventRecord
from mqvpn_gui.model.helper_state import KillSwitch
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.windows.settings_page import SettingsPage
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState
from mqvpn_helper.interface.profile import Profile
from tests.gui.conftest import Office, open_office
from tests.gui.private_bus import BusHelper
from tests.gui.samples import CONNECTED
from tests.gui.test_misfortunes import UP, banner

pytestmark = pytest.mark.slow


def page_of(office: Office) -> SettingsPage:
    (page,) = office.desk.window.findChildren(SettingsPage)
    return page


def box(office: Office, label: str) -> QCheckBox:
    (found,) = [
        each
        for each in page_of(office).findChildren(QCheckBox)
        if each.text().replace("&", "") == label
    ]
    return found


def choose(office: Office, name: str, text: str) -> None:
    (choice,) = [
        each for each in page_of(office).findChildren(QComboBox) if each.accessibleName() == name
    ]
    choice.setCurrentIndex(choice.findText(text))
    choice.activated.emit(choice.currentIndex())


def test_start_with_the_session(office: Office, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not office.desk._background._couriers)  # it has looked how it is
    box(office, "Start with the session").setChecked(True)
    qtbot.waitUntil(lambda: entry_path().is_file())
    assert "Exec=mqvpn-gui --hidden\n" in entry_path().read_text()
    box(office, "Start with the session").setChecked(False)
    qtbot.waitUntil(lambda: not entry_path().exists())


def test_theme_and_language(office: Office, qtbot: QtBot, qapp: QApplication, home: Path) -> None:
    choose(office, "Theme", "Dark")
    assert qapp.palette().window().color().name() == DARK.window
    choose(office, "Theme", "Light")
    assert qapp.palette().window().color().name() == LIGHT.window
    choose(office, "Language", "Deutsch")
    assert "when mqvpn is started again" in banner(office)
    qtbot.waitUntil(lambda: PreferenceFile(home).current.language == "de")
    assert PreferenceFile(home).current.theme == "light"


def test_icon_of_one_colour(office: Office) -> None:
    office.desk.helper._set_state(CONNECTED)
    before = office.desk.tray._icon.icon().pixmap(22, 22).toImage()
    box(office, "Tray icon in one colour").setChecked(True)
    assert office.desk.tray._icon.icon().pixmap(22, 22).toImage() != before
    assert office.desk.tray.is_mono


def test_hidden_start_shows_no_window(office: Office) -> None:
    box(office, "Start hidden, with the tray icon alone").setChecked(True)
    office.desk.start()
    assert not office.desk.window.isVisible()


@pytest.mark.parametrize("is_up", [False, True])
def test_connect_at_the_start(
    qapp: QApplication, qtbot: QtBot, home: Path, helper: BusHelper, *, is_up: bool
) -> None:
    if is_up:
        helper.properties |= UP
    with open_office(qapp, home, Path(helper.bus_path)) as office:
        stored = StoredProfile(settings=Profile(host="vpn.example.org"))
        office.profiles.write("office", stored, overwrite=False)
        office.secrets.write("office", SecretText("0123456789abcdef0123456789abcdef"))
        wanted = replace(office.preferences.current, connects_at_start=True, profile="office")
        office.desk._settings_desk.change(wanted)
        office.desk.start()
        qtbot.waitUntil(lambda: "GetEvents" in [method for method, _ in helper.asked])
        qtbot.waitUntil(lambda: is_up or "Connect" in [method for method, _ in helper.asked])
        qtbot.wait(100)
        calls = [method for method, _ in helper.asked].count("Connect")
        assert calls == (0 if is_up else 1)  # a tunnel that is up is left alone


def test_kill_switch_shows_what_is_in_force(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    choose(staffed, "Kill switch", "Always")
    qtbot.waitUntil(lambda: ("SetKillSwitch", ("always",)) in helper.asked)
    shown = page_of(staffed)._kill_switch
    assert shown.currentData() is KillSwitch.OFF  # as long as the helper says so
    helper.change(KillSwitch=("s", "always"))
    qtbot.waitUntil(lambda: shown.currentData() is KillSwitch.ALWAYS)


BUBBLES = {
    "Traffic moved to another path": BusEventKind.FAILOVER,
    "The connection is lost": BusEventKind.RECONNECTING,
    "Traffic is blocked, the key is refused": BusEventKind.AUTH_FAILED,
    "Links come and go": BusEventKind.LINK_ADDED,
}
QUIET = {"Links come and go"}
"""What is told only when the user wants it."""


@pytest.mark.parametrize("label", BUBBLES)
def test_only_what_is_wanted_becomes_a_bubble(
    office: Office, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    told: list[str] = []
    bubbles = office.desk._notices._notifications
    monkeypatch.setattr(bubbles, "show", lambda each: told.append(each.title))
    assert box(office, label).isChecked() == (label not in QUIET)
    for number, is_on in enumerate((True, False)):
        box(office, label).setChecked(is_on)
        record = EventRecord(id=number + 1, at=1.0, kind=BUBBLES[label], path="wlan0")
        office.desk.helper.events_arrived.emit([record])
    assert len(told) == 1


@pytest.mark.parametrize(
    ("answer", "ends_tunnel"),
    [(QMessageBox.StandardButton.Yes, False), (QMessageBox.StandardButton.No, True)],
)
def test_end_of_the_window_asks_once_about_the_tunnel(
    staffed: Office,
    helper: BusHelper,
    qtbot: QtBot,
    answer: QMessageBox.StandardButton,
    *,
    ends_tunnel: bool,
) -> None:
    helper.change(State=("s", "up"))
    qtbot.waitUntil(lambda: staffed.desk.helper.state.state is TunnelState.UP)
    staffed.desk._leaving.quit()
    (question,) = staffed.desk.window.findChildren(QMessageBox)
    with qtbot.waitSignal(staffed.desk.quit_wanted):
        question.button(answer).click()
    assert ("Disconnect" in [method for method, _ in helper.asked]) == ends_tunnel
    with qtbot.waitSignal(staffed.desk.quit_wanted):
        staffed.desk._leaving.quit()  # it is known now
