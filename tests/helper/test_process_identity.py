"""Processes and namespaces are told apart even when their numbers are used again."""

import os
import signal
from dataclasses import replace

import pytest

from mqvpn_helper.host.process_identity import current_netns, current_process
from tests.helper.namespaces import fresh_namespace


def test_we_are_alive() -> None:
    assert current_process().is_alive()
    assert current_process().pid == os.getpid()


def test_same_number_of_another_time_is_somebody_else() -> None:
    ours = current_process()
    assert not replace(ours, start_time=ours.start_time + 1).is_alive()
    assert not replace(ours, boot_id="4f6c7aa0-0000-4000-8000-000000000000").is_alive()


def test_dead_and_unburied_processes_are_not_alive() -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    start_time = _start_time(child)
    identity = replace(current_process(), pid=child, start_time=start_time)
    assert identity.is_alive()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not identity.is_alive()
    os.waitpid(child, 0)
    assert not identity.is_alive()


def _start_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - kept plain
        return int(file.read().rpartition(")")[2].split()[19])


@pytest.mark.netns
def test_namespaces_have_different_names() -> None:
    outside = current_netns()
    assert current_netns() == outside
    with fresh_namespace():
        first = current_netns()
    with fresh_namespace():
        second = current_netns()
    assert len({outside, first, second}) == 3
    assert current_netns() == outside
