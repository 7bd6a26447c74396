"""Which path each inner flow stays on: shares by rate, few and gentle moves.

An inner TCP takes packets that overtake each other for losses, so a flow keeps its path while that
is healthy. Paths are filled by having flows on them in proportion to what they carry; when that
goes wrong one flow at a time is moved, and never the same one twice in a few seconds.
"""

from collections.abc import Callable, Iterable, Sequence

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.datagram_queue import Flow, FlowRing
from mqvpn_core.quic.path_view import PathView

REVIEW_SECONDS = 0.5
"""Between two looks at how the paths are used; at most one flow is moved each time."""
REST_SECONDS = 5.0
"""A flow that was moved stays where it is for so long."""

_MEASUREMENT_SECONDS = 60.0
_LONG_BACKLOG_SECONDS = 0.1
_SINGLE_FLOW_GAIN = 1.25
_UNFAIRNESS = 2.0
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
        self.view: PathView | None = None
        """As of the last call; None when it may not carry datagrams."""
        self.is_full = False
        """Something waited for it all the time between the last two looks."""
        self.measured_rate = 0.0
        """Bytes per second that it carried while it was full; 0 when it never was."""
        self._measured_at = Instant(float("-inf"))
        self._taken_before = 0

    def review(self, elapsed: float, now: Instant) -> None:
        """Draw conclusions from the time since the last look."""
        rate = (self.ring.taken_bytes - self._taken_before) / elapsed
        self._taken_before = self.ring.taken_bytes
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

    def has_long_backlog(self) -> bool:
        """More waits than it sends in a while."""
        return self.ring.waiting_bytes > self.rate() * _LONG_BACKLOG_SECONDS

    @property
    def flow_count(self) -> int:
        """How many flows are pinned to it."""
        return len(self.flows)

    def movable(self, now: Instant) -> list[Flow]:
        """Flows that want more than they get and have rested since they were moved."""
        return [flow for flow in self.ring.flows if _has_rested(flow, now)]


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
        return {path_id: load.flow_count for path_id, load in self._loads.items()}

    def ring(self, path_id: PathId) -> FlowRing | None:
        """Flows of a path that have something to send, None when it never had any."""
        load = self._loads.get(path_id)
        return None if load is None else load.ring

    def follow(self, views: Sequence[PathView], now: Instant) -> None:
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
            for flow in load.ring.take_all():
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
        full = [load for load in self._open if load.is_full]
        spare = [load for load in self._open if not load.is_full and _has_budget(load)]
        primaries = [load for load in self._open if _is_primary(load)]
        if any(not load.is_full for load in primaries):
            # Only what primaries have no room for may be on a secondary.
            receivers = [load for load in spare if _is_primary(load)]
            guests = [load for load in self._open if not _is_primary(load)]
            flows = [flow for load in guests for flow in load.flows if _has_rested(flow, now)]
            found = _that_fits(flows, receivers)
            if found is not None:
                return found
            spare = receivers
        for donor in sorted(full, key=_share):
            flows = donor.movable(now)
            for receiver in sorted(spare, key=_prospect, reverse=True):
                if _is_worth_it(donor, receiver, len(flows)):
                    found = _that_fits(flows, [receiver])
                    if found is not None:
                        return found
        return self._find_fairer(full, now)

    def _find_fairer(self, full: list[_PathLoad], now: Instant) -> tuple[Flow, _PathLoad] | None:
        """Decide whether a flow gets far less than it would on another path, also full."""
        for donor in sorted(full, key=_share):
            flows = donor.movable(now)
            if len(donor.ring.flows) < 2:  # noqa: PLR2004 - the last flow gets all there is
                continue
            for receiver in full:
                if _prospect(receiver) > _UNFAIRNESS * _share(donor) and (
                    _order(receiver) == _order(donor)
                ):
                    found = _that_fits(flows, [receiver])
                    if found is not None:
                        return found
        return None

    def _choose(self, flow: Flow) -> _PathLoad:
        """Find the path on which a flow can expect most."""
        options = [load for load in self._open if _takes(load, flow)] or self._open
        first = min(_order(load) for load in options)
        preferred = [load for load in options if _order(load) == first]
        if not all(load.is_full or load.has_long_backlog() for load in preferred):
            options = preferred
        if len(options) == 1:
            return options[0]
        proven = max((load.rate() for load in options if load.is_full), default=0.0)

        def expected_share(load: _PathLoad) -> float:
            rate = load.rate() if load.is_full else max(load.rate(), _OPTIMISM * proven)
            return rate / (load.flow_count + 1)

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


def _order(load: _PathLoad) -> int:
    assert load.view is not None
    return load.view.use_order


def _is_primary(load: _PathLoad) -> bool:
    return _order(load) == 0


def _has_budget(load: _PathLoad) -> bool:
    assert load.view is not None
    return load.view.send_budget >= load.view.max_packet_bytes


def _takes(load: _PathLoad, flow: Flow) -> bool:
    """Tell whether the next datagram of a flow fits a packet of a path."""
    assert load.view is not None
    if not flow.items:
        return True
    prefix, payload = flow.items[0]
    return len(prefix) + len(payload) < load.view.frame_capacity


def _share(load: _PathLoad) -> float:
    """What each flow of a path gets."""
    return load.rate() / max(load.flow_count, 1)


def _prospect(load: _PathLoad) -> float:
    """What one flow more would get."""
    return load.rate() / (load.flow_count + 1)


def _is_worth_it(donor: _PathLoad, receiver: _PathLoad, movable_count: int) -> bool:
    """Tell whether a flow of a full path should go to one that has room."""
    if len(donor.ring.flows) == 1:
        # Nothing would be left here, so the other path has to be known to be better.
        return receiver.measured_rate > _SINGLE_FLOW_GAIN * donor.rate()
    if not movable_count:
        return False
    return not receiver.flow_count or _prospect(receiver) > _MIN_SHARE_KEPT * _share(donor)


def _has_rested(flow: Flow, now: Instant) -> bool:
    return now - flow.moved_at >= REST_SECONDS


def _that_fits(
    flows: Iterable[Flow], receivers: Sequence[_PathLoad]
) -> tuple[Flow, _PathLoad] | None:
    for flow in flows:
        for receiver in receivers:
            if _takes(receiver, flow):
                return flow, receiver
    return None
