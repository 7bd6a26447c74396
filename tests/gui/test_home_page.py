"""The page of the tunnel shows what the helper says, and nothing of its own."""

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from mqvpn_gui.look.theme import LIGHT, ThemeChoice, apply_theme
from mqvpn_gui.model.event_store import EventRecord, EventStore
from mqvpn_gui.model.helper_state import OFFLINE, HelperState, PathState, Role
from mqvpn_gui.model.history import History
from mqvpn_gui.windows.home_page import HomePage
from mqvpn_gui.windows.path_card import PathCard
from mqvpn_gui.windows.role_choice import RoleChoice
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState
from tests.gui.samples import CONNECTED, LTE, OFF, WIFI


@pytest.fixture
def page(qtbot: QtBot, qapp: QApplication) -> HomePage:
    apply_theme(qapp, ThemeChoice.LIGHT)
    made = HomePage(History(), EventStore(), lambda: 0.0, LIGHT)
    qtbot.addWidget(made)
    made.resize(700, 900)
    made.show()
    return made


def texts(widget: QWidget) -> str:
    shown = [
        child.text()
        for child in widget.findChildren(QWidget)
        if child.isVisibleTo(widget) and isinstance(child, QLabel | QPushButton)
    ]
    return "\n".join([widget.accessibleName(), *shown])


def button(page: HomePage) -> QPushButton:
    return next(
        each for each in page.header.findChildren(QPushButton) if each.property("class") == "main"
    )


@pytest.mark.parametrize(
    ("state", "word", "label"),
    [
        (OFFLINE, "Helper not running", "&Connect"),
        (OFF, "Off", "&Connect"),
        (replace(OFF, state=TunnelState.CONNECTING), "Connecting", "&Cancel"),
        (CONNECTED, "Connected", "&Disconnect"),
        (replace(CONNECTED, state=TunnelState.RECONNECTING), "Reconnecting", "&Disconnect"),
        (replace(OFF, state=TunnelState.BLOCKED), "Blocked by the kill switch", "&Connect"),
        (replace(OFF, state=TunnelState.ERROR), "Error", "&Connect"),
    ],
)
def test_each_state_has_its_word_and_its_button(
    page: HomePage, state: HelperState, word: str, label: str
) -> None:
    page.header.show_profiles(("Frankfurt",), "Frankfurt")
    page.show_state(state)
    assert word in texts(page.header)
    assert button(page).text() == label
    assert button(page).isEnabled() == state.is_present


def test_nothing_to_connect_to_disables_the_button(page: HomePage) -> None:
    page.header.show_profiles((), "")
    page.show_state(OFF)
    assert not button(page).isEnabled()


def test_cards_come_and_go_with_the_paths(page: HomePage) -> None:
    page.show_state(CONNECTED)
    cards = page.findChildren(PathCard)
    assert [card.interface for card in cards] == ["wlan0", "wwan0"]
    assert "WiFi wlan0: Active, 18 milliseconds" in cards[0].accessibleName()
    assert "1.0 MB of 5.0 GB this month" in texts(cards[1])
    page.show_state(replace(CONNECTED, paths=(LTE,)))
    shown = [card.interface for card in page.findChildren(PathCard) if not card.isHidden()]
    assert shown == ["wwan0"]
    page.show_state(CONNECTED)
    shown = [card.interface for card in page.findChildren(PathCard) if not card.isHidden()]
    assert sorted(shown) == ["wlan0", "wwan0"]


def test_silent_path_says_so_in_words(page: HomePage) -> None:
    page.show_state(replace(CONNECTED, paths=(replace(WIFI, state=PathState.SUSPECT),)))
    assert "No internet" in page.findChildren(PathCard)[0].accessibleName()


def test_role_is_asked_for_and_not_assumed(page: HomePage, qtbot: QtBot) -> None:
    page.show_state(CONNECTED)
    card = page.findChildren(PathCard)[0]
    (choice,) = card.findChildren(RoleChoice)
    buttons = {each.accessibleName(): each for each in choice.findChildren(QPushButton)}
    primary, backup = (buttons[f"Role of WiFi wlan0: {role}"] for role in ("Primary", "Backup"))
    with qtbot.assertNotEmitted(page.role_chosen):
        primary.click()  # it is that already
    with qtbot.waitSignal(page.role_chosen) as asked:
        backup.click()
    assert asked.args == ["wlan0", Role.BACKUP]
    with qtbot.assertNotEmitted(page.role_chosen):
        page.show_state(CONNECTED)  # the helper did not do it
    assert primary.isChecked()
    with qtbot.waitSignal(page.role_chosen) as asked:
        backup.toggle()  # as a screen reader does it
    assert asked.args == ["wlan0", Role.BACKUP]


def test_event_tells_the_gap(page: HomePage) -> None:
    page.show_state(CONNECTED)
    record = EventRecord(
        id=1,
        at=0.0,
        kind=BusEventKind.FAILOVER,
        path="wlan0",
        detail={"to_interface": "wwan0", "gap_ms": 62.4},
    )
    page.show_events([record])
    table = page.events.table
    assert table.rowCount() == 1
    line = table.data(table.index(0, 2))
    assert line == "WiFi wlan0 lost, continuing on LTE wwan0, gap 62 ms"
