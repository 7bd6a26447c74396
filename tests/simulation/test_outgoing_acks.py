"""Acknowledgements travel with data that leaves anyway, and are none the less for it."""

from collections.abc import Iterator

import pytest

from mqvpn_core.ids import FourTuple, PathId
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.pair import Pair, PairConfig

QUIET = TransportConfig(keep_alive=None)
ZERO = PathId(0)


@pytest.fixture
def pair() -> Iterator[Pair]:
    config = PairConfig(client=QUIET, server=QUIET, client_link=(Delay(0.01),))
    with Pair(1, config) as made:
        made.handshake()
        made.simulator.run_for(20)
        yield made


def send(pair: Pair, sender: MultipathConnection, *payloads: bytes) -> list[Transmit]:
    """Let one end send datagrams and whatever goes with them."""
    sender.queue_datagrams(b"", payloads, pair.simulator.now)
    return sender.transmits(pair.simulator.now)


def deliver(pair: Pair, receiver: MultipathConnection, transmits: list[Transmit]) -> None:
    for each in transmits:
        where = FourTuple(each.four_tuple.remote, each.four_tuple.local)
        batch = ReceivedDatagrams(where, each.data, each.segment_size, 0)
        receiver.receive_datagrams(batch, pair.simulator.now)
    # Whoever asks for numbers gets those of now: acknowledgements do not wait any longer.
    receiver.statistics()


def packet_count(transmits: list[Transmit]) -> int:
    return sum(-(-len(each.data) // each.segment_size) for each in transmits)


def test_one_packet_carries_both(pair: Pair) -> None:
    client, server = pair.client.connection, pair.server.connection
    deliver(pair, server, send(pair, client, bytes(1000), bytes(1000)))
    answer = send(pair, server, b"1", b"2", b"3")
    assert packet_count(answer) == 1
    deliver(pair, client, answer)
    pair.client.collect()
    assert pair.client.received_datagrams[-3:] == [b"1", b"2", b"3"]
    assert client._paths[ZERO].sent.ack_eliciting_in_flight == 0
    # An ACK that has arrived need not be repeated: the ranges behind it are forgotten.
    deliver(pair, server, send(pair, client, b"4", b"5"))
    assert server._paths[ZERO].sent.ack_eliciting_in_flight == 0
    assert len(server._paths[ZERO].received.ack_ranges()) == 1
    assert server._paths[ZERO].received.ack_ranges()[0][0] > 2


def test_a_full_packet_is_followed_by_an_ack_of_its_own(pair: Pair) -> None:
    client, server = pair.client.connection, pair.server.connection
    deliver(pair, server, send(pair, client, bytes(1000), bytes(1000)))
    full = bytes(server.max_datagram_payload)
    answer = send(pair, server, full, full)
    assert packet_count(answer) == 3
    deliver(pair, client, answer)
    assert client._paths[ZERO].sent.ack_eliciting_in_flight == 0


def test_the_last_of_several_packets_takes_it(pair: Pair) -> None:
    client, server = pair.client.connection, pair.server.connection
    deliver(pair, server, send(pair, client, bytes(1000), bytes(1000)))
    full = bytes(server.max_datagram_payload)
    answer = send(pair, server, full, full, b"rest")
    assert packet_count(answer) == 3
    # Both others may be lost: the ledger knows each packet by its own number and size.
    runs = [run for run in server._paths[ZERO].sent._runs if run.ack_eliciting]
    assert sum(run.total_bytes for run in runs) == sum(len(each.data) for each in answer)
    assert [run.largest_acked_sent is not None for run in runs] == [False, True]
    deliver(pair, client, answer[-1:])
    deliver(pair, client, answer[:-1])
    assert client._paths[ZERO].sent.ack_eliciting_in_flight == 0


def test_without_data_it_goes_alone(pair: Pair) -> None:
    client, server = pair.client.connection, pair.server.connection
    deliver(pair, server, send(pair, client, bytes(1000), bytes(1000)))
    answer = server.transmits(pair.simulator.now)
    assert packet_count(answer) == 1
    deliver(pair, client, answer)
    assert client._paths[ZERO].sent.ack_eliciting_in_flight == 0
