"""What `benchmarks.throughput` measures: named ways and loads, and how often."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.measure import UDP_PAYLOAD_BYTES, Load
from benchmarks.other_tunnels import STARTERS
from benchmarks.tunnels import Way

SMALL_PAYLOAD_BYTES = 132
"""UDP payload of IP packets of 160 bytes."""
DIRECTIONS = ("up", "down")

_KERNELS = ("native", "reference")
_ALL = (
    *(Way(variant="raw", offloads=offloads) for offloads in (True, False)),
    *(
        Way(variant="tunnel", kernel=kernel, paths=paths, offloads=offloads)
        for kernel, paths, offloads in product(_KERNELS, (1, 2), (True, False))
    ),
    *(Way(variant=name, offloads=offloads) for name in STARTERS for offloads in (True, False)),
)
WAYS = {way.name: way for way in _ALL}
"""All that can be measured, by name."""
DEFAULT_WAYS = (
    *("raw", "native", "reference", "native-x2", "raw-plain", "native-plain", "reference-plain"),
    *STARTERS,
)
QUICK_WAYS = ("raw", "native", "reference")

LOADS = ("tcp-1", "tcp-4", "udp-1200", "udp-132")
"""Names of loads: TCP with so many flows, UDP with packets of so much payload."""
QUICK_LOADS = ("tcp-1",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How thoroughly to measure what."""

    ways: tuple[Way, ...]
    """What to compare."""
    loads: tuple[Load, ...]
    """What to send."""
    rounds: int
    """Runs of each load on each way; the median counts."""
    pings: int
    """Idle round trips in each round."""
    minutes: float
    """No round begins that would end later."""


def make_loads(names: Sequence[str], directions: Sequence[str], seconds: float) -> tuple[Load, ...]:
    """Return the loads of these names, each in each direction.

    Args:
        names: some of `LOADS`.
        directions: some of `DIRECTIONS`.
        seconds: length of a run with TCP; UDP, which is tried at several rates, has half of it.
    """
    loads = {
        "tcp-1": Load(direction="", proto="tcp", flows=1, seconds=seconds),
        "tcp-4": Load(direction="", proto="tcp", flows=4, seconds=seconds),
        "udp-1200": _udp(UDP_PAYLOAD_BYTES, seconds / 2),
        "udp-132": _udp(SMALL_PAYLOAD_BYTES, seconds / 2),
    }
    return tuple(loads[name].towards(direction) for direction in directions for name in names)


def turned(ways: Sequence[Way], number: int) -> tuple[Way, ...]:
    """Return the ways in the order of a round: each of them comes first, and last, some time."""
    start = number % len(ways)
    return (*ways[start:], *ways[:start])


def _udp(payload_bytes: int, seconds: float) -> Load:
    return Load(direction="", proto="udp", flows=1, seconds=seconds, payload_bytes=payload_bytes)
