"""Freed memory is kept for packets and given back after other work."""

import subprocess
import sys

import pytest
import trio

from mqvpn_core.runtime import netlink_monitor
from mqvpn_core.runtime.netlink_monitor import NetlinkMonitor

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
