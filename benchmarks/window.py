"""What the window costs, and how soon it shows things: ``python -m benchmarks.window``.

With ``--endurance`` whether it grows: ten thousand updates, two thousand tunnels that come and go.
A real screen, panel and notification service; a helper on a private bus that says what a real one
would. Needs what ``./run desktop`` installs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from jeepney import DBusAddress, new_method_call
from jeepney.io.blocking import open_dbus_connection

from benchmarks.machine import describe_machine
from mqvpn_core.demo.processes import cpu_seconds, resident_bytes
from mqvpn_helper.interface import bus_interface as table
from mqvpn_helper.interface.bus_names import PEER_INTERFACE
from tests.desktop.session import Desktop, desktop
from tests.desktop.tray_items import TrayWatch, tray_watch
from tests.gui.private_bus import BusHelper, message_bus_daemon

PATIENCE = 30.0
WATCH_SECONDS = 20.0
STARTS = 5
EVENTS = 10
UPDATES = 10_000
CYCLES = 2000
FIRST_UPDATES = 2_500
FIRST_CYCLES = 4_000
"""Done before memory is judged: Qt's caches fill up, and the heap gets its holes, some 4 MB."""
MAX_GROWTH_MB = 1.0
"""Room for the history, which fills up, and for holes in the heap: half a kilobyte each time."""
LOOKS = 4
"""How often memory is looked at meanwhile: a straight line is a leak, whatever the bar says."""

PATHS = (
    "a{sa{sv}}",
    {
        name: {"kind": ("s", "wireless"), "state": ("s", "active"), "rtt_ms": ("d", 18.0)}
        for name in ("wlan0", "wwan0")
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One bar."""

    what: str
    """What was measured."""
    value: float
    """How much."""
    unit: str
    """Of what."""
    bar: float
    """What it may be at most."""
    passed: bool
    """Whether it is."""


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.window", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    parser.add_argument("--endurance", action="store_true", help="measure memory over long use")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mq-w-") as folder, _scene(Path(folder)) as scene:
        results = endure(*scene) if options.endurance else measure(*scene)
    for each in results:
        verdict = "ok" if each.passed else "MISSED"
        sys.stdout.write(
            f"{each.what:<48} {each.value:>9.2f} {each.unit:<4} (bar {each.bar:g}) {verdict}\n"
        )
    if options.json is not None:
        report = {"results": [asdict(each) for each in results], "machine": describe_machine()}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if all(each.passed for each in results) else 1


@contextmanager
def _scene(folder: Path) -> Iterator[tuple[Desktop, BusHelper]]:
    for name in ("system", "desk"):
        (folder / name).mkdir()
    with message_bus_daemon(folder / "system") as system_bus:
        helper = BusHelper(
            system_bus,
            {
                "Version": ("s", "0.1.0"),
                "ApiLevel": ("u", 1),
                "State": ("s", "up"),
                "Profile": ("s", "Office"),
                "Paths": PATHS,
            },
        )
        with desktop(folder / "desk", system_bus) as made:
            yield made, helper
        helper.die()


def measure(made: Desktop, helper: BusHelper) -> list[Result]:
    """Take all measurements that are soon done, one after the other."""
    with tray_watch(made.environment["DBUS_SESSION_BUS_ADDRESS"]) as watch:
        starts = [_start(made, watch) for _ in range(STARTS)]
        results = [_result("start to icon in the panel, median", _median(starts), "s", 1.5)]
        results += _costs(made, helper)
        results.append(_event_to_screen(made, helper))
    return results


def endure(made: Desktop, helper: BusHelper) -> list[Result]:
    """Look whether the window grows with what it has seen."""
    window = made.start_window()
    _until(lambda: "Subscribe" in [method for method, _ in helper.asked])

    def say_numbers(number: int) -> None:
        rtt = {"rtt_ms": ("d", 15.0 + number % 7), "rx_bps": ("t", number * 1000)}
        helper.signal(table.STATS, number, {"wlan0": rtt, "wwan0": rtt})

    def come_and_go(_number: int) -> None:
        helper.change(State=("s", "connecting"))
        helper.change(State=("s", "up"), Paths=PATHS)
        helper.change(State=("s", "off"), Paths=("a{sa{sv}}", {}))

    results = []
    for what, first, count, act in (
        (f"growth over {UPDATES} updates of the numbers", FIRST_UPDATES, UPDATES, say_numbers),
        (f"growth over {CYCLES} tunnels that came and went", FIRST_CYCLES, CYCLES, come_and_go),
    ):
        fresh = resident_bytes(window.pid) / 1e6
        _repeat(act, first, helper)
        began = time.perf_counter()
        seen = [resident_bytes(window.pid) / 1e6]
        for _ in range(LOOKS):
            _repeat(act, count // LOOKS, helper)
            seen.append(resident_bytes(window.pid) / 1e6)
        took = time.perf_counter() - began
        course = ", ".join(f"{each:.1f}" for each in seen)
        sys.stdout.write(f"{what}: {fresh:.1f}, after {first} {course} MB in {took:.0f} s\n")
        results.append(_result(what, seen[-1] - seen[0], "MB", MAX_GROWTH_MB))
    return results


def _repeat(act: Callable[[int], None], count: int, helper: BusHelper) -> None:
    """Do something often, no faster than the window takes it."""
    with open_dbus_connection(f"unix:path={helper.bus_path}") as connection:
        own = {connection.unique_name, helper.unique_name}
        bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        reply = connection.send_and_get_reply(new_method_call(bus, "ListNames"))
        names = reply.body[0]
        assert isinstance(names, list)
        others = [str(name) for name in names if str(name)[:1] == ":" and name not in own]
        for number in range(count):
            act(number)
            if number % 10 == 0:
                for name in others:  # whatever it answers, it has read what came before
                    peer = DBusAddress("/", name, PEER_INTERFACE)
                    connection.send_and_get_reply(new_method_call(peer, "Ping"), timeout=PATIENCE)


def _start(made: Desktop, watch: TrayWatch) -> float:
    began = time.perf_counter()
    made.start_window("--hidden")
    _until(lambda: bool(watch.items()))
    took = time.perf_counter() - began
    made.stop("mqvpn-gui")
    _until(lambda: not watch.items())
    return took


def _costs(made: Desktop, helper: BusHelper) -> list[Result]:
    hidden = made.start_window("--hidden")
    time.sleep(3)
    idle = _share_of_a_core(hidden.pid, helper, says_something=False)
    made.stop("mqvpn-gui")
    shown = made.start_window()
    time.sleep(3)
    busy = _share_of_a_core(shown.pid, helper, says_something=True)
    memory = resident_bytes(shown.pid) / 1e6
    return [
        _result("processor, window hidden", idle, "%", 1.0),
        _result("processor, live graph, numbers each second", busy, "%", 4.0),
        _result("memory with the window shown", memory, "MB", 250.0),
    ]


def _share_of_a_core(process: int, helper: BusHelper, *, says_something: bool) -> float:
    before = cpu_seconds(process)
    began = time.perf_counter()
    number = 0
    while (elapsed := time.perf_counter() - began) < WATCH_SECONDS:
        if says_something:
            number += 1
            rtt = {"rtt_ms": ("d", 15.0 + number % 7), "rx_bps": ("t", number * 1_000_000)}
            helper.signal(table.STATS, number, {"wlan0": rtt, "wwan0": rtt})
        time.sleep(1)
    return (cpu_seconds(process) - before) / elapsed * 100


def _event_to_screen(made: Desktop, helper: BusHelper) -> Result:
    """From the event on the bus to the bubble on the screen, which comes last."""
    took = []
    for number in range(EVENTS):
        detail = {"to_interface": ("s", "wwan0"), "gap_ms": ("d", 62.0)}
        made.run("dunstctl", "close-all")
        began = time.perf_counter()
        helper.signal(table.EVENT, number + 1, 1_000_000, "failover", "wlan0", detail)
        _until(lambda: made.run("dunstctl", "count", "displayed").strip() != "0")
        took.append((time.perf_counter() - began) * 1e3)
        time.sleep(2.5)  # bubbles about one thing come at most every two seconds
    return _result("event on the bus to bubble on the screen, median", _median(took), "ms", 300.0)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + PATIENCE
    while not is_so():
        if time.perf_counter() > deadline:
            raise TimeoutError("the window did not do what was waited for")
        time.sleep(0.005)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _result(what: str, value: float, unit: str, bar: float) -> Result:
    return Result(what=what, value=value, unit=unit, bar=bar, passed=value <= bar)


if __name__ == "__main__":
    sys.exit(main())
