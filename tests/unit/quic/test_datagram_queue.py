import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.quic.datagram_queue import DatagramQueue

PREFIX = b"\x00\x00"
FRAME = 3 + 100
"""Frame type, prefix and a payload of 100 bytes."""


def at(seconds: float) -> Instant:
    return Instant(seconds)


def payloads(*numbers: int) -> list[bytes]:
    return [bytes([number]) * 100 for number in numbers]


def pull(
    queue: DatagramQueue, *, frame: int = 1200, budget: int = 10**6, count: int = 64, now: float = 0
) -> list[int]:
    items = queue.pull_batch(
        max_frame_bytes=frame, budget_bytes=budget, max_count=count, now=at(now)
    )
    assert all(prefix == PREFIX for prefix, _ in items)
    return [payload[0] for _, payload in items]


def test_order_is_kept_across_pushes() -> None:
    queue = DatagramQueue()
    queue.push(PREFIX, payloads(1, 2), at(0))
    queue.push(PREFIX, [], at(0))
    queue.push(PREFIX, payloads(3), at(0))
    assert len(queue) == 3
    assert queue.waiting_bytes == 3 * FRAME
    assert queue.head_frame_bytes == FRAME
    assert pull(queue) == [1, 2, 3]
    assert len(queue) == 0
    assert queue.waiting_bytes == 0
    assert queue.head_frame_bytes is None


def test_count_and_budget_limit_a_batch() -> None:
    queue = DatagramQueue()
    queue.push(PREFIX, payloads(1, 2, 3, 4, 5), at(0))
    assert pull(queue, count=2) == [1, 2]
    assert pull(queue, budget=2 * FRAME - 1) == [3]
    assert pull(queue, budget=FRAME - 1) == []
    assert pull(queue, budget=2 * FRAME) == [4, 5]


def test_what_fits_no_packet_does_not_block_the_rest() -> None:
    queue = DatagramQueue()
    queue.push(PREFIX, [b"x" * 2000, *payloads(1), b"y" * 1198, *payloads(2)], at(0))
    assert pull(queue, frame=1200) == [1, 2]
    assert queue.too_big_count == 2
    assert queue.dropped_count == 2


def test_a_frame_that_just_fits_passes() -> None:
    queue = DatagramQueue()
    queue.push(PREFIX, payloads(1), at(0))
    assert pull(queue, frame=FRAME - 1) == []
    queue.push(PREFIX, payloads(1), at(0))
    assert pull(queue, frame=FRAME) == [1]


def test_the_oldest_give_way() -> None:
    queue = DatagramQueue(max_bytes=3 * FRAME)
    queue.push(PREFIX, payloads(1, 2), at(0))
    queue.push(PREFIX, payloads(3, 4, 5), at(0))
    assert queue.overflow_count == 2
    assert queue.waiting_bytes == 3 * FRAME
    assert pull(queue) == [3, 4, 5]


def test_a_payload_larger_than_the_queue_leaves_it_empty() -> None:
    queue = DatagramQueue(max_bytes=50)
    queue.push(PREFIX, payloads(1), at(0))
    assert len(queue) == 0
    assert queue.overflow_count == 1


def test_old_payloads_expire() -> None:
    queue = DatagramQueue(max_age=0.2)
    queue.push(PREFIX, payloads(1, 2), at(0.0))
    queue.push(PREFIX, payloads(3), at(0.1))
    queue.push(PREFIX, payloads(4), at(0.3))
    assert pull(queue, count=1, now=0.2) == [1]
    assert pull(queue, now=0.35) == [4]
    assert queue.expired_count == 2


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_expiry_counts_only_what_is_left_of_a_push(taken: int) -> None:
    queue = DatagramQueue(max_age=0.2)
    queue.push(PREFIX, payloads(1, 2, 3), at(0.0))
    pull(queue, count=taken)
    queue.push(PREFIX, payloads(4), at(1.0))
    assert pull(queue, now=1.0) == [4]
    assert queue.expired_count == 3 - taken
