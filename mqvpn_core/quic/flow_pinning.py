"""Which path each inner flow stays on: shares by rate, few and gentle moves.

An inner TCP takes packets that overtake each other for losses, so a flow keeps its path while that
is healthy. Paths are filled by having flows on them in proportion to what they carry; when that
goes wrong one flow at a time is moved, and never the same one twice in a few seconds.
"""

from collections.abc import Callable, Iterable, Sequence

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.datagram_queue import Flow, FlowRing

REVIEW_SECONDS = 0.5
"""Between two looks at how the paths are used; at most one flow is moved each time."""
REST_SECONDS = 5.0
"""A flow that was moved stays where it is for so long."""

_MEASUREMENT_SECONDS = 60.0
_LONG_BACKLOG_SECONDS = 0.1
_BURST_BYTES = 128 * 1024
_GAIN = 1.25
_UNFAIRNESS = 1.5
_MAX_USED_SHARE = 0.8
_BULK_SHARE = 0.25
# An unproven path is not believed to be worse than this share of one that is full, or it would
# never get the traffic that proves it.
_OPTIMISM = 0.25
_MIN_SHARE_KEPT = 0.25


class _PathLoad:
    """What is on one path, and what it turned out to carry."""

    def __init__(self, ring: FlowRing) -> None:
        self.ring = ring
        self.flows: dict[Flow, None] = {}
        """Pinned flows, also those with nothing to send."""
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
        self._measured_at = Instant(float("-inf"))
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

    def review(self, elapsed: float, now: Instant) -> None:
        """Draw conclusions from the time since the last look."""
        rate = (self.ring.taken_bytes - self._taken_before) / elapsed
        self._taken_before = self.ring.taken_bytes
        self.used_rate = rate
        self.bulk = self._find_bulk()
        self.is_full = not self.ring.ran_dry and not self.ring.is_empty
        self.ring.ran_dry = False
        if self.is_full:
            old = self.measured_rate
            self.measured_rate = (old + rate) / 2 if old else rate
            self._measured_at = now
        elif rate > self.measured_rate > 0:
            self.measured_rate = rate
        if now - self._measured_at > _MEASUREMENT_SECONDS:
            self.measured_rate = 0.0

    def rate(self) -> float:
        """Bytes per second that it is believed to carry."""
        if self.measured_rate or self.view is None:
            return self.measured_rate
        return self.view.expected_rate

    def has_spare(self) -> bool:
        """It would carry more, and a good deal more than it does."""
        assert self.view is not None
        return (
            not self.is_full
            and self.view.send_budget >= self.view.max_packet_bytes
            and self.used_rate < _MAX_USED_SHARE * self.rate()
        )

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
        prefix, payload = flow.items[0]
        return len(prefix) + len(payload) < self.view.frame_capacity

    def _find_bulk(self) -> list[Flow]:
        sent = [flow.taken_bytes for flow in self.flows if flow.taken_bytes]
        enough = _BULK_SHARE * sum(sent) / max(len(sent), 1)
        bulk = [flow for flow in self.flows if flow.taken_bytes > enough]
        for flow in self.flows:
            flow.taken_bytes = 0
        return bulk


class FlowPinning:
    """Pins flows to paths and keeps a ring of them for each path.

    Reads: ``flow_counts``, ``ring``. Writes: ``follow`` the paths, ``place`` a flow that has
    something to send, ``move``, ``release``, ``review`` now and then, ``forget_path``, ``clear``.
    """

    def __init__(self, make_ring: Callable[[], FlowRing]) -> None:
        self._make_ring = make_ring
        self._loads: dict[PathId, _PathLoad] = {}
        self._open: list[_PathLoad] = []
        self._reviewed_at: Instant | None = None

    @property
    def flow_counts(self) -> dict[PathId, int]:
        """How many flows are pinned to each path."""
        return {path_id: len(load.flows) for path_id, load in self._loads.items()}

    def ring(self, path_id: PathId) -> FlowRing | None:
        """Flows of a path that have something to send, None when it never had any."""
        load = self._loads.get(path_id)
        return None if load is None else load.ring

    def follow(self, views: Sequence[CarrierView], now: Instant) -> None:
        """Take in the paths as they are now; flows of those that are missing move at once.

        Args:
            views: paths that may carry datagrams, best first; at least one.
            now: the time.
        """
        open_before, self._open = self._open, []
        demoted: list[_PathLoad] = []
        for view in views:
            load = self._loads.get(view.path_id)
            if load is None:
                load = self._loads[view.path_id] = _PathLoad(self._make_ring())
            if load.view is not None and load.view.use_order < view.use_order:
                demoted.append(load)
            load.view = view
            self._open.append(load)
        for load in open_before:
            if load not in self._open:
                load.view = None
                demoted.append(load)
        for load in demoted:
            waiting = load.ring.take_all()
            for flow in list(load.flows):
                self.release(flow)
            for flow in waiting:
                self._pin(flow, self._choose(flow))
                self._enter(flow)
        if self._reviewed_at is None:
            self._reviewed_at = now

    def place(self, flow: Flow) -> None:
        """Put a flow into the ring of its path, which is chosen now if it has none."""
        load = None if flow.path_id is None else self._loads.get(flow.path_id)
        if load is None or load.view is None or flow.was_idle:
            self._pin(flow, self._choose(flow))
        flow.was_idle = False
        self._enter(flow)

    def make_fit(self, flow: Flow) -> PathId:
        """Move a flow to a path that takes packets as large as its next one."""
        assert flow.ring is not None
        flow.ring.remove(flow)
        chosen = self._choose(flow)
        self._pin(flow, chosen)
        self._enter(flow)
        assert chosen.view is not None
        return chosen.view.path_id

    def release(self, flow: Flow) -> None:
        """Forget where a flow was; it is in no ring."""
        load = None if flow.path_id is None else self._loads.get(flow.path_id)
        if load is not None:
            load.flows.pop(flow, None)
        flow.path_id = None

    def forget_path(self, path_id: PathId) -> list[Flow]:
        """Drop what is known of a path that is gone; return its flows, which are in no ring."""
        load = self._loads.pop(path_id, None)
        if load is None:
            return []
        self._open = [other for other in self._open if other is not load]
        for flow in load.flows:
            flow.path_id = None
        return load.ring.take_all()

    def review(self, now: Instant) -> None:
        """Look at the paths, if it is time to, and move one flow if that helps."""
        if self._reviewed_at is None or now - self._reviewed_at < REVIEW_SECONDS:
            return
        elapsed = now - self._reviewed_at
        self._reviewed_at = now
        for load in self._open:
            load.review(elapsed, now)
        if len(self._open) > 1:
            found = self._find_move(now)
            if found is not None:
                flow, receiver = found
                ring = flow.ring
                if ring is not None:
                    ring.remove(flow)
                flow.moved_at = now
                self._pin(flow, receiver)
                if ring is not None:
                    self._enter(flow)

    def _find_move(self, now: Instant) -> tuple[Flow, _PathLoad] | None:
        """Decide which flow would be better off on which path."""
        spare = [load for load in self._open if load.has_spare()]
        if any(load.is_primary and not load.is_full for load in self._open):
            # Only what primaries have no room for may be on a secondary.
            spare = [load for load in spare if load.is_primary]
            guests = [load for load in self._open if not load.is_primary]
            for load in guests if spare else ():
                flow = _rested([*load.bulk, *load.flows], spare[0], now)
                if flow is not None:
                    return flow, spare[0]
        for donor in sorted(self._open, key=_PathLoad.share):
            for receiver in sorted(self._open, key=_PathLoad.prospect, reverse=True):
                if receiver is not donor and _is_worth_it(
                    donor, receiver, has_spare=receiver in spare
                ):
                    flow = _rested(donor.bulk, receiver, now)
                    if flow is not None:
                        return flow, receiver
        return None

    def _choose(self, flow: Flow) -> _PathLoad:
        """Find the path on which a flow can expect most."""
        options = [load for load in self._open if load.takes(flow)] or self._open
        first = min(load.order for load in options)
        preferred = [load for load in options if load.order == first]
        if not all(load.is_full or load.has_long_backlog() for load in preferred):
            options = preferred
        if len(options) == 1:
            return options[0]
        proven = max((load.rate() for load in options if load.is_full), default=0.0)

        def expected_share(load: _PathLoad) -> float:
            rate = load.rate() if load.is_full else max(load.rate(), _OPTIMISM * proven)
            return rate / (len(load.flows) + 1)

        # The first of equals: they are sorted by round-trip time.
        return max(options, key=expected_share)

    def _pin(self, flow: Flow, load: _PathLoad) -> None:
        self.release(flow)
        assert load.view is not None
        flow.path_id = load.view.path_id
        load.flows[flow] = None

    def _enter(self, flow: Flow) -> None:
        assert flow.path_id is not None
        self._loads[flow.path_id].ring.add(flow)


def _is_worth_it(donor: _PathLoad, receiver: _PathLoad, *, has_spare: bool) -> bool:
    """Tell whether a bulk flow of one path should go to another one."""
    if not donor.bulk:
        return False
    if not donor.is_full:
        # Nothing presses, but a much better path may have become free.
        need = donor.used_rate / len(donor.bulk)
        return (
            has_spare
            and receiver.measured_rate > _GAIN * donor.rate()
            and min(receiver.prospect(), receiver.measured_rate - receiver.used_rate)
            > _UNFAIRNESS * need
        )
    if len(donor.bulk) == 1:
        # Nothing would be left here, so the other path has to be known to be better.
        return has_spare and receiver.measured_rate > _GAIN * donor.rate()
    if has_spare and (not receiver.bulk or receiver.prospect() > _MIN_SHARE_KEPT * donor.share()):
        return True
    return receiver.order == donor.order and receiver.prospect() > _UNFAIRNESS * donor.share()


def _rested(flows: Iterable[Flow], receiver: _PathLoad, now: Instant) -> Flow | None:
    """Find a flow that was not moved lately and fits another path."""
    for flow in flows:
        if now - flow.moved_at >= REST_SECONDS and receiver.takes(flow):
            return flow
    return None
