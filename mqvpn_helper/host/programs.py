"""Programs of the system that run as root: found in few places, told by text, ended when stuck."""

import subprocess
from collections.abc import Sequence

from mqvpn_helper.host.failures import HostChangeError

SEARCH_PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/run/current-system/sw/bin"
"""Directories that may hold them."""
_MOST_OF_A_COMPLAINT = 500


def run_program(
    command: Sequence[str], text: str, *, search_path: str, seconds: float, complaint: str
) -> str:
    """Run a program in the calling thread's network namespace; return what it prints.

    Args:
        command: the program, by its absolute path, and its arguments.
        text: what it reads.
        search_path: where it finds other programs.
        seconds: how long it may take.
        complaint: what to say before its own words when it fails.

    Raises:
        HostChangeError: it failed, or did not end.
    """
    try:
        done = subprocess.run(  # noqa: S603 - absolute path, our own arguments, text on stdin
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={"LC_ALL": "C", "PATH": search_path},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostChangeError(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[:_MOST_OF_A_COMPLAINT]
        raise HostChangeError(f"{complaint}: {reason}")
    return done.stdout
