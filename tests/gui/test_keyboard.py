"""Tab leads through a page as the eyes do: from the top to the bottom."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QWidget

from tests.gui.conftest import Office
from tests.gui.samples import CONNECTED, LTE, WIFI

pytestmark = pytest.mark.slow

MINE = replace(CONNECTED, owner=os.getuid())


def stops(window: QWidget) -> Iterator[QWidget]:
    """What Tab comes to, in its order, from the first thing of the window."""
    each = window.nextInFocusChain()
    while each is not None and each is not window:
        takes_tab = each.focusPolicy() & Qt.FocusPolicy.TabFocus
        if takes_tab and each.isVisibleTo(window) and each.isEnabled():
            yield each
        each = each.nextInFocusChain()


def name(widget: QWidget) -> str:
    text = widget.text() if isinstance(widget, QAbstractButton) else ""
    return (widget.accessibleName() or text).replace("&", "")


def order(office: Office) -> list[str]:
    office.desk.show_window()
    office.desk.window.open_page("home")
    return [name(each) for each in stops(office.desk.window) if name(each)]


def roles(link: str) -> list[str]:
    return [f"Role of {link}: {role}" for role in ("Primary", "Secondary", "Backup", "Never")]


def test_page_of_the_tunnel(office: Office) -> None:
    desk = office.desk
    desk._show_profiles(("Frankfurt",))
    desk.helper._set_state(replace(MINE, paths=(LTE,)))
    desk.helper._set_state(replace(MINE, paths=(WIFI, LTE)))  # a link that came later
    found = order(office)
    assert found[:4] == ["Tunnel", "Servers", "Settings", "Diagnostics"]
    assert found[4:6] == ["Disconnect", "Server"]
    assert found[6:14] == [*roles("WiFi wlan0"), *roles("LTE wwan0")]
    assert found[14:17] == ["RTT", "Loss", "Throughput"]
    assert found[-4:] == ["Kind of events", "Search in events", "Export", "Events"]


def test_message_stands_between_the_bar_and_the_page(office: Office) -> None:
    office.desk.helper._set_state(replace(MINE, owner=MINE.owner + 1))
    found = order(office)
    assert found[3:6] == ["Diagnostics", "Dismiss", "Disconnect"]
