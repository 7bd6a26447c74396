import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.quic.pmtu import (
    BLACK_HOLE_EVENTS,
    GRANULARITY,
    MAX_PROBES,
    RAISE_INTERVAL,
    PathMtuDiscovery,
)
from mqvpn_core.quic.transport_config import BASE_DATAGRAM_SIZE

NOW = Instant(100.0)


def search(pmtu: PathMtuDiscovery, path_mtu: int, now: Instant = NOW) -> list[int]:
    """Answer probes as a path with this limit does, until the search ends; return their sizes."""
    probes: list[int] = []
    while (size := pmtu.next_probe(now)) is not None:
        assert len(probes) < 100, "the search does not end"
        probes.append(size)
        pmtu.on_probe_sent(size, now)
        assert pmtu.next_probe(now) is None, "one probe at a time"
        before = pmtu.current
        if size <= path_mtu:
            assert pmtu.on_probe_acked(size, now) == (pmtu.current != before)
        else:
            assert not pmtu.on_probe_lost(size, now)
    return probes


def started(ceiling: int) -> PathMtuDiscovery:
    pmtu = PathMtuDiscovery(ceiling=ceiling)
    pmtu.start(NOW)
    return pmtu


def test_nothing_is_probed_before_the_start() -> None:
    pmtu = PathMtuDiscovery(ceiling=1472)
    assert pmtu.next_probe(NOW) is None
    assert pmtu.next_timeout() is None
    assert pmtu.is_settled
    assert pmtu.current == BASE_DATAGRAM_SIZE


def test_a_search_under_way_is_visible() -> None:
    assert not started(1452).is_settled


@pytest.mark.parametrize("ceiling", [1000, 1200])
def test_a_ceiling_at_the_base_needs_no_search(ceiling: int) -> None:
    pmtu = started(ceiling)
    assert pmtu.is_settled
    assert pmtu.next_timeout() is None
    assert pmtu.current == BASE_DATAGRAM_SIZE


@pytest.mark.parametrize(("ceiling", "probe_count"), [(1452, 1), (1472, 2), (65_000, 2)])
def test_a_path_that_carries_everything_takes_few_probes(ceiling: int, probe_count: int) -> None:
    pmtu = started(ceiling)
    assert len(search(pmtu, 65_535)) == probe_count
    assert pmtu.current == ceiling
    assert pmtu.is_settled
    assert pmtu.next_timeout() is None, "there is nothing to raise"


@pytest.mark.parametrize("ceiling", [1452, 1472, 8952, 65_000])
@pytest.mark.parametrize("path_mtu", [1200, 1201, 1232, 1252, 1300, 1372, 1392, 1440, 1451, 1471])
def test_the_search_ends_close_below_the_limit_of_the_path(ceiling: int, path_mtu: int) -> None:
    pmtu = started(ceiling)
    probes = search(pmtu, path_mtu)
    best = min(path_mtu, ceiling)
    assert best - GRANULARITY < pmtu.current <= best
    assert len(probes) <= MAX_PROBES * 14


@pytest.mark.parametrize("path_mtu", [1232, 1252, 1372, 1392])
def test_common_limits_are_found_exactly(path_mtu: int) -> None:
    pmtu = started(1452)
    search(pmtu, path_mtu)
    assert pmtu.current == path_mtu


def test_a_size_is_given_up_after_three_losses() -> None:
    pmtu = started(1452)
    assert search(pmtu, 1200)[: MAX_PROBES + 1].count(1452) == MAX_PROBES


def test_a_lost_probe_may_still_succeed() -> None:
    pmtu = started(1452)
    pmtu.on_probe_sent(1452, NOW)
    pmtu.on_probe_lost(1452, NOW)
    assert search(pmtu, 1452) == [1452]
    assert pmtu.current == 1452


def test_a_late_acknowledgment_of_a_smaller_probe_does_not_shrink() -> None:
    pmtu = started(1472)
    search(pmtu, 1472)
    assert not pmtu.on_probe_acked(1452, NOW)
    assert pmtu.current == 1472


def test_the_search_is_repeated_after_ten_minutes() -> None:
    pmtu = started(1472)
    search(pmtu, 1392)
    due = pmtu.next_timeout()
    assert due == NOW + RAISE_INTERVAL
    pmtu.handle_timeout(Instant(due - 1))
    assert pmtu.next_probe(NOW) is None
    assert not pmtu.handle_timeout(due)
    assert pmtu.next_timeout() is None
    search(pmtu, 1472, due)
    assert pmtu.current == 1472


def settled(size: int) -> PathMtuDiscovery:
    pmtu = started(size)
    search(pmtu, size)
    assert pmtu.current == size
    return pmtu


def lose(pmtu: PathMtuDiscovery, size: int, *times: float) -> list[bool]:
    return [pmtu.on_lost(size, Instant(time)) for time in times]


def test_a_black_hole_is_noticed() -> None:
    pmtu = settled(1452)
    changes = lose(pmtu, 1452, *range(BLACK_HOLE_EVENTS))
    assert changes == [False] * (BLACK_HOLE_EVENTS - 1) + [True]
    assert pmtu.current == BASE_DATAGRAM_SIZE
    search(pmtu, 1372)
    assert pmtu.current == 1372


def test_losses_found_at_one_time_are_one_event() -> None:
    pmtu = settled(1452)
    assert not any(lose(pmtu, 1452, *[1.0] * 20))


def test_a_large_packet_that_arrives_clears_the_suspicion() -> None:
    pmtu = settled(1452)
    lose(pmtu, 1452, 1, 2, 3)
    pmtu.on_acked(1452)
    assert not any(lose(pmtu, 1452, 4, 5, 6))
    assert pmtu.current == 1452


def test_small_packets_neither_raise_nor_clear_the_suspicion() -> None:
    pmtu = settled(1452)
    assert not any(lose(pmtu, 1200, 1, 2, 3, 4, 5, 6))
    lose(pmtu, 1452, 11, 12, 13)
    pmtu.on_acked(1200)
    assert lose(pmtu, 1452, 14) == [True]


def test_at_the_base_there_is_nothing_to_fall_back_to() -> None:
    pmtu = started(1452)
    search(pmtu, 1200)
    assert not any(lose(pmtu, 1300, 1, 2, 3, 4, 5, 6))


@pytest.mark.parametrize(
    ("pto_count", "smallest", "falls_back"),
    [(1, 1452, False), (2, 1452, True), (2, 1200, False), (5, 40, False)],
)
def test_timeouts_of_large_packets_alone_are_suspicious(
    pto_count: int, smallest: int, *, falls_back: bool
) -> None:
    pmtu = settled(1452)
    assert pmtu.on_probe_timeout(pto_count, smallest, NOW) == falls_back
    assert (pmtu.current == BASE_DATAGRAM_SIZE) == falls_back


def test_a_refusal_of_the_host_lowers_the_limit_at_once() -> None:
    pmtu = settled(1472)
    assert pmtu.on_send_refused(1472, NOW)
    assert pmtu.current == BASE_DATAGRAM_SIZE
    assert max(search(pmtu, 65_535)) < 1472
    assert pmtu.current >= 1471 - GRANULARITY


def test_a_refused_probe_is_not_repeated() -> None:
    pmtu = started(1472)
    pmtu.on_probe_sent(1452, NOW)
    assert not pmtu.on_send_refused(1452, NOW)
    following = pmtu.next_probe(NOW)
    assert following is not None
    assert following < 1452


def test_a_refusal_of_the_base_is_somebody_elses_problem() -> None:
    pmtu = settled(1452)
    assert not pmtu.on_send_refused(1200, NOW)
    assert pmtu.current == 1452
