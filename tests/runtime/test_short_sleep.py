"""Short sleeps end no earlier than they should, in real time and in virtual time."""

from contextlib import closing

import pytest
import trio

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.short_sleep import ShortSleep
from tests.runtime.virtual_time import run_virtual


async def _sleep_now_and_then() -> None:
    with closing(ShortSleep()) as sleep:
        for delay in (0.002, -1.0, 0.0, 0.0001):
            start = read_clock()
            await sleep.until(Instant(start + delay))
            assert read_clock() >= start + delay


def test_a_sleep_in_real_time_is_not_too_short() -> None:
    trio.run(_sleep_now_and_then)


def test_a_sleep_in_virtual_time_is_not_too_short() -> None:
    async def main() -> None:
        await _sleep_now_and_then()
        start = read_clock()
        with closing(ShortSleep()) as sleep:
            await sleep.until(Instant(start + 1000.0))
        assert 1000.0 <= read_clock() - start < 1000.001

    run_virtual(main)


@pytest.mark.parametrize("delay", [3600.0, 0.0])
def test_a_sleep_can_be_cancelled(delay: float) -> None:
    async def main() -> None:
        with closing(ShortSleep()) as sleep, trio.CancelScope() as scope:
            scope.cancel()
            await sleep.until(Instant(read_clock() + delay))
        assert scope.cancelled_caught
        sleep.close()

    trio.run(main)
