"""Runs trio code on a clock that jumps over every wait."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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


async def rest() -> None:
    """Wait until everybody else waits for something."""
    await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def at_work(run: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Have ``run`` at work for the length of a block, which begins when it waits for something."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await rest()
        yield
        nursery.cancel_scope.cancel()
