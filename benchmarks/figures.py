"""Figures from samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How samples are spread."""

    p50: float
    """Median."""
    p95: float
    """95 of 100 are not larger."""
    max: float
    """The largest."""

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread | None":
        """The spread of some samples, rounded; ``None`` when there are none."""
        if not samples:
            return None
        ordered = sorted(samples)
        p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
        return cls(p50=round(p50, 1), p95=round(p95, 1), max=round(ordered[-1], 1))
