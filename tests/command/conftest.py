"""The command as a fixture."""

from pathlib import Path

import pytest

from tests.command.runs import Command


@pytest.fixture
def mqvpn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return ``mqvpn`` with profiles, keyring and helper of its own."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return Command(tmp_path)
