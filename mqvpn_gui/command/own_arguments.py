"""Blots a link out of this process's own command line, where other users could read its key."""

import os
from pathlib import Path

_ARG_START = 48  # proc(5): field of /proc/PID/stat, counted from 1
_FIELDS_BEFORE_STATE = 2  # pid and (comm), which may hold blanks and parentheses


def hide_argument(secret: str) -> bool:
    """Overwrite ``secret`` in the kernel's view of our arguments; tells whether that worked."""
    wanted = os.fsencode(secret)
    if not wanted:
        return False
    try:
        stat = Path("/proc/self/stat").read_text("ascii", "replace")
        start = int(stat.rpartition(")")[2].split()[_ARG_START - _FIELDS_BEFORE_STATE - 1])
        shown = Path("/proc/self/cmdline").read_bytes()
        hidden = shown.replace(wanted, b"*" * len(wanted))
        if start == 0 or hidden == shown:
            return False
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            return os.pwrite(memory, hidden, start) == len(hidden)
        finally:
            os.close(memory)
    except (OSError, ValueError, IndexError):
        return False
