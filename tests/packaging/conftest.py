"""A release, made once for all tests of packages that need one."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.packaging.scripts import ROOT


@pytest.fixture(scope="session")
def made_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``./run release`` makes; ``MQVPN_RELEASE`` names a folder that it has made already."""
    given = os.environ.get("MQVPN_RELEASE")
    if given is not None:
        return Path(given)
    folder = tmp_path_factory.mktemp("made") / "release"
    command = [str(ROOT / "run"), "release", "--output", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder
