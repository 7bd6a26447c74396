"""Plain packets go past both ends of a connection, and its books are none the worse for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import KeysUpdated
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import (
    Delay,
    Direction,
    DropNth,
    Duplicate,
    Jitter,
    LinkElement,
    Loss,
    OneWay,
    Reorder,
)
from mqvpn_core.testing.pair import Pair, PairConfig
from tests.simulation.hand_bypass import BypassedPair, report_of, send_ordinarily
from tests.simulation.rules import PairRules

pytestmark = pytest.mark.slow

ZERO = PathId(0)
DELAY = Delay(0.02)
QUIET = TransportConfig(keep_alive=None)


@contextmanager
def bypassed(
    *elements: LinkElement, seed: int = 1, config: TransportConfig = QUIET
) -> Iterator[tuple[BypassedPair, PairRules]]:
    """A pair that has settled, with rules that watch each packet and the books."""
    settings = PairConfig(client=config, server=config, client_link=(DELAY,))
    with Pair(seed, settings) as pair:
        rules = PairRules(pair)
        pair.handshake()
        # Until the size of packets is found out.
        pair.simulator.run_for(5)
        both = BypassedPair(pair)
        pair.simulator.link("client", "wifi").replace([*elements, DELAY])
        yield both, rules
        rules.finish()


def test_what_goes_past_is_acknowledged() -> None:
    with bypassed() as (both, rules):
        before = both.pair.client.path
        count = both.chat(200)
        both.simulator.run_for(1)
        for side in both.sides:
            assert side.sent_count == count
            assert side.taken_count == count
            assert both.received(side) == list(range(count))
        rules.assert_idle()
        after = both.pair.client.path
        assert after.lost_packets == 0
        assert after.sent_packets - before.sent_packets >= count
        assert after.received_packets - before.received_packets >= count
        assert after.sent_bytes - before.sent_bytes >= count * 600
        assert after.received_bytes - before.received_bytes >= count * 600
        assert after.smoothed_rtt == pytest.approx(0.04, abs=0.002)
        assert after.min_rtt == pytest.approx(0.04, abs=0.001)
        assert both.pair.client.connection.statistics().undecryptable_packets == 0


def test_losses_are_found_and_the_window_reacts() -> None:
    lost = frozenset(range(150, 160))
    with bypassed(DropNth(lost, Direction.UP)) as (both, rules):
        count = both.chat(20)
        before = both.pair.client.path
        assert before.lost_packets == 0
        count += both.chat(100, count=4)
        both.simulator.run_for(1)
        after = both.pair.client.path
        # Some of the ten may have been acknowledgements, which nobody misses.
        missing = count - len(both.received(both.server_side))
        assert 5 <= missing <= after.lost_packets <= len(lost)
        assert after.congestion_window < before.congestion_window
        rules.assert_idle()


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_link_leaves_nothing_behind(seed: int) -> None:
    bad = Loss(0.01), Reorder(0.01, 0.01), Jitter(0.001), Duplicate(0.05)
    with bypassed(*bad, seed=seed) as (both, rules):
        for round_number in range(10):
            both.chat(20, count=5)
            if round_number % 3 == 1:
                both.pair.client.request_key_update(both.simulator.now)
        both.simulator.link("client", "wifi").replace([DELAY])
        both.simulator.run_for(2)
        rules.assert_idle()
        for side, peer in zip(both.sides, (both.pair.client, both.pair.server), strict=True):
            came = both.received(side)
            # Many numbers are used again in each of the ten chats, none is lost altogether.
            assert set(came) == set(range(100))
            assert len(came) <= 1000
            assert side.taken_count > 150
            assert peer.path.lost_packets > 0
            assert peer.connection.statistics().undecryptable_packets == 0


@pytest.mark.parametrize("asker", ["client", "server", "both"])
def test_new_keys_make_new_lanes_and_nothing_is_refused(asker: str) -> None:
    with bypassed() as (both, rules):
        phases = []
        for round_number in range(4):
            if asker != "server":
                both.pair.client.request_key_update(both.simulator.now)
            if asker != "client":
                both.pair.server.request_key_update(both.simulator.now)
            both.chat(60)
            lane = both.client_side.outbound[ZERO]
            phases.append(lane.key_phase)
            (inbound,) = both.client_side.inbound.values()
            assert lane.header.key_phase_bit == lane.key_phase & 1
            assert inbound.key_phase == lane.key_phase == round_number + 1
        both.simulator.run_for(1)
        rules.assert_idle()
        assert phases == [1, 2, 3, 4]
        for side, peer in zip(both.sides, (both.pair.client, both.pair.server), strict=True):
            assert both.received(side) == sorted(list(range(180)) * 4)
            assert side.taken_count > 500
            assert len(peer.events_of(KeysUpdated)) == 4
            assert peer.connection.statistics().undecryptable_packets == 0
            assert peer.path.lost_packets == 0


def test_an_update_between_release_and_report_is_no_mistake() -> None:
    with bypassed() as (both, rules):
        both.chat(10)
        for _ in range(6):
            for side, peer in zip(both.sides, (both.pair.client, both.pair.server), strict=True):
                # Sealed with the old keys, reported when the new ones are in use already.
                assert side.send([b"000000."] * 5, both.simulator.now) == 5
                if side is both.client_side:
                    peer.request_key_update(both.simulator.now)
            both.simulator.run_for(1)
            # RFC 9001 s6.1: somebody has to acknowledge the new keys.
            assert both.client_side.send([b"000000."], both.simulator.now) == 1
            both.simulator.run_for(1)
        assert len(both.pair.client.events_of(KeysUpdated)) == 6
        rules.assert_idle()
        assert both.received(both.server_side).count(0) == 37
        assert both.pair.client.path.lost_packets == 0


def test_numbers_are_left_out_and_none_is_used_twice() -> None:
    with bypassed() as (both, rules):
        both.chat(600, count=5, size=100)
        both.simulator.run_for(1)
        numbers = [packet.packet_number for packet in rules.wiretap.of(is_from_client=True)]
        assert both.client_side.sent_count == 3000
        assert len(numbers) == len(set(numbers))
        assert set(range(max(numbers))) - set(numbers), "none was left out"
        assert both.pair.server.termination is None


def test_nobody_else_gets_a_number_meanwhile() -> None:
    with bypassed() as (both, rules):
        both.chat(5)
        client, now = both.pair.client, both.simulator.now
        assert both.client_side.send([b"000000."], now) == 1
        send_ordinarily(client, [b"000001.", b"000002."], now)
        with pytest.raises(LocalProtocolError, match="with the bypass"):
            client.connection.transmits(now)
        rules.wiretap.packets.clear()


def test_a_report_must_fit_what_is_known() -> None:
    with bypassed() as (both, _):
        both.client_side.hold()
        client, now = both.pair.client.connection, both.simulator.now
        (lane,) = client.lanes.outbound(now)
        shapes = [(100, 1, 100)]
        for first in (lane.next_number - 1, lane.next_number + 1):
            with pytest.raises(LocalProtocolError, match="is not the next one"):
                client.lanes.note_sent(lane, b"", [report_of(first, shapes)], now)
        client.lanes.note_sent(lane, b"", [report_of(lane.next_number, shapes)], now)
        assert both.pair.client.path.bytes_in_flight == 100


def test_a_full_window_closes_the_lane_until_something_is_acknowledged() -> None:
    with bypassed() as (both, rules):
        side, simulator = both.client_side, both.simulator
        window = both.pair.client.path.congestion_window
        sent = side.send([b"000000.".ljust(1000, b"x")] * 200, simulator.now)
        assert 0 < sent * 1000 <= window
        simulator.run_for(0.001)
        assert side.outbound == {}
        assert both.pair.client.path.bytes_in_flight <= window
        simulator.run_for(1)
        assert ZERO in side.outbound
        rules.assert_idle()


def test_only_what_left_lately_counts_as_activity() -> None:
    """The idle time-out knows of packets that went past."""
    with bypassed(config=replace(QUIET, idle_timeout=6.0)) as (both, _):
        for _ in range(8):
            assert both.client_side.send([b"000000."], both.simulator.now) == 1
            both.simulator.run_for(4)
        assert both.pair.client.termination is None
        both.simulator.link("client", "wifi").replace([OneWay(Direction.DOWN, Loss(1.0)), DELAY])
        both.simulator.run_for(20)
        assert both.pair.client.termination is not None
