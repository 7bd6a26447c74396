from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.hystart import HyStart
from mqvpn_core.quic.recovery import RttEstimator


def run_round(hystart: HyStart, number: int, rtt: float, samples: int = 10) -> bool:
    """Acknowledge the packets of one round; True when slow start ended in it."""
    started = float(number)
    ended = False
    for sample in range(samples):
        estimator = RttEstimator(0.333)
        estimator.update(rtt, 0.0, Instant(0.0))
        now = Instant(started + 0.5 + sample / 1000)
        ended |= hystart.on_acked(Instant(started + 0.49), estimator, now)
    return ended


def test_steady_round_trips_never_end_slow_start() -> None:
    hystart = HyStart()
    assert not any(run_round(hystart, number, 0.05) for number in range(30))
    assert hystart.growth(8000) == 8000


def test_a_lasting_rise_slows_growth_and_ends_slow_start_after_five_rounds() -> None:
    # RFC 9406 s4.3.
    hystart = HyStart()
    run_round(hystart, 0, 0.05)
    run_round(hystart, 1, 0.05)
    assert not run_round(hystart, 2, 0.06)
    assert hystart.growth(8000) == 2000
    ends = [run_round(hystart, number, 0.06 + number / 100) for number in range(3, 8)]
    assert ends == [False, False, False, False, True]


def test_a_passing_rise_is_forgiven() -> None:
    hystart = HyStart()
    run_round(hystart, 0, 0.05)
    run_round(hystart, 1, 0.07)
    assert hystart.growth(8000) == 2000
    run_round(hystart, 2, 0.05)
    assert hystart.growth(8000) == 8000


def test_the_threshold_is_an_eighth_within_bounds() -> None:
    for base, rise, slows in (
        (0.010, 0.0039, False),
        (0.010, 0.0041, True),
        (0.080, 0.0099, False),
        (0.080, 0.0101, True),
        (0.400, 0.0159, False),
        (0.400, 0.0161, True),
    ):
        hystart = HyStart()
        run_round(hystart, 0, base)
        run_round(hystart, 1, base + rise)
        assert (hystart.growth(8) == 2) == slows, (base, rise)


def test_few_samples_prove_nothing() -> None:
    hystart = HyStart()
    run_round(hystart, 0, 0.05)
    run_round(hystart, 1, 0.09, samples=7)
    assert hystart.growth(8000) == 8000
