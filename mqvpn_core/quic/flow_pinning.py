"""Which path each inner flow stays on: shares by rate, few and gentle moves.

An inner TCP takes packets that overtake each other for losses, so a flow keeps its path while that
is healthy. Paths are filled by having flows on them in proportion to what they carry; when that
goes wrong one flow at a time is moved, and never the same one twice in a few seconds.
"""

from collections.abc import Callable, Iterable, Sequence

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.carrier_view import CarrierView
from mqvpn_core.quic.datagram_queue import Flow, FlowRing
from mqvpn_core.quic.path_load import MUCH_WORK, PathLoad
from mqvpn_core.quic.path_trial import LARGEST_RATE, PathTrial

REVIEW_SECONDS = 0.5
"""Between two looks at how the paths are used; at most one flow is moved each time."""
REST_SECONDS = 5.0
"""A flow that was moved stays where it is for so long."""
SHORT_REST_SECONDS = 1.0
"""The same of one that wanted little when it was moved: it may turn out to want all it can get."""

SETTLING_SECONDS = 0.75
"""A path has to work for so long before flows that are elsewhere are moved to it."""

_EXPLORATION_SECONDS = 600.0
_GAIN = 1.25
_GAIN_ALONE = 1.15
_GAIN_FAR = 1.5
_UNFAIRNESS = 1.5
_MARGIN = 1.3
# Bytes per second: less is what acknowledges a download, or a call.
_WORTH_A_TRIAL = 125_000.0
_MIN_SHARE_KEPT = 0.25
_MUCH_FASTER = 0.7
_NOTICEABLE_SECONDS = 0.005


class FlowPinning:
    """Pins flows to paths and keeps a ring of them for each path.

    Reads: ``flow_counts``, ``ring``, ``tried_path``. Writes: ``follow`` the paths, ``place`` a flow
    that has something to send, ``release``, ``review`` now and then, ``forget_path``.
    """

    def __init__(self, make_ring: Callable[[], FlowRing]) -> None:
        self._make_ring = make_ring
        self._loads: dict[PathId, PathLoad] = {}
        self._open: list[PathLoad] = []
        self._trial: PathTrial | None = None
        self._reviewed_at: Instant | None = None

    @property
    def flow_counts(self) -> dict[PathId, int]:
        """How many flows are pinned to each path."""
        return {path_id: len(load.flows) for path_id, load in self._loads.items()}

    @property
    def tried_path(self) -> PathId | None:
        """The path that has to be filled with padding to learn what it carries, if there is one."""
        return None if self._trial is None else self._trial.path_id

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
        demoted: list[PathLoad] = []
        for view in views:
            load = self._loads.get(view.path_id)
            if load is None:
                load = self._loads[view.path_id] = PathLoad(self._make_ring())
            if load.view is not None and load.view.use_order < view.use_order:
                demoted.append(load)
            load.open(view, now)
            self._open.append(load)
        for load in open_before:
            if load not in self._open:
                load.shut()
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
            load.let_go(flow)
        flow.path_id = None

    def forget_path(self, path_id: PathId) -> list[Flow]:
        """Drop what is known of a path that is gone; return its flows, which are in no ring."""
        if path_id == self.tried_path:
            self._trial = None
        load = self._loads.pop(path_id, None)
        if load is None:
            return []
        self._open = [other for other in self._open if other is not load]
        for flow in load.flows:
            flow.path_id = None
        return load.ring.take_all()

    def review(self, now: Instant) -> None:
        """Look at the paths, if it is time to, and move flows if that helps.

        One of those that want all they can get at most, and those that want little to where they
        are much faster.
        """
        if self._trial is not None:
            self._follow_trial(self._trial, now)
        if self._reviewed_at is None or now - self._reviewed_at < REVIEW_SECONDS:
            return
        elapsed = now - self._reviewed_at
        self._reviewed_at = now
        for load in self._open:
            load.review(elapsed, now)
        if len(self._open) > 1:
            found = self._find_move(now)
            if found is not None:
                self._move(*found, Instant(now + REST_SECONDS))
            else:
                self._gather(now)
            self._bring_home(now)

    def _move(self, flow: Flow, receiver: PathLoad, rests_until: Instant) -> None:
        ring = flow.ring
        if ring is not None:
            ring.remove(flow)
        flow.rests_until = rests_until
        self._pin(flow, receiver)
        if ring is not None:
            self._enter(flow)

    def _find_move(self, now: Instant) -> tuple[Flow, PathLoad] | None:
        """Decide which flow would be better off on which path."""
        spare = [
            load
            for load in self._open
            if load.has_spare() and now - load.opened_at >= SETTLING_SECONDS
        ]
        if any(load.is_primary and not load.is_full for load in self._open):
            # Only what primaries have no room for may be on a secondary.
            spare = [load for load in spare if load.is_primary]
            guests = [load for load in self._open if not load.is_primary]
            for load in guests if spare else ():
                flow = _rested([*load.bulk, *load.flows], spare[0], now)
                if flow is not None:
                    return flow, spare[0]
        for donor in sorted(self._open, key=PathLoad.share):
            for receiver in sorted(self._open, key=PathLoad.prospect, reverse=True):
                if receiver is not donor and _is_worth_it(
                    donor, receiver, has_spare=receiver in spare
                ):
                    flow = _rested(donor.bulk, receiver, now)
                    if flow is not None:
                        return flow, receiver
        return self._find_exploration(spare, now)

    def _gather(self, now: Instant) -> None:
        """Put flows together on one path if that has plenty of room for all of them.

        Then the machines are the limit and not the paths, and they have less to do with one: every
        path has sockets, acknowledgements and books of its own.
        """
        used = [load for load in self._open if load.bulk]
        if len(used) < 2:  # noqa: PLR2004 - nothing to put together
            return
        receiver = max(used, key=lambda load: load.used_rate)
        total_rate = sum(load.used_rate for load in used)
        if total_rate < MUCH_WORK or not receiver.is_ample_for(total_rate):
            return
        for donor in used:
            if donor.order == receiver.order and not _is_much_nearer(donor, receiver):
                for flow in donor.bulk:
                    if donor is not receiver and _rested([flow], receiver, now) is not None:
                        self._move(flow, receiver, Instant(now + SHORT_REST_SECONDS))

    def _find_exploration(
        self, unused: Sequence[PathLoad], now: Instant
    ) -> tuple[Flow, PathLoad] | None:
        """Decide which flow shall find out what a path carries of which nobody knows it.

        Without that a link that came back would stay empty for as long as the flows last that had
        to leave it. When it turns out to be worse than the other one, it is proven, and the
        ordinary rules bring the flow back.
        """
        for receiver in unused:
            if (
                receiver.is_proven
                or receiver.bulk
                or now - receiver.explored_at < _EXPLORATION_SECONDS
            ):
                continue
            for donor in self._open:
                if donor is receiver or donor.order != receiver.order or not donor.bulk:
                    continue
                if len(donor.bulk) == 1:
                    # Who is alone on a good path loses more by a bad choice than a good one brings.
                    self._try(receiver, donor, now)
                    continue
                is_crowded = (
                    donor.used_rate > donor.comfortable_rate()
                    and not donor.is_beyond_need
                    and receiver.hoped_rate(donor.rate()) > donor.share()
                )
                if is_crowded or _is_much_nearer(receiver, donor):
                    flow = _rested(donor.bulk, receiver, now)
                    if flow is not None:
                        receiver.explored_at = now
                        return flow, receiver
        return None

    def _try(self, receiver: PathLoad, donor: PathLoad, now: Instant) -> None:
        """Let padding find out whether a flow that has a path to itself would fare better."""
        assert receiver.view is not None
        if self._trial is not None or donor.used_rate < _WORTH_A_TRIAL:
            return
        wanted_rate = _rate_to_leave_for(donor, receiver)
        if wanted_rate is None and _is_much_nearer(receiver, donor):
            wanted_rate = _GAIN_ALONE * donor.used_rate
        if wanted_rate is None and donor.is_queued:
            # It seems far, but an idle path has few samples; those of the trial will tell better.
            wanted_rate = _GAIN_FAR * donor.potential_rate()
        if wanted_rate is None:
            return
        wanted_rate *= _MARGIN
        if receiver.demonstrated_rate < wanted_rate <= LARGEST_RATE:
            receiver.explored_at = now
            self._trial = PathTrial(receiver.view, wanted_rate=wanted_rate, now=now)

    def _follow_trial(self, trial: PathTrial, now: Instant) -> None:
        load = self._loads.get(trial.path_id)
        if load is None or load not in self._open:
            self._trial = None
            return
        assert load.view is not None
        trial.follow(load.view, now)
        if trial.is_over:
            load.note_trial(trial.rate, now)
            self._trial = None

    def _bring_home(self, now: Instant) -> None:
        """Move what wants little, but soon, to the fastest path."""
        ready = [
            load
            for load in self._open
            if now - load.opened_at >= SETTLING_SECONDS
            and not load.is_full
            and not load.has_long_backlog()
        ]
        if not ready:
            return
        best = min(ready, key=lambda load: (load.order, load.round_trip))
        for load in self._open:
            if load.order == best.order and _is_much_faster(best, load):
                for flow in [flow for flow in load.flows if flow not in load.contenders]:
                    if _rested([flow], best, now) is not None:
                        self._move(flow, best, Instant(now + SHORT_REST_SECONDS))
                        # It wants little: new flows need not keep away from it.
                        best.contenders.pop(flow, None)

    def _choose(self, flow: Flow) -> PathLoad:
        """Find the path on which a flow can expect most."""
        options = [load for load in self._open if load.takes(flow)] or self._open
        first = min(load.order for load in options)
        preferred = [load for load in options if load.order == first]
        if not all(load.is_full or load.has_long_backlog() for load in preferred):
            options = preferred
        if len(options) == 1:
            return options[0]
        nearest = min(options, key=lambda load: load.distance)
        ample = [load for load in options if load.is_beyond_need]
        if ample and not _is_much_nearer(nearest, ample[0]):
            return max(ample, key=lambda load: load.demonstrated_rate)
        best_rate = max(load.rate() for load in options)
        has_room = nearest.used_rate <= nearest.comfortable_rate()

        def expected_share(load: PathLoad) -> float:
            # With room nearby, far away is no place to begin in the mere hope that it carries much.
            is_far = has_room and _is_much_nearer(nearest, load)
            rate = load.rate() if is_far else load.hoped_rate(best_rate)
            return rate / (len(load.contenders) + 1)

        # The first of equals: they are sorted by round-trip time.
        return max(options, key=expected_share)

    def _pin(self, flow: Flow, load: PathLoad) -> None:
        self.release(flow)
        assert load.view is not None
        flow.path_id = load.view.path_id
        load.take_in(flow)

    def _enter(self, flow: Flow) -> None:
        assert flow.path_id is not None
        self._loads[flow.path_id].ring.add(flow)


def _is_worth_it(donor: PathLoad, receiver: PathLoad, *, has_spare: bool) -> bool:
    """Tell whether a bulk flow of one path should go to another one."""
    if not donor.bulk:
        return False
    is_alone = len(donor.bulk) == 1
    if is_alone and has_spare:
        # Nothing would be left here, so the other path has to be known to be better.
        needed_rate = _rate_to_leave_for(donor, receiver)
        free_rate = receiver.demonstrated_rate - receiver.used_rate
        if needed_rate is not None and free_rate > needed_rate:
            return True
    if not donor.is_full:
        # Nothing presses, but a much better path may have become free.
        need = donor.used_rate / len(donor.bulk)
        carries_more = (
            receiver.measured_rate > _GAIN * donor.rate()
            and min(receiver.prospect(), receiver.measured_rate - receiver.used_rate)
            > _UNFAIRNESS * need
        )
        is_nearer = (
            _is_much_nearer(receiver, donor)
            and receiver.used_rate + need < receiver.comfortable_rate()
        )
        return has_spare and (carries_more or is_nearer)
    if is_alone:
        return False
    if has_spare and (not receiver.bulk or receiver.prospect() > _MIN_SHARE_KEPT * donor.share()):
        return True
    return receiver.order == donor.order and receiver.prospect() > _UNFAIRNESS * donor.share()


def _rate_to_leave_for(donor: PathLoad, receiver: PathLoad) -> float | None:
    """Say what a path has to carry for a flow to leave the one that it has alone, if anything.

    Where round trips take longer, its window is too small at first and takes seconds to grow.
    """
    if donor.is_pressed:
        is_far = _is_noticeable(donor.round_trip, receiver.distance)
        return (_GAIN_FAR if is_far else _GAIN_ALONE) * donor.potential_rate()
    if donor.is_queued and not _is_much_nearer(donor, receiver):
        # It may be a flow that has all it wants, as what acknowledges a download; no harm then.
        return _GAIN_ALONE * donor.potential_rate()
    return None


def _is_much_faster(one: PathLoad, other: PathLoad) -> bool:
    """Tell whether a person would notice that round trips take longer on the other path now."""
    return _is_noticeable(one.round_trip, other.round_trip)


def _is_much_nearer(one: PathLoad, other: PathLoad) -> bool:
    """Tell the same of paths whose queues are empty: a flow that moves takes its queue along."""
    return _is_noticeable(one.distance, other.distance)


def _is_noticeable(shorter: float, longer: float) -> bool:
    return shorter < _MUCH_FASTER * longer and longer - shorter > _NOTICEABLE_SECONDS


def _rested(flows: Iterable[Flow], receiver: PathLoad, now: Instant) -> Flow | None:
    """Find a flow that was not moved lately and fits another path."""
    for flow in flows:
        if now >= flow.rests_until and receiver.takes(flow):
            return flow
    return None
