"""Which path sends next.

# walk: 6 of 16

A path takes from the queue when its congestion window and pacer allow; the order in which paths
are asked is the scheduling decision. The choice is made when a packet leaves, not when it is
queued, so that a dying path strands nothing.
"""

from collections.abc import Iterable

from mqvpn_core.quic.paths import Path


def by_lowest_rtt(paths: Iterable[Path]) -> list[Path]:
    """Paths in the order in which they may take from the queue: the fastest first."""
    return sorted(paths, key=lambda path: path.current.recovery.rtt.smoothed)
