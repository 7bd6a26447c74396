"""The packages of this checkout, and a Debian that has what they need.

Both take minutes, so ``MQVPN_PACKAGES`` may name a folder with packages that are built already, and
``MQVPN_DEBIAN`` one with such a Debian.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.packaging.scripts import ROOT

NAMES = ("mqvpn-core", "mqvpn-gui")
TAKES_MINUTES = (
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.environ.get("CI_LONG") != "1", reason="takes minutes: CI_LONG=1"),
)
_SUITES = {"3.11": "bookworm", "3.13": "trixie"}
_MORE = ("apt", "dbus", "init-system-helpers", "iputils-ping", "polkitd", "systemd-sysv")


def built_packages(folder: Path, *options: str) -> list[Path]:
    """Build the packages, or take those that are named.

    Args:
        folder: where to build them.
        options: of the builder; with some, nothing is taken that exists.
    """
    given = os.environ.get("MQVPN_PACKAGES")
    output = Path(given) if given and not options else folder
    if output == folder:
        builder = str(ROOT / "packaging/debian/build.py")
        subprocess.run([sys.executable, builder, "--output", str(output), *options], check=True)
    return [next(output.glob(f"{name}_*.deb")) for name in NAMES]


def make_debian(root: Path, packages: Iterable[Path]) -> None:
    """Make a small Debian with systemd and what packages need, or copy the one that is named."""
    given = os.environ.get("MQVPN_DEBIAN")
    if given is not None:
        subprocess.run(["cp", "--archive", "--reflink=auto", given, str(root)], check=True)
        return
    sources = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
    place = sources[0] if sources else Path("/etc/apt/sources.list")
    wanted = {*_MORE, *(name for package in packages for name in _needs(package))}
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            *("--include=" + ",".join(sorted(wanted)), _suite(), str(root), str(place)),
        ],
        check=True,
    )


def debian_with_packages(folder: Path, packages: Sequence[Path] | None = None) -> Path:
    """Make a Debian below a folder, with packages in /srv: by default those of this checkout."""
    packages = built_packages(folder / "packages") if packages is None else packages
    make_debian(folder / "debian", packages)
    for package in packages:
        shutil.copy(package, folder / "debian/srv")
    return folder / "debian"


def _suite() -> str:
    return _SUITES["{}.{}".format(*sys.version_info)]


def field(package: Path, name: str) -> str:
    """A field of a package's description."""
    command = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _needs(package: Path) -> Iterable[str]:
    names = (re.split(r"[|(]", each)[0].strip() for each in field(package, "Depends").split(","))
    return (name for name in names if name not in NAMES)


def with_version(package: Path, version: str, directory: Path) -> Path:
    """The same package under another version."""
    directory.mkdir(parents=True, exist_ok=True)
    tree = directory / package.stem
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(field(package, "Version"), version))
    target = directory / f"{package.stem}-{version}.deb"
    subprocess.run(["dpkg-deb", "-Zxz", "-z0", "--build", str(tree), str(target)], check=True)
    shutil.rmtree(tree)
    return target
