"""Child processes that never outlive this one, and that are ended politely.

Owns starting and stopping; what runs in which namespace is decided by the calling thread.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Process: TypeAlias = subprocess.Popen[bytes]

STOP_PATIENCE = 5.0
"""Seconds a process gets to end by itself before it is killed."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def start_process(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
    """Start a program that gets SIGKILL when the calling thread is gone.

    Args:
        command: program and arguments.
        log: file that collects standard output and error, appended to.
        environment: variables to add to this process's own.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C is for us alone: we decide the order of the end
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock is taken
        )


def stop_process(process: Process, how: signal.Signals = signal.SIGTERM) -> int:
    """End a process by a signal, by SIGKILL when it does not listen; return its exit code."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def resident_bytes(pid: int) -> int:
    """Memory of a process that stands in RAM (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
