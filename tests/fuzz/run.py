"""Fuzz the decoders: ``python -m tests.fuzz.run --inputs 1000000 --seed 1 --target all``.

With ``--minutes`` it goes on for that long, seed after seed.

The same seed gives the same inputs. A finding is printed with the bytes that caused it, so that it
can become a test, and ends the run.
"""

import argparse
import time
from itertools import count
from random import Random

from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TARGETS

KEPT = 64


class FindingError(Exception):
    """A decoder raised what it does not declare, or contradicted itself."""


def fuzz(name: str, inputs: int, seed: int) -> None:
    """Feed ``inputs`` inputs to one target.

    Raises:
        FindingError: the message says which input did it.
    """
    target = TARGETS[name]
    random = Random(f"{name} {seed}")
    pool = [target.generate(random) for _ in range(KEPT)]
    for index in range(inputs):
        if random.random() < 0.4:
            data = target.generate(random)
        else:
            data = mutate(random, random.choice(pool), random.choice(pool))
        # Mutations pile up on a few inputs for a while, then fresh ones push them out.
        if random.random() < 0.1:
            pool[random.randrange(KEPT)] = data
        try:
            target.check(data)
        except Exception as error:
            raise FindingError(
                f"{name}, seed {seed}, input {index}: {type(error).__name__}: {error}\n"
                f"data = bytes.fromhex({data.hex()!r})"
            ) from error


def main() -> None:
    """Read the command line and fuzz."""
    parser = argparse.ArgumentParser(description="Fuzz the decoders of mqvpn_core.wire.")
    parser.add_argument("--inputs", type=int, default=100_000, help="inputs over all targets")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on for so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    arguments = parser.parse_args()
    names = list(TARGETS) if arguments.target == "all" else [arguments.target]
    share = -(-arguments.inputs // len(names))
    until = time.perf_counter() + 60 * arguments.minutes
    for seed in count(arguments.seed):
        for name in names:
            start = time.perf_counter()
            fuzz(name, share, seed)
            seconds = time.perf_counter() - start
            print(f"{name}: {share} inputs, seed {seed}, {seconds:.1f} s, no finding")  # noqa: T201 - a command-line program
        if time.perf_counter() >= until:
            break


if __name__ == "__main__":
    main()
