"""``python -m tests.differential --packets 10000000``: kernel against reference, for long."""

import argparse
import sys
import time

from tests.differential.long_run import DifferenceError, Kernels, compare
from tests.differential.twins import load_twin

_SAY_EVERY = 10.0


def main() -> int:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    kernels = Kernels(load_twin("native"), load_twin("reference"))
    began = said = time.perf_counter()
    done = 0
    try:
        for done in compare(kernels, given.packets, given.seed):
            if time.perf_counter() - said > _SAY_EVERY:
                said = time.perf_counter()
                print(f"{done} packets, no difference", flush=True)  # noqa: T201 - a command
    except DifferenceError as error:
        print(f"after {done} packets: {error}", file=sys.stderr)  # noqa: T201 - as above
        return 1
    seconds = time.perf_counter() - began
    print(f"{done} packets, seed {given.seed}, {seconds:.0f} s, no difference")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
