import pytest

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.cubic import CubicController
from mqvpn_core.quic.recovery import RttEstimator

SIZE = 1000
RTT = 0.1


def at(seconds: float) -> Instant:
    return Instant(seconds)


def estimator(rtt: float = RTT) -> RttEstimator:
    made = RttEstimator(0.333)
    made.update(rtt, 0.0, at(0.0))
    return made


def grown_to(packets: int) -> CubicController:
    """Return a controller whose first slow start has reached this many packets."""
    controller = CubicController(SIZE)
    missing = packets * SIZE - controller.congestion_window
    controller.on_acked(missing, at(0.0), estimator(), at(0.1), app_limited=False)
    assert controller.congestion_window == packets * SIZE
    return controller


def run_rounds(
    controller: CubicController, start: float, stop: float, rtt: float = RTT
) -> dict[float, float]:
    """Acknowledge a full window each round trip; return windows in packets by time."""
    windows: dict[float, float] = {}
    now = start
    while now < stop:
        sent_at = now
        now += rtt
        left = controller.congestion_window
        step = max(SIZE, left // 40)
        while left > 0:
            acked = min(step, left)
            controller.on_acked(acked, at(sent_at), estimator(rtt), at(now), app_limited=False)
            left -= step
        windows[now] = controller.congestion_window / SIZE
    return windows


def test_a_loss_takes_three_tenths() -> None:
    controller = grown_to(100)
    controller.on_lost(SIZE, at(1.0), at(1.1))
    assert controller.congestion_window == 70 * SIZE


def curve(elapsed: float, k: float, maximum: float) -> float:
    """W_cubic of RFC 9438 s4.2, in packets."""
    return 0.4 * (elapsed - k) ** 3 + maximum


def test_the_window_follows_the_curve_back_to_the_old_maximum_and_beyond() -> None:
    # RFC 9438 s4.2: K = cbrt((W_max - cwnd_epoch) / C) = cbrt(300 / 0.4) = 9.09 s.
    controller = grown_to(1000)
    controller.on_lost(SIZE, at(1.0), at(1.1))
    windows = run_rounds(controller, 1.2, 14.0)
    for time, window in windows.items():
        # The epoch begins with the first acknowledgment; the target is one round trip ahead.
        assert window == pytest.approx(curve(time - 1.3 + RTT, 9.09, 1000), abs=12), time


def test_short_round_trips_grow_like_reno() -> None:
    # RFC 9438 s4.3: with a small delay-bandwidth product the Reno estimate is the larger one. It
    # grows by alpha packets a round trip up to the old window of 20, and by one from then on.
    controller = grown_to(20)
    controller.on_lost(SIZE, at(1.0), at(1.1))
    windows = run_rounds(controller, 1.2, 1.2 + 19.5 * 0.01, rtt=0.01)
    alpha = 3 * 0.3 / 1.7
    rounds_below = (20 - 14) / alpha
    assert windows[max(windows)] == pytest.approx(20 + (20 - rounds_below), abs=0.8)


def test_a_shrinking_maximum_makes_room() -> None:
    # RFC 9438 s4.7: lost again at 700, below the last maximum of 1000: the new one is 700 * 0.85.
    controller = grown_to(1000)
    controller.on_lost(SIZE, at(1.0), at(1.1))
    controller.on_lost(SIZE, at(1.2), at(1.3))
    assert controller.congestion_window == pytest.approx(490 * SIZE, abs=1)
    k = ((595 - 490) / 0.4) ** (1 / 3)
    windows = run_rounds(controller, 1.4, 1.4 + k)
    assert windows[max(windows)] == pytest.approx(595, abs=5)


def test_growth_is_bounded_in_a_round_trip() -> None:
    controller = grown_to(100)
    controller.on_lost(SIZE, at(1.0), at(1.1))
    controller.on_acked(SIZE, at(1.2), estimator(), at(1.3), app_limited=False)
    before = controller.congestion_window
    # Much later the curve is far above; one window of acknowledgments raises it by half at most.
    for _ in range(before // SIZE):
        controller.on_acked(SIZE, at(1.25), estimator(), at(100.0), app_limited=False)
    assert controller.congestion_window <= 1.7 * before


@pytest.mark.parametrize("app_limited", [True, False])
def test_idle_time_does_not_move_the_curve(*, app_limited: bool) -> None:
    # RFC 9438 s5.8.
    busy, idle = grown_to(100), grown_to(100)
    for controller in (busy, idle):
        controller.on_lost(SIZE, at(1.0), at(1.1))
        run_rounds(controller, 1.2, 2.2)
    if app_limited:
        for tenths in range(22, 220):
            now = tenths / 10 + 0.1
            idle.on_acked(SIZE, at(now - RTT), estimator(), at(now), app_limited=True)
    expected = run_rounds(busy, 2.2, 3.2)
    seen = run_rounds(idle, 22.2, 23.2)
    assert seen[max(seen)] == pytest.approx(expected[max(expected)], rel=0.03)


def test_after_slow_start_without_loss_the_plateau_is_here() -> None:
    controller = CubicController(SIZE)
    for round_number in range(30):
        rtt = RTT if round_number < 3 else RTT + 0.02 * round_number
        sent_at, now = at(float(round_number)), at(round_number + rtt)
        for sample in range(10):
            controller.on_acked(
                SIZE, sent_at, estimator(rtt), at(now + sample / 1000), app_limited=False
            )
    assert not controller.is_in_slow_start
    assert controller.slow_start_threshold < 200 * SIZE


def test_another_packet_size_keeps_the_maximum_in_bytes() -> None:
    controller = grown_to(1000)
    controller.on_lost(SIZE, at(1.0), at(1.1))
    controller.set_max_datagram_size(2 * SIZE)
    k = ((500 - 350) / 0.4) ** (1 / 3)
    run_rounds(controller, 1.2, 1.2 + k)
    assert controller.congestion_window == pytest.approx(1000 * SIZE, rel=0.01)
