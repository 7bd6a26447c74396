"""The event log: kinds, search, filter, and a file that other programs can read."""

import csv
import io
from pathlib import Path

import pytest
from PySide6.QtWidgets import QComboBox, QFileDialog, QLineEdit
from pytestqt.qtbot import QtBot

from mqvpn_gui.model.event_store import EventGroup, EventRecord
from mqvpn_gui.windows.event_panel import EventPanel, EventTable
from mqvpn_helper.interface.bus_names import BusEventKind
from tests.gui.conftest import Office
from tests.gui.looking import press
from tests.gui.samples import CONNECTED

pytestmark = pytest.mark.slow

RECORDS = [
    EventRecord(id=1, at=1.0, kind=BusEventKind.CONNECTED, detail={"server": "fra1.example"}),
    EventRecord(
        id=2,
        at=2.0,
        kind=BusEventKind.FAILOVER,
        path="wlan0",
        detail={"to_interface": "wwan0", "gap_ms": 62.4},
    ),
    EventRecord(id=3, at=3.0, kind=BusEventKind.LINK_REMOVED, path="wlan0"),
    EventRecord(id=4, at=4.0, kind=BusEventKind.OTHER, detail={"text": "=1+1"}),
]


@pytest.fixture
def panel(office: Office) -> EventPanel:
    office.desk.show_window()
    office.desk.helper._set_state(CONNECTED)
    office.desk.helper.events_arrived.emit(RECORDS)
    (found,) = office.desk.window.findChildren(EventPanel)
    return found


def numbers(table: EventTable) -> list[int]:
    return [table.record(row).id for row in range(table.rowCount())]


def test_newest_stands_first(panel: EventPanel) -> None:
    assert numbers(panel.table) == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("group", "found"),
    [
        (EventGroup.ALL, [4, 3, 2, 1]),
        (EventGroup.FAILOVER, [2]),
        (EventGroup.CONNECTION, [1]),
        (EventGroup.LINKS, [3]),
        (EventGroup.PROTECTION, []),
    ],
)
def test_filter(panel: EventPanel, group: EventGroup, found: list[int]) -> None:
    (choice,) = panel.findChildren(QComboBox)
    choice.setCurrentIndex(choice.findData(group))
    assert numbers(panel.table) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [("WIFI lte", [2]), ("gap 62", [2]), ("fra1", [1]), ("removed", [3]), ("nowhere", [])],
)
def test_search(panel: EventPanel, words: str, found: list[int]) -> None:
    (field,) = panel.findChildren(QLineEdit)
    field.setText(words)
    assert numbers(panel.table) == found
    more = EventRecord(id=9, at=9.0, kind=BusEventKind.PATH_UP, path="eth0")
    panel.table.add([more])
    assert numbers(panel.table) == found  # what comes later passes the same filter
    field.clear()
    assert len(numbers(panel.table)) > len(found)


def test_export(office: Office, panel: EventPanel, qtbot: QtBot, tmp_path: Path) -> None:
    (field,) = panel.findChildren(QLineEdit)
    field.setText("wifi")
    press(panel, "E&xport")
    (question,) = office.desk.window.findChildren(QFileDialog)
    question.fileSelected.emit(str(tmp_path / "events.csv"))
    question.reject()
    qtbot.waitUntil((tmp_path / "events.csv").is_file)
    rows = list(csv.reader(io.StringIO((tmp_path / "events.csv").read_text())))
    assert rows[0] == ["time", "kind", "path", "text", "gap_ms"]
    assert [row[1:] for row in rows[1:]] == [
        ["failover", "wlan0", "WiFi wlan0 lost, continuing on LTE wwan0, gap 62 ms", "62.4"],
        ["link-removed", "wlan0", "WiFi wlan0 is gone", ""],
    ]


def test_spreadsheet_takes_nothing_for_a_formula(panel: EventPanel) -> None:
    rows = list(csv.reader(io.StringIO(panel.table.as_csv())))
    assert rows[-1][3] == "'=1+1"
