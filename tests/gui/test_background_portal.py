"""In a sandbox the desktop is asked whether the program may start with the session."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from pytestqt.qtbot import QtBot

from mqvpn_gui.bus.background_portal import COMMAND, PORTAL, REQUEST_INTERFACE, BackgroundPortal
from mqvpn_gui.bus.qt_bus import QtBus
from tests.gui.private_bus import message_bus_daemon

pytestmark = pytest.mark.slow


class FakePortal:
    """Answers every request with what the test has decided."""

    def __init__(self, bus: str) -> None:
        self.wishes: list[dict[str, object]] = []
        self.code = 0
        self._connection: DBusConnection = open_dbus_connection(f"unix:path={bus}")
        self._connection.send_and_get_reply(message_bus.RequestName(str(PORTAL.bus_name)))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._connection.close()

    def _serve(self) -> None:
        while not self._is_over.is_set():
            with suppress(TimeoutError):
                message = self._connection.receive(timeout=0.02)
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)

    def _answer(self, message: Message) -> None:
        given = message.body[1]
        assert isinstance(given, dict)
        options = {name: value for name, (_, value) in given.items()}
        self.wishes.append(options)
        caller = str(message.header.fields[HeaderFields.sender])
        place = f"{caller[1:].replace('.', '_')}/{options['handle_token']}"
        handle = f"{PORTAL.object_path}/request/{place}"
        self._connection.send(new_method_return(message, "o", (handle,)))
        for path in (f"{handle}x", handle):  # the first is an answer to somebody else
            source = DBusAddress(path, PORTAL.bus_name, REQUEST_INTERFACE)
            agreed = options["autostart"] is True and path == handle
            results = {"background": ("b", True), "autostart": ("b", agreed)}
            self._connection.send(new_signal(source, "Response", "ua{sv}", (self.code, results)))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[str]:
    with message_bus_daemon(tmp_path) as path:
        yield path


@pytest.fixture
def bus(session: str, qtbot: QtBot) -> Iterator[QtBus]:
    made = QtBus(lambda: session)
    made.open()
    qtbot.waitUntil(lambda: made.is_open)
    yield made
    made.close()


@pytest.fixture
def portal(session: str) -> Iterator[FakePortal]:
    made = FakePortal(session)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("on", "code", "answer"), [(True, 0, True), (True, 1, False), (False, 0, False)]
)
def test_answer_of_the_desktop_counts(
    bus: QtBus, portal: FakePortal, qtbot: QtBot, *, on: bool, code: int, answer: bool
) -> None:
    portal.code = code
    answers: list[bool] = []
    BackgroundPortal(bus).ask("to be seen", answers.append, on=on)
    qtbot.waitUntil(lambda: len(answers) == 1)
    assert answers == [answer]
    (wish,) = portal.wishes
    assert wish["autostart"] is on
    assert wish["commandline"] == list(COMMAND)
    assert wish["reason"] == "to be seen"


def test_desktop_without_a_portal_says_no(bus: QtBus, qtbot: QtBot) -> None:
    answers: list[bool] = []
    BackgroundPortal(bus).ask("to be seen", answers.append, on=True)
    qtbot.waitUntil(lambda: answers == [False])
