"""The crowd of `benchmarks.clients`, a small one: nobody is forgotten and nothing is lost."""

from pathlib import Path

import pytest

from benchmarks.clients import Plan, describe, measure

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.mark.parametrize(("direction", "workers"), [("up", 1), ("down", 2)])
def test_a_small_crowd(tmp_path: Path, direction: str, workers: int) -> None:
    plan = Plan(
        clients=6, mbit=0.25, seconds=2.0, direction=direction, processes=2, workers=workers
    )
    outcome = measure(plan, tmp_path)
    assert outcome.clients == plan.clients
    # On a machine that does something else meanwhile a few wait too long.
    assert outcome.loss <= 0.1, describe(plan, outcome)
    assert outcome.unfairness <= 1.2, describe(plan, outcome)
