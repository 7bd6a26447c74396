"""Names go through the tunnel by whatever resolver the machine has, and are its own again after."""

import shutil
import subprocess
import sys

import pytest

from tests.meta.checkout import ROOT
from tests.resolver.packages import unpacked
from tests.resolver.private_machine import COMMAND

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.mark.parametrize(
    ("scenario", "packages"),
    [
        ("file", ()),
        ("mounted_file", ()),
        ("dead_resolver", ()),
        ("resolvconf", ("resolvconf",)),
        ("resolvconf", ("openresolv",)),
        ("resolved", ("systemd-resolved",)),
        ("network_manager", ("network-manager",)),
    ],
)
def test_names_in_the_tunnel(scenario: str, packages: tuple[str, ...]) -> None:
    folders = [str(unpacked(package)) for package in packages]
    if scenario in {"resolved", "network_manager"} and shutil.which("dbus-daemon") is None:
        pytest.skip("needs dbus-daemon")
    done = subprocess.run(  # noqa: S603 - the test itself
        [*COMMAND, sys.executable, "-m", "tests.resolver.inside", scenario, *folders],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "after kill -9 as well" in done.stdout
