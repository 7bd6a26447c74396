"""Debian packages in a Debian of their own: install, upgrade, remove, purge, and nothing is left.

Takes minutes, so it wants ``CI_LONG=1``.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.debians import (
    NAMES,
    TAKES_MINUTES,
    built_packages,
    field,
    make_debian,
    with_version,
)

_OF_THE_PACKAGE_SYSTEM = ("var/lib/dpkg", "var/lib/apt", "var/cache", "var/log", "dev", "proc")
_BACKUPS = re.compile(r"etc/(\.pwd\.lock|.*-)$")
_UNTIL_PURGED = "var/lib/systemd/deb-systemd-helper"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

pytestmark = [*TAKES_MINUTES, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A Debian in a folder."""

    root: Path

    def run(self, *command: str) -> str:
        # Maintainer scripts take back what they find: in a network and with processes of its own.
        apart = ("unshare", "--net", "--pid", "--fork", "--kill-child")
        done = subprocess.run(
            [*apart, "chroot", str(self.root), *command],
            capture_output=True,
            text=True,
            check=False,
            env=_ENVIRONMENT,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self, packages: list[Path]) -> None:
        for package in packages:
            shutil.copy(package, self.root / "var/cache" / package.name)
        self.run("dpkg", "--install", *(f"/var/cache/{package.name}" for package in packages))

    def files(self) -> dict[str, tuple[int, int, int, str]]:
        """Owner, group, mode and place of links of everything but the package system's own."""
        found: dict[str, tuple[int, int, int, str]] = {}
        for directory, directories, names in _walk(self.root):
            below = str(directory.relative_to(self.root))
            if below.startswith(_OF_THE_PACKAGE_SYSTEM):
                directories.clear()
                continue
            for name in [*directories, *names]:
                path = directory / name
                status = path.lstat()
                target = str(path.readlink()) if path.is_symlink() else ""
                place = str(path.relative_to(self.root))
                if not place.startswith(_OF_THE_PACKAGE_SYSTEM) and not _BACKUPS.match(place):
                    found[place] = (status.st_uid, status.st_gid, status.st_mode, target)
        return found

    def accounts(self) -> list[str]:
        return [(self.root / "etc" / name).read_text() for name in ("passwd", "group")]


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    for directory, directories, names in os.walk(root):
        yield Path(directory), directories, names


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The packages of this checkout."""
    return built_packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, packages: list[Path]) -> System:
    """A small Debian with what the packages need."""
    root = tmp_path_factory.mktemp("debian") / "root"
    make_debian(root, packages)
    return System(root=root)


def test_the_life_of_the_packages(system: System, packages: list[Path], tmp_path: Path) -> None:
    before, accounts = system.files(), system.accounts()
    system.install(packages)
    _check_installed(system)
    precious = {
        "etc/mqvpn/server.toml": "# mine\n",
        "etc/mqvpn/users": "# users\n",
        "var/lib/mqvpn/usage-mqvpn0.json": "{}",
        "var/lib/mqvpn-server/leases.json": "{}",
        "home/alice/.config/mqvpn/home.toml": "# a profile\n",
    }
    for name, text in precious.items():
        path = system.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    newer = f"{field(packages[0], 'Version')}+next"
    system.install([with_version(package, newer, tmp_path) for package in packages])
    _check_installed(system)
    system.install(packages)  # a rollback
    _check_installed(system)
    assert {name: (system.root / name).read_text() for name in precious} == precious

    system.run("dpkg", "--remove", *NAMES)
    left = {
        name
        for name in system.files().keys() - before.keys()
        if (system.root / name).is_file() and not name.startswith(_UNTIL_PURGED)
    }
    assert left == set(precious)
    system.run("dpkg", "--purge", *NAMES)
    shutil.rmtree(system.root / "home/alice")  # hers, and nobody else takes it
    after = system.files()
    assert after.keys() - before.keys() == set()
    assert before.keys() - after.keys() == set()
    assert {name for name in after if after[name] != before[name]} == set()
    assert system.accounts() == accounts


def _check_installed(system: System) -> None:
    readme = system.root / "usr/share/doc/mqvpn-core/README.md"
    pictures = re.findall(r"!\[.*\]\((.*)\)", readme.read_text(encoding="utf-8"))
    assert [name for name in pictures if not (readme.parent / name).is_file()] == []
    assert "mqvpn-core" in system.run("mqvpn-core", "--version")
    assert "mqvpn" in system.run("mqvpn", "--help")
    system.run("mqvpn-helper", "--help")
    system.run("systemd-sysusers", "--cat-config", "mqvpn.conf")
    passwd = (system.root / "etc/passwd").read_text()
    assert re.search(r"^mqvpn:.*nologin$", passwd, re.MULTILINE)
    assert re.search(r"^mqvpn-server:.*nologin$", passwd, re.MULTILINE)
    code = "import mqvpn_gui.app.main, zxingcpp, PySide6.QtWidgets, keyring, segno"
    system.run("/usr/lib/mqvpn/bin/python3", "-I", "-c", code)
    ours = [
        value
        for name, value in system.files().items()
        if name.startswith(("usr/lib/mqvpn", "usr/bin/mqvpn"))
    ]
    assert len(ours) > 500
    assert {(uid, gid) for uid, gid, _mode, _target in ours} == {(0, 0)}
    assert all(target or not mode & 0o022 for _uid, _gid, mode, target in ours)
    wants = "etc/systemd/system/sysinit.target.wants/mqvpn-killswitch.service"
    assert (system.root / wants).is_symlink()
