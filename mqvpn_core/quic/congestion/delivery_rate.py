"""How fast a path delivers, measured by its acknowledgments.

The method of draft-cheng-iccrg-delivery-rate-estimation, for runs of packets: each run remembers
how much had been delivered when it left. Its acknowledgment then tells how much was delivered in
the meantime, and how long that took at the sender and at the receiver; the longer time counts, so
that neither a burst of packets nor one of acknowledgments looks like a faster path.
"""

from typing import NamedTuple

from mqvpn_core.ids import Instant


class DeliveryMark(NamedTuple):
    """What was known of deliveries when packets left; shared by all that left meanwhile."""

    delivered_bytes: int
    """Bytes delivered so far."""
    delivered_at: Instant
    """When the last of them were acknowledged."""
    flight_started_at: Instant
    """When the packets were sent whose acknowledgment came last."""
    is_app_limited: bool
    """There was less to send than the path could take."""


class RateSample(NamedTuple):
    """What one acknowledgment tells about a path."""

    delivered_bytes: int
    """Bytes delivered so far."""
    delivered_before: int
    """The same when the newest of the acknowledged packets left."""
    acked_bytes: int
    """Bytes acknowledged just now."""
    bytes_in_flight: int
    """Bytes still under way."""
    rate: float
    """Bytes per second between these two moments; 0 when it cannot be told."""
    is_app_limited: bool
    """The path could have delivered more."""
    rtt: float
    """Round-trip time measured by this acknowledgment in seconds; 0 when there is none."""


class DeliveryRateSampler:
    """Counts the deliveries of one network path.

    Reads: ``delivered_bytes``. Inputs: ``mark_sent``, ``on_app_limited``, ``on_run_acked`` for each
    acknowledged run, then ``take_sample`` once.
    """

    __slots__ = (
        "_acked_bytes",
        "_app_limited_until",
        "_delivered_at",
        "_flight_started_at",
        "_mark",
        "_newest",
        "_newest_sent_at",
        "delivered_bytes",
    )

    def __init__(self) -> None:
        """Start with nothing delivered."""
        self.delivered_bytes = 0
        self._delivered_at = self._flight_started_at = Instant(0.0)
        # Where the count of delivered bytes stands when all is acknowledged that was sent for want
        # of more.
        self._app_limited_until: int | None = None
        self._mark: DeliveryMark | None = None
        self._acked_bytes = 0
        self._newest: DeliveryMark | None = None
        self._newest_sent_at = Instant(0.0)

    def mark_sent(self, bytes_in_flight: int, now: Instant) -> DeliveryMark:
        """Return what packets that leave now have to remember.

        Args:
            bytes_in_flight: without them.
            now: the time.
        """
        if not bytes_in_flight:
            # Nothing was under way: the time before must not count as slow delivery.
            self._delivered_at = self._flight_started_at = now
            self._mark = None
        if self._mark is None:
            self._mark = DeliveryMark(
                self.delivered_bytes,
                self._delivered_at,
                self._flight_started_at,
                self._app_limited_until is not None,
            )
        return self._mark

    def on_app_limited(self, bytes_in_flight: int) -> None:
        """There is nothing more to send: until what is under way has arrived, rates are too low."""
        if self._app_limited_until is None:
            self._mark = None
        self._app_limited_until = self.delivered_bytes + max(bytes_in_flight, 1)

    def on_run_acked(self, mark: DeliveryMark | None, size: int, sent_at: Instant) -> None:
        """Packets that left at this instant with this mark have arrived."""
        self.delivered_bytes += size
        self._acked_bytes += size
        if mark is None:
            return
        newest = self._newest
        if newest is None or (mark.delivered_bytes, sent_at) >= (
            newest.delivered_bytes,
            self._newest_sent_at,
        ):
            self._newest = mark
            self._newest_sent_at = sent_at

    def take_sample(
        self, *, bytes_in_flight: int, rtt: float, shortest: float, now: Instant
    ) -> RateSample | None:
        """Sum up one acknowledgment; None when nothing under way was acknowledged.

        Args:
            bytes_in_flight: what is still under way.
            rtt: round-trip time that the acknowledgment has measured, 0 for none.
            shortest: shortest round-trip time known; nothing faster than that is believed.
            now: when it arrived.
        """
        acked_bytes, newest = self._acked_bytes, self._newest
        if not acked_bytes:
            return None
        self._acked_bytes = 0
        self._newest = None
        self._mark = None
        self._delivered_at = now
        until = self._app_limited_until
        if until is not None and self.delivered_bytes > until:
            self._app_limited_until = None
        rate, before, is_app_limited = 0.0, 0, True
        if newest is not None:
            before, is_app_limited = newest.delivered_bytes, newest.is_app_limited
            interval = max(
                self._newest_sent_at - newest.flight_started_at, now - newest.delivered_at
            )
            if interval >= shortest and interval > 0:
                rate = (self.delivered_bytes - before) / interval
            self._flight_started_at = self._newest_sent_at
        return RateSample(
            delivered_bytes=self.delivered_bytes,
            delivered_before=before,
            acked_bytes=acked_bytes,
            bytes_in_flight=bytes_in_flight,
            rate=rate,
            is_app_limited=is_app_limited,
            rtt=rtt,
        )
