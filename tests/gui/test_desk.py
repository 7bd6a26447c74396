"""The program as a whole, without any bus: what a user does before there is a helper."""

import segno
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from mqvpn_gui.windows.add_server import AddServerDialog
from mqvpn_gui.windows.first_run import FirstRunPage
from mqvpn_gui.windows.servers_page import ServersPage
from tests.gui.conftest import Office
from tests.gui.looking import press, shown

LINK = (
    "mqvpn://vpn.example.org/?pin=sha256%2FAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D"
    "&name=Home#key-of-the-user-0123456789"
)


def test_without_a_bus_the_first_page_says_what_to_do(office: Office, qtbot: QtBot) -> None:
    office.desk.start()
    qtbot.waitUntil(lambda: office.desk.window.page == "first-run")
    (page,) = office.desk.window.findChildren(FirstRunPage)
    assert "helper" in shown(page)


def test_without_a_panel_the_window_shows_itself_and_says_so_once(
    office: Office, qtbot: QtBot
) -> None:
    desk = office.desk
    desk.start(is_hidden=True)
    assert not desk.window.isVisible()  # the panel may be late
    desk._panel_wait.timeout.emit()
    assert desk.window.isVisible()
    assert "closing the window ends mqvpn" in shown(desk.window)
    press(desk.window.banner, "Dismiss")
    qtbot.waitUntil(lambda: office.preferences.current.knows_no_tray)
    desk._panel_wait.timeout.emit()
    assert desk.window.banner.texts == ()


def test_server_is_added_by_its_link(office: Office, qtbot: QtBot) -> None:
    office.desk.start()
    office.desk.add_server(LINK)
    (dialog,) = office.desk.window.findChildren(AddServerDialog)
    save = next(each for each in dialog.findChildren(QPushButton) if each.text() == "&Save")
    qtbot.waitUntil(save.isEnabled)
    press(dialog, "&Save")
    (page,) = office.desk.window.findChildren(ServersPage)
    qtbot.waitUntil(lambda: page.chosen != "")
    (name,) = office.profiles.names()
    assert page.chosen == name
    assert office.profiles.read(name).settings.host == "vpn.example.org"
    secret = office.secrets.read(name)
    assert secret is not None
    assert secret.reveal() == "key-of-the-user-0123456789"


def test_server_is_added_by_a_picture_of_its_code(office: Office, qtbot: QtBot) -> None:
    office.desk.start()
    office.desk.add_server("")
    (dialog,) = office.desk.window.findChildren(AddServerDialog)
    code = [bytes(row) for row in segno.make(LINK).matrix_iter(scale=4, border=4)]
    pixels = b"".join(bytes(0 if is_dark else 255 for is_dark in row) for row in code)
    side = len(code)
    picture = QImage(pixels, side, side, side, QImage.Format.Format_Grayscale8)
    dialog.picture_given.emit(picture)
    save = next(each for each in dialog.findChildren(QPushButton) if each.text() == "&Save")
    qtbot.waitUntil(save.isEnabled)


def test_nonsense_is_refused_in_words(office: Office, qtbot: QtBot) -> None:
    office.desk.start()
    office.desk.add_server("mqvpn://")
    (dialog,) = office.desk.window.findChildren(AddServerDialog)
    qtbot.waitUntil(lambda: "The link cannot be used" in shown(dialog))
    save = next(each for each in dialog.findChildren(QPushButton) if each.text() == "&Save")
    assert not save.isEnabled()
    assert office.profiles.names() == ()
