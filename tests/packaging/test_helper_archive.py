"""The archive of a release with helper, server and client, in a Debian that systemd has booted.

Takes minutes, so it wants ``CI_LONG=1``.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from mqvpn_core.demo.namespaces import namespaces
from tests.documents.blocks import blocks
from tests.documents.booted import booted
from tests.documents.conftest import directory
from tests.packaging.debians import TAKES_MINUTES, make_debian

__all__ = ["directory"]

pytestmark = [pytest.mark.netns, *TAKES_MINUTES]

PING = "busctl call org.mqvpn.Helper1 /org/mqvpn/Helper1 org.freedesktop.DBus.Peer Ping"


def test_it_installs_and_leaves_nothing(directory: Path, made_release: Path) -> None:
    debian = directory / "debian"
    make_debian(debian, made_release.glob("mqvpn-*.deb"))
    (archive,) = made_release.glob("mqvpn-helper-*.tar.gz")
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
