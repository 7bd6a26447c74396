"""Silences in a stream of arrivals."""

import pytest

from benchmarks.probe import Stream

STEADY = [number / 100 for number in range(100)]


def test_steady_stream_has_gaps_of_one_interval() -> None:
    assert Stream(arrivals=STEADY).gap(0.305, 0.9) == pytest.approx(0.01)


def test_gap_begins_at_the_last_arrival_before_the_loss() -> None:
    """At 0.305 the link is lost; the packet of 0.30 was the last one."""
    arrivals = [time for time in STEADY if not 0.305 < time < 0.45]
    assert Stream(arrivals=arrivals).gap(0.305, 0.9) == pytest.approx(0.15)


def test_packets_under_way_do_not_hide_the_gap_behind_them() -> None:
    arrivals = [time for time in STEADY if not 0.32 < time < 0.45]
    assert Stream(arrivals=arrivals).gap(0.305, 0.9) == pytest.approx(0.13)


def test_gaps_before_the_loss_do_not_count() -> None:
    arrivals = [time for time in STEADY if not 0.1 < time < 0.25]
    assert Stream(arrivals=arrivals).gap(0.305, 0.9) == pytest.approx(0.01)


def test_silence_that_has_not_ended_counts_so_far() -> None:
    arrivals = [time for time in STEADY if time < 0.305]
    assert Stream(arrivals=arrivals).gap(0.305, 2.3) == pytest.approx(2.0)


def test_stream_that_never_was_is_silent_since_the_loss() -> None:
    assert Stream().gap(1.0, 3.0) == 2.0


def test_what_arrives_after_the_end_does_not_count() -> None:
    assert Stream(arrivals=[0.0, 1.0, 9.0]).gap(0.5, 2.0) == 1.0


def test_stall_of_the_sender() -> None:
    stream = Stream(sent_at=[0.0, 0.01, 0.31, 0.32, 2.0])
    assert stream.sender_stall(0.005, 1.0) == pytest.approx(0.3)
    assert stream.sender_stall(3.0, 4.0) == 0.0


def test_arrivals_since_a_moment() -> None:
    stream = Stream(arrivals=[1.0, 2.0, 3.0])
    assert stream.has_arrived_since(1.5, 2)
    assert not stream.has_arrived_since(1.5, 3)
    assert not stream.has_arrived_since(0.0, 4)
