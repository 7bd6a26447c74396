"""The command by pipx, the window by pip, and the demonstration, as the documents have it.

Each installs from the registry of Python packages and takes a minute, so it wants ``CI_LONG=1``.
"""

import subprocess
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT, block
from tests.documents.machine import Machine, Machines
from tests.packaging.debians import TAKES_MINUTES

pytestmark = [pytest.mark.netns, *TAKES_MINUTES]

HOME = "/srv/alice"
CHECKOUT = f"{HOME}/mqvpn"


def of_alice(farm: Machines, name: str) -> Machine:
    """A machine with a user and her checkout."""
    machine = farm.make(name, None)
    machine.run(f"useradd --create-home --home-dir {HOME} --shell /bin/sh alice")
    machine.run(f"cp -r . {CHECKOUT}; chown -R alice: {CHECKOUT}")
    return machine


def test_a_user_has_the_command_by_pipx(farm: Machines) -> None:
    machine = of_alice(farm, "pipx")
    before = machine.files()
    machine.run(block("pipx-install"), user="alice", directory=CHECKOUT)
    told = machine.run(f"{HOME}/.local/bin/mqvpn --version", user="alice", directory=HOME)
    assert told.out.startswith("mqvpn ")
    for _ in range(2):  # the second time as an update
        machine.run(block("pipx-helper"))
    assert machine.has("/usr/bin/mqvpn-helper")
    assert "mqvpn-core" in machine.run("mqvpn-core --version", user="alice", directory=HOME).out
    machine.run("mqvpn-install-helper --purge")
    machine.run(block("pipx-remove"), user="alice", directory=CHECKOUT)
    left = {each for each in machine.files() - before if "mqvpn" in each.lower()}
    assert left == set()
    assert "mqvpn" not in machine.run(f"find {HOME}/.local -iname '*mqvpn*'").out


def test_the_window_alone(farm: Machines) -> None:
    machine = of_alice(farm, "window")
    told = machine.run(block("window-install"), user="alice", directory=CHECKOUT)
    assert told.out.splitlines()[-1].startswith("mqvpn ")


def test_the_demonstration_of_a_new_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "mqvpn"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    script = ["sh", "-ec", block("readme-demo")]
    done = subprocess.run(script, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
