"""System packages that tests use without installing them: unpacked by ``./run setup``.

Installing them would change the machine: each of them wants /etc/resolv.conf for itself.
"""

import os
from pathlib import Path

import pytest

from tests.meta.checkout import ROOT

_FOLDER = ROOT / ".venv/packages"


def unpacked(name: str) -> Path:
    """Return where a package is unpacked; skip the test where it is not."""
    folder = _FOLDER / name
    if not folder.is_dir():
        why = f"the package {name} is not unpacked in .venv/packages (./run setup does, by apt-get)"
        if os.environ.get("MQVPN_E2E") == "require":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return folder
