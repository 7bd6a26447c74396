"""Secrets disappear from the process list."""

import os
import subprocess
import sys

import pytest

from mqvpn_core.app.hide_arguments import blot, hide_arguments

_PROGRAM = """
import sys
from pathlib import Path
from mqvpn_core.app.hide_arguments import hide_arguments
print(hide_arguments([sys.argv[2]]))
print(Path("/proc/self/cmdline").read_bytes().split(b"\\0"))
"""


def test_every_occurrence_is_blotted_and_the_length_stays() -> None:
    assert blot(b"a\0--auth-key=xyz\0xyz\0", ["xyz", ""]) == b"a\0--auth-key=***\0***\0"


def test_machine_that_does_not_let_us_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert not hide_arguments(["x"])


def test_kernel_no_longer_shows_the_secret() -> None:
    result = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM, "--auth-key", "a-very-own-secret"],
        capture_output=True,
        text=True,
        check=True,
    )
    worked, shown = result.stdout.splitlines()
    assert worked == "True"
    assert "a-very-own-secret" not in shown
    assert "--auth-key" in shown
    assert "*****************" in shown
