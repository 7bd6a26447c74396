import io
from dataclasses import replace

import pytest
from typing_extensions import override

from mqvpn_core.demo.screen import Screen, bits, size
from mqvpn_core.runtime.status_values import PathStatus, Status

PATH = PathStatus(
    id=0,
    interface="wlan0",
    local="192.0.2.2:40000",
    remote="203.0.113.2:443",
    state="active",
    srtt_ms=12.34,
    min_rtt_ms=12.0,
    loss=0.015,
    congestion_window=14_000,
    tx_bytes=5_000,
    rx_bytes=1_500_000,
    tx_packets=50,
    rx_packets=1_200,
    mtu=1400,
)
STATUS = Status(
    role="client",
    state="connected",
    seconds_in_state=3.0,
    version="0",
    pid=1,
    kernel="reference",
    tun_name="mqvpn0",
    mtu=1360,
    server="203.0.113.2:443",
    addresses=("10.0.0.2/32",),
    paths=(PATH,),
)


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def lines_of(output: io.StringIO) -> list[str]:
    return output.getvalue().splitlines()


def test_table_shows_paths_and_idle_links() -> None:
    output = Terminal()
    Screen(output, ["wlan0", "lte0"]).show(STATUS)
    head, headings, used, idle = lines_of(output)
    assert head == "    tunnel connected, 10.0.0.2/32, MTU 1360"
    assert headings.split() == [
        "path",
        "link",
        "state",
        "RTT",
        "down",
        "up",
        "loss",
        "received",
        "sent",
    ]
    assert used.split() == [
        "0",
        "wlan0",
        "active",
        "12.3",
        "ms",
        "-",
        "-",
        "1.5",
        "%",
        "1.5",
        "MB",
        "5.0",
        "kB",
    ]
    assert idle.split()[:3] == ["-", "lte0", "idle"]


def test_path_without_a_link_of_its_own_counts_for_the_first() -> None:
    output = Terminal()
    status = replace(STATUS, paths=(replace(PATH, interface=""),))
    Screen(output, ["wlan0", "lte0"]).show(status)
    table = output.getvalue()
    assert "as routed" in table
    assert "lte0" in table
    assert "wlan0" not in table


def test_table_is_redrawn_in_place_and_steps_go_above_it() -> None:
    output = Terminal()
    screen = Screen(output, ["wlan0", "lte0"])
    screen.show(STATUS)
    screen.show(STATUS)
    assert output.getvalue().count("\x1b[4F\x1b[J") == 1
    screen.step("something happened")
    assert output.getvalue().count("\x1b[4F\x1b[J") == 2
    screen.step("and more")
    assert output.getvalue().count("\x1b[4F\x1b[J") == 2
    assert lines_of(output)[-1].endswith("and more")


def test_table_that_is_left_stays() -> None:
    output = Terminal()
    screen = Screen(output, ["wlan0"])
    screen.show(STATUS)
    screen.leave_table()
    screen.step("next")
    assert "\x1b" not in output.getvalue()


def test_rate_follows_from_two_readings() -> None:
    output = Terminal()
    screen = Screen(output, ["wlan0"])
    screen.show(STATUS)
    screen.show(replace(STATUS, paths=(replace(PATH, rx_bytes=PATH.rx_bytes + 10**9),)))
    last = lines_of(output)[-1]
    assert "bit/s" in last


def test_without_a_terminal_plain_lines_come_now_and_then() -> None:
    output = io.StringIO()
    screen = Screen(output, ["wlan0"])
    for _ in range(10):
        screen.show(STATUS)
    (line,) = lines_of(output)
    assert "\x1b" not in line
    assert "RTT 12.3 ms" in line


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0 bit/s"),
        (999, "999 bit/s"),
        (1500, "1.5 kbit/s"),
        (2.5e6, "2.5 Mbit/s"),
        (1e10, "10.00 Gbit/s"),
    ],
)
def test_bits(rate: float, text: str) -> None:
    assert bits(rate) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1500, "1.5 kB"), (3e7, "30.0 MB"), (1e10, "10.00 GB")]
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text
