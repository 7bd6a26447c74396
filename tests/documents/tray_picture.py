"""Takes the picture of the icon in a panel: ``python -m tests.documents.tray_picture [FILE]``.

Screen, panel, icon and menu are real programs; the helper that tells them of a tunnel is not.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.desktop.session import Desktop, desktop, eventually
from tests.desktop.tray_items import tray_watch
from tests.gui.private_bus import BusHelper, message_bus_daemon

PICTURE = Path(__file__).parents[2] / "docs/pictures/tray.png"
_SCREEN_WIDTH, _PANEL_HEIGHT = 1280, 30
_WIDTH, _HEIGHT = 700, 250
_PATHS = (980, 123)
"""Where the entry is that opens the list of paths."""
# The screen begins black, and no program of the tests' desktop changes that.
_PAINT = """
import ctypes
x = ctypes.CDLL("libX11.so.6")
for name in ("XOpenDisplay", "XDefaultRootWindow"):
    getattr(x, name).restype = ctypes.c_void_p
screen = ctypes.c_void_p(x.XOpenDisplay(None))
window = ctypes.c_void_p(x.XDefaultRootWindow(screen))
x.XSetWindowBackground(screen, window, ctypes.c_ulong(0x48677E))
x.XClearWindow(screen, window)
x.XCloseDisplay(screen)
"""


def _path(kind: str, rtt: float, loss: float) -> dict[str, tuple[str, object]]:
    return {
        "kind": ("s", kind),
        "state": ("s", "active"),
        "rtt_ms": ("d", rtt),
        "loss": ("d", loss),
    }


TUNNEL: dict[str, tuple[str, object]] = {
    "Version": ("s", "0.1.0"),
    "ApiLevel": ("u", 1),
    "State": ("s", "up"),
    "Profile": ("s", "Office"),
    "KillSwitch": ("s", "standard"),
    "Paths": (
        "a{sa{sv}}",
        {
            "wlan0": _path("wireless", 18.0, 0.001),
            "wwan0": _path("cellular", 41.0, 0.006),
        },
    ),
}
"""What the helper tells of the tunnel."""


def take(target: Path) -> None:
    """Write the picture: the end of a panel, and the menu that the icon has opened."""
    with tempfile.TemporaryDirectory(prefix="mq-") as name:
        folder = Path(name, "desk")
        folder.mkdir()
        with message_bus_daemon(Path(name)) as bus:
            helper = BusHelper(bus, dict(TUNNEL))
            with desktop(folder, bus) as made:
                _take(made, target)
            helper.die()


def _take(made: Desktop, target: Path) -> None:
    made.run(sys.executable, "-c", _PAINT)
    profile = Path(made.environment["XDG_CONFIG_HOME"], "mqvpn/profiles/Office.toml")
    profile.parent.mkdir(parents=True)
    profile.write_text('server = "vpn.example.org"\n')
    made.start_window("--hidden")
    with tray_watch(made.environment["DBUS_SESSION_BUS_ADDRESS"]) as watch:
        eventually(lambda: any("2 of 2" in each.tooltip for each in watch.items()), "icon")
    made.run("sleep", "2")
    place = (str(_SCREEN_WIDTH - _PANEL_HEIGHT // 2), str(_PANEL_HEIGHT // 2))
    made.run("xdotool", "mousemove", *place, "sleep", "0.5", "click", "3", "sleep", "2")
    made.run("xdotool", "mousemove", *map(str, _PATHS), "sleep", "0.5", "click", "1", "sleep", "2")
    area = f"{_SCREEN_WIDTH - _WIDTH},0,{_WIDTH},{_HEIGHT}"
    made.run("scrot", "--overwrite", "--autoselect", area, str(target))


def main() -> int:
    """Take it."""
    parser = argparse.ArgumentParser(prog="python -m tests.documents.tray_picture")
    parser.add_argument("file", type=Path, nargs="?", default=PICTURE, metavar="FILE")
    target: Path = parser.parse_args().file.resolve()
    take(target)
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
