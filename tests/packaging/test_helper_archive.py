"""The archive of a release with helper, server and client, in a Debian that systemd has booted.

Takes minutes, so it wants ``CI_LONG=1``. ``MQVPN_RELEASE`` names a folder with a release that is
made already.
"""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import namespaces
from tests.documents.blocks import blocks
from tests.documents.booted import booted
from tests.documents.conftest import directory
from tests.packaging.debians import TAKES_MINUTES, make_debian
from tests.packaging.scripts import ROOT

__all__ = ["directory"]

pytestmark = [pytest.mark.netns, *TAKES_MINUTES]

PING = "busctl call org.mqvpn.Helper1 /org/mqvpn/Helper1 org.freedesktop.DBus.Peer Ping"


def release(folder: Path) -> Path:
    """What a release has."""
    given = os.environ.get("MQVPN_RELEASE")
    if given is not None:
        return Path(given)
    command = [str(ROOT / "run"), "release", "--output", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def test_it_installs_and_leaves_nothing(directory: Path) -> None:
    made = release(directory / "release")
    debian = directory / "debian"
    make_debian(debian, made.glob("mqvpn-*.deb"))
    (archive,) = made.glob("mqvpn-helper-*.tar.gz")
    shutil.copy(archive, debian / "srv")
    with ExitStack() as held:
        (network,) = held.enter_context(namespaces("archive"))
        machine = held.enter_context(booted(debian, network, directory / "boot.log"))
        files, state = machine.files(), network.host_state()
        for _ in range(2):  # the second time as an update
            machine.run(blocks()["archive-install"].text)
        assert "mqvpn-core" in machine.run("mqvpn-core --version")
        machine.run(PING)
        assert machine.run("systemctl is-active mqvpn-helper").strip() == "active"
        machine.run("mqvpn-core server init --yes --name vpn.example.org")
        machine.run("systemctl enable --now mqvpn-server")
        assert network.host_state() != state
        machine.run(blocks()["archive-remove"].text)
        assert machine.files() - files == set()
        assert network.host_state() == state
        assert "mqvpn" not in machine.run("cat /etc/passwd /etc/group")
