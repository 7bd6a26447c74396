"""Debian packages in a Debian of their own: install, upgrade, remove, purge, and nothing is left.

Takes minutes, so it wants ``CI_LONG=1``. ``MQVPN_PACKAGES`` names a folder with packages that are
built already.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("mqvpn-core", "mqvpn-gui")
_SUITES = {"3.11": "bookworm", "3.13": "trixie"}
_OF_THE_PACKAGE_SYSTEM = ("var/lib/dpkg", "var/lib/apt", "var/cache", "var/log", "dev", "proc")
_BACKUPS = re.compile(r"etc/(\.pwd\.lock|.*-)$")
_UNTIL_PURGED = "var/lib/systemd/deb-systemd-helper"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.environ.get("CI_LONG") != "1", reason="takes minutes: CI_LONG=1"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A Debian in a folder."""

    root: Path

    def run(self, *command: str) -> str:
        done = subprocess.run(
            ["chroot", str(self.root), *command],
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
    given = os.environ.get("MQVPN_PACKAGES")
    output = Path(given) if given else tmp_path_factory.mktemp("packages")
    if given is None:
        builder = ROOT / "packaging/debian/build.py"
        subprocess.run([sys.executable, str(builder), "--output", str(output)], check=True)
    return [next(output.glob(f"{name}_*.deb")) for name in NAMES]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, packages: list[Path]) -> System:
    """A small Debian with what the packages need."""
    root = tmp_path_factory.mktemp("debian") / "root"
    suite = _SUITES["{}.{}".format(*sys.version_info)]
    sources = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
    place = sources[0] if sources else Path("/etc/apt/sources.list")
    wanted = {"init-system-helpers"}
    for package in packages:
        for each in _field(package, "Depends").split(","):
            name = each.split("|")[0].split("(")[0].strip()
            wanted |= set() if name in NAMES else {name}
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            *("--include=" + ",".join(sorted(wanted)), suite, str(root), str(place)),
        ],
        check=True,
    )
    return System(root=root)


def _field(package: Path, name: str) -> str:
    command = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _next_version(package: Path, directory: Path) -> Path:
    """The same package under a higher version."""
    tree = directory / package.stem
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    version = _field(package, "Version")
    control.write_text(control.read_text().replace(version, f"{version}+next"))
    target = directory / f"{package.stem}-next.deb"
    subprocess.run(["dpkg-deb", "-Zxz", "-z0", "--build", str(tree), str(target)], check=True)
    shutil.rmtree(tree)
    return target


def test_the_life_of_the_packages(system: System, packages: list[Path], tmp_path: Path) -> None:
    before, accounts = system.files(), system.accounts()
    system.install(packages)
    _check_installed(system)
    precious = {
        "etc/mqvpn/server.toml": "# mine\n",
        "etc/mqvpn/users": "# users\n",
        "var/lib/mqvpn/usage-mqvpn0.json": "{}",
        "var/lib/mqvpn-server/leases.json": "{}",
    }
    for name, text in precious.items():
        path = system.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    system.install([_next_version(package, tmp_path) for package in packages])
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
    after = system.files()
    assert after.keys() - before.keys() == set()
    assert before.keys() - after.keys() == set()
    assert {name for name in after if after[name] != before[name]} == set()
    assert system.accounts() == accounts


def _check_installed(system: System) -> None:
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
