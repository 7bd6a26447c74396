"""What can be done with a server that is there: change, copy, share, use, delete; and new ones."""

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QDialog, QLineEdit, QMessageBox
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.windows.add_server import AddServerDialog
from mqvpn_gui.windows.profile_editor import ProfileEditor
from mqvpn_gui.windows.servers_page import ServersPage
from mqvpn_gui.windows.share_dialog import QrCode, ShareDialog
from mqvpn_helper.interface.profile import Profile
from tests.gui.conftest import Office
from tests.gui.looking import button, press, shown
from tests.gui.private_bus import BusHelper
from tests.gui.test_misfortunes import banner, full_disk

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef0123456789abcdef"
LINK = f"mqvpn://vpn.example.org/?name=Home#{KEY}"


@pytest.fixture
def page(staffed: Office, qtbot: QtBot) -> ServersPage:
    stored = StoredProfile(settings=Profile(host="vpn.example.org"))
    staffed.profiles.write("office", stored, overwrite=False)
    staffed.secrets.write("office", SecretText(KEY))
    staffed.desk.show_window()
    staffed.desk.window.open_page("servers")
    staffed.desk._servers_desk.read_names()
    (found,) = staffed.desk.window.findChildren(ServersPage)
    qtbot.waitUntil(lambda: found.chosen == "office")
    return found


def key_of(office: Office, name: str) -> str | None:
    secret = office.secrets.read(name)
    return None if secret is None else secret.reveal()


def opened(office: Office, qtbot: QtBot, kind: type[QDialog]) -> QDialog:
    def visible() -> list[QDialog]:
        return [each for each in office.desk.window.findChildren(kind) if each.isVisible()]

    qtbot.waitUntil(lambda: len(visible()) == 1)
    return visible()[0]


def test_change(staffed: Office, page: ServersPage, qtbot: QtBot) -> None:
    press(page, "&Edit…")
    editor = opened(staffed, qtbot, ProfileEditor)
    address, key = (
        next(each for each in editor.findChildren(QLineEdit) if each.accessibleName() == name)
        for name in ("Address", "Key")
    )
    assert key.text() == ""  # what is kept is never shown
    address.setText("other.example.org:8443")
    key.setText("another-key-0123456789")
    press(editor, "Save")
    qtbot.waitUntil(lambda: key_of(staffed, "office") == "another-key-0123456789")
    settings = staffed.profiles.read("office").settings
    assert (settings.host, settings.port) == ("other.example.org", 8443)
    assert "another-key" not in staffed.profiles.path_of("office").read_text()


def test_copy(staffed: Office, page: ServersPage, qtbot: QtBot) -> None:
    press(page, "Du&plicate")
    qtbot.waitUntil(lambda: len(staffed.desk._names) == 2)
    (copy,) = set(staffed.profiles.names()) - {"office"}
    assert staffed.profiles.read(copy) == staffed.profiles.read("office")
    assert key_of(staffed, copy) == KEY


def test_share(staffed: Office, page: ServersPage, qtbot: QtBot) -> None:
    press(page, "S&hare…")
    dialog = opened(staffed, qtbot, ShareDialog)
    assert "Show it to nobody else" in shown(dialog)
    press(dialog, "&Copy the link")
    link = QGuiApplication.clipboard().text()
    assert link.startswith("mqvpn://vpn.example.org/")
    assert KEY in link
    # A camera, or this very program, reads the code.
    (code,) = dialog.findChildren(QrCode)
    other = staffed.desk._servers_desk.add()
    other.picture_given.emit(code.grab().toImage())
    qtbot.waitUntil(other._save.isEnabled)
    assert "vpn.example.org:443" in shown(other)


def test_use(page: ServersPage, helper: BusHelper, qtbot: QtBot) -> None:
    press(page, "&Connect")
    qtbot.waitUntil(lambda: "Connect" in [method for method, _ in helper.asked])


@pytest.mark.parametrize("is_sure", [True, False])
def test_delete(staffed: Office, page: ServersPage, qtbot: QtBot, *, is_sure: bool) -> None:
    press(page, "&Delete…")
    question = opened(staffed, qtbot, QMessageBox)
    assert isinstance(question, QMessageBox)
    assert "Delete office and its key?" in question.text()
    kind = QMessageBox.StandardButton
    question.button(kind.Yes if is_sure else kind.Cancel).click()
    qtbot.waitUntil(lambda: staffed.desk._names == (() if is_sure else ("office",)))
    assert staffed.profiles.names() == (() if is_sure else ("office",))
    assert staffed.keyring.kept == ({} if is_sure else staffed.keyring.kept)
    assert key_of(staffed, "office") == (None if is_sure else KEY)
    assert button(page, "&Delete…").isVisible() != is_sure  # an empty list offers nothing to do


def dropped(dialog: AddServerDialog, data: QMimeData) -> None:
    action, mouse, keys = (
        Qt.DropAction.CopyAction,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    entering = QDragEnterEvent(QPointF(5, 5).toPoint(), action, data, mouse, keys)
    dialog.dragEnterEvent(entering)
    assert entering.isAccepted()
    dialog.dropEvent(QDropEvent(QPointF(5, 5), action, data, mouse, keys))


@pytest.mark.parametrize("form", ["text", "file", "picture"])
def test_link_is_dropped_on_the_window(
    office: Office, qtbot: QtBot, tmp_path: Path, form: str
) -> None:
    dialog = office.desk._servers_desk.add()
    data = QMimeData()
    if form == "text":
        data.setText(LINK)
    elif form == "file":
        path = tmp_path / "invitation.txt"
        path.write_text(LINK)
        data.setUrls([QUrl.fromLocalFile(str(path))])
    else:
        picture: QImage = QrCode(LINK).grab().toImage()
        data.setImageData(picture)
    dropped(dialog, data)
    qtbot.waitUntil(dialog._save.isEnabled)
    assert "vpn.example.org:443" in shown(dialog)


def test_clipboard_with_nothing_of_use_says_so(office: Office, qtbot: QtBot) -> None:
    dialog = office.desk._servers_desk.add()
    QGuiApplication.clipboard().clear()
    press(dialog, "&Paste")
    assert "neither text nor a picture" in shown(dialog)
    QGuiApplication.clipboard().setText(LINK)
    press(dialog, "&Paste")
    assert dialog._text.toPlainText() == LINK
    qtbot.waitUntil(dialog._save.isEnabled)


def test_name_that_is_taken_can_be_mended(staffed: Office, page: ServersPage, qtbot: QtBot) -> None:
    assert page.chosen == "office"
    dialog = staffed.desk._servers_desk.add(LINK)
    qtbot.waitUntil(dialog._save.isEnabled)
    dialog._name.setText("office")
    press(dialog, "&Save")
    qtbot.waitUntil(lambda: "office" in dialog._message.text())
    assert dialog._name.isVisible()
    assert staffed.profiles.names() == ("office",)
    dialog._name.setText("home")
    press(dialog, "&Save")
    qtbot.waitUntil(lambda: staffed.desk._names == ("home", "office"))
    assert key_of(staffed, "home") == KEY


def test_full_disk_keeps_no_half_a_server(staffed: Office, page: ServersPage, qtbot: QtBot) -> None:
    dialog = staffed.desk._servers_desk.add(LINK)
    qtbot.waitUntil(dialog._save.isEnabled)
    with full_disk():
        press(dialog, "&Save")
        qtbot.waitUntil(lambda: "too large" in shown(dialog))
        assert dialog.isVisible()  # nothing that was typed is lost
        press(page, "Du&plicate")
        qtbot.waitUntil(lambda: banner(staffed) != "")
    assert staffed.profiles.names() == ("office",)
    press(dialog, "&Save")
    qtbot.waitUntil(lambda: len(staffed.desk._names) == 2)


@pytest.mark.parametrize("text", [LINK, "nothing of use"])
def test_dialogue_that_is_closed_before_its_link_is_read_is_left_alone(
    office: Office, qtbot: QtBot, text: str
) -> None:
    desk = office.desk._servers_desk
    dialog = desk.add(text)
    dialog.reject()
    qtbot.waitUntil(lambda: not isValid(dialog))
    # What the worker has found is delivered to nobody.
    assert desk._background._pool.waitForDone(5000)
    QApplication.processEvents()
    assert desk._found is None


def test_server_is_kept_although_the_dialogue_is_closed_meanwhile(
    office: Office, qtbot: QtBot
) -> None:
    dialog = office.desk._servers_desk.add(LINK)
    qtbot.waitUntil(dialog._save.isEnabled)
    press(dialog, "&Save")
    dialog.reject()
    qtbot.waitUntil(lambda: len(office.desk._names) == 1)
