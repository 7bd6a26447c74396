"""Freed memory is kept for packets and given back after other work."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from mqvpn_core.app import client as app_client
from mqvpn_core.app import server as app_server
from mqvpn_core.runtime import freed_memory, netlink_monitor
from mqvpn_core.runtime.freed_memory import KEPT_BYTES
from mqvpn_core.runtime.netlink_monitor import NetlinkMonitor
from tests.runtime.world import eventually, world

_PROGRAM = """
import ctypes, resource
from mqvpn_core.runtime.freed_memory import give_back_freed_memory, keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

keep_freed_memory()
blocks = [b"x" * 60_000 for number in range(200)]
full = resident()
last = blocks[-1]
del blocks
kept = resident()
give_back_freed_memory()
print(hasattr(ctypes.CDLL(None), "malloc_trim"), full - kept, kept - resident())
"""


_THREAD_PROGRAM = """
import threading
from mqvpn_core.runtime.freed_memory import freed_bytes

keep_freed_memory()
full, go_on = threading.Event(), threading.Event()

def work():
    blocks = [b"x" * 60_000 for number in range(200)]
    last = b"y" * 60_000
    full.set()
    go_on.wait()
    del blocks
    before_end.append(freed_bytes())

before_end = []
thread = threading.Thread(target=work)
thread.start()
full.wait()
before = freed_bytes()
go_on.set()
thread.join()
print(hasattr(ctypes.CDLL(None), "mallinfo2"), before, before_end[0])
"""


def test_free_pages_stay_until_they_are_given_back() -> None:
    """In a process of its own: the C library's settings are for a whole process."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )
    has_trim, freed, given_back = done.stdout.split()
    if has_trim != "True":
        pytest.skip("another C library")
    assert int(freed) < 2 << 20
    assert int(given_back) > 8 << 20


@pytest.mark.parametrize(("freed", "count"), [(KEPT_BYTES, 0), (KEPT_BYTES + 1, 3)])
def test_what_a_load_has_left_behind_is_given_back(
    monkeypatch: pytest.MonkeyPatch, freed: int, count: int
) -> None:
    given_back: list[None] = []
    monkeypatch.setattr(freed_memory, "freed_bytes", lambda: freed)
    monkeypatch.setattr(freed_memory, "give_back_freed_memory", lambda: given_back.append(None))

    async def main() -> None:
        with trio.move_on_after(3.5 * freed_memory.TIDY_SECONDS):
            await freed_memory.give_back_what_is_too_much()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.2))
    assert len(given_back) == count


@pytest.mark.slow
def test_server_and_client_do_so_while_they_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running: list[str] = []

    def stand_in(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            running.append(name)
            await trio.sleep_forever()

        return run

    for program in (app_client, app_server):
        name = program.__name__.rpartition(".")[2]
        monkeypatch.setattr(program, "give_back_what_is_too_much", stand_in(name))

    async def main() -> None:
        async with world(tmp_path) as scene:
            server = await scene.serve()
            await eventually(lambda: running == ["server"])
            scene.connect(scene.client_config(server))
            await eventually(lambda: "client" in running)

    trio.run(main)


def test_freed_bytes_are_those_of_all_threads() -> None:
    """Again by itself: another thread frees what it has in a heap of its own."""
    program = _PROGRAM.partition("keep_freed_memory()\n")[0] + _THREAD_PROGRAM
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    has_mallinfo, before, after = done.stdout.split()
    if has_mallinfo != "True":
        pytest.skip("another C library")
    assert int(after) - int(before) > 8 << 20


def test_memory_is_given_back_after_every_look_at_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_back: list[None] = []
    monkeypatch.setattr(netlink_monitor, "give_back_freed_memory", lambda: given_back.append(None))
    monitor = NetlinkMonitor()
    try:
        trio.run(monitor.list_all)
        assert len(given_back) == 1
        trio.run(monitor.find_ways, (), ())
        assert len(given_back) == 2
    finally:
        monitor.close()
