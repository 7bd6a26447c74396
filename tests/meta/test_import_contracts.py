"""The layers of docs/architecture.md hold: import-linter's contracts, run as a test."""

import subprocess
import sys

import pytest

from tests.meta.checkout import ROOT


@pytest.mark.slow
def test_every_import_contract_is_kept() -> None:
    command = "from importlinter.cli import lint_imports_command as main; main(['--no-logo'])"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout
