"""The window in its sandbox, on a machine with everything else real: `./run flatpak`.

The manifest is built against a runtime of Debian packages (`flatpak_lab`). alice, who has no
privilege, runs the result with the permissions that it lists and nothing more: panel, keyring,
screen reader, bus, polkit, helper, core, server and packets are the real ones outside.
"""

import importlib.metadata
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.bus.seats import USERS
from tests.bus.system_bus import SystemBus, system_bus
from tests.command.test_end_to_end import bus_of_the_client, invite
from tests.desktop.reading import LAUNCHER, PYATSPI, Reader, screen_reader
from tests.desktop.session import Desktop, desktop, eventually, need_desktop
from tests.desktop.test_whole_story import short_folder
from tests.documents.blocks import blocks
from tests.e2e.conftest import credentials, lab
from tests.e2e.topology import INNER_SERVER_IPV4, Lab
from tests.packaging.flatpak_lab import APPLICATION, CHECKOUT, FlatpakLab, obstacles

__all__ = ["credentials", "lab"]

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.desktop,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("MQVPN_FLATPAK") != "require",
        reason="takes minutes and 2 GB: ./run flatpak",
    ),
]

CLICK = """
import os, sys
from jeepney import DBusAddress, new_method_call
from jeepney.io.blocking import open_dbus_connection

PROPERTIES = "org.freedesktop.DBus.Properties"

def call(where, method, signature, body):
    return bus.send_and_get_reply(new_method_call(where, method, signature, body), timeout=5).body

def get(where, name):
    return call(where.with_interface(PROPERTIES), "Get", "ss", (where.interface, name))[0][1]

def find(node):
    number, properties, children = node
    if properties.get("label", ("s", ""))[1].replace("_", "") == sys.argv[1]:
        return number
    return next((n for _, child in children if (n := find(child)) is not None), None)

watcher = "org.kde.StatusNotifierWatcher"
with open_dbus_connection(os.environ["DBUS_SESSION_BUS_ADDRESS"]) as bus:
    (name,) = get(DBusAddress("/StatusNotifierWatcher", watcher, watcher),
                  "RegisteredStatusNotifierItems")
    owner, _, path = name.partition("/")
    item = DBusAddress("/" + path, owner, "org.kde.StatusNotifierItem")
    menu = DBusAddress(get(item, "Menu"), owner, "com.canonical.dbusmenu")
    call(menu, "AboutToShow", "i", (0,))
    number = find(call(menu, "GetLayout", "iias", (0, -1, []))[1])
    if number is not None:
        call(menu, "Event", "isvu", (number, "clicked", ("s", ""), 0))
        print("clicked")
"""
TOOLTIP = """
import os
from tests.desktop.tray_items import tray_watch
with tray_watch(os.environ["DBUS_SESSION_BUS_ADDRESS"]) as watch:
    for item in watch.items():
        print(item.tooltip)
"""


@pytest.fixture(scope="module")
def installed() -> FlatpakLab:
    """The window, built from this checkout and installed."""
    assert not obstacles(), f"missing: {', '.join(obstacles())}"
    need_desktop(LAUNCHER, PYATSPI)
    made = FlatpakLab(CHECKOUT / "build/flatpak-lab")
    made.make_runtime()
    made.build()
    return made


@contextmanager
def desktop_of_alice(bus: SystemBus) -> Iterator[Desktop]:
    """A desktop with keyring and screen reader, on the machine of this bus."""
    with short_folder() as folder:

        def as_alice(command: Sequence[str]) -> list[str]:
            # What the test has written is hers; what Flatpak makes comes and goes meanwhile.
            for path in (folder, *folder.rglob("*")):
                with suppress(FileNotFoundError):
                    os.chown(path, USERS["alice"], USERS["alice"], follow_symlinks=False)
            return bus.command(command, user="alice")

        with desktop(folder, "/run/dbus/system_bus_socket", wrap=as_alice) as made:
            del made.environment["PYTHON_KEYRING_BACKEND"]
            made.start("at-spi", LAUNCHER, "--launch-immediately")
            yield made


def in_sandbox(made: Desktop, *options: str) -> list[str]:
    """The documents' command, with options; or with another program inside."""
    # Changing the user has changed HOME to what the list of users says.
    home = f"HOME={made.environment['HOME']}"
    *flatpak_run, application = blocks()["flatpak-start"].text.split()
    return ["env", home, *flatpak_run, *options, application]


def start(made: Desktop, installed: FlatpakLab, *options: str) -> None:
    made.environment["FLATPAK_SYSTEM_DIR"] = str(installed.installation)
    made.start("mqvpn-gui", *in_sandbox(made), *options)


def say(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n  proved: {text}")


def test_the_tray_in_the_sandbox_switches_a_real_tunnel(
    lab: Lab, installed: FlatpakLab, capsys: pytest.CaptureFixture[str]
) -> None:
    users_file = lab.directory / "users"
    server = lab.start_server("--users-file", str(users_file))
    link = invite(lab, users_file, server.control_socket)
    before = lab.world.client.host_state()
    with bus_of_the_client(lab) as bus, desktop_of_alice(bus) as made:
        made.start(
            *("keyring", "gnome-keyring-daemon", "--foreground", "--unlock"),
            "--components=secrets",
            given=b"password of the test",
        )
        start(made, installed, link)
        with screen_reader(made) as reader:
            try:
                tell(lab, made, reader, before)
            except BaseException:
                print(bus.log(), made.log("mqvpn-gui"), reader.names(), sep="\n")  # noqa: T201
                raise
        check_confinement(made)
        assert "Traceback" not in made.log("mqvpn-gui")
    say("the window in the sandbox took an invitation and kept its key in the keyring", capsys)
    say("its tray item connected and disconnected a real tunnel over two links", capsys)
    say("it has no network, sees no home and reaches no other system service", capsys)


def tell(lab: Lab, made: Desktop, reader: Reader, before: tuple[str, ...]) -> None:
    def tooltip() -> str:
        return made.run(sys.executable, "-c", TOOLTIP)

    def click(label: str) -> None:
        def is_done() -> bool:
            return made.run(sys.executable, "-c", CLICK, label) == "clicked\n"

        eventually(is_done, f"{label} in the menu of the tray")

    eventually(lambda: bool(reader.objects()), "window for the screen reader", 60)
    reader.press("push button", "Save and connect")
    eventually(lambda: "2 of 2 paths" in tooltip(), "both paths in the tray")
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
    click("Disconnect")
    eventually(lambda: lab.world.client.host_state() == before, "end of the tunnel")
    eventually(lambda: "connected to" not in tooltip(), "tray without a tunnel")
    click("Connect")
    eventually(lambda: "2 of 2 paths" in tooltip(), "both paths again")
    assert lab.ping(lab.world.client, INNER_SERVER_IPV4).code == 0
    click("Disconnect")
    eventually(lambda: lab.world.client.host_state() == before, "second end of the tunnel")


INSIDE = """
import os, socket
from jeepney import DBusAddress, message_bus, new_method_call
from jeepney.io.blocking import open_dbus_connection
links = sorted(name for _, name in socket.if_nameindex())
with open_dbus_connection("SYSTEM") as bus:
    names = bus.send_and_get_reply(message_bus.ListNames()).body[0]
    others = sorted(n for n in names if not n.startswith(":") and n not in
        ("org.freedesktop.DBus", "org.mqvpn.Helper1"))
is_home_seen = os.path.exists(os.path.expanduser("~/.config/xfce4"))
print(links, others, is_home_seen, os.getuid())
"""


def check_confinement(made: Desktop) -> None:
    """What runs beside the window, with the same permissions, finds nothing."""
    code = f"import sys; sys.path.insert(0, '/app/lib/mqvpn')\n{INSIDE}"
    command = in_sandbox(made, "--command=python3")
    version = made.run(*in_sandbox(made, "--command=mqvpn"), "--version")
    assert version == f"mqvpn {importlib.metadata.version('mqvpn')}\n"
    assert made.run(*command, "-c", code) == f"['lo'] [] False {USERS['alice']}\n"


@pytest.fixture
def bus_without_helper() -> Iterator[SystemBus]:
    with short_folder() as folder, system_bus(folder) as bus:
        removed = bus.run(["rm", "/usr/share/dbus-1/system-services/org.mqvpn.Helper1.service"])
        assert removed.returncode == 0, removed.stderr
        bus.run(
            [
                *("gdbus", "call", "--system", "-d", "org.freedesktop.DBus"),
                *("-o", "/org/freedesktop/DBus", "-m", "org.freedesktop.DBus.ReloadConfig"),
            ]
        )
        yield bus


def test_without_the_helper_it_says_which_command_installs_it(
    bus_without_helper: SystemBus, installed: FlatpakLab, capsys: pytest.CaptureFixture[str]
) -> None:
    with desktop_of_alice(bus_without_helper) as made:
        start(made, installed)
        with screen_reader(made) as reader:
            eventually(lambda: bool(reader.objects()), "window for the screen reader", 60)
            reader.look("label", "One part is missing")
            reader.look("text", "Command that installs the helper")
            reader.look("push button", "Check again")
        assert "Traceback" not in made.log("mqvpn-gui")
    say("without the helper it shows the page that names the command", capsys)


def test_uninstalling_leaves_nothing(
    bus_without_helper: SystemBus, installed: FlatpakLab, capsys: pytest.CaptureFixture[str]
) -> None:
    with desktop_of_alice(bus_without_helper) as made:
        home = Path(made.environment["HOME"])
        before = files_of_ours(home)
        start(made, installed)
        eventually((home / ".var/app" / APPLICATION / "config").exists, "its own files")
        made.stop("mqvpn-gui")
        autostart = home / ".config/autostart" / f"{APPLICATION}.desktop"
        autostart.parent.mkdir(parents=True, exist_ok=True)
        autostart.write_text("[Desktop Entry]\n")  # as the portal of the desktop writes it
        assert files_of_ours(home) > before
        assert files_of_ours(installed.installation / "exports")
        installed.follow("flatpak-remove", HOME=str(home))
        assert files_of_ours(home) == before
    assert files_of_ours(installed.installation / "exports") == set()
    assert files_of_ours(installed.installation / "app") == set()
    say("it is uninstalled without a trace", capsys)


def files_of_ours(folder: Path) -> set[str]:
    """Files and folders with our name."""
    return {str(each) for each in folder.rglob("*") if "mqvpn" in each.name.lower()}
