"""The window's side of the bus, with a real bus between."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jeepney import DBusAddress, new_signal
from jeepney.io.blocking import open_dbus_connection
from pytestqt.qtbot import QtBot

from mqvpn_gui.bus.helper_proxy import HelperProxy
from mqvpn_gui.bus.qt_bus import BUS, Call, CallError, QtBus, Reply
from mqvpn_gui.bus.single_program import SingleProgram
from mqvpn_gui.model.event_store import EventRecord
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import (
    INTERFACE_NAME,
    OBJECT_PATH,
    PROPERTIES_INTERFACE,
    BusEventKind,
    TunnelState,
)
from tests.gui.private_bus import BusHelper, message_bus_daemon

pytestmark = pytest.mark.slow

PROPERTIES: dict[str, tuple[str, object]] = {
    "Version": ("s", "0.1.0"),
    "ApiLevel": ("u", 1),
    "State": ("s", "up"),
    "LastError": ("(ss)", ("", "")),
    "Paths": ("a{sa{sv}}", {"wlan0": {"rtt_ms": ("d", 18.5), "state": ("s", "active")}}),
}


@pytest.fixture
def bus_path(tmp_path: Path) -> Iterator[str]:
    with message_bus_daemon(tmp_path) as path:
        yield path


@pytest.fixture
def bus(bus_path: str, qtbot: QtBot) -> Iterator[QtBus]:
    made = QtBus(lambda: bus_path)
    with qtbot.waitSignal(made.opened):
        made.open()
    yield made
    made.close()


@pytest.fixture
def proxy(bus: QtBus) -> Iterator[HelperProxy]:
    made = HelperProxy(bus)
    yield made
    made.stop()


def event(number: int, kind: str, **detail: tuple[str, object]) -> dict[str, tuple[str, object]]:
    return {
        "id": ("t", number),
        "time_us": ("t", 1_000_000 * number),
        "kind": ("s", kind),
        "path": ("s", "wlan0"),
        "detail": ("a{sv}", detail),
    }


def test_missing_helper_is_told(proxy: HelperProxy, qtbot: QtBot) -> None:
    with qtbot.waitSignal(proxy.reached) as reached:
        proxy.look_again()
    assert isinstance(reached.args[0], CallError)
    assert not proxy.state.is_present


def test_state_events_and_numbers_arrive(proxy: HelperProxy, bus_path: str, qtbot: QtBot) -> None:
    helper = BusHelper(bus_path, dict(PROPERTIES))
    helper.events = [event(1, "connected"), event(2, "path-up")]
    seen: list[EventRecord] = []

    def see(new: list[EventRecord]) -> None:
        seen.extend(new)

    proxy.history_read.connect(see)
    proxy.look_again()
    qtbot.waitUntil(lambda: len(seen) == 2)
    proxy.events_arrived.connect(see)
    assert proxy.state.state is TunnelState.UP
    assert proxy.state.paths[0].rtt_ms == 18.5
    helper.change(State=("s", "degraded"))
    qtbot.waitUntil(lambda: proxy.state.state is TunnelState.DEGRADED)
    helper.signal(table.STATS, 1, {"wlan0": {"rtt_ms": ("d", 21.0)}})
    qtbot.waitUntil(lambda: proxy.state.paths[0].rtt_ms == 21.0)
    detail = {"to_interface": ("s", "wwan0"), "gap_ms": ("d", 62.0)}
    helper.signal(table.EVENT, 3, 3_000_000, "failover", "wlan0", detail)
    qtbot.waitUntil(lambda: len(seen) == 3)
    assert seen[-1].kind is BusEventKind.FAILOVER
    assert seen[-1].number("gap_ms") == 62.0
    helper.die()


def test_signals_of_somebody_else_are_not_believed(
    proxy: HelperProxy, bus_path: str, qtbot: QtBot
) -> None:
    helper = BusHelper(bus_path, dict(PROPERTIES))
    proxy.look_again()
    qtbot.waitUntil(lambda: proxy.state.is_present)
    with open_dbus_connection(f"unix:path={bus_path}") as liar:
        emitter = DBusAddress(OBJECT_PATH, None, PROPERTIES_INTERFACE)
        lie: tuple[object, ...] = (INTERFACE_NAME, {"State": ("s", "off")}, [])
        liar.send(new_signal(emitter, "PropertiesChanged", "sa{sv}as", lie))
        helper.change(Server=("s", "fra1:443"))
        qtbot.waitUntil(lambda: proxy.state.server == "fra1:443")
    assert proxy.state.state is TunnelState.UP
    helper.die()


@pytest.mark.parametrize("state", ["up", "blocked"])
def test_helper_that_dies_on_duty_is_asked_again(
    proxy: HelperProxy, bus_path: str, qtbot: QtBot, state: str
) -> None:
    helper = BusHelper(bus_path, {**PROPERTIES, "State": ("s", state)})
    proxy.look_again()
    qtbot.waitUntil(lambda: proxy.state.is_present)
    helper.die()
    qtbot.waitUntil(lambda: proxy.obstacle is not None)  # nobody starts it on this bus
    with qtbot.waitSignal(proxy.restarted):
        helper = BusHelper(bus_path, {**PROPERTIES, "State": ("s", "off")})
    qtbot.waitUntil(lambda: proxy.state.is_present and proxy.state.state is TunnelState.OFF)
    helper.die()


def test_errors_come_back_to_whoever_asked(proxy: HelperProxy, bus_path: str, qtbot: QtBot) -> None:
    helper = BusHelper(bus_path, dict(PROPERTIES))
    helper.errors["SetKillSwitch"] = "org.mqvpn.Error.NotAuthorized"
    proxy.look_again()
    qtbot.waitUntil(lambda: proxy.state.is_present)
    outcomes: list[CallError | None] = []
    proxy.set_kill_switch("always", outcomes.append)
    proxy.disconnect_tunnel(outcomes.append)
    qtbot.waitUntil(lambda: len(outcomes) == 2)
    assert [each and each.name for each in outcomes] == ["org.mqvpn.Error.NotAuthorized", None]
    assert ("SetKillSwitch", ("always",)) in helper.asked
    helper.die()


def test_calls_under_way_end_when_the_bus_goes(tmp_path: Path, qtbot: QtBot) -> None:
    bus = QtBus(lambda: str(tmp_path / "bus"))
    with message_bus_daemon(tmp_path):
        with qtbot.waitSignal(bus.opened):
            bus.open()
        replies: list[Reply] = []
        bus.call(Call(target=BUS, method="GetId"), replies.append)
        qtbot.waitUntil(lambda: len(replies) == 1)
    qtbot.waitUntil(lambda: not bus.is_open)
    bus.call(Call(target=BUS, method="GetId"), replies.append)
    assert len(replies) == 1  # never from inside the call
    qtbot.waitUntil(lambda: len(replies) == 2)
    assert isinstance(replies[1], CallError)
    with message_bus_daemon(tmp_path), qtbot.waitSignal(bus.opened):
        pass  # it comes back by itself
    bus.close()


def test_second_program_wakes_the_first_up(bus: QtBus, bus_path: str, qtbot: QtBot) -> None:
    first = SingleProgram(bus, "org.mqvpn.Test", [])
    first._ask_for_name()  # the bus of the fixture is open already
    qtbot.wait(50)
    other = QtBus(lambda: bus_path)
    second = SingleProgram(other, "org.mqvpn.Test", ["mqvpn://vpn.example.org/"])
    with qtbot.waitSignals([first.woken, second.is_second]):
        other.open()
    other.close()
