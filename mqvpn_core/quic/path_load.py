"""What is on one path, what it turned out to carry, and what it is believed to carry.

A path that was never full is unknown: what its window makes of its round-trip time is a guess that
traffic alone can correct. So it is believed to carry a fair part of what the best one carries until
it was full once.
"""

from mqvpn_core.ids import Instant
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.datagram_queue import Flow, FlowRing
from mqvpn_core.quic.packet_room import frame_bytes

ELASTIC_RATE = 32_768.0
"""Bytes a second that voice, remote shells and signs of life stay below."""

OPTIMISM = 0.25
"""An unproven path is not believed to be worse than this share of the best one, or it would never
get the traffic that proves it."""

MUCH_WORK = 125e6
"""Bytes per second: where so much is carried each path more takes much of the processor."""

_MEASUREMENT_SECONDS = 60.0
_LONG_BACKLOG_SECONDS = 0.1
_BURST_BYTES = 128 * 1024
_MAX_USED_SHARE = 0.8
_BULK_SHARE = 0.25
_COMFORT = 0.7
# Round trips that take so much longer than the shortest one wait in a queue.
_QUEUED = 1.5
_QUEUED_SECONDS = 0.003
# What a path is expected to carry of which nothing is known, however near its end is.
_TRUSTED_RATE = 1e6
# A path whose rate rises by so much from one look to the next has not found its limit yet.
_GROWTH = 1.25
# Of a window that allows more than this many times what is wanted.
_AMPLE = 2.0
_NEVER = Instant(float("-inf"))


class PathLoad:
    """Flows of one path and conclusions from how they fare.

    A: rate, prospect, share, has_spare, has_long_backlog, is_proven, takes,
    is_ample_for, is_beyond_need
    C: open, shut, note_trial, take_in, let_go, review
    """

    def __init__(self, ring: FlowRing) -> None:
        """Start without flows.

        Args:
            ring: of the flows that have something to send.
        """
        self.ring = ring
        self.flows: dict[Flow, None] = {}
        """Pinned flows, also those with nothing to send."""
        self.contenders: dict[Flow, None] = {}
        """Those that want all they can get, as far as is known; new ones are taken for such."""
        self.bulk: list[Flow] = []
        """Those that sent a fair part of everything between the last two looks."""
        self.view: CarrierView | None = None
        """As of the last call; None when it may not carry datagrams."""
        self.is_full = False
        """Something waited for it all the time between the last two looks."""
        self.measured_rate = 0.0
        """Bytes per second that it carried while it was full; 0 when it never was."""
        self.used_rate = 0.0
        """Bytes per second that it carried between the last two looks."""
        self.opened_at = _NEVER
        """Since when it may carry datagrams."""
        self.explored_at = _NEVER
        """When a flow was moved here, or a trial begun, only to find out what it carries."""
        self._measured_at = _NEVER
        self._largest_used = (0.0, _NEVER)
        self._tried = (0.0, _NEVER)
        self._taken_before = 0

    @property
    def order(self) -> int:
        """0 for what is filled first."""
        assert self.view is not None
        return self.view.use_order

    @property
    def is_primary(self) -> bool:
        """Carries traffic whenever it can."""
        return self.order == 0

    @property
    def is_proven(self) -> bool:
        """It was full lately, so that what it carries is known."""
        return self.measured_rate > 0

    @property
    def demonstrated_rate(self) -> float:
        """Bytes per second that it is known to carry at least."""
        return max(self.measured_rate, self._largest_used[0])

    @property
    def round_trip(self) -> float:
        """Seconds."""
        assert self.view is not None
        return self.view.smoothed_rtt

    @property
    def distance(self) -> float:
        """Seconds that a round trip takes when nothing stands in the way."""
        assert self.view is not None
        return self.view.shortest_rtt or self.view.smoothed_rtt

    @property
    def is_pressed(self) -> bool:
        """It carries about all that its window allows, or more is wanted of it."""
        return self.is_full or self.used_rate > _COMFORT * self.rate()

    @property
    def is_queued(self) -> bool:
        """Something waits on the way: what holds its flows back may be there and not here."""
        return self.round_trip > _QUEUED * self.distance + _QUEUED_SECONDS

    @property
    def is_beyond_need(self) -> bool:
        """It has carried what keeps a machine busy, and would carry much more with ease."""
        rate = self.demonstrated_rate
        return rate > MUCH_WORK and self.is_ample_for(rate)

    def open(self, view: CarrierView, now: Instant) -> None:
        """It may carry datagrams; called again with every news of it."""
        if self.view is None:
            self.opened_at = now
            self.explored_at = _NEVER
        self.view = view

    def shut(self) -> None:
        """It may not carry datagrams any more."""
        self.view = None
        self.is_full = False
        # What it carried while it died says nothing about how it is when it comes back.
        self.measured_rate = 0.0

    def note_trial(self, rate: float, now: Instant) -> None:
        """It carried so many bytes per second in a trial (`path_trial`)."""
        self._tried = (rate, now)
        if rate >= self._largest_used[0]:
            self._largest_used = (rate, now)

    def take_in(self, flow: Flow) -> None:
        """Let a flow be here, which counts until it turns out how much it sends."""
        self.flows[flow] = self.contenders[flow] = None

    def let_go(self, flow: Flow) -> None:
        """A flow is here no longer."""
        self.flows.pop(flow, None)
        self.contenders.pop(flow, None)

    def review(self, elapsed: float, now: Instant) -> None:
        """Draw conclusions from the time since the last look."""
        rate = (self.ring.taken_bytes - self._taken_before) / elapsed
        self._taken_before = self.ring.taken_bytes
        is_growing = rate > _GROWTH * self.used_rate
        self.used_rate = rate
        self.is_full = not self.ring.ran_dry and not self.ring.is_empty
        self.ring.ran_dry = False
        self.bulk = self._find_bulk(elapsed)
        self.contenders = dict.fromkeys(self.bulk)
        if self.is_full and not is_growing:
            old = self.measured_rate
            self.measured_rate = (old + rate) / 2 if old else rate
            self._measured_at = now
        elif rate > self.measured_rate > 0:
            self.measured_rate = rate
        if now - self._measured_at > _MEASUREMENT_SECONDS:
            self.measured_rate = 0.0
        largest, used_at = self._largest_used
        if rate >= largest or now - used_at > _MEASUREMENT_SECONDS:
            self._largest_used = (rate, now)
        if now - self._tried[1] > _MEASUREMENT_SECONDS:
            self._tried = (0.0, now)

    def rate(self) -> float:
        """Bytes per second that it is believed to carry."""
        if self.measured_rate or self.view is None:
            return self.measured_rate
        return self.view.expected_rate

    def potential_rate(self) -> float:
        """Bytes per second that it carries for a flow that uses it well."""
        if self.is_proven:
            return self.measured_rate
        believed = self.rate() if self.is_pressed else self.demonstrated_rate
        return max(believed, self.used_rate, self._tried[0])

    def hoped_rate(self, best_rate: float) -> float:
        """Bytes per second that it may carry.

        Args:
            best_rate: what the best path is believed to carry.
        """
        return self.rate() if self.is_proven else max(self.rate(), OPTIMISM * best_rate)

    def comfortable_rate(self) -> float:
        """Bytes per second that it carries without anybody noticing."""
        assert self.view is not None
        if self.is_proven:
            return _COMFORT * self.measured_rate
        trusted_rate = min(self.view.initial_rate, _TRUSTED_RATE)
        return _COMFORT * max(self._largest_used[0], _COMFORT * trusted_rate)

    def has_spare(self) -> bool:
        """It would carry more, and a good deal more than it does."""
        assert self.view is not None
        return (
            not self.is_full
            and self.view.send_budget >= self.view.max_packet_bytes
            and self.used_rate < max(_MAX_USED_SHARE * self.rate(), self.comfortable_rate())
        )

    def is_ample_for(self, rate: float) -> bool:
        """It would carry so many bytes per second with ease, and was not full lately."""
        return not self.is_proven and self.has_spare() and self.rate() > _AMPLE * rate

    def has_long_backlog(self) -> bool:
        """More waits than it sends in a while, and more than a burst or two."""
        enough = max(self.rate() * _LONG_BACKLOG_SECONDS, _BURST_BYTES)
        return self.ring.waiting_bytes > enough

    def share(self) -> float:
        """Bytes per second that each of its bulk flows gets."""
        return self.rate() / max(len(self.bulk), 1)

    def prospect(self) -> float:
        """Bytes per second that one bulk flow more would get."""
        return self.rate() / (len(self.bulk) + 1)

    def takes(self, flow: Flow) -> bool:
        """Tell whether the next datagram of a flow fits a packet."""
        assert self.view is not None
        if not flow.items:
            return True
        return frame_bytes(flow.items[0]) <= self.view.frame_capacity

    def _find_bulk(self, elapsed: float) -> list[Flow]:
        sent = [flow.taken_bytes for flow in self.flows if flow.taken_bytes]
        enough = _BULK_SHARE * sum(sent) / max(len(sent), 1)
        if not self.is_full:
            # Where everybody gets what he wants, little is all that is wanted.
            enough = max(enough, ELASTIC_RATE * elapsed)
        bulk = [flow for flow in self.flows if flow.taken_bytes > enough]
        for flow in self.flows:
            flow.taken_bytes = 0
        return bulk
