"""Which seeds a randomised test runs: a fixed range, or the one that a failure has printed."""

import os

REPLAY_VARIABLE = "MQVPN_SIM_SEED"
"""Environment variable with one seed to run instead of all."""


def seeds_to_run(count: int) -> list[int]:
    """Return 0 to ``count`` - 1, or only the seed that the environment names."""
    replayed = os.environ.get(REPLAY_VARIABLE)
    return list(range(count)) if replayed is None else [int(replayed)]
