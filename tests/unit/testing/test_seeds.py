"""A failing seed can be run alone."""

import pytest

from mqvpn_core.testing.seeds import REPLAY_VARIABLE, seeds_to_run


def test_all_seeds_run_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPLAY_VARIABLE, raising=False)
    assert seeds_to_run(4) == [0, 1, 2, 3]


def test_one_seed_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPLAY_VARIABLE, "1234567")
    assert seeds_to_run(4) == [1234567]
