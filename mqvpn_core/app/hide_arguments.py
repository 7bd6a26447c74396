"""Blots secrets out of this process's own command line, so that ``ps`` no longer shows them."""

import os
from collections.abc import Iterable
from pathlib import Path

_ARG_START = 48  # proc(5): field of /proc/PID/stat, counted from 1
_FIELDS_BEFORE_STATE = 2  # pid and (comm), which may hold blanks and parentheses


def hide_arguments(secrets: Iterable[str]) -> bool:
    """Overwrite each of ``secrets`` in the kernel's view of our arguments.

    Returns:
        Whether that worked; the shell's history and whoever looked earlier have them anyway.
    """
    try:
        fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        start = int(fields[_ARG_START - _FIELDS_BEFORE_STATE - 1])
        shown = Path("/proc/self/cmdline").read_bytes()
        hidden = blot(shown, secrets)
        if start == 0 or len(hidden) != len(shown):
            return False
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            return os.pwrite(memory, hidden, start) == len(hidden)
        finally:
            os.close(memory)
    except (OSError, ValueError, IndexError):
        return False


def blot(command_line: bytes, secrets: Iterable[str]) -> bytes:
    """Return ``command_line`` with each secret replaced by as many asterisks."""
    for secret in secrets:
        encoded = os.fsencode(secret)
        if encoded:
            command_line = command_line.replace(encoded, b"*" * len(encoded))
    return command_line
