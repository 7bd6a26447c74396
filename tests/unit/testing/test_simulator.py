"""The simulator: routing, timers, faults, goals, and the same trace for the same seed."""

from collections.abc import Sequence

import pytest
from typing_extensions import override

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.link_elements import (
    SIMULATION_START,
    Delay,
    Duplicate,
    Jitter,
    Loss,
    RateLimit,
    UdpDatagram,
)
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.nat import Nat, Rebinding
from mqvpn_core.testing.simulator import (
    LiveLockError,
    Node,
    SimulationError,
    SimulationStalledError,
    Simulator,
)

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)
TO_SERVER = FourTuple(CLIENT, SERVER)


class IdleNode(Node):
    """Receives, and does nothing of its own accord."""

    def __init__(self) -> None:
        self.received: list[tuple[float, ReceivedDatagrams]] = []
        self.outbox: list[Transmit] = []
        self.timeout: Instant | None = None

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self.received.append((round(now - SIMULATION_START, 9), batch))

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.timeout = None

    @override
    def transmits(self, now: Instant) -> Sequence[Transmit]:
        outbox, self.outbox = self.outbox, []
        return outbox

    @override
    def next_timeout(self) -> Instant | None:
        return self.timeout

    @override
    def handle_events(self, now: Instant) -> int:
        return 0

    def queue(self, data: bytes, segment_size: int | None = None) -> None:
        size = segment_size or len(data)
        self.outbox.append(Transmit(four_tuple=TO_SERVER, data=data, segment_size=size, ecn=2))


class Echo(IdleNode):
    """Answers every datagram with its bytes."""

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        super().receive_datagrams(batch, now)
        self.outbox.append(
            Transmit(
                four_tuple=batch.four_tuple,
                data=bytes(batch.data),
                segment_size=batch.segment_size,
                ecn=0,
            )
        )


class Ticker(IdleNode):
    """Sends a numbered datagram every 10 ms, a fixed number of times."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.timeout = Instant(SIMULATION_START + 0.01)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.count -= 1
        self.queue(b"%04d" % self.count)
        self.timeout = Instant(now + 0.01) if self.count else None


class StuckTimer(IdleNode):
    """Asks to be woken at once, for ever."""

    @override
    def next_timeout(self) -> Instant | None:
        return SIMULATION_START


class Chatterbox(IdleNode):
    """Always has one more thing to send."""

    @override
    def transmits(self, now: Instant) -> Sequence[Transmit]:
        return [Transmit(four_tuple=TO_SERVER, data=b"x", segment_size=1, ecn=0)]


class Crashing(IdleNode):
    """Has a bug."""

    @override
    def handle_events(self, now: Instant) -> int:
        raise ZeroDivisionError


def two_hosts(
    client: IdleNode, server: IdleNode, wifi: Link | None = None, *, seed: int = 1
) -> Simulator:
    simulator = Simulator(seed)
    wifi = wifi or Link("wifi", CLIENT.host, [Delay(0.01)])
    simulator.add_host("client", client, [wifi])
    simulator.add_host("server", server, [Link("eth0", SERVER.host, [Delay(0.005)])])
    return simulator


def test_a_datagram_crosses_both_links() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    client.queue(b"hello")
    simulator.run_until(lambda: bool(server.received), limit=1)
    expected = ReceivedDatagrams(FourTuple(SERVER, CLIENT), b"hello", 5, 2)
    assert server.received == [(0.015, expected)]


def test_segments_of_one_transmit_arrive_as_one_batch() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    client.queue(b"aaaabbbbcc", segment_size=4)
    simulator.run_for(1)
    assert [batch.data for _, batch in server.received] == [b"aaaabbbbcc"]
    assert server.received[0][1].segment_size == 4
    assert simulator.sent_count == 3


def test_a_shorter_segment_ends_a_batch() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    for data in (b"aaaa", b"bb", b"cccc", b"ddddd"):
        client.queue(data)
    simulator.run_for(1)
    assert [batch.data for _, batch in server.received] == [b"aaaabb", b"cccc", b"ddddd"]


def test_no_batch_exceeds_what_a_socket_returns() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    client.queue(bytes(40 * 1400), segment_size=1400)
    client.queue(bytes(40 * 1400), segment_size=1400)
    client.queue(bytes(200), segment_size=2)
    simulator.run_for(1)
    batches = [batch for _, batch in server.received]
    assert [len(batch.data) for batch in batches] == [64_400, 47_602, 128, 70]


def test_an_answer_finds_its_way_back_through_the_nat() -> None:
    client, server = IdleNode(), Echo()
    nat = Nat("203.0.113.1", (Rebinding(1.0, "203.0.113.9"),))
    simulator = two_hosts(client, server, Link("wifi", CLIENT.host, [nat, Delay(0.01)]))
    client.queue(b"one")
    simulator.run_for(1.5)
    client.queue(b"two")
    simulator.run_for(1.0)
    assert [batch.four_tuple.remote.host for _, batch in server.received] == [
        "203.0.113.1",
        "203.0.113.9",
    ]
    assert [batch.data for _, batch in client.received] == [b"one", b"two"]
    assert {batch.four_tuple for _, batch in client.received} == {TO_SERVER}


def test_several_links_of_one_host_are_told_apart_by_address() -> None:
    client, server = IdleNode(), Echo()
    simulator = Simulator(1)
    lte = SocketAddress("10.1.0.2", 5001)
    links = [Link("wifi", CLIENT.host, [Delay(0.01)]), Link("lte", lte.host, [Delay(0.1)])]
    simulator.add_host("client", client, links)
    simulator.add_host("server", server, [Link("eth0", SERVER.host)])
    for local in (CLIENT, lte):
        client.outbox.append(
            Transmit(four_tuple=FourTuple(local, SERVER), data=b"x", segment_size=1, ecn=0)
        )
    simulator.run_for(1)
    arrivals = [(time, batch.four_tuple.local) for time, batch in client.received]
    assert arrivals == [(0.02, CLIENT), (0.2, lte)]


def test_a_link_that_is_down_carries_nothing_and_comes_back() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    link = simulator.link("client", "wifi")

    def set_up(is_up: bool) -> None:
        link.is_up = is_up

    simulator.at(1.0, "wifi goes down", lambda: set_up(False))
    simulator.at(1.5, "client sends", lambda: client.queue(b"lost"))
    simulator.at(2.0, "wifi comes up", lambda: set_up(True))
    simulator.at(2.5, "client sends", lambda: client.queue(b"kept"))
    simulator.run_for(4)
    assert [batch.data for _, batch in server.received] == [b"kept"]
    assert "lost: wifi is down" in simulator.trace.last_lines()


def test_a_link_may_change_while_datagrams_fly() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    simulator.link("client", "wifi").replace([Delay(0.5)])
    client.queue(b"slow")
    simulator.run_for(1)
    assert server.received[0][0] == 0.505


def test_what_has_no_route_or_no_link_is_lost() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    nowhere = FourTuple(CLIENT, SocketAddress("198.51.100.1", 1))
    foreign = FourTuple(SocketAddress("10.9.9.9", 1), SERVER)
    for four_tuple in (nowhere, foreign):
        client.outbox.append(Transmit(four_tuple=four_tuple, data=b"x", segment_size=1, ecn=0))
    simulator.run_for(1)
    assert not server.received
    lines = simulator.trace.last_lines()
    assert "no route" in lines
    assert "no such link" in lines


def test_injected_datagrams_arrive_from_anyone() -> None:
    client, server = IdleNode(), IdleNode()
    simulator = two_hosts(client, server)
    forged = SocketAddress("198.51.100.7", 7)
    simulator.inject(UdpDatagram(forged, SERVER, b"boo", 0))
    simulator.run_for(1)
    assert server.received[0][1].four_tuple == FourTuple(SERVER, forged)


def test_a_replaced_node_starts_with_nothing() -> None:
    client, old, new = IdleNode(), IdleNode(), IdleNode()
    simulator = two_hosts(client, old)
    simulator.replace_node("server", new)
    client.queue(b"x")
    simulator.run_for(1)
    assert not old.received
    assert len(new.received) == 1


def test_timers_fire_at_their_time() -> None:
    client, server = Ticker(3), IdleNode()
    simulator = two_hosts(client, server)
    simulator.run_until_quiet(quiet=1, limit=10)
    assert [time for time, _ in server.received] == [0.025, 0.035, 0.045]


def test_a_goal_that_cannot_be_reached_is_a_stall() -> None:
    simulator = two_hosts(IdleNode(), IdleNode(), seed=77)
    with pytest.raises(SimulationStalledError) as caught:
        simulator.run_until(lambda: False, limit=5)
    assert "MQVPN_SIM_SEED=77" in "".join(caught.value.__notes__)


def test_a_goal_that_comes_too_late_is_a_stall() -> None:
    server = IdleNode()
    simulator = two_hosts(Ticker(100), server)
    with pytest.raises(SimulationStalledError):
        simulator.run_until(lambda: len(server.received) == 100, limit=0.5)
    simulator.run_until(lambda: len(server.received) == 100, limit=1)


def test_endless_sending_is_not_quiet() -> None:
    simulator = two_hosts(Ticker(10_000), IdleNode())
    with pytest.raises(SimulationStalledError, match="still sending"):
        simulator.run_until_quiet(quiet=0.5, limit=2)


def test_a_timer_that_never_moves_is_a_live_lock() -> None:
    simulator = two_hosts(StuckTimer(), IdleNode())
    with pytest.raises(LiveLockError, match="turns in which nothing was done"):
        simulator.run_for(1)
    assert simulator.elapsed < 0.001


def test_a_node_that_never_stops_sending_is_a_live_lock() -> None:
    simulator = two_hosts(Chatterbox(), IdleNode())
    with pytest.raises(LiveLockError, match="never stops"):
        simulator.run_for(1)


def test_a_malformed_transmit_is_refused() -> None:
    client = IdleNode()
    simulator = two_hosts(client, IdleNode())
    client.outbox.append(Transmit(four_tuple=TO_SERVER, data=b"", segment_size=1, ecn=0))
    with pytest.raises(SimulationError, match="wrong sizes"):
        simulator.run_for(1)


def test_a_bug_in_a_node_is_reported_once_with_the_seed() -> None:
    simulator = two_hosts(Crashing(), IdleNode(), seed=5)
    with pytest.raises(ZeroDivisionError) as caught:
        simulator.run_until_quiet(quiet=1, limit=2)
    assert len([note for note in caught.value.__notes__ if "MQVPN_SIM_SEED=5" in note]) == 1


def test_checks_run_after_every_turn_and_taps_see_every_datagram() -> None:
    client, server = Ticker(2), IdleNode()
    simulator = two_hosts(client, server)
    checks: list[float] = []
    seen: list[str] = []
    simulator.add_check(lambda: checks.append(simulator.elapsed))
    simulator.add_tap(lambda _now, what, datagram: seen.append(f"{what} {datagram.payload!r}"))
    simulator.run_for(1)
    assert len(checks) > 4
    assert seen == ["sent b'0001'", "sent b'0000'", "delivered b'0001'", "delivered b'0000'"]


def trace_of_a_wild_run(seed: int) -> str:
    client, server = Ticker(200), Echo()
    wifi = Link(
        "wifi",
        CLIENT.host,
        [Loss(0.1), Jitter(0.05), Duplicate(0.1, 0.01), RateLimit(20_000, 5_000), Delay(0.01)],
    )
    simulator = two_hosts(client, server, wifi, seed=seed)
    simulator.run_until_quiet(quiet=1, limit=60)
    assert 250 < simulator.sent_count < 450
    return simulator.trace.digest()


def test_one_seed_gives_one_trace() -> None:
    assert trace_of_a_wild_run(1) == trace_of_a_wild_run(1)
    assert trace_of_a_wild_run(1) != trace_of_a_wild_run(2)
