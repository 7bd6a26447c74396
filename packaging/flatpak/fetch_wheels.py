"""Downloads the wheels of the Flatpak into packaging/flatpak/wheels, each checked by its hash.

    python packaging/flatpak/fetch_wheels.py [ARCHITECTURE]

The sandbox in which the Flatpak is built has no network, and checks them once more.
"""

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE.parent / "wheels" / "flatpak-3.13.txt"
_PYTHON = "3.13"
_GLIBCS = ("2_39", "2_34", "2_31", "2_28", "2_27", "2_17")


def main(arguments: Sequence[str]) -> int:
    """Download for an architecture, by default that of this machine."""
    architecture = arguments[0] if arguments else platform.machine()
    select = ["--python-version", _PYTHON, "--implementation", "cp", "--only-binary=:all:"]
    for abi in ("cp" + _PYTHON.replace(".", ""), "abi3", "none"):
        select += ["--abi", abi]
    for glibc in _GLIBCS:
        select += ["--platform", f"manylinux_{glibc}_{architecture}"]
    command = [
        *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"),
        *("--no-deps", "--require-hashes", "--requirement", str(LOCK)),
        *("--dest", str(HERE / "wheels"), *select),
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
