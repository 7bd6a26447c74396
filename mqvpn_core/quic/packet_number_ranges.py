"""Sets of packet numbers, kept as ranges (RFC 9000 s13.2.3)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

_EDGES_OF_ONE = 2


class PacketNumberRanges:
    """Sorted disjoint ranges of packet numbers, bounded in number.

    Beyond ``max_ranges`` the lowest range is forgotten (RFC 9000 s13.2.3).
    """

    __slots__ = ("_edges", "_max_edges")

    def __init__(self, max_ranges: int = 256) -> None:
        """Start empty.

        Args:
            max_ranges: how many ranges to keep at most.
        """
        # start, stop, start, stop...: strictly increasing, so bisection finds every neighbour.
        self._edges: list[int] = []
        self._max_edges = 2 * max_ranges

    def __len__(self) -> int:
        return len(self._edges) // 2

    def __bool__(self) -> bool:
        return bool(self._edges)

    def __contains__(self, packet_number: int) -> bool:
        return bisect_right(self._edges, packet_number) & 1 == 1

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) pairs from the smallest up."""
        edges = self._edges
        return zip(edges[::2], edges[1::2], strict=True)

    @property
    def count(self) -> int:
        """How many numbers are contained."""
        edges = self._edges
        if len(edges) == _EDGES_OF_ONE:
            return edges[1] - edges[0]
        return sum(edges[1::2]) - sum(edges[::2])

    @property
    def smallest(self) -> int:
        """Smallest number contained, -1 when empty."""
        return self._edges[0] if self._edges else -1

    @property
    def largest(self) -> int:
        """Largest number contained, -1 when empty."""
        return self._edges[-1] - 1 if self._edges else -1

    def add(self, start: int, stop: int) -> None:
        """Add ``start`` up to but excluding ``stop``, merging with what touches it."""
        if stop <= start:
            return
        edges = self._edges
        if edges and edges[-1] == start:
            edges[-1] = stop
            return
        low = bisect_left(edges, start)
        high = bisect_right(edges, stop)
        merged = []
        # An even position lies outside every range: there the new edge is a real one.
        if low & 1 == 0:
            merged.append(start)
        if high & 1 == 0:
            merged.append(stop)
        edges[low:high] = merged
        if len(edges) > self._max_edges:
            del edges[: len(edges) - self._max_edges]

    def discard_below(self, packet_number: int) -> None:
        """Forget every number less than ``packet_number``."""
        edges = self._edges
        index = bisect_right(edges, packet_number)
        if index & 1:
            index -= 1
            edges[index] = packet_number
        del edges[:index]

    def take(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Remove ``start`` up to but excluding ``stop``; return the (start, stop) found."""
        if stop <= start:
            return []
        edges = self._edges
        low = bisect_right(edges, start)
        if low & 1 and edges[low - 1] == start:
            low -= 1
        high = bisect_left(edges, stop)
        if high & 1 and edges[high] == stop:
            high += 1
        # An odd position lies inside a range, which is cut there.
        head = [start] if low & 1 else []
        tail = [stop] if high & 1 else []
        taken = head + edges[low:high] + tail
        edges[low:high] = head + tail
        return list(zip(taken[::2], taken[1::2], strict=True))

    def descending(self) -> Iterator[tuple[int, int]]:
        """Yield inclusive (smallest, largest) pairs from the largest range down."""
        edges = self._edges
        for index in range(len(edges) - 1, 0, -2):
            yield edges[index - 1], edges[index] - 1
