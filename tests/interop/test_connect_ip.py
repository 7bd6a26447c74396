"""CONNECT-IP sessions of ours against stock aioquic HTTP/3, IP packets included."""

from ipaddress import ip_interface

from aioquic.h3.events import DatagramReceived, H3Event, HeadersReceived
from typing_extensions import override

from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, SocketAddress
from mqvpn_core.masque.client_session import ClientSession
from mqvpn_core.masque.server_events import ServerSessionEvent, TunnelClosed, TunnelOpened
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.masque.session_events import SessionEvent, TunnelEstablished
from mqvpn_core.quic.aioquic_bridge.credentials import ServerCertificate
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.endpoint import ConnectionAccepted, EndpointConfig, ServerEndpoint
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.quic.transport_config import ClientTls, ServerTls, TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.entropy import SeededEntropy, seeded_libraries
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.simulator import Node, Simulator
from mqvpn_core.wire.address_capsules import AddressAssign, RouteAdvertisement
from tests.interop.stock import (
    CERTIFICATE,
    SERVER_NAME,
    StockClient,
    StockConnection,
    StockServer,
    client_configuration,
    server_configuration,
)
from tests.unit.masque.samples import (
    KEY,
    PATH,
    advertise,
    assign,
    capsules_of,
    config_of,
    echo_packet,
    policy_of,
    route,
)

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)
WEB = "198.51.100.7"
INNER = "10.0.0.2"


class TunnelServer(Node):
    """Our endpoint with a CONNECT-IP session on each connection."""

    def __init__(self) -> None:
        identity = ServerTls(
            certificate=ServerCertificate(
                chain=(CERTIFICATE.certificate,), private_key=CERTIFICATE.private_key
            )
        )
        config = EndpointConfig(
            transport=TransportConfig(), identity=identity, reset_key=b"a key for these tests"
        )
        self.endpoint = ServerEndpoint(config, SeededEntropy(1, "tunnel server"))
        self.sessions: dict[ConnectionHandle, ServerSession] = {}
        self.events: list[ServerSessionEvent] = []
        self._policy = policy_of()

    @property
    def session(self) -> ServerSession:
        """The newest session."""
        return list(self.sessions.values())[-1]

    def send(self, packets: list[bytes], now: Instant) -> None:
        """Send IP packets from behind the server to the client."""
        self.session.send_ip_packets(packets, now)
        for handle in self.sessions:
            self.endpoint.wake(handle)

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self.endpoint.receive_datagrams(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.endpoint.handle_timeout(now)
        for handle, session in self.sessions.items():
            session.handle_timeout(now)
            self.endpoint.wake(handle)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        return self.endpoint.transmits(now)

    @override
    def next_timeout(self) -> Instant | None:
        deadlines = [session.next_timeout() for session in self.sessions.values()]
        deadlines.append(self.endpoint.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @override
    def handle_events(self, now: Instant) -> int:
        count = 0
        while (event := self.endpoint.next_event()) is not None:
            count += 1
            if isinstance(event, ConnectionAccepted):
                self.sessions[event.handle] = ServerSession(
                    policy=self._policy,
                    http3=Http3Connection(event.connection),
                    peer_host=event.four_tuple.remote.host,
                )
        for handle in sorted(self.endpoint.take_ready() & self.sessions.keys()):
            session = self.sessions[handle]
            session.receive_events(now)
            while (session_event := session.next_event()) is not None:
                self.events.append(session_event)
                self.endpoint.wake(handle)
                count += 1
        return count


class TunnelClient(Node):
    """Our client connection with a CONNECT-IP session."""

    def __init__(self) -> None:
        trust = ClientTls(server_name=SERVER_NAME, ca_data=CERTIFICATE.certificate_pem)
        self.connection = client_connection(
            TransportConfig(), trust, entropy=SeededEntropy(1, "tunnel client")
        )
        self.session = ClientSession(config=config_of(), http3=Http3Connection(self.connection))
        self.events: list[SessionEvent] = []

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self.connection.receive_datagrams(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.connection.handle_timeout(now)
        self.session.handle_timeout(now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        return self.connection.transmits(now)

    @override
    def next_timeout(self) -> Instant | None:
        deadlines = (self.connection.next_timeout(), self.session.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @override
    def handle_events(self, now: Instant) -> int:
        self.session.receive_events(now)
        before = len(self.events)
        while (event := self.session.next_event()) is not None:
            self.events.append(event)
        return len(self.events) - before


def simulate(client: Node, server: Node) -> Simulator:
    simulator = Simulator(1)
    simulator.add_host("client", client, [Link("wifi", CLIENT.host, [Delay(0.01)])])
    simulator.add_host("server", server, [Link("eth0", SERVER.host)])
    return simulator


def test_a_stock_client_tunnels_through_our_server() -> None:
    with seeded_libraries(1):
        client, server = (
            StockClient(client_configuration(), FourTuple(CLIENT, SERVER)),
            TunnelServer(),
        )
        simulator = simulate(client, server)
        client.connect(simulator.now)
        simulator.run_for(1)
        stock = client.connection
        assert stock.h3 is not None
        stream_id = stock.quic.get_next_available_stream_id()
        headers = [
            (b":method", b"CONNECT"),
            (b":protocol", b"connect-ip"),
            (b":scheme", b"https"),
            (b":authority", b"vpn.example.org"),
            (b":path", PATH),
            (b"authorization", KEY),
            (b"capsule-protocol", b"?1"),
        ]
        stock.h3.send_headers(stream_id, headers)
        simulator.run_for(1)
        assert stock.headers(stream_id)[b":status"] == b"200"
        opened = [event for event in server.events if isinstance(event, TunnelOpened)]
        assert [str(address) for address in opened[0].addresses] == [INNER]
        capsules = capsules_of(stock.body(stream_id))
        assert [type(capsule) for capsule in capsules] == [AddressAssign, RouteAdvertisement]

        echo, answer = echo_packet(INNER, WEB), echo_packet(WEB, INNER, reply=True)
        stock.h3.send_datagram(stream_id, b"\x00" + echo)
        simulator.run_for(1)
        assert server.session.take_ip_packets() == [echo]
        server.send([answer], simulator.now)
        simulator.run_for(1)
        assert stock.http_datagrams == [b"\x00" + answer]

        stock.h3.send_data(stream_id, b"", end_stream=True)
        simulator.run_for(1)
        assert any(isinstance(event, TunnelClosed) for event in server.events)


def proxy(stock: StockConnection, event: H3Event) -> None:
    """Be a CONNECT-IP proxy that answers every packet with the same echo reply."""
    assert stock.h3 is not None
    if isinstance(event, HeadersReceived):
        status = b"200" if dict(event.headers).get(b"authorization") == KEY else b"401"
        stock.h3.send_headers(event.stream_id, [(b":status", status)])
        capsules = assign(f"{INNER}/32") + advertise(route("0.0.0.0/0"))
        stock.h3.send_data(event.stream_id, capsules, end_stream=False)
    elif isinstance(event, DatagramReceived):
        answer = b"\x00" + echo_packet(WEB, INNER, reply=True)
        stock.h3.send_datagram(event.stream_id, answer)


def test_our_client_tunnels_through_a_stock_server() -> None:
    with seeded_libraries(1):
        client = TunnelClient()
        server = StockServer(server_configuration(), answer=proxy)
        simulator = simulate(client, server)
        client.connection.connect(FourTuple(CLIENT, SERVER), simulator.now)
        simulator.run_until(lambda: bool(client.events), limit=10)
        (established,) = client.events
        assert isinstance(established, TunnelEstablished)
        assert established.addresses == (ip_interface(f"{INNER}/32"),)
        assert established.routes == (route("0.0.0.0/0"),)
        assert established.mtu >= 1100

        stock = server.connection
        assert stock is not None
        echo = echo_packet(INNER, WEB)
        client.session.send_ip_packets([echo], simulator.now)
        simulator.run_for(1)
        assert stock.http_datagrams == [b"\x00" + echo]
        assert client.session.take_ip_packets() == [echo_packet(WEB, INNER, reply=True)]
