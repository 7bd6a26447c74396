"""A whole program in memory: files in a folder of the test, a keyring in a dictionary, no bus."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.app.desk import Desk, Surroundings
from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.bus.qt_bus import QtBus
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.secret_store import SecretStore
from tests.user.fake_keyring import FakeKeyring


@dataclass(slots=True)
class Office:
    """The program and what is around it."""

    desk: Desk
    profiles: ProfileStore
    secrets: SecretStore
    preferences: PreferenceFile


@pytest.fixture
def office(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Office]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    keyring = FakeKeyring()
    profiles = ProfileStore(tmp_path / "profiles")
    secrets = SecretStore(lambda: keyring)
    preferences = PreferenceFile(tmp_path)
    around = Surroundings(
        system_bus=QtBus(lambda: str(tmp_path / "no-system-bus")),
        session_bus=QtBus(lambda: str(tmp_path / "no-session-bus")),
        clocks=Clocks(steady=lambda: 0.0, wall=lambda: 2_000.0),
        preferences=preferences,
        profiles=profiles,
        secrets=secrets,
    )
    desk = Desk(qapp, around)
    qtbot.addWidget(desk.window)
    yield Office(desk, profiles, secrets, preferences)
    desk.finish()
