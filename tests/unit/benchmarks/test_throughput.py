"""The search for the highest rate of UDP that arrives."""

import pytest

from benchmarks.throughput import MAX_LOSS, Sample, best_rate


@pytest.mark.parametrize(
    ("carried", "found", "tried"),
    [
        (130.0, 100.0, [25.0, 50.0, 100.0, 200.0]),
        (25.0, 25.0, [25.0, 50.0]),
        # Where the first rate is too much already, one that is not is found below it.
        (7.0, 6.25, [25.0, 12.5, 6.25]),
        (0.1, 0.0, [25.0, 12.5, 6.25, 3.125, 1.5625, 0.78125]),
        (1e9, 3200.0, [25.0 * 2**step for step in range(8)]),
    ],
)
def test_the_best_rate_is_found(carried: float, found: float, tried: list[float]) -> None:
    offered: list[float] = []

    def send(rate: float) -> tuple[Sample, float]:
        offered.append(rate)
        return (min(rate, carried), None, None), 0.0 if rate <= carried else 2 * MAX_LOSS

    assert best_rate(send)[0] == found
    assert offered == tried
