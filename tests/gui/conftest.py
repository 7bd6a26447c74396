"""A whole program in memory: files in a folder of the test, a keyring in a dictionary."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.app.desk import Desk
from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.app.surroundings import Surroundings
from mqvpn_gui.bus.qt_bus import QtBus
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.secret_store import SecretStore
from mqvpn_gui.words.translation import load_translation
from tests.gui.private_bus import BusHelper, message_bus_daemon
from tests.user.fake_keyring import FakeKeyring


@dataclass(slots=True)
class FakeClocks:
    """Two clocks that stand still until a test moves them."""

    steady: float = 0.0
    wall: float = 2_000.0

    def reading(self) -> Clocks:
        """The clocks as the program has them."""
        return Clocks(steady=lambda: self.steady, wall=lambda: self.wall)


@dataclass(slots=True)
class Office:
    """The program and what is around it."""

    desk: Desk
    profiles: ProfileStore
    secrets: SecretStore
    preferences: PreferenceFile
    keyring: FakeKeyring
    clocks: FakeClocks


@contextmanager
def open_office(application: QApplication, folder: Path, system_bus: Path) -> Iterator[Office]:
    """Run the program for the length of a block, without a session bus."""
    keyring, clocks = FakeKeyring(), FakeClocks()
    profiles = ProfileStore(folder / "profiles")
    secrets = SecretStore(lambda: keyring)
    preferences = PreferenceFile(folder)
    around = Surroundings(
        system_bus=QtBus(lambda: str(system_bus)),
        session_bus=QtBus(lambda: str(folder / "no-session-bus")),
        clocks=clocks.reading(),
        preferences=preferences,
        profiles=profiles,
        secrets=secrets,
    )
    desk = Desk(application, around)
    try:
        yield Office(desk, profiles, secrets, preferences, keyring, clocks)
    finally:
        desk.finish()
        desk.window.close()
        desk.window.deleteLater()  # else every later window is slower to make
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def german(qapp: QApplication) -> Iterator[None]:
    """The window speaks German."""
    translator = load_translation("de", qapp)
    assert translator is not None
    qapp.installTranslator(translator)
    yield
    qapp.removeTranslator(translator)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that everything is written to."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def office(qapp: QApplication, home: Path) -> Iterator[Office]:
    """The program where there is no bus at all."""
    with open_office(qapp, home, home / "no-system-bus") as made:
        yield made


OFF: dict[str, tuple[str, object]] = {
    "Version": ("s", "0.1.0"),
    "ApiLevel": ("u", 1),
    "State": ("s", "off"),
}
"""What a helper says that has nothing to do."""


@pytest.fixture
def system_bus(tmp_path: Path) -> Iterator[Path]:
    """A bus with nobody on it."""
    folder = tmp_path / "system"
    folder.mkdir()
    with message_bus_daemon(folder) as path:
        yield Path(path)


@pytest.fixture
def helper(system_bus: Path) -> Iterator[BusHelper]:
    """A helper on the bus that does what it is told and nothing else."""
    made = BusHelper(str(system_bus), dict(OFF))
    yield made
    made.die()


@pytest.fixture
def staffed(qtbot: QtBot, qapp: QApplication, home: Path, helper: BusHelper) -> Iterator[Office]:
    """The program with a helper."""
    with open_office(qapp, home, Path(helper.bus_path)) as made:
        made.desk.start()
        qtbot.waitUntil(lambda: made.desk.helper.state.is_present)
        yield made
