"""What the runs of `benchmarks.throughput` give, and its sum."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Load
from benchmarks.tunnels import Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run."""

    mbit: float
    """Payload received, Mbit/s."""
    client_cost: float | None = None
    """Processor seconds of the client's process for 10^9 bytes; none for a bare link."""
    server_cost: float | None = None
    """The same of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """Median, lowest and highest of several runs."""

    median: float
    """The one that counts."""
    lowest: float
    """Best or worst, as it may be."""
    highest: float
    """The other one."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Middle":
        """Sum up; there is at least one."""
        rounded = [round(value, 3) for value in values]
        return cls(
            median=round(statistics.median(values), 3),
            lowest=min(rounded),
            highest=max(rounded),
        )

    def text(self, digits: int) -> str:
        """For the table."""
        if self.lowest == self.highest:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f}-{self.highest:.{digits}f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table: one load on one way."""

    way: Way
    """The way."""
    load: Load
    """The load."""
    samples: tuple[Sample, ...]
    """One of each round, in their order."""

    @property
    def mbit(self) -> Middle:
        """Payload received, Mbit/s."""
        return Middle.of([sample.mbit for sample in self.samples])

    @property
    def kilopackets(self) -> Middle | None:
        """UDP: thousand packets a second that arrived."""
        if self.load.proto != "udp":
            return None
        bits = 8 * self.load.payload_bytes
        return Middle.of([sample.mbit * 1000 / bits for sample in self.samples])

    @property
    def costs(self) -> tuple[Middle | None, Middle | None]:
        """Processor seconds for 10^9 bytes, of client and server."""
        clients = [each.client_cost for each in self.samples if each.client_cost is not None]
        servers = [each.server_cost for each in self.samples if each.server_cost is not None]
        return (
            Middle.of(clients) if clients else None,
            Middle.of(servers) if servers else None,
        )


def ratio(results: tuple[Result, Result]) -> Middle | None:
    """Compare rates round by round: what a machine does besides meets both of a round.

    Returns:
        The first in relation to the second; nothing where that got nothing.
    """
    first, second = (result.samples for result in results)
    pairs = [one.mbit / other.mbit for one, other in zip(first, second, strict=False) if other.mbit]
    return Middle.of(pairs) if pairs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a tunnel costs apart from loads."""

    way: Way
    """The way."""
    rtt_added_us: Middle | None
    """Median round-trip times of the idle tunnel less those of the bare link, round by round.

    Nothing where the bare link was not measured.
    """
    idle_cpu_share: float
    """Of one processor, the busier of the two programs."""
    resident_mb: tuple[float, float]
    """Memory of client and server after all loads."""
