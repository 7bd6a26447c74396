"""What the server endpoint does with datagrams of no connection, and its bookkeeping."""

from dataclasses import replace

import pytest

from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, SocketAddress
from mqvpn_core.quic.aioquic_bridge.credentials import ServerCertificate
from mqvpn_core.quic.aioquic_bridge.long_headers import decode_long_header
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.connection_steering import ConnectionSteering, SteeringKey
from mqvpn_core.quic.endpoint import (
    HANDSHAKE_LIMIT,
    ConnectionAccepted,
    EndpointConfig,
    RetryPolicy,
    ServerEndpoint,
)
from mqvpn_core.quic.packet_receiver import LARGEST_EARLY_PACKET
from mqvpn_core.quic.transport_config import ClientTls, ServerTls, TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.certificates import make_certificate
from mqvpn_core.testing.entropy import SeededEntropy

SERVER = SocketAddress("192.0.2.1", 443)
CERTIFICATE = make_certificate(1, "vpn.example")
IDENTITY = ServerCertificate(chain=(CERTIFICATE.certificate,), private_key=CERTIFICATE.private_key)
NOW = Instant(50.0)


STEERING_KEY = SteeringKey(first=0x9E3779B1, second=0x85EBCA6B, offset=12345)


def endpoint(own: int | None = None, **changes: object) -> ServerEndpoint:
    """An endpoint; with a number, one of three that share a port."""
    steering = None if own is None else ConnectionSteering(key=STEERING_KEY, count=3, own=own)
    config = EndpointConfig(
        transport=TransportConfig(),
        identity=ServerTls(certificate=IDENTITY),
        reset_key=b"r" * 32,
    )
    config = replace(config, **changes)  # type: ignore[arg-type] # test values
    return ServerEndpoint(config, SeededEntropy(1, "server"), steering)


def client(number: int = 1) -> tuple[MultipathConnection, SocketAddress]:
    address = SocketAddress(f"10.0.{number // 250}.{number % 250 + 1}", 5000)
    connection = client_connection(
        TransportConfig(),
        ClientTls(server_name="vpn.example", ca_data=CERTIFICATE.certificate_pem),
        entropy=SeededEntropy(number, "client"),
    )
    connection.connect(FourTuple(address, SERVER), NOW)
    return connection, address


def first_flight(number: int = 1) -> tuple[bytes, SocketAddress]:
    connection, address = client(number)
    return connection.transmits(NOW)[0].data, address


def deliver(server: ServerEndpoint, data: bytes, address: SocketAddress) -> list[Transmit]:
    batch = ReceivedDatagrams(FourTuple(SERVER, address), data, len(data), 0)
    server.receive_datagrams(batch, NOW)
    return server.transmits(NOW)


def test_an_initial_opens_a_connection_and_is_answered_within_three_times_its_size() -> None:
    server = endpoint()
    data, address = first_flight()
    answer = deliver(server, data, address)
    event = server.next_event()
    assert isinstance(event, ConnectionAccepted)
    assert event.four_tuple.remote == address
    assert 0 < sum(len(transmit.data) for transmit in answer) <= 3 * len(data)


def test_a_short_initial_is_ignored() -> None:
    server = endpoint()
    data, address = first_flight()
    assert deliver(server, data[:1199], address) == []
    assert not server.connections


def test_an_initial_with_a_short_connection_id_is_ignored() -> None:
    """RFC 9000 s7.2: at least 8 bytes that cannot be guessed."""
    server = endpoint()
    data, address = first_flight()
    length = data[5]
    short = data[:5] + b"\x07" + data[6:13] + data[6 + length :] + bytes(length - 7)
    assert decode_long_header(short).destination_cid == data[6:13]
    assert deliver(server, short, address) == []
    assert not server.connections


def test_an_unknown_version_is_negotiated_without_state() -> None:
    server = endpoint()
    data, address = first_flight()
    (answer,) = deliver(server, data[:1] + b"\x1a\x2a\x3a\x4a" + data[5:], address)
    header = decode_long_header(answer.data)
    assert header.version == 0
    assert not server.connections


def test_a_version_negotiation_packet_is_never_answered() -> None:
    """RFC 9000 s6.1: two servers could otherwise keep each other busy."""
    server = endpoint()
    _, address = first_flight()
    packet = b"\xc0" + bytes(4) + b"\x08" + b"d" * 8 + b"\x08" + b"s" * 8 + b"\x1a" * 1200
    assert decode_long_header(packet).version == 0
    assert deliver(server, packet, address) == []
    assert not server.connections


def test_retry_keeps_no_state_and_the_token_opens_the_connection() -> None:
    server = endpoint(retry=RetryPolicy.ALWAYS)
    connection, address = client()
    (retry,) = deliver(server, connection.transmits(NOW)[0].data, address)
    assert not server.connections
    assert len(retry.data) < 1200
    batch = ReceivedDatagrams(FourTuple(address, SERVER), retry.data, len(retry.data), 0)
    connection.receive_datagrams(batch, NOW)
    second = connection.transmits(NOW)[0].data
    assert decode_long_header(second).token
    assert deliver(server, second, address)
    assert len(server.connections) == 1


def test_a_token_of_another_address_is_refused_at_once() -> None:
    server = endpoint(retry=RetryPolicy.ALWAYS)
    connection, address = client()
    (retry,) = deliver(server, connection.transmits(NOW)[0].data, address)
    batch = ReceivedDatagrams(FourTuple(address, SERVER), retry.data, len(retry.data), 0)
    connection.receive_datagrams(batch, NOW)
    thief = SocketAddress("203.0.113.9", 1)
    assert deliver(server, connection.transmits(NOW)[0].data, thief)  # INVALID_TOKEN
    assert not server.connections


@pytest.mark.slow
def test_a_flood_of_initials_costs_no_state_beyond_the_half_open_limit() -> None:
    server = endpoint(max_half_open=10, stateless_answers_per_second=1.0)
    answers = 0
    for number in range(300):
        data, address = first_flight(number)
        answers += len(deliver(server, data, address))
    assert len(server.connections) == 10
    assert len(server._routes) <= 2 * 10
    # Half-open connections answered, then Retry until its rate limit: not one answer each.
    assert answers < 250


def accept(server: ServerEndpoint, number: int) -> ConnectionHandle | None:
    """Let another client say its first word; None when it is not accepted."""
    data, address = first_flight(number)
    deliver(server, data, address)
    accepted = None
    while (event := server.next_event()) is not None:
        accepted = event.handle if isinstance(event, ConnectionAccepted) else accepted
    return accepted


def test_beyond_the_limit_the_oldest_stranger_makes_room() -> None:
    server = endpoint(max_connections=3, retry=RetryPolicy.NEVER)
    handles = [accept(server, number) for number in range(8)]
    assert list(server.connections) == handles[-3:]
    assert len(server._routes) <= 2 * 3
    assert len(server._half_open) == 3


def test_whom_we_know_stays_and_makes_no_room() -> None:
    server = endpoint(max_connections=3, retry=RetryPolicy.NEVER)
    known, other, third = (accept(server, number) for number in range(3))
    assert known is not None
    assert other is not None
    assert third is not None
    server.set_known(known, is_known=True)
    fourth = accept(server, 3)
    assert fourth is not None
    assert set(server.connections) == {known, third, fourth}
    for handle in (third, fourth):
        server.set_known(handle, is_known=True)
    assert accept(server, 4) is None
    # Somebody whose tunnel is over is a stranger again.
    server.set_known(third, is_known=False)
    fifth = accept(server, 5)
    assert set(server.connections) == {known, fourth, fifth}
    # Of somebody who is gone nothing is kept.
    server.set_known(other, is_known=False)
    assert other not in server._strangers


def test_a_handshake_that_only_goes_on_is_given_up() -> None:
    """Packets of a client keep the idle timer from expiring; that must not be for ever."""
    server = endpoint()
    connection, address = client()
    now: float = NOW
    (data, *_) = [transmit.data for transmit in connection.transmits(NOW)]
    deliver(server, data, address)
    while server.connections and now < NOW + 2 * HANDSHAKE_LIMIT:
        now += 1.0
        server.handle_timeout(Instant(now))
        # The same Initial again is a packet of the client, whatever else it is.
        connection.handle_timeout(Instant(now))
        for transmit in connection.transmits(Instant(now)):
            batch = ReceivedDatagrams(
                FourTuple(SERVER, address), transmit.data, len(transmit.data), 0
            )
            server.receive_datagrams(batch, Instant(now))
        server.transmits(Instant(now))
    assert not server.connections
    assert now - NOW <= HANDSHAKE_LIMIT + 1


def test_nothing_large_is_kept_of_somebody_who_has_no_keys_yet() -> None:
    server = endpoint()
    data, address = first_flight()
    deliver(server, data, address)
    (connection,) = server.connections.values()
    for size in (1200, LARGEST_EARLY_PACKET, LARGEST_EARLY_PACKET + 1, 60_000):
        packet = (b"\x41" + connection.engine.host_cid).ljust(size, b"x")
        deliver(server, packet, address)
    kept = connection._receiver.take_early()
    assert [len(packet) for _, packet, _ in kept] == [1200, LARGEST_EARLY_PACKET]


def test_an_unknown_short_header_gets_a_stateless_reset_that_is_smaller() -> None:
    server = endpoint()
    address = SocketAddress("10.0.0.9", 9)
    packet = bytes([0x41]) + b"whatever" + bytes(60)
    (reset,) = deliver(server, packet, address)
    assert 21 <= len(reset.data) < len(packet)
    assert reset.data[0] & 0xC0 == 0x40
    # The same server key gives the same token after a restart.
    (again,) = deliver(endpoint(), packet, address)
    assert again.data[-16:] == reset.data[-16:]


@pytest.mark.parametrize("size", [1, 5, 9, 20, 21])
def test_tiny_datagrams_are_never_answered(size: int) -> None:
    server = endpoint()
    assert deliver(server, bytes([0x41]) * size, SocketAddress("10.0.0.9", 9)) == []
    assert deliver(server, bytes([0xC1]) * size, SocketAddress("10.0.0.9", 9)) == []


def test_resets_are_rate_limited() -> None:
    server = endpoint(stateless_answers_per_second=10.0)
    packet = bytes([0x41]) + b"whatever" + bytes(60)
    address = SocketAddress("10.0.0.9", 9)
    answers = sum(len(deliver(server, packet, address)) for _ in range(1000))
    assert answers <= 210


def test_coalesced_reads_of_several_connections_are_sorted_out() -> None:
    server = endpoint()
    first, address = first_flight(1)
    second, _ = first_flight(2)
    batch = ReceivedDatagrams(FourTuple(SERVER, address), first + second, len(first), 0)
    server.receive_datagrams(batch, NOW)
    assert len(server.connections) == 2


def test_a_handshake_that_never_goes_on_is_forgotten() -> None:
    server = endpoint()
    data, address = first_flight()
    deliver(server, data, address)
    now: float = NOW
    for _ in range(200):
        due = server.next_timeout()
        if due is None:
            break
        now = max(now + 1e-6, due)
        server.handle_timeout(Instant(now))
        server.transmits(Instant(now))
    assert not server.connections
    assert not server._routes
    assert server.next_timeout() is None
    assert now - NOW <= 61


def worker_of(connection_id: bytes) -> int:
    return ConnectionSteering(key=STEERING_KEY, count=3, own=0).worker_of(connection_id)


def test_only_one_of_several_endpoints_takes_a_client_and_its_ids_lead_back_there() -> None:
    for number in range(1, 8):
        data, address = first_flight(number)
        wanted = worker_of(decode_long_header(data).destination_cid)
        for own in range(3):
            server = endpoint(own)
            answer = deliver(server, data, address)
            assert bool(answer) == (own == wanted)
            for transmit in answer:
                assert worker_of(decode_long_header(transmit.data).source_cid) == own
            for connection in server.connections.values():
                ids = connection.local_connection_ids.all_connection_ids
                assert {worker_of(each) for each in ids} == {own}


def test_a_retry_leads_back_to_the_endpoint_that_sent_it() -> None:
    data, address = first_flight(3)
    own = worker_of(decode_long_header(data).destination_cid)
    (answer,) = deliver(endpoint(own, retry=RetryPolicy.ALWAYS), data, address)
    assert worker_of(decode_long_header(answer.data).source_cid) == own


def test_a_packet_of_another_endpoint_is_not_answered_by_a_reset() -> None:
    """It would end a connection that lives: all have the same key for resets."""
    answered = []
    for number in range(30):
        cid = SeededEntropy(number, "ids")(8)
        answer = deliver(endpoint(1), b"\x43" + cid + bytes(60), SocketAddress("10.0.0.9", 5000))
        assert bool(answer) == (worker_of(cid) == 1)
        answered += answer
    assert answered
