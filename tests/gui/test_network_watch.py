"""What NetworkManager knows: logins that a network wants, and links that cost money."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection
from pytestqt.qtbot import QtBot

from mqvpn_gui.bus.network_watch import MANAGER, NETWORK_MANAGER, NetworkWatch
from mqvpn_gui.bus.qt_bus import QtBus
from mqvpn_helper.interface.bus_names import PROPERTIES_INTERFACE

pytestmark = pytest.mark.slow

PORTAL, FULL = 2, 4
YES, NO = 1, 2
URI = "http://check.example/"


class FakeNetworkManager:
    """Knows ``wlan0``, which is metered, and ``eth0``, which is not."""

    def __init__(self, bus_path: str) -> None:
        self.connectivity = FULL
        self._connection = open_dbus_connection(f"unix:path={bus_path}")
        self._connection.send_and_get_reply(message_bus.RequestName(NETWORK_MANAGER))
        self._serials = itertools.count(10_000)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def find(self, connectivity: int) -> None:
        """Find that the network is so."""
        self.connectivity = connectivity
        emitter = DBusAddress(MANAGER.object_path, None, PROPERTIES_INTERFACE)
        changed: tuple[object, ...] = (NETWORK_MANAGER, {"Connectivity": ("u", connectivity)}, [])
        signal = new_signal(emitter, "PropertiesChanged", "sa{sv}as", changed)
        self._connection.send(signal, serial=next(self._serials))

    def end(self) -> None:
        """Leave the bus."""
        self._is_over.set()
        self._thread.join()
        self._connection.close()

    def _serve(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                message = self._connection.receive(timeout=0.02)
                if message.header.message_type is not MessageType.method_call:
                    continue
                fields = message.header.fields
                match fields[HeaderFields.member], message.body:
                    case "GetAll", _:
                        known = {
                            "Connectivity": ("u", self.connectivity),
                            "ConnectivityCheckUri": ("s", URI),
                        }
                        reply = new_method_return(message, "a{sv}", (known,))
                    case "GetDeviceByIpIface", (("wlan0" | "eth0") as name,):
                        reply = new_method_return(message, "o", (f"/device/{name}",))
                    case "Get", (_, "Metered"):
                        is_wlan = str(fields[HeaderFields.path]).endswith("wlan0")
                        reply = new_method_return(message, "v", (("u", YES if is_wlan else NO),))
                    case _:
                        reply = new_error(message, "org.example.Unknown", "s", ("no such device",))
                self._connection.send(reply, serial=next(self._serials))


@pytest.fixture
def watch(system_bus: Path, qtbot: QtBot) -> Iterator[NetworkWatch]:
    bus = QtBus(lambda: str(system_bus))
    made = NetworkWatch(bus)
    with qtbot.waitSignal(bus.opened):
        bus.open()
    yield made
    bus.close()


def test_login_is_noticed_and_so_is_its_end(
    watch: NetworkWatch, system_bus: Path, qtbot: QtBot
) -> None:
    manager = FakeNetworkManager(str(system_bus))
    qtbot.waitUntil(lambda: watch.status.check_uri == URI)
    assert not watch.status.wants_login
    manager.find(PORTAL)
    qtbot.waitUntil(lambda: watch.status.wants_login)
    manager.find(FULL)
    qtbot.waitUntil(lambda: not watch.status.wants_login)
    manager.end()


def test_metered_links_are_found_and_forgotten(
    watch: NetworkWatch, system_bus: Path, qtbot: QtBot
) -> None:
    manager = FakeNetworkManager(str(system_bus))
    qtbot.waitUntil(lambda: watch.status.check_uri == URI)
    watch.ask_about(["wlan0", "eth0", "unknown0"])
    qtbot.waitUntil(lambda: watch.status.metered == {"wlan0"})
    watch.ask_about(["eth0"])
    assert watch.status.metered == frozenset()
    manager.end()
    qtbot.waitUntil(lambda: watch.status.check_uri == "")


def test_signals_of_somebody_else_are_not_believed(
    watch: NetworkWatch, system_bus: Path, qtbot: QtBot
) -> None:
    manager = FakeNetworkManager(str(system_bus))
    qtbot.waitUntil(lambda: watch.status.check_uri == URI)
    with open_dbus_connection(f"unix:path={system_bus}") as liar:
        emitter = DBusAddress(MANAGER.object_path, None, PROPERTIES_INTERFACE)
        lie: tuple[object, ...] = (
            NETWORK_MANAGER,
            {"ConnectivityCheckUri": ("s", "http://liar.example/")},
            [],
        )
        liar.send(new_signal(emitter, "PropertiesChanged", "sa{sv}as", lie))
        manager.find(PORTAL)
        qtbot.waitUntil(lambda: watch.status.wants_login)
    assert watch.status.check_uri == URI
    manager.end()
