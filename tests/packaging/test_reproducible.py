"""The same checkout gives the same bytes: the package, and the wheel in it (CI_LONG=1)."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.packaging.debians import TAKES_MINUTES
from tests.packaging.scripts import ROOT

pytestmark = [*TAKES_MINUTES]


def test_packages_are_reproducible(tmp_path: Path) -> None:
    digests: list[str] = []
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1750000000", "MQVPN_NATIVE": "off"}
    builder = str(ROOT / "packaging/debian/build.py")
    for name in "ab":
        command = [sys.executable, builder, "--only", "core", "--output", str(tmp_path / name)]
        subprocess.run(command, check=True, env=environment)
        package = next((tmp_path / name).glob("mqvpn-core_*.deb"))
        digests.append(hashlib.sha256(package.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
