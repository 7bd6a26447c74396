"""Runs trio code on a clock that jumps over every wait."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio.testing

T = TypeVar("T")


def run_virtual(main: Callable[[], Awaitable[T]], *, limit: float = 3600.0) -> T:
    """Run ``main`` to its end in virtual time; more than ``limit`` seconds of it is a failure."""

    async def limited() -> T:
        with trio.fail_after(limit):
            return await main()

    return trio.run(limited, clock=trio.testing.MockClock(autojump_threshold=0))
