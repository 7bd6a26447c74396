"""``mqvpn-core demo`` as a user starts it: works, is honest, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqvpn_core.demo.programs import executable
from tests.e2e.topology import eventually

pytestmark = [pytest.mark.netns, pytest.mark.slow]

LINKS_OF_THE_WORLD = {"wlan0", "lte0", "w0", "l0", "r0", "lan0", "mqvpn0"}


class Stage:
    """Where a demonstration runs: a directory for its files, and what the machine had before."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._links = self._world_links()

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start it; all it writes into comes from the pipes and the directory."""
        return subprocess.Popen(
            [executable(), "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(self._directory)},
            text=True,
        )

    def left_overs(self) -> list[str]:
        """Links, files and processes of a demonstration."""
        links = self._world_links() - self._links
        files = {str(path) for path in self._directory.iterdir()}
        return sorted([*links, *files, *self.processes()])

    def processes(self) -> list[str]:
        """Command lines of the programs that use the directory."""
        return [line for line in _command_lines() if f"{self._directory}/" in line]

    def _world_links(self) -> set[str]:
        return LINKS_OF_THE_WORLD & {path.name for path in Path("/sys/class/net").iterdir()}


def _command_lines() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has just ended


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_demo_works_and_tells_it_as_json(stage: Stage) -> None:
    output, story = (demo := stage.start("--json")).communicate(timeout=120)
    assert demo.returncode == 0, story
    report = json.loads(output)
    assert report["download_bytes"] > 0
    assert report["counted"]["client_tun"] >= report["download_bytes"]
    outage = report["outage"]
    assert {outage["link"], outage["continued_on"]} == {"wlan0", "lte0"}
    assert 0 < outage["ping_gap_ms"] < 2000
    assert outage["back_seconds"] < 5
    assert "continuing on" in story
    assert "all of it worked" in story
    assert stage.left_overs() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", ["building", "listens on", "tunnel up"])
def test_interrupted_demo_leaves_nothing(stage: Stage, how: signal.Signals, after: str) -> None:
    demo = stage.start()
    assert demo.stdout is not None
    for line in demo.stdout:
        if after in line:
            break
    demo.send_signal(how)
    output, errors = demo.communicate(timeout=30)
    assert demo.returncode == 1, output + errors
    assert "interrupted" in output
    assert "Traceback" not in errors
    assert stage.left_overs() == []


def test_killed_demo_leaves_no_process(stage: Stage) -> None:
    """SIGKILL allows no cleaning up: the kernel ends the children and removes the namespaces."""
    demo = stage.start()
    eventually(lambda: len(stage.processes()) >= 2, 20, "server and client")
    time.sleep(0.2)
    demo.kill()
    demo.communicate()
    eventually(lambda: stage.processes() == [], 5, "end of the programs")
