"""Rates, recent loss and shares of the paths of one connection, from the counters it keeps anyway.

Takes a sample of the counters now and then, and compares. Samples are taken when there is traffic,
not by a timer of its own, so that an idle connection stays idle. Told the time; touches no clock.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.statistics import PathStatistics

SAMPLE_SPACING = 0.5
"""Seconds between two samples at least."""
RATE_WINDOW = 2.0
"""Seconds over which rates and shares are taken at most."""
SHORTEST_RATE_WINDOW = 1.0
"""Seconds over which they are taken at least: shorter bursts count as spread over so much."""
LOSS_WINDOW = 10.0
"""Seconds over which recent loss is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMeasures:
    """What one path did of late."""

    tx_rate: float = 0.0
    """UDP payload sent, bytes per second."""
    rx_rate: float = 0.0
    """UDP payload received, bytes per second."""
    share: float = 0.0
    """Its part of the connection's bytes in both directions, 0 to 1; 0 while nothing moves."""
    recent_loss: float = 0.0
    """Part of the packets sent of late that were lost, 0 to 1."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: Instant
    sent_bytes: int
    received_bytes: int
    sent_packets: int
    lost_packets: int


class PathMeter:
    """Measures the paths of one connection.

    A: measure. B: look, at any time and as often as one likes; after everything that moves bytes.
    """

    def __init__(self) -> None:
        """Start without samples."""
        self._samples: dict[PathId, deque[_Sample]] = {}
        self._next_sample_at = Instant(0.0)

    def look(self, take: Callable[[], Sequence[PathStatistics]], now: Instant) -> None:
        """Take a sample if the last one is old enough.

        Args:
            take: returns the numbers of all paths.
            now: the time.
        """
        if now < self._next_sample_at:
            return
        self._next_sample_at = Instant(now + SAMPLE_SPACING)
        paths = take()
        gone = self._samples.keys() - {path.path_id for path in paths}
        for path_id in gone:
            del self._samples[path_id]
        for path in paths:
            samples = self._samples.setdefault(path.path_id, deque())
            samples.append(_sample(path, now))
            while samples[0].at < now - LOSS_WINDOW:
                samples.popleft()

    def measure(
        self, paths: Sequence[PathStatistics], now: Instant
    ) -> Mapping[PathId, PathMeasures]:
        """Compare the numbers of this moment with the samples.

        Returns:
            Measures of every path that is given.
        """
        rates = {path.path_id: self._rates(path, now) for path in paths}
        total = sum(tx_rate + rx_rate for tx_rate, rx_rate in rates.values())
        return {
            path.path_id: PathMeasures(
                tx_rate=rates[path.path_id][0],
                rx_rate=rates[path.path_id][1],
                share=sum(rates[path.path_id]) / total if total else 0.0,
                recent_loss=self._recent_loss(path, now),
            )
            for path in paths
        }

    def _rates(self, path: PathStatistics, now: Instant) -> tuple[float, float]:
        base = self._base(path, now - RATE_WINDOW)
        if base is None:
            return 0.0, 0.0
        seconds = max(now - base.at, SHORTEST_RATE_WINDOW)
        return (
            (path.sent_bytes - base.sent_bytes) / seconds,
            (path.received_bytes - base.received_bytes) / seconds,
        )

    def _recent_loss(self, path: PathStatistics, now: Instant) -> float:
        base = self._base(path, now - LOSS_WINDOW)
        if base is None:
            return 0.0
        sent = path.sent_packets - base.sent_packets
        lost = path.lost_packets - base.lost_packets
        # A loss is noticed after the packet was sent: it may fall into the next window.
        return min(lost / sent, 1.0) if sent else 0.0

    def _base(self, path: PathStatistics, since: float) -> _Sample | None:
        """Return the oldest sample of the window; without any, nothing has moved in it."""
        samples = self._samples.get(path.path_id, ())
        return next((sample for sample in samples if sample.at >= since), None)


def _sample(path: PathStatistics, now: Instant) -> _Sample:
    return _Sample(
        at=now,
        sent_bytes=path.sent_bytes,
        received_bytes=path.received_bytes,
        sent_packets=path.sent_packets,
        lost_packets=path.lost_packets,
    )
