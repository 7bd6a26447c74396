"""The window survives what happens around it, and says it: crashes, no bus, no disk, no time."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.model.event_store import EventRecord, record_from
from mqvpn_gui.model.helper_state import Role, merged
from mqvpn_gui.words import events
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import BusEventKind, TunnelState
from tests.gui.conftest import OFF, Office, open_office
from tests.gui.looking import press, shown
from tests.gui.private_bus import BusHelper, message_bus_daemon
from tests.gui.samples import CONNECTED

pytestmark = pytest.mark.slow

UP: dict[str, tuple[str, object]] = {
    **OFF,
    "State": ("s", "up"),
    "Owner": ("u", os.getuid()),
    "Paths": ("a{sa{sv}}", {"wlan0": {"rtt_ms": ("d", 18.0), "state": ("s", "active")}}),
}


def banner(office: Office) -> str:
    return "\n".join(office.desk.window.banner.texts)


def log(office: Office) -> list[str]:
    shown_events = office.desk._home.events.table
    return [
        events.sentence(shown_events.record(row), str) for row in range(shown_events.rowCount())
    ]


def test_helper_that_crashes_with_a_tunnel_is_told_and_the_log_stays(
    qtbot: QtBot, qapp: QApplication, home: Path, system_bus: Path
) -> None:
    helper = BusHelper(str(system_bus), dict(UP))
    with open_office(qapp, home, system_bus) as office:
        office.desk.start()
        qtbot.waitUntil(lambda: office.desk.helper.state.state is TunnelState.UP)
        helper.signal(table.EVENT, 7, 1_000_000, "path-up", "wlan0", {})
        qtbot.waitUntil(lambda: len(log(office)) == 1)
        helper.die()
        qtbot.waitUntil(lambda: "ended unexpectedly" in banner(office))
        qtbot.waitUntil(lambda: not office.desk.helper.state.is_present)
        helper = BusHelper(str(system_bus), dict(UP))
        qtbot.waitUntil(lambda: office.desk.helper.state.state is TunnelState.UP)
        assert banner(office) == ""
        helper.signal(table.EVENT, 1, 2_000_000, "connected", "", {})  # it counts from 1 again
        qtbot.waitUntil(lambda: len(log(office)) == 3)
        assert log(office)[0].startswith("connected")
        assert "ended unexpectedly" in log(office)[1]
        assert "wlan0 works" in log(office)[2]
        helper.die()


def test_bus_that_goes_away_and_comes_back(qtbot: QtBot, qapp: QApplication, home: Path) -> None:
    folder = home / "system"
    folder.mkdir()
    with open_office(qapp, home, folder / "bus") as office:
        with message_bus_daemon(folder) as path:
            helper = BusHelper(path, dict(UP))
            office.desk.start()
            qtbot.waitUntil(lambda: office.desk.helper.state.state is TunnelState.UP)
        qtbot.waitUntil(lambda: not office.desk.helper.state.is_present)
        assert office.desk.window.page == "first-run"
        office.desk.toggle()  # nothing to do, nothing breaks
        helper.die()
        with message_bus_daemon(folder) as path:
            helper = BusHelper(path, dict(UP))
            qtbot.waitUntil(
                lambda: office.desk.helper.state.state is TunnelState.UP, timeout=10_000
            )
            assert office.desk.window.page != "first-run"
            helper.die()


def test_error_is_said_once_with_what_helps(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    helper.change(State=("s", "error"), LastError=("(ss)", ("Host", "no nftables here")))
    qtbot.waitUntil(lambda: banner(staffed) == "No nftables here.")
    press(staffed.desk.window.banner, "Dismiss")
    helper.change(DnsMethod=("s", "resolved"))
    qtbot.waitUntil(lambda: staffed.desk.helper.state.dns_method == "resolved")
    assert banner(staffed) == ""
    helper.change(LastError=("(ss)", ("CoreDied", "it ended")))
    qtbot.waitUntil(lambda: banner(staffed) == "It ended.")
    press(staffed.desk.window.banner, "Open the diagnostics")
    assert staffed.desk.window.page == "diagnostics"


def test_block_can_be_lifted_from_the_window(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    helper.change(State=("s", "blocked"), KillSwitch=("s", "standard"))
    qtbot.waitUntil(lambda: "lets nothing out" in banner(staffed))
    press(staffed.desk.window.banner, "Let traffic out unprotected")
    qtbot.waitUntil(lambda: "Disconnect" in [method for method, _ in helper.asked])


def test_another_call_does_not_end_the_one_under_way(
    staffed: Office, helper: BusHelper, qtbot: QtBot
) -> None:
    control = staffed.desk._control
    control._set_busy(is_busy=True)  # as while the helper makes a tunnel
    helper.errors["SetPathPolicy"] = "org.mqvpn.Helper1.Error.NotConnected"
    control.set_role("wlan0", Role.BACKUP)
    qtbot.waitUntil(lambda: banner(staffed) != "")
    assert control.is_busy


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond nothing, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_full_disk_costs_no_setting_and_is_told(office: Office, qtbot: QtBot, home: Path) -> None:
    desk = office.desk
    desk._settings_desk.change(replace(office.preferences.current, theme="light"))
    qtbot.waitUntil(lambda: PreferenceFile(home).current.theme == "light")
    with full_disk():
        desk._settings_desk.change(replace(office.preferences.current, theme="dark"))
        qtbot.waitUntil(lambda: "could not be written" in banner(office))
        assert os.strerror(errno.EFBIG) in banner(office)
        assert office.preferences.current.theme == "dark"  # it holds until the end
        desk._events._write(str(home / "events.csv"))
        qtbot.waitUntil(lambda: "events.csv" in banner(office))
    assert PreferenceFile(home).current.theme == "light"  # the old file is whole
    assert sorted(path.name for path in home.iterdir() if path.is_file()) == ["window.json"]


@pytest.mark.parametrize("jump", [-1e9, 1e9, 3_600.0])
def test_clock_that_jumps_breaks_nothing(office: Office, jump: float) -> None:
    desk = office.desk
    desk.show_window()
    desk.helper._set_state(CONNECTED)  # as the bus would
    desk._tick()
    assert "0:16:40" in shown(desk.window)
    office.clocks.wall += jump
    desk.helper._set_state(replace(CONNECTED, portal_interface="wlan0", portal_until=2_100.0))
    desk._tick()
    desk.window.grab()
    record = EventRecord(id=1, at=office.clocks.wall, kind=BusEventKind.PATH_UP, path="wlan0")
    desk.helper.events_arrived.emit([record])
    assert log(office) == ["wlan0 works"]


EVIL = (
    "<b>bold</b><img src=x>",
    "line\nbreak\ttab",
    "\u202egnp.exe",
    "%s{0}{x}&amp;",
    "y" * 10_240,
)


@pytest.mark.parametrize("evil", EVIL, ids=["markup", "lines", "direction", "formats", "length"])
def test_hostile_text_in_every_field(office: Office, evil: str) -> None:
    desk = office.desk
    desk.show_window()
    path = dict.fromkeys(
        ("kind", "state", "role", "rtt_ms", "jitter_ms", "loss", "rx_bps", "share", "mtu"), evil
    )
    everything: dict[str, object] = {
        each.name: evil for each in table.PROPERTIES if each.name not in ("State", "ApiLevel")
    }
    everything |= {
        "State": "up",
        "ApiLevel": 1,
        "Addresses": [evil] * 100,
        "LastError": (evil, evil),
        "Paths": {evil: path, "wlan0": {**path, "state": "active"}},
    }
    desk.helper._set_state(merged(desk.helper.state, everything))
    desk._show_profiles((evil, "other"))
    desk._problems.show(evil, evil)
    detail = dict.fromkeys(("server", "to_interface", "reason", "role", "mode", "text"), evil)
    for number, kind in enumerate(BusEventKind):
        values = {"id": number + 1, "time_us": 0, "kind": kind.value, "path": evil}
        record = record_from({**values, "detail": detail})  # as they come from the bus
        assert record is not None
        desk.helper.events_arrived.emit([record])
    desk._home.events.table.choose(desk._home.events.table._group, evil)
    desk._home.events.table.as_csv()
    for page in ("home", "servers", "settings", "diagnostics"):
        desk.window.open_page(page)
        QApplication.processEvents()
        assert not desk.window.grab().isNull()
    assert desk.window.width() < 2_000  # no text makes the window wider than a screen
    for label in desk.window.findChildren(QLabel):
        assert label.textFormat().name == "PlainText" or "<" not in label.text()
    assert "\u202e" not in desk.tray._icon.toolTip()
