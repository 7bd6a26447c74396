"""Recovery, congestion control and pacing together, over a simulated bottleneck."""

import pytest

from tests.unit.quic.bottleneck import PACKET, Link, Transfer

RATE = 1.25e6
"""Ten megabits a second."""
DELAY = 0.02
BDP = int(RATE * 2 * DELAY)

pytestmark = pytest.mark.slow
both = pytest.mark.parametrize("congestion", ["cubic", "newreno"])


@both
@pytest.mark.parametrize("queue", [BDP // 2, BDP, 3 * BDP])
def test_a_clean_bottleneck_is_filled(congestion: str, queue: int) -> None:
    link = Link(bytes_per_second=RATE, one_way_delay=DELAY, queue_bytes=queue)
    transfer = Transfer(link, congestion=congestion)
    transfer.run(15.0)
    assert transfer.goodput(since=3.0) > 0.9 * RATE
    assert transfer.recovery.rtt.minimum == pytest.approx(2 * DELAY, rel=0.1)
    lost = transfer.lost_count
    assert lost < 0.03 * len(transfer.delivered_at)


@both
def test_lost_acks_do_little_harm(congestion: str) -> None:
    link = Link(bytes_per_second=RATE, one_way_delay=DELAY, queue_bytes=BDP, ack_loss=0.3)
    transfer = Transfer(link, congestion=congestion)
    transfer.run(10.0)
    assert transfer.goodput(since=2.0) > 0.85 * RATE


@both
def test_reordering_is_not_taken_for_congestion(congestion: str) -> None:
    # Five milliseconds are five packets here: more than the packet threshold of three.
    link = Link(bytes_per_second=RATE, one_way_delay=DELAY, queue_bytes=2 * BDP, jitter=0.005)
    transfer = Transfer(link, congestion=congestion)
    transfer.run(10.0)
    assert transfer.goodput(since=2.0) > 0.9 * RATE


@both
def test_random_loss_slows_but_never_stalls(congestion: str) -> None:
    link = Link(bytes_per_second=RATE, one_way_delay=DELAY, queue_bytes=BDP, loss=0.01)
    transfer = Transfer(link, congestion=congestion, seed=7)
    transfer.run(20.0)
    gaps = [
        after - before
        for before, after in zip(transfer.delivered_at, transfer.delivered_at[1:], strict=False)
    ]
    assert max(gaps) < 0.5
    # The classic bound of loss-based control: 1.2 / sqrt(0.01) packets a round trip.
    assert transfer.goodput(since=2.0) > 0.7 * 12 * PACKET / (2 * DELAY)


@both
def test_an_outage_collapses_the_window_and_ends(congestion: str) -> None:
    link = Link(bytes_per_second=RATE, one_way_delay=DELAY, queue_bytes=2 * BDP, outage=(5.0, 8.0))
    transfer = Transfer(link, congestion=congestion)
    transfer.run(20.0)
    assert transfer.smallest_window == 2 * PACKET
    resumed = min(time for time in transfer.delivered_at if time > 8.0)
    # Backoff doubles from about a tenth of a second: the last wait is as long as all before.
    assert resumed < 8.0 + 3.5
    assert transfer.goodput(since=13.0) > 0.85 * RATE
    assert transfer.recovery.pto_count == 0


@both
def test_a_slow_application_keeps_the_window_small(congestion: str) -> None:
    link = Link(bytes_per_second=10 * RATE, one_way_delay=DELAY, queue_bytes=10 * BDP)
    transfer = Transfer(link, congestion=congestion)
    transfer.data_bytes_per_second = 0.1 * RATE
    transfer.run(10.0)
    assert transfer.goodput(since=1.0) == pytest.approx(0.1 * RATE, rel=0.05)
    assert transfer.recovery.congestion.congestion_window < 10 * 0.1 * BDP
    assert transfer.lost_count == 0


def test_pacing_keeps_bursts_out_of_the_queue() -> None:
    link = Link(bytes_per_second=RATE, one_way_delay=0.1, queue_bytes=BDP)
    transfer = Transfer(link, congestion="newreno")
    transfer.run(0.45)
    # Two round trips into slow start: without pacing, 40 packets would arrive at once.
    assert transfer.largest_queue_delay < 12 * PACKET / RATE
