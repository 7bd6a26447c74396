"""The window in bad company: endless updates, many paths, a hundred thousand events, evil names."""

import gc
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication, QLabel

from mqvpn_gui.model.event_store import CAPACITY, EventRecord, EventStore
from mqvpn_gui.model.helper_state import MAX_PATHS, OFFLINE, HelperState, merged
from mqvpn_gui.model.preferences import Preferences, preferences_from
from mqvpn_gui.windows.path_card import PathCard
from mqvpn_helper.interface.bus_names import BusEventKind
from tests.gui.conftest import Office
from tests.gui.samples import CONNECTED, OFF, WIFI

pytestmark = pytest.mark.slow

IS_LONG = os.environ.get("CI_LONG") == "1"
UPDATES = 10_000 if IS_LONG else 1_500
CYCLES = 500 if IS_LONG else 100
MAX_GROWTH_BYTES = 8 << 20
"""Room for what the allocator keeps; a card that is not freed would cost a hundred times that."""

EVIL = "<b>bold</b>\n\u202e\x00%s{0}&amp;" + "x" * 10_000


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def settle() -> None:
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    gc.collect()


def say(office: Office, state: HelperState) -> None:
    office.desk.helper._set_state(state)  # as the bus would


def updates(office: Office, count: int) -> None:
    for number in range(count):
        path = replace(WIFI, rtt_ms=10.0 + number % 17, rx_bps=number * 1000)
        say(office, replace(CONNECTED, paths=(path, CONNECTED.paths[1])))
        if number % 50 == 0:
            QApplication.processEvents()


def come_and_go(office: Office, count: int) -> None:
    for number in range(count):
        say(office, CONNECTED)
        say(office, OFF)
        if number % 20 == 0:
            settle()
    settle()


def test_endless_updates_cost_no_memory(office: Office) -> None:
    office.desk.show_window()
    updates(office, UPDATES // 4)
    settle()
    before = resident_bytes()
    updates(office, UPDATES)
    settle()
    growth = resident_bytes() - before
    assert growth < MAX_GROWTH_BYTES


def test_coming_and_going_costs_no_memory(office: Office) -> None:
    office.desk.show_window()
    come_and_go(office, 50)
    before = resident_bytes()
    come_and_go(office, CYCLES)
    assert resident_bytes() - before < MAX_GROWTH_BYTES
    cards = office.desk.window.findChildren(PathCard)
    assert all(card.isHidden() for card in cards)
    assert len(cards) == len(CONNECTED.paths)  # they are used again


def test_as_many_paths_as_anybody_could_have(office: Office) -> None:
    office.desk.show_window()
    links = {f"eth{number}": {"state": "active", "rtt_ms": 1.0} for number in range(200)}
    say(office, merged(OFFLINE, {"State": "up", "ApiLevel": 1, "Paths": links}))
    QApplication.processEvents()
    assert len(office.desk.window.findChildren(PathCard)) == MAX_PATHS


def test_a_hundred_thousand_events(office: Office) -> None:
    office.desk.show_window()
    records = [
        EventRecord(id=number + 1, at=float(number), kind=BusEventKind.PATH_UP, path="wlan0")
        for number in range(CAPACITY)
    ]
    office.desk.helper.events_arrived.emit(records)
    QApplication.processEvents()
    table = office.desk._home.events.table
    assert table.rowCount() == CAPACITY
    assert table.record(0).id == CAPACITY
    more = EventRecord(id=CAPACITY + 1, at=0.0, kind=BusEventKind.FAILOVER, path="wlan0")
    office.desk.helper.events_arrived.emit([more])
    assert table.record(0) == more
    store = EventStore(capacity=3)
    store.add(records[:10])
    assert [record.id for record in store] == [8, 9, 10]


def test_evil_names_are_shown_as_text(office: Office) -> None:
    office.desk.show_window()
    state = merged(
        OFFLINE,
        {
            "State": "error",
            "ApiLevel": 1,
            "Server": EVIL,
            "Profile": EVIL,
            "DnsMethod": EVIL,
            "Addresses": [EVIL] * 100,
            "LastError": (EVIL, EVIL),
            "Paths": {EVIL: {"kind": EVIL, "state": "active"}},
        },
    )
    say(office, state)
    detail = {"server": EVIL, "to_interface": EVIL, "reason": EVIL}
    for number, kind in enumerate(BusEventKind):
        record = EventRecord(id=number + 1, at=0.0, kind=kind, path=EVIL, detail=detail)
        office.desk.helper.events_arrived.emit([record])
    QApplication.processEvents()
    for label in office.desk.window.findChildren(QLabel):
        assert "\n\u202e" not in label.text()
        assert len(label.text()) < 2_000


def test_damaged_preferences_count_as_none() -> None:
    evil = {"theme": 5, "starts_hidden": "yes", "profile": ["x"], "unknown": 1, "language": "de"}
    assert preferences_from(evil) == replace(Preferences(), language="de")
    assert preferences_from([1, 2]) == Preferences()
