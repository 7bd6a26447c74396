"""Packets declared lost: did they arrive after all, and was everything lost for long?

Mobile and wireless links reorder. A packet acknowledged after it was declared lost proves that the
packet threshold was too low (RFC 9002 s6.1.1 lets it grow) and, when nothing else was lost, that
there was no congestion (RFC 9438 s4.9).
"""

from collections.abc import Iterable, Sequence

from mqvpn_core.ids import Instant
from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.quic.sent_run import SentRun

PACKET_THRESHOLD = 3
"""Reordering that is always tolerated, in packets (RFC 9002 s6.1.1)."""
MAX_PACKET_THRESHOLD = 128
"""Beyond it the time threshold alone decides, an eighth of a round trip later."""


class LossHistory:
    """Losses of one network path.

    Reads: ``packet_threshold``. Inputs: ``on_lost``, ``begin_event``, ``end_event``, ``on_ack``.
    """

    __slots__ = ("_event_losses", "_event_start", "_lost", "packet_threshold")

    def __init__(self) -> None:
        """Start with no losses."""
        self.packet_threshold = PACKET_THRESHOLD
        self._lost = PacketNumberRanges()
        # Losses since the window was last reduced that have not arrived yet; None: nothing to undo.
        self._event_losses: int | None = None
        self._event_start: int | None = None

    def begin_event(self) -> None:
        """The window is reduced because of the losses reported next."""
        self._event_losses = 0
        self._event_start = None

    def end_event(self) -> None:
        """The window was reduced for another reason than losses: nothing can be undone."""
        self._event_losses = None

    def on_lost(self, runs: Iterable[SentRun], generation: int) -> None:
        """Remember the runs of this network path that were declared lost."""
        for run in runs:
            if run.generation != generation or run.is_probe_of_mtu or not run.in_flight:
                continue
            self._lost.add(run.first, run.stop)
            if self._event_losses is not None:
                self._event_losses += run.count
                if self._event_start is None:
                    self._event_start = run.first

    def on_ack(self, ranges: Sequence[tuple[int, int]], largest_acknowledged: int) -> bool:
        """Look for lost packets among the acknowledged ones.

        Returns:
            True when every loss behind the last reduction of the window was a mistake.
        """
        if not self._lost:
            return False
        arrived = 0
        for smallest, largest in ranges:
            for start, stop in self._lost.take(smallest, largest + 1):
                distance = largest_acknowledged - start
                self.packet_threshold = max(
                    self.packet_threshold, min(distance + 1, MAX_PACKET_THRESHOLD)
                )
                if self._event_start is not None:
                    arrived += max(0, stop - max(start, self._event_start))
        if not arrived or self._event_losses is None:
            return False
        self._event_losses -= arrived
        if self._event_losses > 0:
            return False
        self._event_losses = None
        return True


class LostStreak:
    """A span of consecutive packet numbers that were all lost (RFC 9002 s7.6.2)."""

    __slots__ = ("_first_sent_at", "_stop")

    def __init__(self) -> None:
        """Start with no span."""
        self._stop = -1
        self._first_sent_at: Instant | None = None

    def extend(self, run: SentRun) -> float:
        """Return the time between the first and the newest ack-eliciting packet of the span."""
        if run.first != self._stop:
            self._first_sent_at = None
        self._stop = run.stop
        if not run.ack_eliciting or run.is_probe_of_mtu:
            return 0.0
        if self._first_sent_at is None:
            self._first_sent_at = run.sent_at
        return run.sent_at - self._first_sent_at
