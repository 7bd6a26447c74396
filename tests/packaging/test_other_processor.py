"""The wheel for ARM64 on a machine that has another processor: what it needs is there, and it runs.

An emulator runs it, with a Python of Debian's. Takes minutes, so it wants ``CI_LONG=1``.
"""

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.debians import TAKES_MINUTES
from tests.packaging.flatpak_lab import mirror, run
from tests.packaging.scripts import ROOT

pytestmark = [
    *TAKES_MINUTES,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to unpack a Debian"),
    pytest.mark.skipif(platform.machine() == "aarch64", reason="this machine is one"),
]

MACHINE = "aarch64"
_EMULATOR = f"qemu-{MACHINE}-static"
_UNPACKED = ROOT / f".venv/packages/qemu-user-static/usr/bin/{_EMULATOR}"
_PYTHON = "3.11"
_OLDEST_GLIBCS = ("2_34", "2_28", "2_17")


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """A Debian for the other processor, and a folder with mqvpn."""

    emulator: str
    root: Path
    """The Debian, as far as Python needs it."""
    packages: Path
    """What pip has installed for it."""

    def python(self, *arguments: str, **environment: str) -> str:
        """Run Python there; return what it printed."""
        interpreter = self.root / f"usr/bin/python{_PYTHON}"
        return run(
            *(self.emulator, "-L", str(self.root), str(interpreter), *arguments),
            environment={
                "PATH": os.environ["PATH"],
                "PYTHONHOME": str(self.root / "usr"),
                "PYTHONPATH": str(self.packages),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
            cwd=self.packages,
        )


@pytest.fixture(scope="module")
def emulated(made_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Emulated:
    """The wheel of a release, where it belongs."""
    emulator = shutil.which(_EMULATOR) or (str(_UNPACKED) if _UNPACKED.exists() else None)
    assert emulator is not None, "./run setup with CI_LONG=1 gets the emulator"
    wheels = sorted(made_release.glob(f"mqvpn-*manylinux*{MACHINE}.whl"))
    if not wheels:
        pytest.skip(f"the release has no wheel for {MACHINE}: its compilers are not installed")
    folder = tmp_path_factory.mktemp("other")
    run(
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--architectures=arm64"),
        *("--include=python3", "bookworm", str(folder / "root"), f"deb {mirror()} bookworm main"),
    )
    platforms = [f"--platform=manylinux_{glibc}_{MACHINE}" for glibc in _OLDEST_GLIBCS]
    tools = [f"{each}=={importlib.metadata.version(each)}" for each in ("hypothesis", "pytest")]
    run(
        *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"),
        *("--only-binary=:all:", f"--target={folder / 'packages'}", f"--python-version={_PYTHON}"),
        *(*platforms, f"{wheels[0]}[helper]", *tools),
    )
    return Emulated(emulator=emulator, root=folder / "root", packages=folder / "packages")


def test_the_program_has_its_native_kernel(emulated: Emulated) -> None:
    code = "import platform; from mqvpn_core.cli import main; print(platform.machine());"
    told = emulated.python("-c", f"{code} main(['--version'])")
    machine, first, _ = told.splitlines()
    assert machine == MACHINE
    assert "kernel: native" in first


def test_both_kernels_do_the_same_there(emulated: Emulated) -> None:
    shutil.copytree(ROOT / "tests/differential", emulated.packages / "tests/differential")
    told = emulated.python("-m", "tests.differential", "--packets", "20000")
    assert told.splitlines()[-1].endswith("no difference")
