"""What a program consists of costs no collection of garbage anything."""

import signal
import socket
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
import trio

from mqvpn_core.app import client, server, server_worker, under_helper

_PROGRAM = """
import gc
import mqvpn_core.app.client, mqvpn_core.app.server
from mqvpn_core.runtime.collector import spare_what_stays

class Knot:
    def __init__(self):
        self.itself = self

before = len(gc.get_objects())
spare_what_stays()
after = len(gc.get_objects())
garbage = [Knot() for number in range(1000)]
del garbage
print(before, after, gc.collect())
"""


def test_what_was_there_is_not_looked_at_again() -> None:
    """In a process of its own: there is one collector."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )
    before, after, found = map(int, done.stdout.split())
    assert before > 30_000
    assert after < before / 50
    assert found >= 1000


@pytest.mark.parametrize("program", [client, server, under_helper])
def test_every_program_spares_them_before_it_begins(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(program, "spare_what_stays", lambda: done.append("spared"))
    monkeypatch.setattr(trio, "run", lambda *_: done.append("run"))
    program.run(*[None] * (3 if program is under_helper else 1))
    assert done == ["spared", "run"]


def test_a_worker_does_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    begin = SimpleNamespace(config=SimpleNamespace(log_level="info", qlog=None))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(server_worker, "receive_begin", lambda _: begin)
    monkeypatch.setattr(server_worker, "set_up_logging", lambda _: None)
    monkeypatch.setattr(server_worker, "give_up_capabilities", lambda **_: None)
    monkeypatch.setattr(server_worker, "spare_what_stays", lambda: done.append("spared"))
    monkeypatch.setattr(trio, "run", lambda *_: done.append("run"))
    here, there = socket.socketpair()
    with there:
        server_worker.run(here.detach())
    assert done == ["spared", "run"]
