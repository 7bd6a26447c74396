"""Whatever is typed or pasted into a field is refused in words or kept as it is, and shown as text.

Markup, several lines, characters that turn the direction, and ten thousand letters.
"""

from functools import partial
from urllib.parse import quote

import pytest
from PySide6.QtWidgets import QApplication, QDialog, QLabel, QLineEdit, QPlainTextEdit
from pytestqt.qtbot import QtBot

from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.windows.add_server import AddServerDialog
from mqvpn_gui.windows.key_dialog import KeyDialog
from mqvpn_gui.windows.profile_editor import ProfileEditor
from mqvpn_gui.windows.share_dialog import ShareDialog
from mqvpn_helper.interface.profile import Profile
from tests.gui.conftest import Office
from tests.gui.looking import press, shown

pytestmark = pytest.mark.slow

EVIL = {
    "markup": "<b>bold</b><img src=x>",
    "lines": "line\nbreak\ttab\x00",
    "direction": "\u202egnp.exe\u2066",
    "formats": "%s{0}{x}&amp;",
    "list": ",".join(["=,= =", "a=b=c", "::", "1e999 GB"] * 20),
    "number": "9" * 5_000,
    "length": "y" * 10_240,
}
WIDEST = 1_200

evil_texts = pytest.mark.parametrize("evil", list(EVIL.values()), ids=list(EVIL))


def looks_harmless(dialog: QDialog) -> None:
    QApplication.processEvents()
    assert not dialog.grab().isNull()
    assert dialog.width() < WIDEST
    for label in dialog.findChildren(QLabel):
        assert label.textFormat().name == "PlainText" or "<" not in label.text()
        assert "\u202e" not in label.text()


def is_answered(dialog: AddServerDialog) -> bool:
    return dialog._save.isEnabled() or dialog._message.text() != ""


@evil_texts
def test_what_is_pasted_as_a_link(office: Office, qtbot: QtBot, evil: str) -> None:
    dialog = office.desk._servers_desk.add("")
    dialog.findChildren(QPlainTextEdit)[0].setPlainText(evil)
    qtbot.waitUntil(lambda: dialog._message.text() != "")
    looks_harmless(dialog)
    assert not dialog._save.isEnabled()


@evil_texts
def test_what_a_link_says(office: Office, qtbot: QtBot, evil: str) -> None:
    part = quote(evil[:900])
    for link in (
        f"mqvpn://vpn.example.org/?name={part}#key-0123456789",
        f"mqvpn://{part}@vpn.example.org/#key-0123456789",
        f"mqvpn://{part}/#key-0123456789",
        f"mqvpn://vpn.example.org/?{part}={part}#{part}",
    ):
        dialog = office.desk._servers_desk.add(link)
        qtbot.waitUntil(partial(is_answered, dialog))
        looks_harmless(dialog)
        dialog.reject()


@evil_texts
def test_name_of_a_new_server(office: Office, qtbot: QtBot, evil: str) -> None:
    dialog = office.desk._servers_desk.add("mqvpn://vpn.example.org/?name=Home#key-0123456789")
    qtbot.waitUntil(dialog._save.isEnabled)
    dialog._name.setText(evil)
    press(dialog, "&Save")
    qtbot.waitUntil(
        lambda: "cannot be the name of a server" in shown(dialog) or bool(office.profiles.names())
    )
    looks_harmless(dialog)
    for name in office.profiles.names():  # such as 64 letters
        assert name.isalnum()


@evil_texts
def test_every_field_of_a_server(office: Office, qtbot: QtBot, evil: str) -> None:
    before = Profile(host="vpn.example.org")
    office.profiles.write("office", StoredProfile(settings=before), overwrite=False)
    count = len(_fields(ProfileEditor("office", before)))
    assert count > 10
    for number in range(count):
        saved: list[Profile] = []
        editor = ProfileEditor("office", before)
        qtbot.addWidget(editor)
        editor.saved.connect(lambda profile, _key, saved=saved: saved.append(profile))
        editor.show()
        field = _fields(editor)[number]
        field.setText(evil)
        press(editor, "Save")
        looks_harmless(editor)
        for profile in saved:  # it comes back from its file as it was
            office.profiles.write("office", StoredProfile(settings=profile), overwrite=True)
            assert office.profiles.read("office").settings == profile
        if not saved:
            assert editor._problem.isVisible()
            assert editor._tabs.currentWidget().isAncestorOf(field)  # where it is to be mended


def _fields(editor: ProfileEditor) -> list[QLineEdit]:
    spinning = editor._tabs.findChildren(QLineEdit, "qt_spinbox_lineedit")
    return [each for each in editor._tabs.findChildren(QLineEdit) if each not in spinning]


@evil_texts
def test_key_and_code(office: Office, evil: str) -> None:
    given: list[str] = []
    dialog = KeyDialog("office", "why", can_keep=True, can_unlock=True, parent=office.desk.window)
    dialog.given.connect(lambda text, _keeps: given.append(text))
    dialog.show()
    dialog._key.setText(evil)
    press(dialog, "OK")
    looks_harmless(dialog)
    assert len(given[0]) <= 512
    share = ShareDialog(evil[:64], f"mqvpn://{quote(evil[:500])}", has_key=True)
    looks_harmless(share)


@evil_texts
def test_results_of_a_test(office: Office, evil: str) -> None:
    dialog = AddServerDialog(office.desk.window)
    dialog.show()
    dialog.show_found(evil, evil, "checked", (), has_key=True)
    looks_harmless(dialog)
