"""When packets may go past a connection, and what becomes of reports that come too late."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mqvpn_core.ids import FourTuple, PathId, SocketAddress
from mqvpn_core.quic import key_phases, key_schedule
from mqvpn_core.quic.key_schedule import AeadLimits
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay, Direction, Loss, Mtu, OneWay
from mqvpn_core.testing.pair import SERVER_ADDRESS, Pair, PairConfig, Peer
from mqvpn_core.wire.code_points import TransportErrorCode
from tests.simulation.hand_bypass import PREFIX, BypassedPair, report_of
from tests.simulation.rules import PairRules

pytestmark = pytest.mark.slow

ZERO = PathId(0)
DELAY = Delay(0.02)
QUIET = TransportConfig(keep_alive=None)
TRACED = replace(QUIET, is_traced=True)


@contextmanager
def settled_pair(
    config: TransportConfig = QUIET, server: TransportConfig = QUIET
) -> Iterator[Pair]:
    with Pair(1, PairConfig(client=config, server=server, client_link=(DELAY,))) as pair:
        pair.handshake()
        pair.simulator.run_for(20)
        yield pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    with settled_pair() as made:
        yield made


def lanes_of(peer: Peer, pair: Pair) -> tuple[int, int]:
    """Count the lanes that a connection may have now, once it has sent what it has."""
    lanes, now = peer.connection.lanes, pair.simulator.now
    return len(lanes.inbound()), len(lanes.outbound(now))


def test_there_are_none_before_the_handshake_is_confirmed() -> None:
    with Pair(1, PairConfig(client=QUIET, server=QUIET, client_link=(DELAY,))) as pair:
        pair.connect()
        seen: set[tuple[bool, bool]] = set()

        def look() -> None:
            for peer in (pair.client, *pair.server_node.peers.values()):
                if not peer.connection.handshake_confirmed:
                    assert lanes_of(peer, pair) == (0, 0)
                    seen.add((peer is pair.client, peer.connection.handshake_complete))

        pair.simulator.add_check(look)
        pair.simulator.run_for(20)
        assert len(seen) >= 3
        assert lanes_of(pair.client, pair) == lanes_of(pair.server, pair) == (1, 1)


def test_lanes_say_where_and_how(pair: Pair) -> None:
    for peer, other in ((pair.client, pair.server), (pair.server, pair.client)):
        (inbound,), now = peer.connection.lanes.inbound(), pair.simulator.now
        (outbound,) = other.connection.lanes.outbound(now)
        assert inbound.connection_id == outbound.header.destination_cid
        assert inbound.four_tuple == FourTuple(*reversed(outbound.four_tuple))
        assert inbound.largest < outbound.next_number
        assert outbound.credit <= other.path.congestion_window
        # Header, number and tag leave that much; 1472 is what was found to fit.
        assert 1472 - 64 < outbound.frame_capacity < 1472 - 25
        assert not outbound.keeps
        assert not inbound.brings_room


def test_a_lane_says_whether_somebody_waits_for_room(pair: Pair) -> None:
    queue(pair)
    (lane,) = pair.client.connection.lanes.inbound()
    assert lane.brings_room
    pair.simulator.run_for(0.1)
    (lane,) = pair.client.connection.lanes.inbound()
    assert not lane.brings_room


def test_who_is_traced_sees_each_packet() -> None:
    with settled_pair(TRACED) as pair:
        assert lanes_of(pair.client, pair) == (0, 0)
        assert lanes_of(pair.server, pair) == (1, 1)


def test_a_closed_connection_has_none(pair: Pair) -> None:
    pair.client.close(0, "")
    # Not even before the packet that says so is made.
    assert lanes_of(pair.client, pair) == (0, 0)
    pair.simulator.run_for(0.1)
    for peer in (pair.client, pair.server):
        assert peer.connection.is_ending
        assert lanes_of(peer, pair) == (0, 0)


def write_stream(pair: Pair) -> None:
    pair.client.send_stream(0, b"request")


def queue(pair: Pair) -> None:
    pair.client.send_datagrams([b"1", b"2"], pair.simulator.now)
    pair.client.send_datagrams([b"3"], pair.simulator.now)


def probe(pair: Pair) -> None:
    pair.client.connection.probe_paths()


def move(pair: Pair) -> None:
    other = FourTuple(SocketAddress("10.0.0.2", 5001), SERVER_ADDRESS)
    pair.client.connection.migrate_path(ZERO, other, pair.simulator.now)


@pytest.mark.parametrize("act", [write_stream, queue, probe, move])
def test_none_leads_out_while_something_else_is_to_be_sent(
    pair: Pair, act: Callable[[Pair], None]
) -> None:
    act(pair)
    assert lanes_of(pair.client, pair)[1] == 0
    pair.simulator.run_for(1)
    assert lanes_of(pair.client, pair) == (1, 1)


def test_none_leads_to_a_path_that_does_not_answer(pair: Pair) -> None:
    pair.simulator.link("client", "wifi").replace([OneWay(Direction.DOWN, Loss(1.0)), DELAY])
    pair.client.send_datagrams([b"1"], pair.simulator.now)
    pair.simulator.run_until(lambda: pair.client.path.state == "suspect", limit=5)
    assert lanes_of(pair.client, pair)[1] == 0
    pair.simulator.link("client", "wifi").replace([DELAY])
    pair.simulator.run_until(lambda: pair.client.path.state == "active", limit=20)
    pair.simulator.run_for(1)
    assert lanes_of(pair.client, pair) == (1, 1)


def test_none_leads_out_while_the_size_of_packets_is_being_found_out() -> None:
    with Pair(1, PairConfig(client=QUIET, server=QUIET, client_link=(Mtu(1400), DELAY))) as pair:
        pair.handshake()
        seen = []

        def look() -> None:
            connection = pair.client.connection
            probing = connection._paths[ZERO].current.pmtu.next_probe(pair.simulator.now)
            if probing is not None:
                seen.append(probing)
                assert lanes_of(pair.client, pair)[1] == 0

        pair.simulator.add_check(look)
        pair.simulator.run_for(20)
        (lane,) = pair.client.connection.lanes.outbound(pair.simulator.now)
        assert lane.frame_capacity < 1400 - 28


def test_a_peer_that_moves_is_not_believed_by_a_lane(pair: Pair) -> None:
    """The server's lane is of one network path; a new one has to be validated first."""
    (before,) = pair.server.connection.lanes.inbound()
    move(pair)
    seen = set()

    def look() -> None:
        path = pair.server.connection._paths[ZERO]
        lanes = pair.server.connection.lanes.inbound()
        seen.add((path.current.is_validated, path.current.four_tuple.remote.port))
        for lane in lanes:
            assert path.current.is_validated
            assert lane.four_tuple == path.current.four_tuple

    pair.simulator.add_check(look)
    pair.simulator.run_for(2)
    assert (False, 5001) in seen
    (after,) = pair.server.connection.lanes.inbound()
    assert after.four_tuple.remote.port == 5001
    # RFC 9000 s9.5: another connection ID, so that nobody outside sees that it is the same.
    assert after.connection_id != before.connection_id


def test_what_left_before_a_move_is_counted_where_it_left(pair: Pair) -> None:
    both = BypassedPair(pair)
    assert both.client_side.send([b"000001."] * 10, both.simulator.now) == 10
    old = pair.client.connection._paths[ZERO].current
    move(pair)
    both.client_side.hold()
    assert old.recovery.bytes_in_flight > 10 * 30
    assert pair.client.connection._paths[ZERO].current is not old
    both.simulator.run_for(2)
    assert old.recovery.bytes_in_flight == 0
    assert len(both.received(both.server_side)) == 10


def test_what_left_before_the_end_has_used_its_numbers(pair: Pair) -> None:
    connection, now = pair.client.connection, pair.simulator.now
    (lane,) = connection.lanes.outbound(now)
    connection.close(0, "")
    shapes = [(50, 2, 100)]
    connection.note_bypassed(
        lambda lanes: lanes.note_sent(lane, PREFIX, [report_of(lane.next_number, shapes)], now)
    )
    (close,) = connection.transmits(now)
    assert connection._paths[ZERO].sent.next_packet_number == lane.next_number + 3
    # And even behind the packet that says so, nothing goes wrong.
    start = lane.next_number + 3
    connection.note_bypassed(
        lambda lanes: lanes.note_sent(lane, PREFIX, [report_of(start, shapes)], now)
    )
    assert connection._paths[ZERO].sent.next_packet_number == start + 2
    assert connection.transmits(now) == []
    assert len(close.data) > 0


def test_what_came_before_the_end_is_no_mistake(pair: Pair) -> None:
    connection, now = pair.client.connection, pair.simulator.now
    (lane,) = connection.lanes.inbound()
    connection.close(0, "")
    assert len(connection.transmits(now)) == 1
    connection.note_bypassed(lambda lanes: lanes.note_received(lane, lane.largest + 1, 5, 500, now))
    assert connection.transmits(now) == []
    pair.simulator.run_for(20)
    assert pair.client.termination is not None
    assert pair.client.termination.error_code == 0


def test_the_close_has_a_number_of_its_own_although_packets_went_past() -> None:
    """The command comes while the bypass runs, the packet after its report."""
    with Pair(1, PairConfig(client=QUIET, server=QUIET, client_link=(DELAY,))) as pair:
        rules = PairRules(pair)
        pair.handshake()
        pair.simulator.run_for(5)
        both = BypassedPair(pair)
        assert both.client_side.send([b"000001."] * 10, both.simulator.now) == 10
        pair.client.close(7, "enough")
        both.simulator.run_for(5)
        rules.finish()
        numbers = [each.packet_number for each in rules.wiretap.of(is_from_client=True)]
        assert len(numbers) == len(set(numbers))
        assert pair.server.termination is not None
        assert pair.server.termination.error_code == 7


def limit_seals(monkeypatch: pytest.MonkeyPatch, seals: int) -> None:
    limits = AeadLimits(confidentiality=seals, integrity=1 << 36)
    for module in (key_phases, key_schedule):
        monkeypatch.setattr(module, "aead_limits", lambda _suite: limits)


def test_half_used_keys_lead_out_no_more_until_there_are_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit_seals(monkeypatch, 4000)
    with settled_pair() as pair:
        both = BypassedPair(pair)
        phase = pair.client.connection.statistics().key_phase
        both.chat(500, count=5, size=100)
        both.simulator.run_for(1)
        assert pair.client.connection.statistics().key_phase > phase
        assert pair.client.termination is None
        assert both.client_side.sent_count > 2000


def test_lanes_end_when_half_of_the_keys_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_seals(monkeypatch, 4000)
    with settled_pair() as pair:
        connection, now = pair.client.connection, pair.simulator.now
        (lane,) = connection.lanes.outbound(now)
        shapes = [(30, 2000, 60_000)]
        connection.lanes.note_sent(lane, PREFIX, [report_of(lane.next_number, shapes)], now)
        assert connection.lanes.outbound(now) == []


@pytest.mark.parametrize("parts", [[2990], [2980, 5, 2], [1000, 1980, 1, 2, 3]])
def test_worn_out_keys_end_the_connection_and_no_number_is_used_again(
    monkeypatch: pytest.MonkeyPatch, parts: list[int]
) -> None:
    """However many shapes the packets are told in: what has left has left."""
    limit_seals(monkeypatch, 3000)
    with settled_pair() as pair:
        connection, now = pair.client.connection, pair.simulator.now
        (lane,) = connection.lanes.outbound(now)
        shapes = [(30 + index, count, (30 + index) * count) for index, count in enumerate(parts)]
        connection.note_bypassed(
            lambda lanes: lanes.note_sent(lane, PREFIX, [report_of(lane.next_number, shapes)], now)
        )
        sent = connection._paths[ZERO].sent
        assert sent.next_packet_number == lane.next_number + sum(parts)
        # A report of a later run, of what left before anybody knew.
        start = sent.next_packet_number
        connection.note_bypassed(
            lambda lanes: lanes.note_sent(lane, PREFIX, [report_of(start, [(40, 1, 40)])], now)
        )
        assert sent.next_packet_number == start + 1
        pair.simulator.run_for(1)
        assert pair.client.termination is not None
        assert pair.client.termination.error_code == TransportErrorCode.AEAD_LIMIT_REACHED
