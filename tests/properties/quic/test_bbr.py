"""Whatever acknowledgments say, the model-based controller sends on, and never without end."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.base import minimum_window
from mqvpn_core.quic.congestion.bbr import BbrController
from mqvpn_core.quic.congestion.delivery_rate import RateSample
from mqvpn_core.quic.congestion.path_model import SHORTEST_ROUND
from mqvpn_core.quic.recovery import RttEstimator

SIZES = (1200, 1452, 9000)
FASTEST = 1e10
"""Bytes per second of the fastest sample."""


@dataclass(frozen=True)
class Step:
    """One acknowledgment, or something else that happens."""

    seconds: float
    acked_bytes: int
    bytes_in_flight: int
    rate: float
    rtt: float
    is_app_limited: bool
    rounds_back: int
    lost_bytes: int
    other: str


STEPS = st.builds(
    Step,
    seconds=st.sampled_from([0.0, 0.0001, 0.004, 0.03, 0.3, 12.0, 1000.0]),
    acked_bytes=st.integers(1, 1_000_000),
    bytes_in_flight=st.integers(0, 10_000_000),
    rate=st.sampled_from([0.0]) | st.floats(0.1, FASTEST),
    rtt=st.sampled_from([0.0]) | st.floats(1e-6, 60.0),
    is_app_limited=st.booleans(),
    rounds_back=st.integers(0, 3),
    lost_bytes=st.sampled_from([0, 0, 0, 1200, 100_000]),
    other=st.sampled_from(["", "", "", "", "mark", "collapse", "size", "spurious"]),
)


@given(steps=st.lists(STEPS, max_size=80))
def test_window_and_rate_have_bounds(steps: list[Step]) -> None:
    controller, rtt = BbrController(1200), RttEstimator(0.1)
    now, delivered, size = Instant(1000.0), [0], 1200
    largest = controller.congestion_window
    for step in steps:
        now = Instant(now + step.seconds)
        if step.other == "mark":
            controller.on_ecn_ce(now, now)
        elif step.other == "collapse":
            controller.on_persistent_congestion(now)
        elif step.other == "spurious":
            controller.on_spurious_losses(now)
        elif step.other == "size":
            size = SIZES[step.acked_bytes % 3]
            controller.set_max_datagram_size(size)
        if step.lost_bytes:
            controller.on_lost(step.lost_bytes, now, now)
        largest = max(largest, controller.congestion_window)
        delivered.append(delivered[-1] + step.acked_bytes)
        if step.rtt:
            rtt.update(step.rtt, 0.0, now)
        controller.on_rate_sample(
            RateSample(
                delivered_bytes=delivered[-1],
                delivered_before=delivered[max(0, len(delivered) - 2 - step.rounds_back)],
                acked_bytes=step.acked_bytes,
                bytes_in_flight=step.bytes_in_flight,
                rate=step.rate,
                is_app_limited=step.is_app_limited,
                rtt=step.rtt,
            ),
            rtt,
            now,
        )
        window, rate = controller.congestion_window, controller.pacing_rate
        assert minimum_window(size) <= window
        # It opens by no more than what was acknowledged; its end of a pause is no opening.
        assert window <= max(largest + step.acked_bytes, 4 * size)
        largest = max(largest, window)
        assert rate is None or 0 < rate <= 3 * max(FASTEST, delivered[-1] / SHORTEST_ROUND)
