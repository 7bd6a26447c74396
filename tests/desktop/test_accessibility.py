"""The whole main flow by names alone, from outside, as a screen reader does it: no mouse."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mqvpn_helper.interface import bus_interface as table
from tests.desktop.reading import LAUNCHER, PYATSPI, Reader, screen_reader
from tests.desktop.session import Desktop, desktop, eventually, need_desktop, stop
from tests.gui.private_bus import BusHelper, message_bus_daemon

pytestmark = [pytest.mark.slow, pytest.mark.desktop]

PAGE_BUTTON = "radio button"
LINK = "mqvpn://alice@vpn.example.org/?name=Office#0123456789abcdef0123456789abcdef"

OFF: dict[str, tuple[str, object]] = {
    "Version": ("s", "0.1.0"),
    "ApiLevel": ("u", 1),
    "State": ("s", "off"),
}
PATHS = (
    "a{sa{sv}}",
    {"wlan0": {"kind": ("s", "wireless"), "state": ("s", "active"), "rtt_ms": ("d", 18.0)}},
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Desktop, BusHelper, Reader]]:
    need_desktop(LAUNCHER, PYATSPI)
    for name in ("system", "desk"):
        (tmp_path / name).mkdir()
    with message_bus_daemon(tmp_path / "system") as system_bus:
        helper = BusHelper(system_bus, dict(OFF))
        with desktop(tmp_path / "desk", system_bus) as made:
            made.start("at-spi", LAUNCHER, "--launch-immediately")
            window = made.start_window()
            with screen_reader(made) as reader:
                eventually(lambda: bool(reader.objects()), "window for the screen reader")
                yield made, helper, reader
            stop(window)
            assert "Traceback" not in made.log("mqvpn-gui")
        helper.die()


def test_main_flow_by_names_alone(scene: tuple[Desktop, BusHelper, Reader]) -> None:
    _, helper, reader = scene
    reader.press(PAGE_BUTTON, "Servers")
    reader.press("push button", "Add a server")
    reader.write("text", "Link of the server", LINK)
    reader.press("push button", "Save")
    reader.look("list item", "office")
    reader.press(PAGE_BUTTON, "Tunnel")
    reader.press("push button", "Connect")
    # No keyring on this desktop: the key is asked for.
    reader.write("password text", "Key", "0123456789abcdef0123456789abcdef")
    reader.press("push button", "OK")
    eventually(lambda: "Connect" in [method for method, _ in helper.asked], "Connect on the bus")
    (profile, secret) = next(body for method, body in helper.asked if method == "Connect")
    assert isinstance(profile, dict)
    assert profile["server"] == ("s", "vpn.example.org:443")
    assert secret == b"0123456789abcdef0123456789abcdef"

    helper.change(State=("s", "up"), Paths=PATHS)
    reader.look("push button", "Disconnect")
    said = reader.look("panel", "Path WiFi wlan0")
    assert "Active, 18 milliseconds" in said

    reader.press("radio button", "Role of WiFi wlan0: Secondary")
    role = ("wlan0", {"role": ("s", "secondary")})
    eventually(lambda: ("SetPathPolicy", role) in helper.asked, "role on the bus")

    detail = {"to_interface": ("s", "wwan0"), "gap_ms": ("d", 62.0)}
    helper.signal(table.EVENT, 7, 1_700_000_000_000_000, "failover", "wlan0", detail)
    line = reader.look("table cell", "WiFi wlan0 lost")
    assert line == "WiFi wlan0 lost, continuing on wwan0, gap 62 ms"


def test_whatever_takes_the_focus_has_a_name(scene: tuple[Desktop, BusHelper, Reader]) -> None:
    _, helper, reader = scene
    helper.change(State=("s", "up"), Paths=PATHS)
    reader.look("panel", "Path WiFi wlan0")
    for page in ("Tunnel", "Servers", "Settings", "Diagnostics"):
        reader.press(PAGE_BUTTON, page)
        nameless = [
            each["role"]
            for each in reader.objects()
            if each["focusable"] and not each["name"] and each["role"] not in CONTAINERS
        ]
        assert nameless == [], page


CONTAINERS = {"scroll pane", "viewport", "filler", "frame", "layered pane", "panel"}
"""What a screen reader never stops at by itself."""
