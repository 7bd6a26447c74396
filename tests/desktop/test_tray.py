"""The icon in a real panel, and the bubble of a real notification service."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqvpn_helper.interface import bus_interface as table
from tests.desktop.session import Desktop, desktop, eventually, need_desktop
from tests.desktop.tray_items import TrayItem, tray_watch
from tests.gui.private_bus import BusHelper, message_bus_daemon

pytestmark = [pytest.mark.slow, pytest.mark.desktop]

UP: dict[str, tuple[str, object]] = {
    "Version": ("s", "0.1.0"),
    "ApiLevel": ("u", 1),
    "State": ("s", "up"),
    "Profile": ("s", "Frankfurt"),
    "Paths": (
        "a{sa{sv}}",
        {
            "wlan0": {"kind": ("s", "wireless"), "state": ("s", "active"), "rtt_ms": ("d", 18.0)},
            "wwan0": {"kind": ("s", "cellular"), "state": ("s", "active"), "rtt_ms": ("d", 41.0)},
        },
    ),
}
LARGEST_ICON, LEAST_WINDOW = 64, 360
TOOLTIP = "mqvpn: connected to Frankfurt, 2 of 2 paths, 18 ms"


@pytest.fixture
def system_bus(tmp_path: Path) -> Iterator[str]:
    need_desktop()
    folder = tmp_path / "system"
    folder.mkdir()
    with message_bus_daemon(folder) as path:
        yield path


@pytest.fixture
def helper(system_bus: str) -> Iterator[BusHelper]:
    made = BusHelper(system_bus, dict(UP))
    yield made
    made.die()


def no_complaint(made: Desktop) -> None:
    log = made.log("mqvpn-gui")
    assert "Traceback" not in log, log


def test_icon_shows_the_state_and_survives_the_panel(
    tmp_path: Path, system_bus: str, helper: BusHelper
) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder, system_bus) as made:
        window = made.start_window()
        with tray_watch(made.environment["DBUS_SESSION_BUS_ADDRESS"]) as watch:

            def item() -> TrayItem | None:
                return next(iter(watch.items()), None)

            eventually(lambda: (found := item()) is not None and found.tooltip == TOOLTIP, "icon")
            first = item()
            assert first is not None
            assert first.id == "mqvpn"
            assert first.status == "Active"
            assert {"Disconnect", "Open mqvpn", "Quit"} <= set(first.menu)
            assert any("WiFi wlan0" in label and "18 ms" in label for label in first.menu)

            helper.change(State=("s", "reconnecting"))
            eventually(
                lambda: (found := item()) is not None and found.picture != first.picture,
                "other icon",
            )
            made.stop("xfce4-panel")
            made.start_panel()
            eventually(lambda: item() is not None, "icon in the new panel")
        assert window.poll() is None
        no_complaint(made)


@pytest.mark.usefixtures("helper")
def test_icon_appears_when_the_panel_comes_late(tmp_path: Path, system_bus: str) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder, system_bus, panel=None) as made:
        made.start_window("--hidden")
        # Without a panel nobody could reach a hidden window: it shows itself.
        eventually(
            lambda: "mqvpn" in made.run("xdotool", "search", "--name", "mqvpn", "getwindowname"),
            "window",
        )
        made.start_panel()
        with tray_watch(made.environment["DBUS_SESSION_BUS_ADDRESS"]) as watch:
            eventually(lambda: bool(watch.items()), "icon")
        no_complaint(made)


def test_failover_is_told_in_a_bubble(tmp_path: Path, system_bus: str, helper: BusHelper) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder, system_bus) as made:
        made.start_window()
        with tray_watch(made.environment["DBUS_SESSION_BUS_ADDRESS"]) as watch:
            eventually(lambda: any(each.tooltip == TOOLTIP for each in watch.items()), "icon")
        detail = {"to_interface": ("s", "wwan0"), "gap_ms": ("d", 62.0)}
        helper.signal(table.EVENT, 7, 1_700_000_000_000_000, "failover", "wlan0", detail)
        eventually(lambda: made.run("dunstctl", "count", "displayed").strip() == "1", "bubble")
        made.run("dunstctl", "close-all")
        history = json.loads(made.run("dunstctl", "history"))
        (shown,) = history["data"][0]
        assert shown["summary"]["data"] == "Failover"
        assert shown["body"]["data"] == "WiFi wlan0 lost, continuing on LTE wwan0, gap 62 ms"
        no_complaint(made)


def widths(made: Desktop) -> dict[str, int]:
    """The windows of ours that can be seen, with their widths."""
    found = {}
    for each in made.run("xdotool", "search", "--onlyvisible", "--class", "mqvpn").split():
        width = re.search(r"WIDTH=(\d+)", made.run("xdotool", "getwindowgeometry", "--shell", each))
        if width is not None:  # else it has just gone
            found[each] = int(width[1])
    return found


def docked(made: Desktop) -> list[str]:
    """Icons in a panel of the old kind (XEmbed): small windows of ours, seen once embedded."""
    return [each for each, width in widths(made).items() if width <= LARGEST_ICON]


def is_shown(made: Desktop) -> bool:
    """Whether the window itself can be seen."""
    return any(width >= LEAST_WINDOW for width in widths(made).values())


def test_old_panels_show_it_as_well(tmp_path: Path, system_bus: str, helper: BusHelper) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder, system_bus, panel="trayer") as made:
        window = made.start_window("--hidden")
        eventually(lambda: "Subscribe" in [method for method, _ in helper.asked], "subscription")
        eventually(lambda: len(docked(made)) == 1, "icon in the old panel")
        assert not is_shown(made)
        click(made, "1")
        eventually(lambda: is_shown(made), "window after a click")
        click(made, "2")
        eventually(lambda: "Disconnect" in [method for method, _ in helper.asked], "middle click")
        made.stop("trayer")
        made.start_panel("trayer")
        eventually(lambda: len(docked(made)) == 1, "icon in the new panel")
        assert window.poll() is None
        no_complaint(made)


def click(made: Desktop, number: str) -> None:
    (icon,) = docked(made)
    made.run("xdotool", "mousemove", "--window", icon, "5", "5", "sleep", "0.2", "click", number)


@pytest.mark.usefixtures("helper")
def test_old_panel_that_comes_late(tmp_path: Path, system_bus: str) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder, system_bus, panel=None) as made:
        made.start_window()
        eventually(lambda: is_shown(made), "window")
        made.start_panel("trayer")
        eventually(lambda: len(docked(made)) == 1, "icon")
        no_complaint(made)


def test_sigterm_ends_it_in_order(tmp_path: Path, system_bus: str, helper: BusHelper) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder, system_bus) as made:
        window = made.start_window()
        eventually(lambda: "Subscribe" in [method for method, _ in helper.asked], "subscription")
        window.terminate()
        assert window.wait(10) == 0
        assert "Disconnect" not in [method for method, _ in helper.asked]  # the tunnel stays
        no_complaint(made)


def test_session_bus_that_goes_away_and_comes_back(
    tmp_path: Path, system_bus: str, helper: BusHelper
) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder, system_bus) as made:
        window = made.start_window()
        eventually(lambda: "Subscribe" in [method for method, _ in helper.asked], "subscription")
        for name in ("dunst", "xfce4-panel", "session-bus"):
            made.stop(name)
        helper.change(State=("s", "reconnecting"))
        made.start_session_bus()
        made.start("dunst", "dunst")
        eventually(lambda: made.run("dunstctl", "count", "displayed").strip() == "0", "bubbles")
        numbers = itertools.count(1)

        def is_told() -> bool:  # what happens before the window has found the bus is not told
            detail = {"to_interface": ("s", "wwan0"), "gap_ms": ("d", 62.0)}
            helper.signal(table.EVENT, next(numbers), 1_000_000, "failover", "wlan0", detail)
            made.run("sleep", "0.5")
            return made.run("dunstctl", "count", "displayed").strip() == "1"

        eventually(is_told, "bubble on the new bus")
        assert window.poll() is None
        window.terminate()
        assert window.wait(10) == 0
        no_complaint(made)
