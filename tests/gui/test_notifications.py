"""Bubbles come one for each subject, not too often, as text, and go when they are not true."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from jeepney import HeaderFields, Message, MessageType, message_bus, new_method_return, new_signal
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from pytestqt.qtbot import QtBot

from mqvpn_gui.bus.notifications import MIN_INTERVAL, SERVICE, Notification, Notifications
from mqvpn_gui.bus.qt_bus import QtBus
from tests.gui.private_bus import message_bus_daemon

pytestmark = pytest.mark.slow

LOST = Notification(subject="failover", title="Failover", text="WiFi lost, gap 62 ms")


class FakeService:
    """Shows nothing, and notes what it was asked."""

    def __init__(self, bus: str, *capabilities: str) -> None:
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        self._capabilities = list(capabilities)
        self._numbers = itertools.count(5)
        self._connection: DBusConnection = open_dbus_connection(f"unix:path={bus}")
        self._connection.send_and_get_reply(message_bus.RequestName(str(SERVICE.bus_name)))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._connection.close()

    def bubbles(self) -> list[tuple[object, ...]]:
        """What was shown: the number that it replaces, the title, the text."""
        return [
            (body[1], body[3], body[4]) for method, body in list(self.asked) if method == "Notify"
        ]

    def say(self, signal: str, signature: str, *body: object) -> None:
        self._connection.send(new_signal(SERVICE, signal, signature, body))

    def _serve(self) -> None:
        while not self._is_over.is_set():
            with suppress(TimeoutError):
                message = self._connection.receive(timeout=0.02)
                if message.header.message_type is MessageType.method_call:
                    self._connection.send(self._answer(message))

    def _answer(self, message: Message) -> Message:
        method = str(message.header.fields[HeaderFields.member])
        self.asked.append((method, tuple(message.body)))
        if method == "GetCapabilities":
            return new_method_return(message, "as", (self._capabilities,))
        if method == "Notify":
            number = message.body[1] or next(self._numbers)
            return new_method_return(message, "u", (number,))
        return new_method_return(message)


class Scene:
    def __init__(self, qtbot: QtBot, bus: QtBus, service: FakeService) -> None:
        self.now = 100.0
        self.service = service
        self.bubbles = Notifications(bus, "mqvpn", "org.mqvpn.Client", lambda: self.now)
        self._qtbot = qtbot
        bus.open()
        self.wait_for("GetCapabilities", 1)

    def wait_for(self, method: str, count: int) -> None:
        self._qtbot.waitUntil(
            lambda: [name for name, _ in self.service.asked].count(method) == count
        )
        self._qtbot.wait(20)  # its answer is on the way

    def let_waiting_ones_through(self) -> None:
        assert self.bubbles._turn.isActive()
        self.now += MIN_INTERVAL
        self.bubbles._turn.timeout.emit()


@pytest.fixture(params=["body-markup", "body"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, qtbot: QtBot) -> Iterator[Scene]:
    with message_bus_daemon(tmp_path) as path:
        service, bus = FakeService(path, request.param), QtBus(lambda: path)
        yield Scene(qtbot, bus, service)
        bus.close()
        service.close()


def told(number: int) -> Notification:
    return Notification(subject="failover", title="Failover", text=f"number {number}")


def test_newer_bubble_takes_the_place_of_the_older_one(scene: Scene) -> None:
    scene.bubbles.show(told(1))
    scene.wait_for("Notify", 1)
    scene.now += MIN_INTERVAL
    scene.bubbles.show(told(2))
    scene.bubbles.show(Notification(subject="links", title="Link added"))
    scene.wait_for("Notify", 3)
    assert scene.service.bubbles() == [
        (0, "Failover", "number 1"),
        (5, "Failover", "number 2"),
        (0, "Link added", ""),
    ]


def test_endless_events_are_a_bubble_now_and_then_and_the_last_word_counts(scene: Scene) -> None:
    for number in range(1_000):
        scene.bubbles.show(told(number))
    scene.wait_for("Notify", 1)
    scene.let_waiting_ones_through()
    scene.wait_for("Notify", 2)
    assert [text for _, _, text in scene.service.bubbles()] == ["number 0", "number 999"]


def test_what_is_not_true_any_more_is_taken_back(scene: Scene) -> None:
    scene.bubbles.show(told(1))
    scene.wait_for("Notify", 1)
    scene.bubbles.show(told(2))
    scene.bubbles.take_back("failover")
    scene.wait_for("CloseNotification", 1)
    assert scene.service.asked[-1] == ("CloseNotification", (5,))
    scene.let_waiting_ones_through()
    scene.bubbles.take_back("failover")  # there is none
    scene.bubbles.show(told(3))
    scene.wait_for("Notify", 2)
    assert scene.service.bubbles()[-1] == (0, "Failover", "number 3")


def test_text_is_never_markup(scene: Scene, request: pytest.FixtureRequest) -> None:
    scene.bubbles.show(Notification(subject="x", title="<b>", text="<img src=x> & co"))
    scene.wait_for("Notify", 1)
    takes_markup = "body-markup" in request.node.name
    text = "&lt;img src=x&gt; &amp; co" if takes_markup else "<img src=x> & co"
    assert scene.service.bubbles() == [(0, "<b>", text)]  # titles are text for every service


def test_click_says_what_it_was_about(scene: Scene, qtbot: QtBot) -> None:
    scene.bubbles.show(LOST)
    scene.wait_for("Notify", 1)
    with qtbot.waitSignal(scene.bubbles.action_chosen) as chosen:
        scene.service.say("ActionInvoked", "us", 4, "default")  # somebody else's bubble
        scene.service.say("ActionInvoked", "us", 5, "open")
    assert chosen.args == ["failover", "open"]
    scene.service.say("NotificationClosed", "uu", 5, 2)
    scene.service.say("ActionInvoked", "us", 5, "default")
    qtbot.wait(100)
    scene.now += MIN_INTERVAL
    scene.bubbles.show(LOST)
    scene.wait_for("Notify", 2)
    assert scene.service.bubbles()[-1][0] == 0  # the old one is gone: nothing to replace
