"""A kill switch that is "always" in force: beyond a reboot, and at an uninstall in mid-tunnel.

In Debians that systemd has booted. Takes minutes, so it wants ``CI_LONG=1``.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4, World, build_world
from tests.documents.blocks import block
from tests.documents.booted import Booted, booted
from tests.documents.conftest import directory
from tests.documents.test_quick_starts import link_in
from tests.documents.two_debians import bring_up, settle_in
from tests.packaging.debians import TAKES_MINUTES, debian_with_packages

__all__ = ["directory"]

pytestmark = [pytest.mark.netns, *TAKES_MINUTES]

TABLE = "mqvpn_mqvpn0"
RULES = "/etc/mqvpn/kill-switch-mqvpn0.nft"
# What a service that sets up the network finds when it starts.
NETWORK = """\
[Unit]
DefaultDependencies=no
Wants=network-pre.target
After=network-pre.target
Before=network.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'nft list tables >/srv/seen-by-the-network'
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A server that waits, and a laptop that is not on yet."""

    world: World
    link: str
    laptop: Path
    """What the laptop starts as; it is written to."""
    log: Path


@pytest.fixture(scope="module")
def scene(directory: Path) -> Iterator[Scene]:
    debian = debian_with_packages(directory)
    laptop = directory / "laptop"
    subprocess.run(["cp", "--archive", "--reflink=auto", str(debian), str(laptop)], check=True)
    with ExitStack() as held:
        world = held.enter_context(build_world())
        server = held.enter_context(booted(debian, world.server, directory / "server-boot.log"))
        link = link_in(server.run(block("server-packages")))
        log = directory / "laptop-boot.log"
        yield Scene(world=world, link=link, laptop=laptop, log=log)
    shutil.rmtree(laptop)


def connect(laptop: Booted, link: str) -> None:
    """Bring up a tunnel whose kill switch is to last."""
    bring_up(laptop, link, 'kill_switch = "always"\n')
    assert reaches(laptop, WEB_IPV4)
    laptop.run(f"test -s {RULES}")


def reaches(laptop: Booted, address: str) -> bool:
    """Whether a ping is answered."""
    return " 2 received" in laptop.run(f"ping -n -c 2 -W 1 {address} 2>&1 || true")


def test_an_uninstall_in_mid_tunnel_leaves_nothing(scene: Scene) -> None:
    client = scene.world.client
    with booted(scene.laptop, client, scene.log) as laptop:
        settle_in(laptop)
        files, state = laptop.files(), client.host_state()
        connect(laptop, scene.link)
        assert client.host_state() != state
        laptop.run(block("packages-remove"))
        assert client.host_state() == state
        assert laptop.files() - files == set()
        assert "mqvpn" not in laptop.run("cat /etc/passwd /etc/group; systemctl list-units --all")
        assert reaches(laptop, SERVER_IPV4)


def test_it_is_in_force_after_a_reboot_before_the_network(scene: Scene) -> None:
    client = scene.world.client
    state = client.host_state()
    with booted(scene.laptop, client, scene.log, keeps_files=True) as laptop:
        settle_in(laptop)
        laptop.run("cat >/etc/systemd/system/test-network.service", given=NETWORK)
        laptop.run("systemctl enable test-network.service 2>&1")
        connect(laptop, scene.link)
    # The network is the laboratory's and outlives the machine; its own would be new.
    client.call(lambda: subprocess.run(["nft", "flush", "ruleset"], check=True))
    assert client.host_state() == state
    with booted(scene.laptop, client, scene.log, keeps_files=True) as laptop:
        assert TABLE in laptop.run("cat /srv/seen-by-the-network")
        assert laptop.run("systemctl is-active mqvpn-killswitch").strip() == "active"
        assert not reaches(laptop, SERVER_IPV4)
        laptop.run(block("kill-switch-recover"))
        assert client.host_state() == state
        assert reaches(laptop, SERVER_IPV4)
        assert not laptop.run(f"ls {RULES} 2>/dev/null || true")
