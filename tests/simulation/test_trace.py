"""The trace of a connection tells the same story as its statistics and its peer."""

from collections import Counter

import pytest

from mqvpn_core.ids import PathId
from mqvpn_core.quic.events import HandshakeConfirmed, KeysUpdated
from mqvpn_core.quic.trace import (
    MAX_RECORDS,
    ConnectionStarted,
    EventTraced,
    MetricsTraced,
    PacketsLostTraced,
    PacketTraced,
    TraceRecord,
)
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.link_elements import Delay, Loss
from mqvpn_core.testing.pair import Pair, PairConfig, Peer

TRACED = TransportConfig(initial_max_path_id=2, keep_alive=None, is_traced=True)


def packets(records: list[TraceRecord], *, is_sent: bool) -> list[PacketTraced]:
    return [
        record
        for record in records
        if isinstance(record, PacketTraced) and record.is_sent is is_sent
    ]


def numbers(records: list[TraceRecord], *, is_sent: bool) -> set[int]:
    return {record.number for record in packets(records, is_sent=is_sent)}


def take(peer: Peer) -> list[TraceRecord]:
    records, dropped = peer.connection.take_trace()
    assert dropped == 0
    return records


@pytest.mark.slow
def test_trace_agrees_with_statistics_and_with_the_peer() -> None:
    link = (Delay(0.01), Loss(0.05))
    with Pair(3, PairConfig(client=TRACED, server=TRACED, client_link=link)) as pair:
        pair.handshake()
        pair.client.send_datagrams([b"x" * 500] * 300, pair.simulator.now)
        pair.client.send_stream(0, b"y" * 20_000, end_stream=True)
        pair.client.request_key_update(pair.simulator.now)
        pair.simulator.run_for(2)
        client, server = take(pair.client), take(pair.server)
        path = pair.client.path
        assert isinstance(client[0], ConnectionStarted)
        assert isinstance(server[0], ConnectionStarted)
        assert client[0].is_client
        assert client[0].original_destination_cid == server[0].original_destination_cid
        assert [record.at for record in client] == sorted(record.at for record in client)
        assert len(packets(client, is_sent=True)) == path.sent_packets
        assert len(numbers(client, is_sent=False)) == path.received_packets
        assert sum(record.size for record in packets(client, is_sent=True)) == path.sent_bytes
        assert numbers(server, is_sent=False) < numbers(client, is_sent=True)
        lost = {
            number
            for record in client
            if isinstance(record, PacketsLostTraced)
            for number in record.numbers
        }
        assert lost
        assert not lost & numbers(server, is_sent=False)
        kinds = Counter(
            frame.name for record in packets(client, is_sent=True) for frame in record.frames
        )
        assert {"datagram", "stream", "path_ack", "path_new_connection_id"} <= set(kinds)
        assert "unknown" not in kinds
        events = [record.event for record in client if isinstance(record, EventTraced)]
        assert HandshakeConfirmed() in events
        assert KeysUpdated(key_phase=1, initiated_locally=True) in events


def test_metrics_are_told_when_they_change() -> None:
    with Pair(4, PairConfig(client=TRACED, server=TRACED, client_link=(Delay(0.01),))) as pair:
        pair.handshake()
        pair.client.send_datagrams([b"x" * 500] * 100, pair.simulator.now)
        pair.simulator.run_for(1)
        metrics = [r for r in take(pair.client) if isinstance(r, MetricsTraced)]
        last: dict[str, float] = {}
        for record in metrics:
            assert record.path_id == PathId(0)
            assert all(last.get(name) != value for name, value in record.values.items())
            last |= record.values
        assert last["congestion_window"] == pair.client.path.congestion_window
        assert last["smoothed_rtt"] == pair.client.path.smoothed_rtt


@pytest.mark.slow
def test_records_that_nobody_takes_are_bounded_and_counted() -> None:
    with Pair(5, PairConfig(client=TRACED, server=TRACED, client_link=(Delay(0.01),))) as pair:
        pair.handshake()
        while pair.client.path.sent_packets < MAX_RECORDS + 500:
            pair.client.send_datagrams([b"x" * 1000] * 500, pair.simulator.now)
            pair.simulator.run_for(1)
        records, dropped = pair.client.connection.take_trace()
        assert len(records) == MAX_RECORDS
        assert dropped > 500
        assert pair.client.connection.take_trace() == ([], 0)


def test_without_being_asked_there_is_no_trace() -> None:
    config = TransportConfig()
    with Pair(6, PairConfig(client=config, server=config)) as pair:
        pair.handshake()
        assert pair.client.connection.take_trace() == ([], 0)
