"""A short fuzz run for every change; and that the fuzzer would notice."""

import pytest

from tests.fuzz.run import FindingError, fuzz
from tests.fuzz.targets import TARGETS, Target

INPUTS = 4000
FEWER = {"datagrams": 300, "bypass": 300}
"""Where each input is some hundred packets through sockets."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_decoders_survive(name: str) -> None:
    fuzz(name, FEWER.get(name, INPUTS), seed=20261122)


def test_inputs_follow_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def inputs_of(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        monkeypatch.setitem(TARGETS, "capsules", Target(TARGETS["capsules"].generate, seen.append))
        fuzz("capsules", 50, seed)
        return seen

    assert inputs_of(1) == inputs_of(1)
    assert inputs_of(1) != inputs_of(2)


def test_a_finding_is_reported_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(data: bytes) -> None:
        if data:
            raise IndexError("undeclared")

    monkeypatch.setitem(TARGETS, "capsules", Target(TARGETS["capsules"].generate, check))
    with pytest.raises(FindingError, match=r"(?s)IndexError: undeclared.*bytes\.fromhex"):
        fuzz("capsules", 10, seed=1)
