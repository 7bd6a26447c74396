"""Recovery under random sending, acknowledging, waiting and migrating."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mqvpn_core.ids import Instant
from mqvpn_core.quic.congestion import CONGESTION_CONTROLLERS
from mqvpn_core.quic.congestion.base import minimum_window
from mqvpn_core.quic.packet_spaces import SentPackets, SentRun
from mqvpn_core.quic.recovery import PathRecovery

SIZES = (1200, 1452, 9000)


class RecoveryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.sent = SentPackets()
        self.size = 1200
        self.congestion = "cubic"
        self.recovery = self.make_recovery(0)
        self.outstanding: dict[int, tuple[int, int]] = {}
        """Number -> (generation, bytes in flight) of what has no fate yet."""

    @initialize(congestion=st.sampled_from(sorted(CONGESTION_CONTROLLERS)))
    def choose(self, congestion: str) -> None:
        self.congestion = congestion
        self.recovery = self.make_recovery(0)

    def make_recovery(self, generation: int) -> PathRecovery:
        return PathRecovery(
            generation=generation,
            congestion=self.congestion,
            max_datagram_size=self.size,
            initial_rtt=0.333,
            max_ack_delay=0.025,
        )

    def settle(self, runs: list[SentRun]) -> None:
        """Every packet has one fate."""
        for run in runs:
            for number in range(run.first, run.stop):
                generation, _ = self.outstanding.pop(number)
                assert generation == run.generation

    @rule(
        count=st.integers(1, 40),
        last=st.integers(30, 1200),
        kind=st.sampled_from(["data", "data", "data", "ack", "probe"]),
    )
    def send(self, count: int, last: int, kind: str) -> None:
        if kind != "data":
            count = 1
        run = SentRun(
            first=self.sent.reserve(count),
            count=count,
            sent_at=Instant(self.now),
            packet_bytes=1200 if count > 1 else last,
            total_bytes=1200 * (count - 1) + last,
            ack_eliciting=kind != "ack",
            in_flight=kind != "ack",
            generation=self.recovery.generation,
            is_probe_of_mtu=last if kind == "probe" else 0,
        )
        self.sent.record(run)
        self.recovery.on_run_sent(run, Instant(self.now))
        for number in range(run.first, run.stop):
            size = last if number == run.stop - 1 else 1200
            self.outstanding[number] = (run.generation, size if run.in_flight else 0)

    @rule(data=st.data(), delay=st.floats(0, 10), ce=st.none() | st.integers(0, 50))
    def acknowledge(self, data: st.DataObject, delay: float, ce: int | None) -> None:
        if self.sent.largest_sent < 0:
            return
        edges = data.draw(
            st.lists(st.integers(0, self.sent.largest_sent), min_size=1, max_size=8, unique=True)
        )
        edges.sort(reverse=True)
        if len(edges) % 2:
            edges.append(edges[-1])
        ranges = [(edges[i + 1], edges[i]) for i in range(0, len(edges), 2)]
        ecn = None if ce is None else (0, 0, ce)
        outcome = self.recovery.on_ack(self.sent, ranges, delay, ecn, Instant(self.now))
        self.settle(outcome.acked)
        self.settle(outcome.lost)

    @rule(seconds=st.sampled_from([0.0, 0.0001, 0.01, 0.5, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def time_out(self) -> None:
        due = self.recovery.next_timeout(self.sent, handshake_confirmed=True)
        if due is None:
            return
        self.now = max(self.now, due)
        outcome = self.recovery.on_timeout(self.sent, Instant(self.now))
        assert outcome.lost or outcome.probe_count, "the timer expired in vain"
        self.settle(outcome.lost)

    @rule()
    def migrate(self) -> None:
        self.recovery = self.make_recovery(self.recovery.generation + 1)

    @rule(size=st.sampled_from(SIZES))
    def change_packet_size(self, size: int) -> None:
        self.size = size
        self.recovery.set_max_datagram_size(size)

    @rule()
    def run_out_of_data(self) -> None:
        self.recovery.on_application_limited()

    @rule()
    def discard(self) -> None:
        runs = self.sent.forget_all()
        self.settle(runs)
        self.recovery.forget(runs)
        assert self.outstanding == {}

    @invariant()
    def flight_is_the_sum_of_what_is_outstanding(self) -> None:
        generation = self.recovery.generation
        own = [size for owner, size in self.outstanding.values() if owner == generation]
        assert self.recovery.bytes_in_flight == sum(own)

    @invariant()
    def the_window_never_closes(self) -> None:
        window = self.recovery.congestion.congestion_window
        assert window >= minimum_window(self.size)
        room = max(0, window - self.recovery.bytes_in_flight)
        assert 0 <= self.recovery.send_budget(Instant(self.now)) <= room

    @invariant()
    def an_unanswered_packet_has_a_timer(self) -> None:
        due = self.recovery.next_timeout(self.sent, handshake_confirmed=True)
        assert (due is not None) or not self.sent.ack_eliciting_in_flight

    @invariant()
    def pacing_lets_go_eventually(self) -> None:
        later = self.recovery.next_pacing_time(Instant(self.now))
        if later is not None:
            assert self.now < later < self.now + 60.0


@pytest.mark.slow
def test_recovery_keeps_its_promises() -> None:
    run_state_machine_as_test(RecoveryMachine)
