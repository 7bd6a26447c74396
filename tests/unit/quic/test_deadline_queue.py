"""Many deadlines: like a dictionary and its minimum, only faster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.ids import Instant
from mqvpn_core.quic.deadline_queue import DeadlineQueue

MOVES = st.lists(
    st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 20).map(float))), max_size=300
)


@pytest.mark.slow
@given(MOVES, st.integers(0, 20))
def test_agrees_with_a_plain_dictionary(moves: list[tuple[int, float | None]], now: int) -> None:
    queue: DeadlineQueue[int] = DeadlineQueue()
    model: dict[int, float] = {}
    for key, deadline in moves:
        if deadline is None:
            queue.set(key, None)
            model.pop(key, None)
        else:
            queue.set(key, Instant(deadline))
            model[key] = deadline
        assert queue.earliest() == min(model.values(), default=None)
        assert len(queue) == len(model)
    due = queue.take_due(Instant(float(now)))
    assert sorted(due) == sorted(key for key, deadline in model.items() if deadline <= now)
    assert [model[key] for key in due] == sorted(model[key] for key in due)
    rest = [deadline for key, deadline in model.items() if key not in due]
    assert queue.earliest() == min(rest, default=None)


def test_moving_a_deadline_often_takes_no_memory() -> None:
    queue: DeadlineQueue[str] = DeadlineQueue()
    for number in range(10_000):
        queue.set("a", Instant(float(number)))
        queue.set("b", Instant(1e9))
    assert len(queue._heap) < 200
    queue.remove("a")
    assert queue.earliest() == 1e9
