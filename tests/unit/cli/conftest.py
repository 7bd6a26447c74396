"""The command line as a fixture."""

import pytest

from tests.unit.cli.runs import CommandLine


@pytest.fixture
def mqvpn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return ``mqvpn-core``, without the environment's key."""
    monkeypatch.delenv("MQVPN_AUTH_KEY", raising=False)
    return CommandLine(monkeypatch, capsys)
