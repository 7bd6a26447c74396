"""A person who never opens a terminal, on a machine with everything real.

alice has no privilege. She opens the link she was given, clicks, and loses a link: tray, card,
event log and notification tell the same story with the same gap. Real are the panel, the bubble,
the keyring, the bus, polkit, the helper, the core, the server and the packets.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bus.seats import USERS
from tests.command.test_end_to_end import bus_of_the_client, invite
from tests.desktop.reading import LAUNCHER, PYATSPI, Reader, screen_reader
from tests.desktop.session import Desktop, desktop, eventually, need_desktop
from tests.e2e.conftest import credentials, lab
from tests.e2e.topology import INNER_SERVER_IPV4, Lab

__all__ = ["credentials", "lab"]

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.desktop]

PAGE_BUTTON = "radio button"
TRAY = """
import os
from tests.desktop.tray_items import tray_watch
with tray_watch(os.environ["DBUS_SESSION_BUS_ADDRESS"]) as watch:
    for item in watch.items():
        print(item.tooltip)
"""


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="mq-desk-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def hand_over(folder: Path, user: str) -> None:
    """Let a user own everything in a folder."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USERS[user], USERS[user])


@contextmanager
def desktop_of_alice(laboratory: Lab) -> Iterator[tuple[Desktop, Callable[[], str]]]:
    with bus_of_the_client(laboratory) as bus, short_folder() as folder:

        def as_alice(command: Sequence[str]) -> list[str]:
            # Everything is made as alice finds it: what tests wrote before becomes hers.
            hand_over(folder, "alice")
            return bus.command(command, user="alice")

        with desktop(folder, "/run/dbus/system_bus_socket", wrap=as_alice) as made:
            del made.environment["PYTHON_KEYRING_BACKEND"]
            made.start(
                *("keyring", "gnome-keyring-daemon", "--foreground", "--unlock"),
                "--components=secrets",
                given=b"password of the test",
            )
            made.start("at-spi", LAUNCHER, "--launch-immediately")
            yield made, bus.log


def test_losing_a_link_is_the_same_story_everywhere(lab: Lab) -> None:
    need_desktop(LAUNCHER, PYATSPI)
    users_file = lab.directory / "users"
    server = lab.start_server("--users-file", str(users_file))
    link = invite(lab, users_file, server.control_socket)
    with desktop_of_alice(lab) as (made, log):
        window = made.start_window(link)
        with screen_reader(made) as reader:
            try:
                tell(lab, made, reader)
            except BaseException:
                print(log(), made.log("mqvpn-gui"), reader.names(), window.poll(), sep="\n")  # noqa: T201
                raise
        assert window.poll() is None
        assert "Traceback" not in made.log("mqvpn-gui")


def tell(lab: Lab, made: Desktop, reader: Reader) -> None:
    eventually(lambda: bool(reader.objects()), "window for the screen reader")
    reader.press("push button", "Test the connection")
    reader.look("label", "It works over ")
    reader.press("push button", "Save and connect")
    reader.press(PAGE_BUTTON, "Tunnel")
    reader.look("push button", "Disconnect")

    def tooltip() -> str:
        return made.run(sys.executable, "-c", TRAY)

    eventually(lambda: "2 of 2 paths" in tooltip(), "both paths in the tray")
    diagnose(reader)
    reader.press("radio button", "Role of Ethernet lte0: Backup")
    reader.look("table cell", "Ethernet lte0 is now backup")
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4, count=10).code == 0
    lab.world.client.set_link("wlan0", up=False)
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4, count=3).code == 0
    line = reader.look("table cell", "WiFi wlan0 lost, continuing on Ethernet lte0, gap ")
    gap = re.search(r", gap [\d.,]+ ms$", line)
    assert gap is not None, line
    reader.look("label", f"Took over from WiFi wlan0{gap[0]} (")
    eventually(lambda: made.run("dunstctl", "count", "displayed").strip() != "0", "bubble")
    made.run("dunstctl", "close-all")
    bubbles = [
        each["body"]["data"] for each in json.loads(made.run("dunstctl", "history"))["data"][0]
    ]
    assert line in bubbles
    eventually(lambda: "1 of" in (said := tooltip()) and line in said, "the story in the tray")
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
    reader.press("push button", "Disconnect")
    reader.look("push button", "Connect")


def diagnose(reader: Reader) -> None:
    """Everything is looked at for real: polkit, the kernel, the helper's report, each path."""
    reader.press(PAGE_BUTTON, "Diagnostics")
    reader.press("push button", "Check everything")
    for check in (
        "Helper, in order, version ",
        "Permission (polkit), in order, you may have a tunnel",
        "Server, in order, office",
        "TUN devices, in order",
        "nftables, in order",
        "Leftovers, in order",
        "Routes, in order, the internet is reached through the tunnel",
        "Name servers (DNS), in order",
        "Clock, ",
        "WiFi wlan0, in order, answers in ",
        "Ethernet lte0, in order, answers in ",
        "Tray icon, in order",
    ):
        reader.look("filler", check)
    reader.look("label", "Everything is in order.")
    reader.press(PAGE_BUTTON, "Tunnel")
