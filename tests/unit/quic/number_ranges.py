"""Sets of packet numbers for tests."""

from collections.abc import Iterable

from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.quic.packet_spaces import DUPLICATE_WINDOW


def ranges_of(numbers: Iterable[int]) -> PacketNumberRanges:
    """Return the set of these numbers."""
    ranges = PacketNumberRanges(DUPLICATE_WINDOW)
    for number in numbers:
        ranges.add(number, number + 1)
    return ranges
