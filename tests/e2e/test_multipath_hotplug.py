"""Links that come and go while the tunnel is up, and what that leaves behind: nothing."""

import os
import time
from pathlib import Path

import pytest

from benchmarks.fetching import fetching
from mqvpn_core.demo.processes import resident_bytes
from mqvpn_core.demo.programs import Program
from tests.e2e.multipath_lab import BACK_WITHIN, MultipathLab, open_multipath_lab
from tests.e2e.topology import eventually

pytestmark = [pytest.mark.netns, pytest.mark.slow]

USED_BYTES = 65_536
"""So much more than signs of life and validation: the link carries traffic."""
IS_LONG = bool(os.environ.get("CI_LONG"))
CYCLES = 200 if IS_LONG else 12
WARM_UP_CYCLES = 80 if IS_LONG else 6
"""After so many the history of events is full."""
MEMORY_GROWTH_BYTES = 2_000_000
RETENTION = 20.0


def _connect_over_wlan_alone(lab: MultipathLab) -> None:
    lab.lte.unplug()
    lab.tunnel.connect(*lab.names)
    assert lab.tunnel.usable_links() == {lab.wlan.name}


def test_link_that_appears_during_a_download_is_used() -> None:
    """A modem is plugged in; from its address on, it takes its part without anybody's help."""
    with open_multipath_lab(_connect_over_wlan_alone) as lab, lab.traffic():
        with fetching(lab.tunnel.links.world.client):
            lab.lte.plug(with_addresses=False)
            time.sleep(0.5)
            assert lab.tunnel.usable_links() == {lab.wlan.name}
            lab.lte.add_addresses()
            eventually(
                lambda: lab.lte.counters().received_bytes > USED_BYTES,
                BACK_WITHIN,
                f"traffic over the new link\n{lab.tunnel.client.log_tail()}",
            )
            assert lab.lte.name in lab.tunnel.usable_links()
        assert lab.tunnel.usable_links() == set(lab.names)


def test_dead_first_link_does_not_delay_the_start() -> None:
    """WiFi is connected, but leads nowhere; the other link answers and is taken."""

    def connect(lab: MultipathLab) -> None:
        lab.wlan.link.set_black_hole(on=True)
        started = time.perf_counter()
        lab.tunnel.connect(*lab.names)
        assert time.perf_counter() - started < 4

    with open_multipath_lab(connect) as lab:
        assert lab.tunnel.usable_links() == {lab.lte.name}
        lab.wlan.link.set_black_hole(on=False)
        lab.wait_until_usable(lab.wlan, 10)


def test_unplugging_again_and_again_leaves_nothing_behind() -> None:
    """Sockets, threads, paths and memory of both programs are as after the first few times."""
    with open_multipath_lab() as lab, lab.traffic():
        programs = (lab.tunnel.client, lab.tunnel.server)
        for _ in range(WARM_UP_CYCLES):
            _replug(lab)
        before = {program.name: _holdings(program) for program in programs}
        memory = {program.name: resident_bytes(program.process.pid) for program in programs}
        for _ in range(CYCLES):
            _replug(lab)
        for program in programs:
            _wait_until_no_more_is_held(program, before[program.name])
            grown = resident_bytes(program.process.pid) - memory[program.name]
            assert grown < MEMORY_GROWTH_BYTES, f"{program.name} grew by {grown} bytes"
        # RFC 9000 s10.2 and the draft, "Path Close": what is abandoned is kept for three PTOs.
        eventually(lambda: len(lab.tunnel.paths()) == 2, RETENTION, "end of the abandoned paths")


def _replug(lab: MultipathLab) -> None:
    lab.lte.unplug()
    lab.wait_until_lost(lab.lte)
    lab.lte.plug()
    lab.wait_until_usable(lab.lte, 10)


def _wait_until_no_more_is_held(program: Program, before: dict[str, int]) -> None:
    """What was abandoned is kept for a little while, and idle threads as well."""
    deadline = time.perf_counter() + RETENTION
    while any(count > before[what] for what, count in _holdings(program).items()):
        assert time.perf_counter() < deadline, f"{program.name}: {before} -> {_holdings(program)}"
        time.sleep(0.1)


def _holdings(program: Program) -> dict[str, int]:
    """Open files and threads of a program."""
    process = Path(f"/proc/{program.process.pid}")
    return {name: len(list((process / name).iterdir())) for name in ("fd", "task")}
