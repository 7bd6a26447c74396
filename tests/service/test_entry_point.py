"""What the helper says where it cannot even be loaded."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def _start_without(package: str) -> subprocess.CompletedProcess[str]:
    """Run the function that the installed program runs, where a package is missing."""
    scripts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["mqvpn-helper"].partition(":")
    code = (
        f"import sys\nsys.modules['{package}'] = None\n"
        f"from {module} import {function} as start\nsys.exit(start())"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code


def test_the_missing_package_is_named() -> None:
    result = _start_without("jeepney")
    assert result.returncode == 1
    assert result.stderr == (
        "mqvpn-helper: the Python package jeepney is missing\n  run: pip install 'mqvpn[helper]'\n"
    )


def test_what_no_extra_cures_is_not_explained_away() -> None:
    result = _start_without("trio")
    assert result.returncode == 1
    assert "ModuleNotFoundError" in result.stderr
