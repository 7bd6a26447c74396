"""Whoever may open too few files is told before anything is changed."""

import subprocess
import sys

import pytest

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.runtime.descriptor_limit import ENOUGH_DESCRIPTORS

_CLAIM = """
import resource
from mqvpn_core.runtime.descriptor_limit import claim_descriptors
claim_descriptors()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def _run(program: str, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    """Run a program that may open so many files."""
    return subprocess.run(  # noqa: S603 - our own program
        ["/usr/bin/prlimit", f"--nofile={soft}:{hard}", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_limit_is_raised_as_far_as_it_goes() -> None:
    done = _run(_CLAIM, 20, ENOUGH_DESCRIPTORS)
    assert done.stdout.split() == [str(ENOUGH_DESCRIPTORS)] * 2, done.stderr


_UNDER_HELPER = """under_helper.run(
    os.open(os.devnull, os.O_RDWR),
    socket.socketpair()[0].detach(),
    os.open(os.devnull, os.O_RDWR),
)"""


@pytest.mark.parametrize("program", ["client.run(None)", "server.run(None)", _UNDER_HELPER])
@pytest.mark.parametrize("hard", [20, ENOUGH_DESCRIPTORS - 1])
def test_with_too_few_nothing_begins(program: str, hard: int) -> None:
    """Not even the settings are looked at."""
    module = program.partition(".")[0]
    imports = f"import os, socket; from mqvpn_core.app import {module}"
    done = _run(f"{imports}; raise SystemExit({program})", 16, hard)
    assert done.returncode == ExitCode.FAILURE
    assert done.stderr == (
        f"this process may open {hard} files and sockets, and needs {ENOUGH_DESCRIPTORS}; "
        "raise the limit ('ulimit -Hn' in a shell, LimitNOFILE= of a service)\n"
    )
