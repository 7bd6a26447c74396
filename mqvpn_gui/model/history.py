"""Numbers of each path over time: what graphs and sparklines draw.

Three spans with a fixed number of points each, so that memory is bounded whatever happens; a
point of a longer span is the mean of what fell into it.
"""

import enum
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mqvpn_gui.model.helper_state import PathInfo

POINTS = 240
"""Points of each span."""

MAX_INTERFACES = 64
"""Interfaces that are remembered; the ones not heard of for longest are forgotten."""


_READING_SECONDS = 1.0
_MISSING = 3.5
"""Readings that have to be missing in a row before a line ends."""


class Span(enum.Enum):
    """How far back a graph looks; the value is in seconds."""

    MINUTE = 60.0
    """One minute."""
    TEN_MINUTES = 600.0
    """Ten minutes."""
    HOUR = 3600.0
    """One hour."""

    @property
    def step(self) -> float:
        """Seconds of one point."""
        return self.value / POINTS


class Quantity(enum.Enum):
    """What a graph shows."""

    RTT = "rtt"
    """Round-trip time in milliseconds."""
    LOSS = "loss"
    """Loss in percent."""
    THROUGHPUT = "throughput"
    """Bits a second, both ways together."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading, or the mean of several."""

    at: float
    """When, seconds of a clock that never jumps."""
    rtt_ms: float
    """Round-trip time."""
    loss_percent: float
    """Loss."""
    bits_per_second: float
    """Throughput, both ways together."""

    def value(self, quantity: Quantity) -> float:
        """One of the numbers."""
        match quantity:
            case Quantity.RTT:
                return self.rtt_ms
            case Quantity.LOSS:
                return self.loss_percent
            case Quantity.THROUGHPUT:
                return self.bits_per_second


def measured_runs(points: Sequence[Sample], span: Span) -> Iterator[list[Sample]]:
    """Split points where nothing was measured in between: no line may be drawn there.

    Args:
        points: of one path, the oldest first.
        span: where they come from.
    """
    longest = _MISSING * max(span.step, _READING_SECONDS)
    run: list[Sample] = []
    for point in points:
        if run and point.at - run[-1].at > longest:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


@dataclass(slots=True)
class _Mean:
    """Adds samples up, so that many of them cost no more than one."""

    began: float
    at: float
    count: int = 0
    rtt_ms: float = 0.0
    loss_percent: float = 0.0
    bits_per_second: float = 0.0

    def add(self, sample: Sample) -> None:
        self.at = sample.at
        self.count += 1
        self.rtt_ms += sample.rtt_ms
        self.loss_percent += sample.loss_percent
        self.bits_per_second += sample.bits_per_second

    def value(self) -> Sample:
        return Sample(
            self.at,
            self.rtt_ms / self.count,
            self.loss_percent / self.count,
            self.bits_per_second / self.count,
        )


@dataclass(slots=True)
class _Series:
    """The points of one span, and what the next one will be."""

    step: float
    points: deque[Sample] = field(default_factory=lambda: deque(maxlen=POINTS))
    next: _Mean | None = None

    def add(self, sample: Sample) -> None:
        if self.next is not None and sample.at - self.next.began >= self.step:
            self.points.append(self.next.value())
            self.next = None
        if self.next is None:
            self.next = _Mean(sample.at, sample.at)
        self.next.add(sample)

    def all(self) -> Iterator[Sample]:
        yield from self.points
        if self.next is not None:
            yield self.next.value()


class History:
    """Keeps the numbers of all paths.

    A: `interfaces`, `points`. C: `add`.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._series: dict[str, dict[Span, _Series]] = {}

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The interfaces there is something about, ordered by name."""
        return tuple(sorted(self._series))

    def add(self, path: PathInfo, now: float) -> None:
        """Note the numbers of a path.

        Args:
            path: the path.
            now: seconds of a clock that never jumps.
        """
        series = self._series.pop(path.interface, None)
        if series is None:
            series = {span: _Series(span.step) for span in Span}
        self._series[path.interface] = series  # the newest stands last
        while len(self._series) > MAX_INTERFACES:
            del self._series[next(iter(self._series))]
        sample = Sample(now, path.rtt_ms, path.loss * 100, float(path.rx_bps + path.tx_bps))
        for each in series.values():
            each.add(sample)

    def points(self, interface: str, span: Span, now: float) -> list[Sample]:
        """The points of an interface that are not older than the span, the oldest first."""
        series = self._series.get(interface)
        if series is None:
            return []
        return [each for each in series[span].all() if now - each.at <= span.value]
