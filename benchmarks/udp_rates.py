"""The search for the highest rate of UDP that arrives."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from benchmarks.samples import Sample

MAX_LOSS = 0.01
"""Of the packets, at a rate that counts as carried."""
FIRST_MBIT = 25.0
"""Where a search begins that knows nothing."""
LOWEST_MBIT = 0.5
HIGHEST_MBIT = 12_800.0

_COARSE = 2.0
_FINE = 2**0.25
_FILLED = 0.9
_MAX_TRIES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The highest rate that arrived."""

    rate: float
    """Offered, Mbit/s; where a later search may begin."""
    sample: Sample | None
    """What came of it; nothing where no rate was low enough."""


Offer = Callable[[float], tuple[Sample, float]]
"""Offers a rate in Mbit/s; returns what arrived and the share that was lost."""


def search_rate(offer: Offer) -> Found:
    """Double the rate until too much is lost, or halve it until no more is; then look between."""
    return _between(offer, *_climb(offer, FIRST_MBIT, _COARSE))


def search_nearby(offer: Offer, rate: float) -> Found:
    """Do the same in small steps from a rate that was found before; it is right to a twentieth."""
    return _between(offer, *_climb(offer, rate, _FINE))


def _between(offer: Offer, found: Found, too_much: float | None) -> Found:
    """Halve twice what is between the best rate and one that was too much."""
    for _ in range(2):
        if found.sample is None or too_much is None:
            break
        rate = sqrt(found.rate * too_much)
        sample, loss = offer(rate)
        if loss > MAX_LOSS:
            too_much = rate
        else:
            found = Found(rate=rate, sample=sample)
    return found


def _climb(offer: Offer, first: float, step: float) -> tuple[Found, float | None]:
    """Return the best rate, and one that was too much."""
    best = Found(rate=first, sample=None)
    too_much: float | None = None
    rate = first
    for _ in range(_MAX_TRIES):
        if not LOWEST_MBIT <= rate <= HIGHEST_MBIT:
            break
        sample, loss = offer(rate)
        if loss > MAX_LOSS:
            too_much = rate
            if best.sample is not None:
                break
            rate /= step
            continue
        best = Found(rate=rate, sample=sample)
        # Below what was too much nothing more is to be found, nor where the sender has no more.
        if too_much is not None or sample.mbit < _FILLED * rate:
            break
        rate *= step
    return best, too_much
