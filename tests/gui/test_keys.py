"""Keys: read from the keyring, asked for where it has none, never lost on the way."""

import pytest
from keyring.errors import KeyringLocked, NoKeyringError
from PySide6.QtWidgets import QCheckBox, QLineEdit
from pytestqt.qtbot import QtBot

from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.windows.key_dialog import KeyDialog
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.profile import Profile
from tests.gui.conftest import Office
from tests.gui.looking import press, shown
from tests.gui.private_bus import BusHelper

pytestmark = pytest.mark.slow

NAME = "office"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def server(staffed: Office, qtbot: QtBot) -> None:
    staffed.profiles.write(
        NAME, StoredProfile(settings=Profile(host="vpn.example.org")), overwrite=False
    )
    staffed.desk._servers_desk.read_names()
    qtbot.waitUntil(lambda: staffed.desk._names == (NAME,))


def dialog_of(office: Office, qtbot: QtBot) -> KeyDialog:
    def is_open() -> bool:
        return any(each.isVisible() for each in office.desk.window.findChildren(KeyDialog))

    qtbot.waitUntil(is_open)
    return next(each for each in office.desk.window.findChildren(KeyDialog) if each.isVisible())


def type_key(dialog: KeyDialog, *, keeps: bool | None = None) -> None:
    if keeps is not None:
        dialog.findChildren(QCheckBox)[0].setChecked(keeps)
    dialog.findChildren(QLineEdit)[0].setText(KEY)
    press(dialog, "OK")


def keys_sent(helper: BusHelper, method: str = "Connect") -> list[object]:
    return [body[-1] for name, body in helper.asked if name == method]


def test_key_in_the_keyring_is_used_without_a_question(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    staffed.secrets.write(NAME, SecretText(KEY))
    staffed.desk.toggle()
    qtbot.waitUntil(lambda: keys_sent(helper) == [KEY.encode()])
    assert not staffed.desk.window.findChildren(KeyDialog)


def test_locked_keyring_is_explained_and_can_be_unlocked(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    staffed.secrets.write(NAME, SecretText(KEY))
    staffed.keyring.error = KeyringLocked()
    staffed.desk.toggle()
    dialog = dialog_of(staffed, qtbot)
    assert "Your keyring is locked" in shown(dialog)
    staffed.keyring.error = None  # the user answers the question of the keyring
    press(dialog, "&Unlock the keyring")
    qtbot.waitUntil(lambda: keys_sent(helper) == [KEY.encode()])


def test_locked_keyring_does_not_stop_who_types_the_key(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    staffed.keyring.error = KeyringLocked()
    staffed.desk.toggle()
    type_key(dialog_of(staffed, qtbot))
    qtbot.waitUntil(lambda: keys_sent(helper) == [KEY.encode()])
    assert staffed.keyring.kept == {}


def test_without_a_keyring_the_key_is_asked_for_each_time(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    staffed.keyring.error = NoKeyringError()
    for _ in range(2):
        helper.asked.clear()
        staffed.desk.toggle()
        dialog = dialog_of(staffed, qtbot)
        assert "No keyring runs" in shown(dialog)
        type_key(dialog)
        qtbot.waitUntil(lambda: keys_sent(helper) == [KEY.encode()])
        qtbot.waitUntil(lambda: not staffed.desk._control.is_busy)


@pytest.mark.parametrize("keeps", [True, False])
def test_missing_key_is_kept_only_when_the_user_wants_it(
    staffed: Office, helper: BusHelper, qtbot: QtBot, *, keeps: bool
) -> None:
    staffed.desk.toggle()
    type_key(dialog_of(staffed, qtbot), keeps=keeps)
    qtbot.waitUntil(lambda: keys_sent(helper) == [KEY.encode()])
    qtbot.waitUntil(lambda: bool(staffed.keyring.kept) is keeps)


def test_refused_key_is_answered_to_the_tunnel_that_waits(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    helper.change(State=("s", "connecting"), Owner=("u", 1000))
    helper.signal(table.SECRETS_NEEDED, NAME)
    dialog = dialog_of(staffed, qtbot)
    assert "does not accept the key" in shown(dialog)
    type_key(dialog, keeps=False)
    qtbot.waitUntil(lambda: keys_sent(helper, "ProvideSecrets") == [KEY.encode()])
    assert keys_sent(helper) == []


def test_what_is_no_key_is_refused_before_anybody_gets_it(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    staffed.desk.toggle()
    dialog = dialog_of(staffed, qtbot)
    dialog.findChildren(QLineEdit)[0].setText("two words")
    press(dialog, "OK")
    assert "visible ASCII" in shown(dialog)
    assert keys_sent(helper) == []
