import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.delivery_rate import (
    DeliveryMark,
    DeliveryRateSampler,
    RateSample,
)


def at(seconds: float) -> Instant:
    return Instant(seconds)


def sample_of(
    sampler: DeliveryRateSampler,
    now: float,
    *acked: tuple[DeliveryMark, int, float],
    in_flight: int = 0,
    shortest: float = 0.0,
) -> RateSample:
    for mark, size, sent_at in acked:
        sampler.on_run_acked(mark, size, at(sent_at))
    sample = sampler.take_sample(bytes_in_flight=in_flight, rtt=0.1, shortest=shortest, now=at(now))
    assert sample is not None
    return sample


def test_nothing_acknowledged_is_no_sample() -> None:
    sampler = DeliveryRateSampler()
    assert sampler.take_sample(bytes_in_flight=0, rtt=0.0, shortest=0.0, now=at(1.0)) is None


def test_a_steady_flow_shows_its_rate() -> None:
    sampler = DeliveryRateSampler()
    marks = [sampler.mark_sent(1000 * index, at(0.01 * index)) for index in range(10)]
    for index, mark in enumerate(marks):
        sample_of(sampler, 0.1 + 0.01 * index, (mark, 1000, 0.01 * index))
    # Sent while the first ones were being acknowledged, acknowledged a round trip later.
    mark = sampler.mark_sent(10_000, at(0.2))
    assert mark.delivered_bytes == 10_000
    sample = sample_of(sampler, 0.3, (mark, 1000, 0.2))
    assert sample.delivered_before == 10_000
    assert sample.delivered_bytes == 11_000
    # 1000 bytes in the 110 ms since the acknowledgment before it.
    assert sample.rate == pytest.approx(1000 / 0.11)


def test_a_burst_of_acknowledgments_is_no_faster_path() -> None:
    sampler = DeliveryRateSampler()
    first = sampler.mark_sent(0, at(0.0))
    later = [sampler.mark_sent(1000, at(0.1 * step)) for step in range(1, 5)]
    sample_of(sampler, 0.5, (first, 1000, 0.0))
    mark = sampler.mark_sent(4000, at(0.5))
    # All at once, 1 ms later; but it had taken 0.4 s to send them.
    acked = [(each, 1000, 0.1 * step) for step, each in enumerate(later, 1)]
    assert sample_of(sampler, 0.501, *acked).rate == pytest.approx(5000 / 0.501)
    assert sample_of(sampler, 0.502, (mark, 1000, 0.5)).rate == pytest.approx(5000 / 0.5)


def test_a_pause_does_not_count_as_slow_delivery() -> None:
    sampler = DeliveryRateSampler()
    sample_of(sampler, 0.1, (sampler.mark_sent(0, at(0.0)), 1000, 0.0))
    mark = sampler.mark_sent(0, at(60.0))
    assert sample_of(sampler, 60.1, (mark, 1000, 60.0)).rate == pytest.approx(10_000)


def test_nothing_is_faster_than_the_shortest_round_trip() -> None:
    sampler = DeliveryRateSampler()
    mark = sampler.mark_sent(0, at(0.0))
    assert sample_of(sampler, 0.01, (mark, 1000, 0.0), shortest=0.02).rate == 0.0


def test_lack_of_data_marks_what_is_sent_until_all_before_has_arrived() -> None:
    sampler = DeliveryRateSampler()
    full = sampler.mark_sent(0, at(0.0))
    sampler.on_app_limited(1000)
    limited = sampler.mark_sent(1000, at(0.01))
    assert (full.is_app_limited, limited.is_app_limited) == (False, True)
    assert not sample_of(sampler, 0.1, (full, 1000, 0.0)).is_app_limited
    assert sampler.mark_sent(1000, at(0.1)).is_app_limited, "its bytes have not passed the mark"
    assert sample_of(sampler, 0.11, (limited, 1000, 0.01)).is_app_limited
    assert not sampler.mark_sent(1000, at(0.12)).is_app_limited


def test_packets_that_left_together_share_a_mark() -> None:
    sampler = DeliveryRateSampler()
    first = sampler.mark_sent(0, at(0.0))
    assert sampler.mark_sent(1000, at(0.001)) is first


def test_the_newest_packet_decides() -> None:
    sampler = DeliveryRateSampler()
    old = sampler.mark_sent(0, at(0.0))
    sample_of(sampler, 0.1, (old, 1000, 0.0), in_flight=1000)
    new = sampler.mark_sent(1000, at(0.1))
    sample = sample_of(sampler, 0.2, (new, 500, 0.1), (old, 500, 0.0))
    assert sample.delivered_before == 1000
    assert sample.acked_bytes == 1000
