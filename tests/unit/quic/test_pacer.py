import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.quic.pacer import Pacer

PACKET = 1200


def at(seconds: float) -> Instant:
    return Instant(seconds)


def test_ten_packets_may_leave_at_once() -> None:
    pacer = Pacer(bytes_per_second=1.0, max_datagram_size=PACKET)
    assert pacer.budget(at(0.0)) == 10 * PACKET
    assert pacer.next_send_time(at(0.0), PACKET) is None


def test_a_fast_path_may_send_five_milliseconds_at_once() -> None:
    pacer = Pacer(bytes_per_second=1.0, max_datagram_size=PACKET)
    pacer.set_rate(100e6)
    pacer.budget(at(0.0))
    assert pacer.budget(at(10.0)) == 500_000


def test_an_owner_that_comes_rarely_may_send_more_at_once() -> None:
    pacer = Pacer(bytes_per_second=10e6, max_datagram_size=PACKET)
    sent = visits = 0
    for visit in range(1, 201):
        budget = pacer.budget(at(visit * 0.008))
        if visit > 100:
            sent += budget
            visits += 1
        pacer.on_sent(budget, at(visit * 0.008))
    assert sent == pytest.approx(visits * 0.008 * 10e6, rel=0.01)
    assert pacer.burst_bytes == pytest.approx(0.016 * 10e6, rel=0.01)
    pacer.budget(at(100.0))
    assert pacer.burst_bytes <= 0.02 * 10e6, "a pause is no visit"


def test_sending_empties_the_bucket_and_time_fills_it() -> None:
    pacer = Pacer(bytes_per_second=12_000.0, max_datagram_size=PACKET)
    pacer.on_sent(10 * PACKET, at(0.0))
    assert pacer.budget(at(0.0)) == 0
    assert pacer.budget(at(0.1)) == PACKET
    assert pacer.budget(at(100.0)) == 10 * PACKET


def test_when_told_to_wait_there_is_budget_at_that_time() -> None:
    pacer = Pacer(bytes_per_second=123_456.0, max_datagram_size=PACKET)
    now = at(1e6)
    pacer.on_sent(10 * PACKET, now)
    for _ in range(200):
        later = pacer.next_send_time(now, PACKET)
        assert later is not None
        assert later > now
        assert pacer.budget(later) >= PACKET
        pacer.on_sent(PACKET, later)
        now = later


def test_a_wait_is_long_enough_for_a_millisecond_of_packets() -> None:
    pacer = Pacer(bytes_per_second=10e6, max_datagram_size=PACKET)
    pacer.on_sent(pacer.burst_bytes, at(0.0))
    later = pacer.next_send_time(at(0.0), PACKET)
    assert later == pytest.approx(0.001, rel=0.01)


def test_long_term_rate_is_the_one_set() -> None:
    pacer = Pacer(bytes_per_second=1e6, max_datagram_size=PACKET)
    sent = 0
    now = at(0.0)
    while now < 1.0:
        size = pacer.budget(now) // PACKET * PACKET
        pacer.on_sent(size, now)
        sent += size
        now = pacer.next_send_time(now, PACKET) or now
    assert sent == pytest.approx(1e6 + pacer.burst_bytes, rel=0.01)


def test_overdrawing_is_bounded() -> None:
    pacer = Pacer(bytes_per_second=1e6, max_datagram_size=PACKET)
    pacer.on_sent(10**9, at(0.0))
    later = pacer.next_send_time(at(0.0), PACKET)
    assert later is not None
    assert later < 0.02


def test_a_clock_that_stands_still_or_goes_back_adds_nothing() -> None:
    pacer = Pacer(bytes_per_second=1e6, max_datagram_size=PACKET)
    pacer.on_sent(10 * PACKET, at(5.0))
    assert pacer.budget(at(4.0)) == 0
    assert pacer.budget(at(5.0)) == 0


def test_larger_packets_make_a_larger_burst() -> None:
    pacer = Pacer(bytes_per_second=1.0, max_datagram_size=PACKET)
    pacer.set_max_datagram_size(1452)
    assert pacer.burst_bytes == 14_520


def test_a_limit_holds_whatever_the_rate_is() -> None:
    pacer = Pacer(bytes_per_second=1_000_000.0, max_datagram_size=PACKET)
    pacer.set_limit(10_000.0)
    assert pacer.rate == 10_000.0
    pacer.set_rate(5_000_000.0)
    start = Instant(0.0)
    pacer.on_sent(pacer.budget(start), start)
    assert pacer.budget(Instant(0.5)) == 5_000
    pacer.set_limit(None)
    assert pacer.rate == 5_000_000.0
    pacer.set_limit(0.0)
    assert pacer.rate == 1.0
