"""Who are we, and does another process still live: identities that a reused number cannot fake."""

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

_SO_NETNS_COOKIE = 71
_COOKIE_BYTES = 8
_PROC = Path("/proc")
# Fields of /proc/PID/stat behind the command name, counted from the state (man 5 proc_pid_stat).
_STATE_FIELD = 0
_START_TIME_FIELD = 19
_DEAD_STATES = frozenset("ZXx")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """One process of one boot."""

    pid: int
    """Process ID."""
    start_time: int
    """Start in clock ticks since boot: tells processes with the same ID apart."""
    boot_id: str
    """The kernel's random name of this boot."""

    def is_alive(self) -> bool:
        """Return whether exactly this process still runs."""
        return self.boot_id == current_boot_id() and self.start_time == _start_time(self.pid)


NOBODY = ProcessIdentity(pid=0, start_time=0, boot_id="")
"""The owner of what stays when its owner has gone in order."""


def current_process() -> ProcessIdentity:
    """Return the identity of the calling process."""
    pid = os.getpid()
    return ProcessIdentity(pid=pid, start_time=_start_time(pid) or 0, boot_id=current_boot_id())


def current_boot_id() -> str:
    """Return the kernel's random name of this boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def current_netns() -> int:
    """Return a number that names the calling thread's network namespace, unique for this boot."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            cookie = probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, _COOKIE_BYTES)
        except OSError:
            # Kernels before 5.14. An inode number may be reused after the namespace is gone,
            # which is the best there is.
            return (_PROC / "thread-self/ns/net").stat().st_ino
    return int.from_bytes(cookie, sys.byteorder)


def _start_time(pid: int) -> int | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _START_TIME_FIELD or fields[_STATE_FIELD] in _DEAD_STATES:
        return None
    return int(fields[_START_TIME_FIELD])
