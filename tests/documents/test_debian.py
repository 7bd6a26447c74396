"""The quick starts with Debian's packages, in two Debians that systemd has booted.

Takes minutes, so it wants ``CI_LONG=1``. ``MQVPN_PACKAGES`` names a folder with packages that are
built already, ``MQVPN_DEBIAN`` one with a Debian that has what they need.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqvpn_core.demo.topology import SERVER_IPV4, WEB_IPV4, World, build_world
from tests.documents.blocks import ROOT, blocks
from tests.documents.booted import Booted, booted
from tests.documents.test_quick_starts import SERVER_NAME, link_in

NAMES = ("mqvpn-core", "mqvpn-gui")
_SUITES = {"3.11": "bookworm", "3.13": "trixie"}
_MORE = ("apt", "dbus", "init-system-helpers", "iputils-ping", "polkitd", "systemd-sysv")

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.environ.get("CI_LONG") != "1", reason="takes minutes: CI_LONG=1"),
]


@pytest.fixture(scope="module")
def packages(directory: Path) -> list[Path]:
    """The packages of this checkout."""
    given = os.environ.get("MQVPN_PACKAGES")
    output = Path(given) if given else directory / "packages"
    if given is None:
        builder = ROOT / "packaging/debian/build.py"
        subprocess.run([sys.executable, str(builder), "--output", str(output)], check=True)
    return [next(output.glob(f"{name}_*.deb")) for name in NAMES]


@pytest.fixture(scope="module")
def debian(directory: Path, packages: list[Path]) -> Path:
    """A Debian with what the packages need, and the packages in /srv."""
    given = os.environ.get("MQVPN_DEBIAN")
    root = Path(given) if given else directory / "debian"
    if given is None:
        suite = _SUITES["{}.{}".format(*sys.version_info)]
        sources = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
        place = sources[0] if sources else Path("/etc/apt/sources.list")
        wanted = {*_MORE, *(each for package in packages for each in _needs(package))}
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
                *("--include=" + ",".join(sorted(wanted)), suite, str(root), str(place)),
            ],
            check=True,
        )
    for package in packages:
        shutil.copy(package, root / "srv")
    return root


def _needs(package: Path) -> Iterator[str]:
    command = ["dpkg-deb", "--field", str(package), "Depends"]
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for each in line.split(","):
        name = each.split("|")[0].split("(")[0].strip()
        if name not in NAMES:
            yield name


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A server and a laptop, both without anything of ours."""

    world: World
    server: Booted
    laptop: Booted


@pytest.fixture
def scene(directory: Path, debian: Path) -> Iterator[Scene]:
    """Two booted machines in the world of the demonstration."""
    with ExitStack() as held:
        world = held.enter_context(build_world())
        server = held.enter_context(booted(debian, world.server, directory / "server-boot.log"))
        laptop = held.enter_context(booted(debian, world.client, directory / "laptop-boot.log"))
        yield Scene(world=world, server=server, laptop=laptop)


def block(name: str) -> str:
    """The commands of that name."""
    return blocks()[name].text


def test_from_packages_to_a_tunnel_and_back(scene: Scene) -> None:
    server, laptop = scene.server, scene.laptop
    laptop.run("groupadd vpn; useradd --create-home --home-dir /srv/alice --groups vpn alice")
    laptop.run(f"echo {SERVER_IPV4} {SERVER_NAME} >> /etc/hosts")
    rules = "/etc/polkit-1/rules.d/50-mqvpn.rules"
    laptop.run(f"cat > {rules}; chmod 644 {rules}", given=block("helper-rules"))
    before = [server.files(), laptop.files()]
    states = [scene.world.server.host_state(), scene.world.client.host_state()]

    link = link_in(server.run(block("server-packages")))
    server.wait(lambda: "active" in server.run("systemctl is-active mqvpn-server"), "server")
    assert "ok       certificate" in server.run(block("server-check"))
    laptop.run(block("laptop-packages"))
    laptop.run("cat > /srv/alice/link.txt", given=f"{link}\n")
    assert not _reaches_web(laptop)

    told = laptop.run(block("laptop-tunnel"), user="alice")

    assert f"connected to {SERVER_NAME}:443" in told
    assert _reaches_web(laptop)
    laptop.run(block("laptop-end"), user="alice")
    assert not _reaches_web(laptop)
    for machine in (server, laptop):
        machine.run(block("packages-remove"))
    after = [server.files(), laptop.files()]
    assert [new - old for new, old in zip(after, before, strict=True)] == [set(), set()]
    assert [scene.world.server.host_state(), scene.world.client.host_state()] == states


def _reaches_web(machine: Booted) -> bool:
    """Whether a ping arrives where only the tunnel leads."""
    told = machine.run(f"ping -n -c 2 -W 1 {WEB_IPV4} || true")
    return " 2 received" in told
