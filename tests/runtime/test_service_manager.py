"""What is said to systemd, through a real socket, with a clock that jumps."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from mqvpn_core.app.service_reports import ServerReports
from mqvpn_core.ids import SocketAddress
from mqvpn_core.runtime.service_manager import ServiceManager
from mqvpn_helper.interface.service_notices import ServiceOrders, service_orders
from mqvpn_helper.service.signs_of_life import show_signs_of_life

OWN = 100
ADDRESS = SocketAddress("192.0.2.1", 443)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
        listening.bind(str(tmp_path / "notify"))
        yield listening


def _heard(systemd: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return found


@pytest.mark.parametrize(
    ("environment", "orders"),
    [
        ({}, ServiceOrders()),
        ({"NOTIFY_SOCKET": "/run/n"}, ServiceOrders(address="/run/n")),
        ({"NOTIFY_SOCKET": "@n"}, ServiceOrders(address=b"\0n")),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, ServiceOrders()),
        ({"WATCHDOG_USEC": "3000000"}, ServiceOrders()),
        (
            {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000"},
            ServiceOrders(address="/n", beat_seconds=1.0),
        ),
        (
            {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(OWN)},
            ServiceOrders(address="/n", beat_seconds=1.0),
        ),
        (
            {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
            ServiceOrders(address="/n"),
        ),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, ServiceOrders(address="/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, ServiceOrders(address="/n")),
    ],
)
def test_orders_come_from_the_environment(
    environment: dict[str, str], orders: ServiceOrders
) -> None:
    assert service_orders(environment, OWN) == orders


def test_a_server_is_ready_when_it_listens(systemd: socket.socket) -> None:
    orders = ServiceOrders(address=systemd.getsockname(), beat_seconds=20.0)

    async def main() -> None:
        reports = ServerReports(ServiceManager(orders))
        with trio.move_on_after(50):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reports.run)
                await trio.sleep(5)
                assert _heard(systemd) == ["WATCHDOG=1"]
                reports.started((ADDRESS,))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert _heard(systemd) == [
        f"READY=1\nSTATUS=listening on {ADDRESS} (UDP)",
        "WATCHDOG=1",
        "WATCHDOG=1",
    ]


def test_a_new_status_is_told_once_and_in_one_line(systemd: socket.socket) -> None:
    words = ["connecting\nREADY=1", "connecting\nREADY=1", "connected", "connected"]

    async def main() -> None:
        manager = ServiceManager(ServiceOrders(address=systemd.getsockname()))
        with trio.move_on_after(3.5):
            await manager.run(lambda: words.pop(0))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert _heard(systemd) == ["STATUS=connecting READY=1", "STATUS=connected"]


def test_nobody_listens_and_nothing_happens(tmp_path: Path) -> None:
    async def main() -> None:
        manager = ServiceManager(ServiceOrders(address=str(tmp_path / "gone"), beat_seconds=1.0))
        manager.tell_ready("x")
        with trio.move_on_after(3):
            await manager.run(lambda: "x")
        await ServiceManager(ServiceOrders()).run(lambda: "never asked"[:0])
        await show_signs_of_life(ServiceOrders())

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_helper_shows_that_its_loop_turns(systemd: socket.socket) -> None:
    orders = ServiceOrders(address=systemd.getsockname(), beat_seconds=20.0)

    async def main() -> None:
        with trio.move_on_after(50):
            await show_signs_of_life(orders)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert _heard(systemd) == ["WATCHDOG=1"] * 3
