"""From one version to the next and back, with users, leases, profiles and caps that are in use.

Takes minutes, so it wants ``CI_LONG=1``. ``MQVPN_PREVIOUS`` names a folder with the packages of the
version before; without it they are built from the newest tag, or from an older commit.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mqvpn_core.demo.topology import WEB_IPV4
from tests.documents.blocks import block, blocks
from tests.documents.booted import Booted
from tests.documents.conftest import directory
from tests.documents.test_quick_starts import link_in
from tests.documents.two_debians import PROFILE, TwoDebians, bring_up, two_debians
from tests.packaging.debians import (
    NAMES,
    TAKES_MINUTES,
    built_packages,
    field,
    make_debian,
    with_version,
)
from tests.packaging.scripts import ROOT

__all__ = ["directory"]

pytestmark = [pytest.mark.netns, *TAKES_MINUTES]

_COMMITS_BACK = 50
"""How far back to look for another version before there is a tag."""
_INSTALL = "apt-get -qq install --allow-downgrades"


def previous_packages(folder: Path) -> list[Path]:
    """The packages of the version before this one, under a version that is lower."""
    given = os.environ.get("MQVPN_PREVIOUS")
    built = Path(given) if given else _build_previous(folder)
    packages = [next(built.glob(f"{name}_*.deb")) for name in NAMES]
    return [with_version(each, f"{field(each, 'Version')}~previous", folder) for each in packages]


def _build_previous(folder: Path) -> Path:
    source, output = folder / "source", folder / "built"
    source.mkdir(parents=True)
    archive = folder / "source.tar"
    subprocess.run(
        ["git", "archive", f"--output={archive}", _previous_commit()], cwd=ROOT, check=True
    )
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", source], check=True)
    subprocess.run(
        [sys.executable, str(source / "packaging/debian/build.py"), "--output", str(output)],
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": str(source),
            "MQVPN_NATIVE": "off",
            "SOURCE_DATE_EPOCH": "1750000000",
        },
    )
    return output


def _previous_commit() -> str:
    for command in (
        ("describe", "--tags", "--abbrev=0"),
        ("rev-list", "--max-count=1", f"--skip={_COMMITS_BACK}", "HEAD"),
    ):
        done = subprocess.run(
            ["git", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.stdout.strip():
            return done.stdout.strip()
    pytest.fail("there is no version before this one here: set MQVPN_PREVIOUS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What no version may lose."""

    users: str
    configuration: str
    leases: tuple[str, ...]
    """Who has which address."""
    profile: str
    tunnel: str
    """What the laptop says of it: server, addresses, what links are for."""


@pytest.fixture
def scene(directory: Path) -> Iterator[TwoDebians]:
    """Two machines with the previous version in /srv, and this one in /srv/next."""
    old = previous_packages(directory / "previous")
    new = built_packages(directory / "packages")
    debian = directory / "debian"
    make_debian(debian, [*old, *new])
    (debian / "srv/next").mkdir()
    for package in old:
        shutil.copy(package, debian / "srv" / f"{field(package, 'Package')}_previous.deb")
    for package in new:
        shutil.copy(package, debian / "srv/next")
    with two_debians(debian, directory) as made:
        yield made


def test_an_upgrade_and_a_rollback_lose_nothing(scene: TwoDebians) -> None:
    server, laptop = scene.server, scene.laptop
    server.run(block("server-packages"))
    link = link_in(server.run(block("server-user")))
    # So little that the handshake alone uses it up.
    bring_up(laptop, link, '\n[caps]\nwlan0 = "5 KB"\n')
    _, up, _ = blocks()["laptop-tunnel"].commands
    laptop.run(f"ping -n -q -c 150 -i 0.01 -s 1000 {WEB_IPV4} >/dev/null")
    laptop.wait(lambda: "wlan0 primary" not in tunnel(scene), "link that is used up")
    kept, used = see(scene), 0
    for packages in ("./next/mqvpn-{}_*.deb", "./mqvpn-{}_previous.deb"):
        replace_server(server, packages.format("core"))
        # The tunnel outlives the server's change, and then that of its own machine.
        laptop.wait(scene.reaches_web, "tunnel to the other server")
        both = " ".join(packages.format(name) for name in ("core", "gui"))
        laptop.run(f"{_INSTALL} {both} >/dev/null")
        assert scene.reaches_web()
        used = end_and_count(scene, used)
        laptop.run(up, user="alice")
        laptop.wait(lambda: "wlan0 primary" not in tunnel(scene), "link that is used up")
        assert see(scene) == kept
        assert scene.reaches_web()
    end_and_count(scene, used)


def replace_server(server: Booted, package: str) -> None:
    """Install another version while the server runs, and wait for the process that takes over."""

    def process() -> str:
        return server.run("systemctl show --value --property=MainPID mqvpn-server").strip()

    before = process()
    server.run(f"{_INSTALL} {package} >/dev/null")
    server.wait(lambda: process() not in {before, "0"}, "server of the other version")


def see(scene: TwoDebians) -> Kept:
    """Look at everything that has to stay."""
    leases = json.loads(scene.server.run("cat /var/lib/mqvpn-server/leases.json"))
    return Kept(
        users=scene.server.run("cat /etc/mqvpn/users"),
        configuration=scene.server.run("cat /etc/mqvpn/server.toml"),
        leases=tuple(sorted(f"{each['address']} {each['user']}" for each in leases["leases"])),
        profile=scene.laptop.run(f"cat {PROFILE}"),
        tunnel=tunnel(scene),
    )


def end_and_count(scene: TwoDebians, before: int) -> int:
    """End the tunnel; return what all links have carried this month, which is more than before."""
    scene.laptop.run(block("laptop-end"), user="alice")
    kept = json.loads(scene.laptop.run("cat /var/lib/mqvpn/usage-mqvpn0.json"))
    carried = sum(int(count) for count in kept["bytes"].values())
    assert carried > max(before, 150_000)
    return carried


def tunnel(scene: TwoDebians) -> str:
    """What ``mqvpn status`` says of server, addresses, and what links are for."""
    status = json.loads(scene.laptop.run("mqvpn status --json", user="alice"))
    links = sorted(f"{path['interface']} {path['role']}" for path in status["paths"])
    return ", ".join([status["server"], *sorted(status["addresses"]), *links])
