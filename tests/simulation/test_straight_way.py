"""A datagram that finds nothing else to do takes a shorter way and is none the different for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mqvpn_core.ids import FourTuple, PathId
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.events import DatagramsReceived
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.pair import Pair, PairConfig

QUIET = TransportConfig(keep_alive=None)
ZERO = PathId(0)


@contextmanager
def quiet_pair() -> Iterator[Pair]:
    config = PairConfig(client=QUIET, server=QUIET, client_link=(Delay(0.01),))
    with Pair(1, config) as made:
        made.handshake()
        made.simulator.run_for(20)
        yield made


@pytest.fixture
def pair() -> Iterator[Pair]:
    with quiet_pair() as made:
        yield made


def deliver(pair: Pair, receiver: MultipathConnection, transmits: list[Transmit]) -> None:
    for each in transmits:
        where = FourTuple(each.four_tuple.remote, each.four_tuple.local)
        batch = ReceivedDatagrams(where, each.data, each.segment_size, 0)
        receiver.receive_datagrams(batch, pair.simulator.now)


def dialogue(queue: Callable[[MultipathConnection, bytes, Pair], None]) -> list[object]:
    """Questions and answers of one packet each; how much leaves, and what is known then.

    Not the bytes: an acknowledgement may be of a little more, because those that have come are
    looked at behind it.
    """
    with quiet_pair() as pair:
        client, server = pair.client.connection, pair.server.connection
        seen: list[object] = []
        for number in range(8):
            for sender, receiver in ((client, server), (server, client)):
                queue(sender, b"%d" % number * 50, pair)
                transmits = sender.transmits(pair.simulator.now)
                transmits += sender.transmits(pair.simulator.now)
                seen += [len(each.data) for each in transmits]
                deliver(pair, receiver, transmits)
                seen += [sender.statistics(), sender.next_timeout()]
            pair.simulator.run_for(0.013)
        return seen


def test_what_leaves_and_what_is_known_of_it_are_the_same_as_on_the_long_way() -> None:
    def straight(sender: MultipathConnection, payload: bytes, pair: Pair) -> None:
        sender.queue_datagrams(b"\0", [payload], pair.simulator.now)

    def long(sender: MultipathConnection, payload: bytes, pair: Pair) -> None:
        sender._sources.datagrams.push(b"\0", [payload], pair.simulator.now)

    assert dialogue(straight) == dialogue(long)


def test_it_goes_past_the_queue(pair: Pair) -> None:
    client = pair.client.connection
    queue = client._sources.datagrams
    client.queue_datagrams(b"", [b"alone"], pair.simulator.now)
    assert client.statistics().datagrams_waiting == 1
    flows_before = queue.flows_by_path()
    (packet,) = client.transmits(pair.simulator.now)
    assert queue.flows_by_path() == flows_before
    assert client.statistics().datagrams_waiting == 0
    deliver(pair, pair.server.connection, [packet])
    pair.server.collect()
    assert pair.server.received_datagrams[-1] == b"alone"


def test_several_in_one_round_keep_their_order(pair: Pair) -> None:
    client = pair.client.connection
    for payload in (b"1", b"2", b"3"):
        client.queue_datagrams(b"", [payload], pair.simulator.now)
    deliver(pair, pair.server.connection, client.transmits(pair.simulator.now))
    pair.server.collect()
    assert pair.server.received_datagrams[-3:] == [b"1", b"2", b"3"]


def test_what_else_is_due_leaves_with_it(pair: Pair) -> None:
    client = pair.client.connection
    client.probe_paths()
    client.queue_datagrams(b"", [b"x"], pair.simulator.now)
    sent = client.transmits(pair.simulator.now)
    assert len(sent) == 2
    assert not client._paths[ZERO].ping_is_due


def test_stream_data_is_not_left_behind(pair: Pair) -> None:
    pair.client.send_stream(0, b"hello")
    client = pair.client.connection
    client.queue_datagrams(b"", [b"x"], pair.simulator.now)
    deliver(pair, pair.server.connection, client.transmits(pair.simulator.now))
    pair.server.collect()
    assert pair.server.received_stream(0) == b"hello"
    assert pair.server.received_datagrams[-1] == b"x"


def test_it_respects_the_rate_of_the_path(pair: Pair) -> None:
    client = pair.client.connection
    pacer = client._paths[ZERO].current.recovery.pacer
    pacer.on_sent(pacer.budget(pair.simulator.now), pair.simulator.now)
    client.queue_datagrams(b"", [bytes(1000)], pair.simulator.now)
    assert client.transmits(pair.simulator.now) == []
    assert client.statistics().datagrams_waiting == 1
    pair.simulator.run_for(0.1)
    assert pair.server.received_datagrams[-1] == bytes(1000)


def test_what_fits_no_packet_is_dropped_and_counted(pair: Pair) -> None:
    client = pair.client.connection
    client.queue_datagrams(b"", [bytes(3000)], pair.simulator.now)
    assert client.transmits(pair.simulator.now) == []
    assert client.statistics().datagrams_dropped == 1


def test_datagrams_do_not_wait_for_acknowledgements_beside_them(pair: Pair) -> None:
    client, server = pair.client.connection, pair.server.connection
    client.queue_datagrams(b"", [b"question"], pair.simulator.now)
    deliver(pair, server, client.transmits(pair.simulator.now))
    server.queue_datagrams(b"", [b"answer"], pair.simulator.now)
    answer = server.transmits(pair.simulator.now)
    states = [server.is_behind]
    assert server.transmits(pair.simulator.now) == []
    states.append(server.is_behind)
    assert states == [True, False]
    sent = client._paths[ZERO].sent
    deliver(pair, client, answer)
    assert client.next_event() == DatagramsReceived(payloads=(b"answer",))
    assert sent.ack_eliciting_in_flight == 1
    # Whoever does not look again is woken at once.
    due_at = client.next_timeout()
    assert due_at is not None
    assert due_at <= pair.simulator.now
    client.handle_timeout(pair.simulator.now)
    assert sent.ack_eliciting_in_flight == 0
