"""The ways in which a link is lost, and how it comes back from each."""

import enum

from tests.linkem.two_links import EmulatedAccess

REPORTED_BAR_MS = 100.0
SILENT_BAR_MS = 300.0
SILENT_BAR_ROUND_TRIPS = 3.0


class Outage(enum.Enum):
    """A kind of loss."""

    LINK_DOWN = "link_down"
    """The interface loses its carrier."""
    ADDRESS_REMOVED = "address_removed"
    """The interface loses its addresses, and its routes with them."""
    BLACK_HOLE = "black_hole"
    """Packets vanish on the way, without a word."""

    def begin(self, link: EmulatedAccess) -> None:
        """Lose the link."""
        match self:
            case Outage.LINK_DOWN:
                link.link.set_carrier(on=False)
            case Outage.ADDRESS_REMOVED:
                link.remove_addresses()
            case Outage.BLACK_HOLE:
                link.link.set_black_hole(on=True)

    def end(self, link: EmulatedAccess) -> None:
        """Give the link back."""
        match self:
            case Outage.LINK_DOWN:
                link.link.set_carrier(on=True)
            case Outage.ADDRESS_REMOVED:
                link.add_addresses()
            case Outage.BLACK_HOLE:
                link.link.set_black_hole(on=False)

    def bar_ms(self, srtt_ms: float) -> float:
        """How long the gap may be for 95 of 100 outages.

        Args:
            srtt_ms: round-trip time of the lost path.
        """
        if self is Outage.BLACK_HOLE:
            return max(SILENT_BAR_MS, SILENT_BAR_ROUND_TRIPS * srtt_ms)
        return REPORTED_BAR_MS
