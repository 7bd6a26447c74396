"""Packets go past a connection with several paths: what is lost with one goes over another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest

from mqvpn_core.ids import Instant, PathId
from mqvpn_core.quic.bypass_lanes import InboundLane, OutboundLane
from mqvpn_core.quic.duplication import Duplication
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.schedulers import DatagramScheduler
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import LinkElement, Loss, RateLimit
from mqvpn_core.testing.multi_pair import LINK_DELAY, MultiPair
from mqvpn_core.testing.pair import PairConfig
from tests.simulation.hand_bypass import PREFIX, BypassedPair, report_of, send_ordinarily
from tests.simulation.multipath.path_rules import PathRules

pytestmark = pytest.mark.slow

ZERO, ONE = PathId(0), PathId(1)
TWICE = Duplication(may_duplicate=bool, next_prefix=lambda: b"2:", prefix_bytes=2)


def flow_of(payload: bytes) -> int:
    """Tell flows apart by what stands behind the point."""
    return payload[7] if len(payload) > 7 else 0


CONFIG = TransportConfig(initial_max_path_id=4, keep_alive=None, classify_datagram=flow_of)


@contextmanager
def bypassed(
    links: int = 2, config: TransportConfig = CONFIG, chains: Sequence[Sequence[LinkElement]] = ()
) -> Iterator[tuple[BypassedPair, PathRules]]:
    with MultiPair(
        1, PairConfig(client=config, server=config), chains or [[LINK_DELAY]] * links
    ) as pair:
        rules = PathRules(pair)
        pair.open_all()
        pair.simulator.run_for(5)
        both = BypassedPair(pair)
        pair.simulator.run_for(1)
        yield both, rules
        rules.finish()


def link(both: BypassedPair, index: int, *elements: LinkElement) -> None:
    assert isinstance(both.pair, MultiPair)
    both.pair.link(index).replace([*elements, LINK_DELAY])


def numbered(start: int, count: int, flow: bytes = b"x", size: int = 400) -> list[bytes]:
    return [(b"%06d." % number).ljust(size, flow) for number in range(start, start + count)]


def test_every_path_has_lanes_and_its_own_numbers() -> None:
    with bypassed(3) as (both, rules):
        for side in both.sides:
            assert set(side.outbound) == {0, 1, 2}
            assert {lane.path_id for lane in side.inbound.values()} == {0, 1, 2}
            assert all(lane.keeps for lane in side.outbound.values())
        start = 0
        for _ in range(50):
            for path_id in range(3):
                for side in both.sides:
                    payloads = numbered(start, 2)
                    assert side.send(payloads, both.simulator.now, path_id) == 2
                start += 2
            both.simulator.run_for(0.005)
        both.simulator.run_for(1)
        rules.assert_idle()
        for side, peer in zip(both.sides, (both.pair.client, both.pair.server), strict=True):
            assert side.taken_count == 300
            assert both.received(side) == list(range(300))
            assert all(path.lost_packets == 0 for path in peer.paths.values())


def test_a_path_that_is_not_validated_has_none() -> None:
    with MultiPair(1, PairConfig(client=CONFIG, server=CONFIG), [[LINK_DELAY]] * 2) as pair:
        pair.handshake()
        pair.simulator.run_for(5)
        pair.open(1)
        seen = set()

        def look() -> None:
            now = pair.simulator.now
            for peer in (pair.client, pair.server):
                path = peer.paths.get(ONE)
                lanes = peer.connection.lanes
                ids = {lane.path_id for lane in lanes.inbound()}
                ids |= {lane.path_id for lane in lanes.outbound(now)}
                if path is not None and path.state == "validating":
                    seen.add(peer)
                    assert ONE not in ids

        pair.simulator.add_check(look)
        pair.simulator.run_for(5)
        assert pair.client in seen
        lanes = pair.client.connection.lanes
        assert len(lanes.inbound()) == len(lanes.outbound(pair.simulator.now)) == 2


def test_a_path_that_is_tried_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding leaves it as fast as it goes; who has the other one is not slowed down for it."""
    with bypassed() as (both, rules):
        lanes = both.pair.client.connection.lanes
        assert not any(lane.brings_room for lane in lanes.inbound())
        with monkeypatch.context() as during:
            during.setattr(DatagramScheduler, "tried_path", ONE)
            assert [lane.path_id for lane in lanes.outbound(both.simulator.now)] == [ZERO]
            # And it goes as fast as what acknowledges it.
            assert [lane.path_id for lane in lanes.inbound() if lane.brings_room] == [ONE]
        assert len(lanes.outbound(both.simulator.now)) == 2
        rules.assert_idle()


def test_what_a_dead_path_has_swallowed_goes_over_the_other_one() -> None:
    with bypassed() as (both, rules):
        for round_number in range(20):
            assert both.client_side.send(numbered(2 * round_number, 2), both.simulator.now, 1) == 2
            both.simulator.run_for(0.005)
        both.simulator.run_for(0.1)
        assert both.received(both.server_side) == list(range(40))
        link(both, 1, Loss(1.0))
        for round_number in range(5):
            sent = both.client_side.send(numbered(40 + 2 * round_number, 2), both.simulator.now, 1)
            assert sent == 2
            both.simulator.run_for(0.005)
        both.simulator.run_until(lambda: both.pair.client.paths[ONE].state == "suspect", limit=5)
        assert ONE not in both.client_side.outbound
        both.simulator.run_for(0.2)
        # As they were sent, one prefix each.
        assert both.received(both.server_side) == list(range(50))
        assert all(each.startswith(PREFIX) for each in both.pair.server.received_datagrams)
        link(both, 1)
        both.simulator.run_for(20)
        assert ONE in both.client_side.outbound
        rules.assert_idle()


@pytest.mark.parametrize("is_reported", [True, False])
def test_what_left_by_a_path_that_is_given_up_goes_over_the_other_one(*, is_reported: bool) -> None:
    """The command may come while the bypass runs: its report is of the time before."""
    with bypassed() as (both, rules):
        link(both, 1, Loss(1.0))
        assert both.client_side.send(numbered(0, 10), both.simulator.now, 1) == 10
        if is_reported:
            both.client_side.hold()
        both.pair.client.abandon_path(ONE, 0, both.simulator.now)
        both.simulator.run_for(0.2)
        assert both.received(both.server_side) == list(range(10))
        assert ONE not in both.client_side.outbound
        assert ONE not in both.server_side.outbound
        both.simulator.run_for(30)
        rules.assert_idle()


def test_reports_about_a_path_that_is_gone_mean_nothing() -> None:
    with bypassed() as (both, _):
        client, now = both.pair.client, both.simulator.now
        both.client_side.hold()
        outbound: dict[PathId, OutboundLane] = dict(both.client_side.outbound)
        inbound: dict[PathId, InboundLane] = {
            lane.path_id: lane for lane in both.client_side.inbound.values()
        }
        client.abandon_path(ONE, 0, now)
        both.simulator.run_for(60)
        assert ONE not in client.paths
        known = client.connection.statistics()
        lane, came = outbound[ONE], inbound[ONE]
        lanes, now = client.connection.lanes, both.simulator.now
        report = report_of(lane.next_number, [(50, 2, 100)], [b"1", b"2"])
        lanes.note_sent(lane, PREFIX, [report], now)
        lanes.note_received(came, came.largest + 1, 3, 300, now)
        assert client.connection.statistics() == known
        assert len(client.connection._sources.datagrams) == 0


def test_late_packets_of_a_path_that_is_given_up_are_acknowledged() -> None:
    with bypassed() as (both, rules):
        assert both.client_side.send(numbered(0, 10), both.simulator.now, 1) == 10
        # On their way when the server learns that the path is over.
        both.simulator.run_for(0.001)
        both.pair.client.abandon_path(ONE, 0, both.simulator.now)
        both.simulator.run_for(0.5)
        assert set(both.received(both.server_side)) == set(range(10))
        both.simulator.run_for(30)
        rules.assert_idle()


def test_with_one_path_left_nothing_is_kept() -> None:
    with bypassed() as (both, _):
        both.pair.client.abandon_path(ONE, 0, both.simulator.now)
        both.simulator.run_for(1)
        # The first packet says that traffic goes on, and takes the ordinary way.
        assert ZERO not in both.client_side.outbound
        send_ordinarily(both.pair.client, numbered(0, 1), both.simulator.now)
        both.simulator.run_for(1)
        lane = both.client_side.outbound[ZERO]
        assert not lane.keeps
        assert both.client_side.send(numbered(0, 3), both.simulator.now) == 3
        both.client_side.hold()
        runs = both.pair.client.connection._paths[ZERO].sent.sent_since(Instant(0.0))
        assert all(not run.contents for run in runs)


def settle(both: BypassedPair, payload: bytes) -> PathId:
    """Let a flow go the ordinary way and tell where it is then."""
    send_ordinarily(both.pair.client, [payload], both.simulator.now)
    both.simulator.run_for(0.01)
    place = both.pair.client.connection.lanes.place_of(payload)
    assert place is not None
    key, path_id = place
    assert key == flow_of(payload)
    return path_id


def test_a_flow_has_a_place_once_it_went_the_ordinary_way() -> None:
    with bypassed() as (both, _):
        lanes, now = both.pair.client.connection.lanes, both.simulator.now
        (payload,) = numbered(0, 1, b"f")
        assert lanes.place_of(payload) is None
        path_id = settle(both, payload)
        now = both.simulator.now
        assert lanes.note_flow(flow_of(payload), path_id, 1000, now)
        other = ONE if path_id == ZERO else ZERO
        assert not lanes.note_flow(flow_of(payload), other, 1000, now)
        assert not lanes.note_flow(flow_of(b"000000.unknown"), path_id, 1000, now)


def test_a_flow_that_waits_has_no_place() -> None:
    with bypassed() as (both, _):
        lanes = both.pair.client.connection.lanes
        (payload,) = numbered(0, 1, b"f")
        settle(both, payload)
        both.client_side.hold()
        both.pair.client.connection.queue_datagrams(PREFIX, [payload, payload], both.simulator.now)
        both.pair.client.connection.queue_datagrams(PREFIX, [payload], both.simulator.now)
        assert lanes.place_of(payload) is None


def test_where_there_is_one_path_every_flow_is_there() -> None:
    with bypassed(1) as (both, _):
        lanes = both.pair.client.connection.lanes
        (payload,) = numbered(0, 1, b"f")
        assert lanes.place_of(payload) == (flow_of(payload), ZERO)
        assert lanes.note_flow(flow_of(payload), ZERO, 1000, both.simulator.now)
        assert isinstance(both.pair, MultiPair)


def test_a_flow_that_never_stops_is_not_forgotten() -> None:
    """It has not been in the queue for long; its reports say that it lives."""
    with bypassed() as (both, _):
        lanes = both.pair.client.connection.lanes
        (payload,) = numbered(0, 1, b"f")
        path_id = settle(both, payload)
        for _ in range(100):
            both.client_side.send([payload], both.simulator.now, path_id)
            both.simulator.run_for(0.1)
            assert lanes.note_flow(flow_of(payload), path_id, 400, both.simulator.now)
            lanes.review(both.simulator.now)
        assert lanes.place_of(payload) == (flow_of(payload), path_id)
        both.simulator.run_for(60)
        lanes.review(both.simulator.now)
        assert lanes.place_of(payload) is None
        assert not lanes.note_flow(flow_of(payload), path_id, 400, both.simulator.now)


def test_flows_leave_a_path_that_becomes_a_backup() -> None:
    with bypassed() as (both, _):
        lanes = both.pair.client.connection.lanes
        flows = [numbered(0, 1, b"%c" % flow)[0] for flow in b"abcdefgh"]
        places = {payload: settle(both, payload) for payload in flows}
        moved = [payload for payload, path_id in places.items() if path_id == ONE]
        assert moved, "one flow at least was on the second path"
        both.pair.client.set_path_use(ONE, PathUse.BACKUP)
        both.simulator.run_for(0.1)
        lanes.review(both.simulator.now)
        for payload in moved:
            assert not lanes.note_flow(flow_of(payload), ONE, 400, both.simulator.now)


def test_flows_move_to_a_path_that_carries_more() -> None:
    """Nothing ever waits in the queue: what went past is all that the review knows."""
    slow = RateLimit(bytes_per_second=250_000, queue_bytes=60_000)
    with bypassed(chains=[[slow, LINK_DELAY], [LINK_DELAY]]) as (both, rules):
        client = both.pair.client
        lanes = client.connection.lanes
        both.pair.client.set_path_use(ONE, PathUse.BACKUP)
        both.simulator.run_for(0.5)
        flows = [numbered(0, 1, b"%c" % flow, size=1000)[0] for flow in b"abcd"]
        places = {payload: settle(both, payload) for payload in flows}
        assert set(places.values()) == {ZERO}
        both.pair.client.set_path_use(ONE, PathUse.PRIMARY)
        for _ in range(1200):
            for payload, path_id in places.items():
                sent = both.client_side.send([payload], both.simulator.now, path_id)
                if sent:
                    lanes.note_flow(flow_of(payload), path_id, 1000, both.simulator.now)
                else:
                    send_ordinarily(client, [payload], both.simulator.now)
            both.simulator.run_for(0.004)
            lanes.review(both.simulator.now)
            for payload in flows:
                place = lanes.place_of(payload)
                places[payload] = places[payload] if place is None else place[1]
        assert ONE in places.values()
        both.simulator.run_for(2)
        rules.assert_idle()


@pytest.mark.parametrize("scheduler", ["minrtt", "backup"])
def test_where_no_flow_is_bound_to_a_path_none_goes_past(scheduler: str) -> None:
    with bypassed(config=replace(CONFIG, scheduler=scheduler)) as (both, _):
        (payload,) = numbered(0, 1, b"f")
        send_ordinarily(both.pair.client, [payload], both.simulator.now)
        both.simulator.run_for(0.05)
        assert both.pair.client.connection.lanes.place_of(payload) is None


@pytest.mark.parametrize("is_changed", [True, False])
def test_what_is_sent_twice_does_not_go_past(*, is_changed: bool) -> None:
    scheduler = "weighted" if is_changed else "redundant"
    with bypassed(config=replace(CONFIG, scheduler=scheduler)) as (both, rules):
        client, server = both.pair.client, both.pair.server
        lanes = client.connection.lanes
        (payload,) = numbered(0, 1, b"f")
        if is_changed:
            path_id = settle(both, payload)
            client.connection.set_scheduler("redundant")
            assert not lanes.note_flow(flow_of(payload), path_id, 400, both.simulator.now)
        client.connection.allow_duplicates(PREFIX, TWICE)
        server.received_datagrams.clear()
        both.server_side.delivered.clear()
        send_ordinarily(client, [payload], both.simulator.now)
        both.simulator.run_for(0.05)
        assert [*both.server_side.delivered, *server.received_datagrams] == [b"2:" + payload] * 2
        assert lanes.place_of(payload) is None
        rules.assert_idle()


@pytest.mark.parametrize("seed", range(3))
def test_anything_at_any_time_leaves_the_books_in_order(seed: int) -> None:
    """Lanes and the ordinary way mixed, with losses, new keys and dead paths in between."""
    dice = Random(seed)
    with bypassed(3) as (both, rules):
        start = 0
        peers = (both.pair.client, both.pair.server)
        for round_number in range(300):
            for side, peer in zip(both.sides, peers, strict=True):
                payloads = numbered(start, dice.randrange(6), size=dice.choice([60, 400, 1200]))
                start += len(payloads)
                sent = side.send(payloads, both.simulator.now, dice.randrange(3))
                send_ordinarily(peer, payloads[sent:], both.simulator.now)
                if dice.random() < 0.03:
                    peer.request_key_update(both.simulator.now)
                side.is_on = dice.random() < 0.9
            if round_number % 50 == 25:
                link(both, dice.randrange(3), Loss(dice.choice([0.1, 1.0])))
            elif round_number % 50 == 45:
                for index in range(3):
                    link(both, index)
            both.simulator.run_for(dice.choice([0.0, 0.001, 0.004, 0.02]))
        for index in range(3):
            link(both, index)
        both.simulator.run_for(20)
        rules.assert_idle()
        for side, peer in zip(both.sides, peers, strict=True):
            assert peer.termination is None
            assert side.taken_count > 100
            assert peer.connection.statistics().undecryptable_packets == 0
