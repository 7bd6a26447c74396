"""The movable deadline."""

import trio
import trio.testing
from trio.abc import Instrument
from typing_extensions import override

from mqvpn_core.ids import Instant
from mqvpn_core.runtime.clock import DeadlineTimer, read_clock
from tests.runtime.virtual_time import run_virtual


def test_wait_ends_at_the_deadline() -> None:
    async def main() -> None:
        timer = DeadlineTimer()
        start = read_clock()
        timer.set(Instant(start + 5.0))
        await timer.wait()
        assert 5.0 <= read_clock() - start < 5.001

    run_virtual(main)


def test_a_deadline_moves_both_ways_while_waiting() -> None:
    async def main() -> None:
        timer = DeadlineTimer()
        start = read_clock()
        ends: list[float] = []

        async def wait_once() -> None:
            await timer.wait()
            ends.append(read_clock() - start)

        async with trio.open_nursery() as nursery:
            timer.set(Instant(start + 5.0))
            nursery.start_soon(wait_once)
            await trio.sleep(1.0)
            timer.set(Instant(start + 9.0))
            await trio.sleep(6.0)
            assert ends == []
            timer.set(Instant(start + 8.0))
        assert len(ends) == 1
        assert 8.0 <= ends[0] < 8.001

    run_virtual(main)


def test_whoever_waits_for_what_is_put_off_again_and_again_is_not_woken() -> None:
    class Watch(Instrument):
        count = 0

        @override
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.count += task.name == "the waiting one"

    async def main() -> None:
        timer, watch = DeadlineTimer(), Watch()
        async with trio.open_nursery() as nursery:
            timer.set(Instant(read_clock() + 0.0625))
            nursery.start_soon(timer.wait, name="the waiting one")
            await trio.testing.wait_all_tasks_blocked()
            trio.lowlevel.add_instrument(watch)
            for _ in range(100):
                await trio.sleep(0.03125)
                timer.set(Instant(read_clock() + 0.0625))
            assert watch.count == 0
            put_off_at = read_clock()
        assert 0.0625 <= read_clock() - put_off_at < 0.063
        trio.lowlevel.remove_instrument(watch)

    run_virtual(main)


def test_no_deadline_waits_until_one_is_set() -> None:
    async def main() -> None:
        timer = DeadlineTimer()
        start = read_clock()
        with trio.move_on_after(100.0) as scope:
            await timer.wait()
        assert scope.cancelled_caught
        timer.set(Instant(start + 1.0))
        timer.set(None)
        with trio.move_on_after(100.0) as scope:
            await timer.wait()
        assert scope.cancelled_caught

    run_virtual(main)


def test_a_due_deadline_lets_virtual_time_move() -> None:
    async def main() -> None:
        timer = DeadlineTimer()
        start = read_clock()
        for _ in range(1000):
            timer.set(start)
            await timer.wait()
        assert read_clock() > start

    run_virtual(main)
