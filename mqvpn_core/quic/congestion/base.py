"""What a congestion controller is: a window in bytes that reacts to acknowledgments and losses.

A controller sees bytes and times, never packet numbers, frames or timers. One controller belongs
to one network path (RFC 9002 s7, RFC 9000 s9.4).
"""

from typing import Protocol

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion.delivery_rate import RateSample

INITIAL_WINDOW_PACKETS = 10
MINIMUM_WINDOW_PACKETS = 2
_INITIAL_WINDOW_BYTES = 14720


class RttView(Protocol):
    """What a controller may know about round-trip times."""

    @property
    def latest(self) -> float:
        """Newest sample, in seconds."""

    @property
    def smoothed(self) -> float:
        """Moving average, in seconds."""

    @property
    def variance(self) -> float:
        """Mean deviation, in seconds."""

    @property
    def minimum(self) -> float:
        """Smallest sample, in seconds; 0 before the first."""


class CongestionController(Protocol):
    """The window of one network path.

    Reads: ``congestion_window``, ``slow_start_threshold``. Writes: the ``on_*`` inputs, each with
    the time at which it happened, and ``set_max_datagram_size``.
    """

    @property
    def name(self) -> str:
        """Key of `CONGESTION_CONTROLLERS`."""

    @property
    def congestion_window(self) -> int:
        """Bytes that may be in flight."""

    @property
    def slow_start_threshold(self) -> float:
        """Window in bytes at which slow start ends; infinite before the first congestion event."""

    @property
    def pacing_rate(self) -> float | None:
        """Bytes per second to send; None: as window and round-trip time have it."""

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second that the path is believed to carry; None when nobody knows."""

    @property
    def state_name(self) -> str:
        """What it is doing, in a word or two for people."""

    @property
    def is_in_slow_start(self) -> bool:
        """The window still doubles in a round trip."""

    def on_acked(
        self, acked_bytes: int, sent_at: Instant, rtt: RttView, now: Instant, *, app_limited: bool
    ) -> None:
        """Bytes in flight were acknowledged.

        Args:
            acked_bytes: how many.
            sent_at: when they were sent.
            rtt: round-trip times, the sample of this acknowledgment included.
            now: when the acknowledgment arrived.
            app_limited: the window was not used up, so it must not grow (RFC 9002 s7.8).
        """

    def on_rate_sample(self, sample: RateSample, rtt: RttView, now: Instant) -> None:
        """One ACK has been processed: once for each, after ``on_acked`` and ``on_lost``."""

    def on_lost(self, lost_bytes: int, largest_sent_at: Instant, now: Instant) -> None:
        """Bytes in flight were declared lost; the newest of them was sent at this time."""

    def on_spurious_losses(self, now: Instant) -> None:
        """All losses behind the last reduction turned out to be mere reordering."""

    def on_ecn_ce(self, sent_at: Instant, now: Instant) -> None:
        """The peer reports more CE marks; its newest acknowledged packet was sent then."""

    def on_persistent_congestion(self, now: Instant) -> None:
        """Everything sent over a long time was lost (RFC 9002 s7.6)."""

    def set_max_datagram_size(self, max_datagram_size: int) -> None:
        """Take over another packet size of the path."""


def initial_window(max_datagram_size: int) -> int:
    """Return the window to start with (RFC 9002 s7.2)."""
    return min(
        INITIAL_WINDOW_PACKETS * max_datagram_size,
        max(_INITIAL_WINDOW_BYTES, MINIMUM_WINDOW_PACKETS * max_datagram_size),
    )


def minimum_window(max_datagram_size: int) -> int:
    """Return the window that is never undercut (RFC 9002 s7.2)."""
    return MINIMUM_WINDOW_PACKETS * max_datagram_size
