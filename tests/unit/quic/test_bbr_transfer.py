"""The model-based controller over links of every kind, beside the one that follows losses."""

from dataclasses import replace

import pytest

from mqvpn_core.quic.congestion.bbr import BbrController, BbrState
from tests.unit.quic.shared_link import MEGABIT, PACKET, Flow, LinkState, SharedLink

RATE = 10 * MEGABIT
CLEAN = LinkState(rate=RATE, delay=0.02, queue_bytes=100_000)
"""Two bandwidth-delay products of queue: 80 ms."""
CELLULAR = LinkState(rate=RATE, delay=0.04, queue_bytes=100_000, loss=0.005, jitter=0.012)
EMPTY_DELAY = CLEAN.delay + PACKET / RATE

pytestmark = pytest.mark.slow


def bbr_of(flow: Flow) -> BbrController:
    controller = flow.recovery.congestion
    assert isinstance(controller, BbrController)
    return controller


def states_of(flow: Flow) -> list[BbrState]:
    """Collect the states that a flow goes through."""
    states: list[BbrState] = []

    def note() -> None:
        state = bbr_of(flow).state
        if not states or states[-1] is not state:
            states.append(state)

    flow.watch = note
    return states


def transfer(state: LinkState, congestion: str, seconds: float, *, nap: float = 0.0) -> Flow:
    link = SharedLink(replace(state))
    flow = link.flow(congestion, nap=nap)
    link.run_until(seconds)
    return flow


class TestCleanLinks:
    @pytest.mark.parametrize("nap", [0.0, 0.005, 0.01])
    def test_fills_the_link_and_leaves_the_queue_empty(self, nap: float) -> None:
        flow = transfer(CLEAN, "bbr", 8.0, nap=nap)
        assert flow.goodput(2.0, 8.0) > 0.96 * RATE
        assert flow.delay(2.0, 8.0, 0.5) < EMPTY_DELAY + max(0.005, 1.5 * nap)
        assert flow.delay(2.0, 8.0, 0.99) < EMPTY_DELAY + 0.025

    def test_the_other_one_fills_the_queue_as_well(self) -> None:
        flow = transfer(CLEAN, "cubic", 8.0)
        assert flow.delay(2.0, 8.0, 0.5) > EMPTY_DELAY + 0.025

    def test_start_up_ends_when_the_rate_stays(self) -> None:
        link = SharedLink(replace(CLEAN, queue_bytes=1_000_000))
        flow = link.flow("bbr")
        states = states_of(flow)
        link.run_until(2.0)
        assert states[:3] == [BbrState.STARTUP, BbrState.DRAIN, BbrState.CRUISE]
        assert flow.lost_count == 0
        assert bbr_of(flow).bandwidth == pytest.approx(RATE, rel=0.03)

    def test_start_up_ends_when_much_is_lost(self) -> None:
        link = SharedLink(replace(CLEAN, queue_bytes=12_000))
        flow = link.flow("bbr")
        states = states_of(flow)
        link.run_until(8.0)
        assert states[:2] == [BbrState.STARTUP, BbrState.DRAIN]
        assert flow.goodput(2.0, 8.0) > 0.9 * RATE
        assert flow.lost_share < 0.04

    def test_start_up_ends_when_a_queue_forms_although_data_lacks(self) -> None:
        link = SharedLink(replace(CLEAN, queue_bytes=1_000_000))
        other = link.flow("bbr", start=0.5)
        other.produces = lambda: 2.0 * RATE
        flow = link.flow("bbr")
        flow.produces = lambda: 0.1 * RATE
        link.run_until(0.4)
        assert bbr_of(flow).state is BbrState.STARTUP
        link.run_until(1.5)
        assert bbr_of(flow).state is not BbrState.STARTUP

    def test_probes_up_down_and_cruises(self) -> None:
        link = SharedLink(replace(CLEAN))
        flow = link.flow("bbr")
        states = states_of(flow)
        link.run_until(12.0)
        cycle = [BbrState.PROBE_UP, BbrState.PROBE_DOWN, BbrState.CRUISE]
        starts = [index for index, state in enumerate(states) if state is BbrState.PROBE_UP]
        assert len(starts) >= 4
        assert all(states[start : start + 3] == cycle for start in starts[:-1])
        # The queue empties by itself: nobody has to hold back to see how short round trips are.
        assert BbrState.PROBE_RTT not in states

    def test_bursts_of_deliveries_do_not_stop_it(self) -> None:
        flow = transfer(replace(CLEAN, delay=0.005, burst_seconds=0.01), "bbr", 6.0)
        assert flow.goodput(2.0, 6.0) > 0.95 * RATE

    def test_naps_longer_than_round_trips_do_not_stop_it(self) -> None:
        flow = transfer(replace(CLEAN, delay=0.0002), "bbr", 4.0, nap=0.01)
        assert flow.goodput(1.0, 4.0) > 0.9 * RATE


class TestRadioLinks:
    @pytest.mark.parametrize("nap", [0.0, 0.005])
    def test_random_loss_and_jitter_cost_little(self, nap: float) -> None:
        model = transfer(CELLULAR, "bbr", 10.0, nap=nap)
        assert model.goodput(3.0, 10.0) > 0.9 * RATE
        assert model.delay(3.0, 10.0, 0.5) < CELLULAR.delay + 0.025
        assert model.lost_share < 0.02

    def test_the_other_one_starves(self) -> None:
        assert transfer(CELLULAR, "cubic", 10.0).goodput(3.0, 10.0) < 0.5 * RATE

    def test_jitter_longer_than_the_queue(self) -> None:
        state = LinkState(rate=RATE, delay=0.015, queue_bytes=60_000, loss=0.005, jitter=0.008)
        flow = transfer(state, "bbr", 10.0)
        assert flow.goodput(3.0, 10.0) > 0.9 * RATE
        assert flow.delay(3.0, 10.0, 0.5) < state.delay + 0.025


class TestChanges:
    def test_a_link_that_becomes_slower(self) -> None:
        link = SharedLink(replace(CLEAN))
        flow = link.flow("bbr")
        link.run_until(4.0)
        link.state.rate = RATE / 4
        link.run_until(9.0)
        assert flow.goodput(6.0, 9.0) > 0.92 * RATE / 4
        assert flow.delay(6.0, 9.0, 0.5) < EMPTY_DELAY + 0.025

    def test_a_link_that_becomes_faster(self) -> None:
        link = SharedLink(replace(CLEAN, rate=RATE / 4))
        flow = link.flow("bbr")
        link.run_until(4.0)
        link.state.rate = RATE
        link.run_until(10.0)
        assert flow.goodput(8.0, 10.0) > 0.92 * RATE

    def test_a_longer_way_is_measured_without_standing_still(self) -> None:
        link = SharedLink(replace(CLEAN))
        flow = link.flow("bbr")
        states = states_of(flow)
        link.run_until(3.0)
        link.state.delay = 0.06
        link.run_until(12.0)
        assert BbrState.PROBE_RTT in states
        assert flow.goodput(8.0, 12.0) > 0.9 * RATE
        gaps = [
            later - earlier
            for (earlier, _), (later, _) in zip(flow.deliveries, flow.deliveries[1:], strict=False)
            if earlier > 3.5
        ]
        # Half a window goes on: never a whole round trip of silence.
        assert max(gaps) < 0.12

    def test_an_outage_makes_it_start_anew(self) -> None:
        link = SharedLink(replace(CLEAN))
        flow = link.flow("bbr")
        states = states_of(flow)
        link.run_until(3.0)
        link.state.rate = 0.0
        link.run_until(5.0)
        link.state.rate = RATE
        states.clear()
        link.run_until(10.0)
        assert BbrState.STARTUP in states
        assert flow.goodput(7.5, 10.0) > 0.95 * RATE

    def test_after_silence_it_goes_on_at_its_rate_without_a_burst(self) -> None:
        link = SharedLink(replace(CLEAN))
        flow = link.flow("bbr")
        link.run_until(3.0)
        flow.produces = lambda: 1.0
        link.run_until(18.0)
        lost = flow.lost_count
        flow.produces = None
        link.at(link.now, flow._wake)
        link.run_until(20.0)
        assert flow.goodput(18.3, 20.0) > 0.9 * RATE
        assert flow.lost_count == lost

    def test_a_slow_application_keeps_what_is_known(self) -> None:
        link = SharedLink(replace(CLEAN))
        flow = link.flow("bbr")
        link.run_until(3.0)
        known = bbr_of(flow).bandwidth
        assert known is not None
        flow.produces = lambda: 0.1 * RATE
        link.run_until(12.0)
        assert flow.goodput(4.0, 12.0) == pytest.approx(0.1 * RATE, rel=0.05)
        assert bbr_of(flow).bandwidth == pytest.approx(known, rel=0.05)


class TestCompany:
    @pytest.mark.parametrize("queue_bytes", [25_000, 50_000, 200_000])
    def test_shares_with_the_other_kind(self, queue_bytes: int) -> None:
        link = SharedLink(replace(CLEAN, queue_bytes=queue_bytes))
        model, losses = link.flow("bbr"), link.flow("cubic", start=2.0)
        link.run_until(18.0)
        shares = [flow.goodput(8.0, 18.0) / RATE for flow in (model, losses)]
        assert sum(shares) > 0.92
        assert min(shares) > 0.18

    def test_shares_with_its_own_kind(self) -> None:
        link = SharedLink(replace(CLEAN))
        flows = [link.flow("bbr"), link.flow("bbr", start=2.0)]
        link.run_until(18.0)
        shares = [flow.goodput(10.0, 18.0) / RATE for flow in flows]
        assert sum(shares) > 0.94
        assert min(shares) > 0.3
