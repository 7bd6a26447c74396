"""polkit's text agent: there when it is needed, gone afterwards, and never in the way."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from mqvpn_gui.command.authentication_agent import AuthenticationAgent


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for pkttyagent notes how it was called and how it ended."""
    program = tmp_path / "pkttyagent"
    program.write_text(
        f"#!{sys.executable}\nimport os, signal, sys\n"
        f"notes = open({str(tmp_path / 'notes')!r}, 'a', buffering=1)\n"
        "def end(*_):\n    print('ended', file=notes)\n    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print(*sys.argv[1:], file=notes)\nos.close(int(sys.argv[5]))\n"
        "while True:\n    signal.pause()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path / "notes"


@pytest.mark.slow
def test_it_is_started_once_and_ended(notes: Path) -> None:
    agent = AuthenticationAgent(is_wanted=True)
    began = time.perf_counter()
    agent.start()
    agent.start()
    assert time.perf_counter() - began < 2.5  # it said that it was ready
    agent.stop()
    agent.stop()
    called, ended = notes.read_text().splitlines()
    assert called.startswith(f"--process {os.getpid()} --fallback --notify-fd ")
    assert ended == "ended"


def test_it_is_not_started_where_nobody_could_answer(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    AuthenticationAgent(is_wanted=False).start()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    AuthenticationAgent(is_wanted=True).start()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    AuthenticationAgent(is_wanted=True).start()
    assert not notes.exists()


def test_a_program_that_does_not_start_is_no_error(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: str(notes.parent / "not-there"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    agent = AuthenticationAgent(is_wanted=True)
    agent.start()
    agent.stop()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
