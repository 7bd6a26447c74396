"""Scenarios up to the end of the handshake: Retry, versions, resumption, limits, floods."""

from collections import Counter

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from mqvpn_core.ids import FourTuple, Instant, SocketAddress
from mqvpn_core.quic.endpoint import RetryPolicy
from mqvpn_core.quic.events import ConnectionTerminated, HandshakeCompleted
from mqvpn_core.testing.certificates import make_certificate
from mqvpn_core.testing.link_elements import (
    Delay,
    Direction,
    DropNth,
    LinkElement,
    Loss,
    Reorder,
    UdpDatagram,
)
from mqvpn_core.testing.pair import CLIENT_ADDRESS, SERVER_ADDRESS, Pair, PairConfig
from tests.interop.stock import StockClient, client_configuration
from tests.simulation.rules import PairRules

UNKNOWN_VERSION = 0x1A2A3A4A
BIG_CERTIFICATE = make_certificate(2, more_names=250)
DELAY = Delay(0.02)


class LongHeaders:
    """Counts the long-header packets that are sent."""

    def __init__(self, pair: Pair) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        pair.simulator.add_tap(self._on_datagram)

    def _on_datagram(self, now: Instant, what: str, datagram: UdpDatagram) -> None:
        del now
        payload = datagram.payload
        while what == "sent" and payload[:1] >= b"\x80":
            header = pull_quic_header(Buffer(data=payload), host_cid_length=8)
            sender = "server" if datagram.source == SERVER_ADDRESS else "client"
            self.counts[sender, header.packet_type.name] += 1
            payload = payload[header.packet_length :]

    def sent(self, sender: str, kind: QuicPacketType) -> int:
        return self.counts[sender, kind.name]


def transfer(pair: Pair, size: int = 20_000) -> None:
    """Prove that the connection works both ways."""
    data = bytes(range(256)) * (size // 256)
    pair.client.send_stream(0, data, end_stream=True)
    pair.server.send_stream(1, data, end_stream=True)
    pair.simulator.run_until(
        lambda: 0 in pair.server.ended_streams and 1 in pair.client.ended_streams, limit=60
    )
    assert pair.server.received_stream(0) == data
    assert pair.client.received_stream(1) == data


def test_both_ends_tell_the_same_of_the_handshake() -> None:
    with Pair(1, PairConfig(client_link=(DELAY,))) as pair:
        pair.handshake()
        expected = HandshakeCompleted(alpn="h3", session_resumed=False, multipath=False)
        assert pair.client.events_of(HandshakeCompleted) == [expected]
        assert pair.server.events_of(HandshakeCompleted) == [expected]
        assert pair.client.connection.peer_certificate_der is not None
        # One round trip for TLS, half of one for HANDSHAKE_DONE.
        assert pair.simulator.elapsed == pytest.approx(0.08, abs=0.01)


def test_retry_proves_the_address_first() -> None:
    with Pair(1, PairConfig(client_link=(DELAY,), retry=RetryPolicy.ALWAYS)) as pair:
        headers = LongHeaders(pair)
        rules = PairRules(pair)
        pair.connect()
        pair.simulator.run_for(0.03)
        assert headers.sent("server", QuicPacketType.RETRY) == 1
        assert not pair.server_node.endpoint.connections
        pair.simulator.run_until(lambda: pair.client.connection.handshake_confirmed, limit=5)
        assert headers.sent("server", QuicPacketType.RETRY) == 1
        transfer(pair)
        rules.finish()


@pytest.mark.parametrize("lost", [{0}, {1}, {2}, {0, 1, 2}])
@pytest.mark.parametrize("direction", [Direction.UP, Direction.DOWN])
def test_retry_survives_losses(lost: set[int], direction: Direction) -> None:
    elements = (DropNth(frozenset(lost), direction), DELAY)
    with Pair(1, PairConfig(client_link=elements, retry=RetryPolicy.ALWAYS)) as pair:
        pair.handshake(limit=10)
        transfer(pair)


def test_version_negotiation_finds_a_common_version() -> None:
    with Pair(1, PairConfig(client_link=(DELAY,))) as pair:
        headers = LongHeaders(pair)
        pair.client.connection.engine._configuration.supported_versions = [UNKNOWN_VERSION, 1]
        pair.handshake(limit=5)
        assert headers.sent("server", QuicPacketType.VERSION_NEGOTIATION) == 1
        assert pair.client.connection.engine.negotiated_version == 1
        transfer(pair)


def test_no_common_version_ends_the_connection() -> None:
    with Pair(1, PairConfig(client_link=(DELAY,))) as pair:
        pair.client.connection.engine._configuration.supported_versions = [UNKNOWN_VERSION]
        pair.connect()
        pair.simulator.run_until(lambda: pair.client.termination is not None, limit=5)
        pair.simulator.run_for(5)
        assert pair.client.connection.is_closed
        assert not pair.server_node.endpoint.connections


def test_a_ticket_resumes_the_session_once() -> None:
    with Pair(1, PairConfig(client_link=(DELAY,))) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        ticket = next(iter(pair.tickets.values()))
        resumed = []
        for name in ("second client", "third client"):
            pair.client.close(0x100, "next")
            pair.simulator.run_for(2)
            pair.new_client(name, ticket=ticket)
            pair.handshake()
            for peer in (pair.client, pair.server):
                (completed,) = peer.events_of(HandshakeCompleted)
                resumed.append(completed.session_resumed)
            transfer(pair)
        # RFC 8446 8.1: the server forgets a ticket when it is used.
        assert resumed == [True, True, False, False]


def test_a_ticket_survives_no_server_restart_but_the_handshake_does() -> None:
    with Pair(1, PairConfig(client_link=(DELAY,))) as pair:
        pair.handshake()
        pair.simulator.run_for(1)
        ticket = next(iter(pair.tickets.values()))
        pair.restart_server("second server")
        pair.new_client("second client", ticket=ticket)
        pair.handshake()
        transfer(pair)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_big_certificate_waits_for_the_address_to_be_validated(seed: int) -> None:
    elements: tuple[LinkElement, ...] = (DELAY, Loss(0.15), Reorder(0.1, 0.05))
    config = PairConfig(client_link=elements, certificate=BIG_CERTIFICATE)
    with Pair(seed, config) as pair:
        rules = PairRules(pair)
        pair.handshake(limit=60)
        transfer(pair)
        rules.finish()


@pytest.mark.parametrize("lost", [{0}, {1}, {2}, {0, 1, 2}, {0, 1, 2, 3, 4}])
@pytest.mark.parametrize("direction", [Direction.UP, Direction.DOWN])
def test_a_lost_flight_does_not_deadlock(lost: set[int], direction: Direction) -> None:
    """RFC 9002 s6.2.2.1: the client must speak when the server has used up its limit."""
    elements = (DropNth(frozenset(lost), direction), DELAY)
    config = PairConfig(client_link=elements, certificate=BIG_CERTIFICATE)
    with Pair(1, config) as pair:
        rules = PairRules(pair)
        pair.handshake(limit=20)
        transfer(pair)
        rules.finish()


def test_a_silent_client_is_sent_three_times_its_bytes_and_forgotten() -> None:
    """The client vanishes after its first flight: limit kept, state freed after the idle time."""
    config = PairConfig(client_link=(DELAY,), certificate=BIG_CERTIFICATE)
    with Pair(1, config) as pair:
        rules = PairRules(pair)
        pair.connect()
        pair.simulator.run_for(0.03)
        pair.simulator.link("client", "wifi").is_up = False
        pair.simulator.run_for(120)
        assert not pair.server_node.endpoint.connections
        assert pair.client.connection.is_closed
        assert isinstance(pair.client.events[-1], ConnectionTerminated)
        assert rules.sent_bytes_to(CLIENT_ADDRESS) <= 3 * 1200


@pytest.mark.slow
def test_a_flood_of_initials_costs_no_state_and_locks_nobody_out() -> None:
    config = PairConfig(client_link=(DELAY,), max_half_open=8)
    with Pair(1, config) as pair:
        headers = LongHeaders(pair)
        for index in range(60):
            address = SocketAddress(f"198.51.100.{index}", 9)
            flooder = StockClient(client_configuration(), FourTuple(address, SERVER_ADDRESS))
            flooder.connect(pair.simulator.now)
            (transmit,) = flooder.transmits(pair.simulator.now)
            pair.simulator.inject(UdpDatagram(address, SERVER_ADDRESS, transmit.data, 0))
        pair.simulator.run_for(0.01)
        assert len(pair.server_node.endpoint.connections) == 8
        assert headers.sent("server", QuicPacketType.RETRY) == 52
        pair.handshake(limit=10)
        assert headers.sent("server", QuicPacketType.RETRY) == 52 + 1
        transfer(pair)
        pair.simulator.run_for(120)
        assert len(pair.server_node.endpoint.connections) <= 1


def test_a_forged_retry_token_is_refused_at_once() -> None:
    with Pair(1, PairConfig(client_link=(DELAY,), retry=RetryPolicy.ALWAYS)) as pair:
        configuration = client_configuration()
        configuration.token = b"a token nobody gave"
        address = SocketAddress("10.0.0.2", 77)
        client = StockClient(configuration, FourTuple(address, SERVER_ADDRESS))
        pair.simulator.replace_node("client", client)
        client.connect(pair.simulator.now)
        pair.simulator.run_for(1)
        termination = client.connection.termination
        assert termination is not None
        # RFC 9000 s8.1.3: INVALID_TOKEN.
        assert termination.error_code == 0x0B
        assert not pair.server_node.endpoint.connections


@pytest.mark.parametrize(
    "payload",
    [
        b"\xc0",
        b"\xc0\x00\x00\x00\x01",
        bytes(1200),
        b"\xff" * 1200,
        b"\xc0\x00\x00\x00\x01\x08" + b"x" * 1194,
        b"\xc3\x1a\x2a\x3a\x4a\x08" + b"x" * 1194,
        b"\xc3\x00\x00\x00\x00\x08" + b"x" * 1194,
        b"\x40" + b"x" * 20,
    ],
)
def test_garbage_gets_no_state(payload: bytes) -> None:
    with Pair(1, PairConfig(client_link=(DELAY,))) as pair:
        stranger = SocketAddress("198.51.100.7", 7)
        pair.simulator.inject(UdpDatagram(stranger, SERVER_ADDRESS, payload, 0))
        pair.simulator.run_for(1)
        assert not pair.server_node.endpoint.connections
        pair.handshake()
        transfer(pair)
