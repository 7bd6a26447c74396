"""Round trips as a path model sees them, one acknowledgment each."""

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.delivery_rate import RateSample
from mqvpn_core.quic.congestion.path_model import PathModel
from mqvpn_core.quic.recovery import RttEstimator

RTT = 0.04
RATE = 1e6


class Rounds:
    """Feeds a model; the clock goes on by a round trip each time."""

    def __init__(self) -> None:
        self.model = PathModel()
        self.estimator = RttEstimator(RTT)
        self.now = 1000.0
        self._delivered = 0

    @property
    def instant(self) -> Instant:
        return Instant(self.now)

    def add(
        self,
        count: int = 1,
        *,
        rtt: float = RTT,
        rate: float = RATE,
        seconds: float | None = None,
        app_limited: bool = False,
    ) -> None:
        """Let round trips pass in which the path delivers at a rate."""
        for _ in range(count):
            elapsed = rtt if seconds is None else seconds
            self.now += elapsed
            before = self._delivered
            acked = round(rate * elapsed)
            self._delivered += acked
            self.estimator.update(rtt, 0.0, self.instant)
            sample = RateSample(
                delivered_bytes=self._delivered,
                delivered_before=before,
                acked_bytes=acked,
                bytes_in_flight=acked,
                rate=rate,
                is_app_limited=app_limited,
                rtt=rtt,
            )
            self.model.on_sample(sample, self.estimator, self.instant)
            self.model.take_rate(sample)
