"""A client and a server endpoint of ours in one simulator: the stage of most scenarios.

Owns the wiring and the bookkeeping of events; scenarios own faults, transfers and assertions.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from typing_extensions import override

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, PathId, SocketAddress
from mqvpn_core.quic.aioquic_bridge.credentials import ServerCertificate, SessionTicket
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.endpoint import (
    ConnectionAccepted,
    EndpointConfig,
    RetryPolicy,
    ServerEndpoint,
)
from mqvpn_core.quic.events import (
    ConnectionTerminated,
    DatagramsReceived,
    Event,
    StreamDataReceived,
)
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.statistics import PathStatistics
from mqvpn_core.quic.transport_config import ClientTls, ServerTls, TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.certificates import SelfSignedCertificate, make_certificate
from mqvpn_core.testing.entropy import SeededEntropy, seeded_libraries
from mqvpn_core.testing.link_elements import LinkElement
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.simulator import Node, Simulator

SERVER_NAME = "vpn.example"
CLIENT_ADDRESS = SocketAddress("10.0.0.2", 5000)
SERVER_ADDRESS = SocketAddress("192.0.2.1", 443)

_CERTIFICATE = make_certificate(1, SERVER_NAME)
_E = TypeVar("_E")


def no_change() -> None:
    """Do nothing, as a `Peer.on_command` of somebody who polls anyway."""


class Peer:
    """One end of a connection and everything it has reported.

    A: the attributes, ``events_of``, ``received_stream``, ``received_datagrams``, ``path``,
    ``paths``.
    C: ``send_stream``, ``send_datagrams``, ``abandon_path``, ``set_path_use``,
    ``request_key_update``, ``close``; everything else goes to ``connection`` itself.
    """

    def __init__(
        self, connection: MultipathConnection, on_command: Callable[[], None] = no_change
    ) -> None:
        """Watch a connection.

        Args:
            connection: the connection.
            on_command: called after each command, as a server endpoint has to be told.
        """
        self.connection = connection
        self.events: list[Event] = []
        self.ended_streams: set[int] = set()
        self.termination: ConnectionTerminated | None = None
        self._on_command = on_command
        self._streams: dict[int, bytearray] = {}
        self._datagrams: list[bytes] = []

    @property
    def received_datagrams(self) -> list[bytes]:
        """DATAGRAM payloads in the order of their arrival."""
        return self._datagrams

    @property
    def path(self) -> PathStatistics:
        """Numbers of path 0."""
        return self.paths[PathId(0)]

    @property
    def paths(self) -> dict[PathId, PathStatistics]:
        """Numbers of every path that exists."""
        return {path.path_id: path for path in self.connection.statistics().paths}

    def events_of(self, kind: type[_E]) -> list[_E]:
        """Return the events of one kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def received_stream(self, stream_id: int) -> bytes:
        """Return the bytes of a stream so far."""
        return bytes(self._streams.get(stream_id, b""))

    def send_stream(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> None:
        """Give stream data to the connection."""
        self.connection.engine.send_stream_data(stream_id, data, end_stream)
        self.connection.note_stream_activity()
        self._on_command()

    def send_datagrams(self, payloads: Sequence[Parcel], now: Instant) -> None:
        """Queue DATAGRAM payloads."""
        self.connection.queue_datagrams(b"", payloads, now)
        self._on_command()

    def abandon_path(self, path_id: PathId, error_code: int, now: Instant) -> None:
        """Give a path up."""
        self.connection.abandon_path(path_id, error_code, now)
        self._on_command()

    def set_path_use(self, path_id: PathId, use: PathUse) -> None:
        """Decide what a path is for."""
        self.connection.set_path_use(path_id, use)
        self._on_command()

    def request_key_update(self, now: Instant) -> None:
        """Ask for new keys."""
        self.connection.request_key_update(now)
        self._on_command()

    def close(self, error_code: int, reason: str) -> None:
        """Close the connection."""
        self.connection.close(error_code, reason)
        self._on_command()

    def collect(self) -> int:
        """Drain the connection's events; return their number."""
        before = len(self.events)
        while (event := self.connection.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, StreamDataReceived):
                self._streams.setdefault(event.stream_id, bytearray()).extend(event.data)
                if event.end_stream:
                    self.ended_streams.add(event.stream_id)
            elif isinstance(event, DatagramsReceived):
                self._datagrams.extend(expand(event.payloads))
            elif isinstance(event, ConnectionTerminated):
                self.termination = event
        return len(self.events) - before


class ClientNode(Node):
    """A client connection on a host."""

    def __init__(self, connection: MultipathConnection) -> None:
        """Run a connection that `connect` will start or has started."""
        self.peer = Peer(connection)

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Feed the connection."""
        self.peer.connection.receive_datagrams(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        """Run its timers."""
        self.peer.connection.handle_timeout(now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        """Return what it sends."""
        return self.peer.connection.transmits(now)

    @override
    def next_timeout(self) -> Instant | None:
        """Return its next timer."""
        return self.peer.connection.next_timeout()

    @override
    def handle_events(self, now: Instant) -> int:
        """Keep its events."""
        return self.peer.collect()


class ServerNode(Node):
    """A server endpoint on a host, with all its connections."""

    def __init__(self, endpoint: ServerEndpoint) -> None:
        """Run an endpoint."""
        self.endpoint = endpoint
        self.peers: dict[ConnectionHandle, Peer] = {}
        self.discarded: list[Peer] = []

    @property
    def peer(self) -> Peer:
        """The end of the newest connection."""
        return [*self.discarded, *self.peers.values()][-1]

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Feed the endpoint."""
        self.endpoint.receive_datagrams(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        """Run the timers that are due."""
        self.endpoint.handle_timeout(now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        """Return what the connections send."""
        return self.endpoint.transmits(now)

    @override
    def next_timeout(self) -> Instant | None:
        """Return the earliest timer."""
        return self.endpoint.next_timeout()

    @override
    def handle_events(self, now: Instant) -> int:
        """Keep the events of the endpoint and of its connections."""
        count = 0
        while (event := self.endpoint.next_event()) is not None:
            count += 1
            if isinstance(event, ConnectionAccepted):
                handle = event.handle
                self.peers[handle] = Peer(event.connection, partial(self.endpoint.wake, handle))
            else:
                peer = self.peers.pop(event.handle)
                count += peer.collect()
                self.discarded.append(peer)
        for handle in sorted(self.endpoint.take_ready()):
            if handle in self.peers:
                count += self.peers[handle].collect()
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class PairConfig:
    """What a pair is made of; every part has a plain default."""

    client: TransportConfig = field(default_factory=TransportConfig)
    """Transport settings of the client."""
    server: TransportConfig = field(default_factory=TransportConfig)
    """Transport settings of the server."""
    client_link: tuple[LinkElement, ...] = ()
    """Chain of the client's only link."""
    server_link: tuple[LinkElement, ...] = ()
    """Chain of the server's only link."""
    certificate: SelfSignedCertificate = _CERTIFICATE
    """What the server shows and the client trusts."""
    retry: RetryPolicy = RetryPolicy.UNDER_LOAD
    """When the server sends Retry."""
    max_half_open: int = 64
    """Unvalidated handshakes that make the server send Retry."""


class Pair:
    """A client and a server host with one link each; a context manager that seeds everything.

    A: ``simulator``, ``client``, ``server``, ``client_node``, ``server_node``.
    C: ``connect``, ``handshake``, ``restart_server``, ``new_client``.
    """

    def __init__(self, seed: int, config: PairConfig | None = None) -> None:
        """Prepare the hosts; nothing is sent before `connect`."""
        self.seed = seed
        self.config = config or PairConfig()
        self.simulator = Simulator(seed)
        self.tickets: dict[bytes, SessionTicket] = {}
        certificate = self.config.certificate
        self._server_tls = ServerTls(
            certificate=ServerCertificate(
                chain=(certificate.certificate,), private_key=certificate.private_key
            )
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Seed the libraries and set up the hosts."""
        self._stack.enter_context(seeded_libraries(self.seed, lambda: self.simulator.elapsed))
        self.server_node = ServerNode(self._new_endpoint("server"))
        self.client_node = ClientNode(self._new_connection("client"))
        simulator, config = self.simulator, self.config
        client_link = Link("wifi", CLIENT_ADDRESS.host, config.client_link)
        server_link = Link("eth0", SERVER_ADDRESS.host, config.server_link)
        simulator.add_host("client", self.client_node, [client_link])
        simulator.add_host("server", self.server_node, [server_link])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the libraries their own randomness back."""
        self._stack.close()

    @property
    def client(self) -> Peer:
        """The client's end."""
        return self.client_node.peer

    @property
    def server(self) -> Peer:
        """The server's end of the newest connection."""
        return self.server_node.peer

    def connect(self) -> None:
        """Start the client's handshake."""
        four_tuple = FourTuple(CLIENT_ADDRESS, SERVER_ADDRESS)
        self.client.connection.connect(four_tuple, self.simulator.now)

    def handshake(self, *, limit: float = 30.0) -> None:
        """Run until both ends have confirmed the handshake."""
        self.connect()
        self.simulator.run_until(
            lambda: (
                self.client.connection.handshake_confirmed
                and self.server.connection.handshake_confirmed
            ),
            limit=limit,
        )

    def restart_server(self, name: str) -> None:
        """Replace the server by one that knows nothing but the same keys and tickets."""
        self.server_node = ServerNode(self._new_endpoint(name))
        self.simulator.replace_node("server", self.server_node)

    def new_client(self, name: str, *, ticket: SessionTicket | None = None) -> None:
        """Replace the client by a new one.

        Args:
            name: seeds its randomness.
            ticket: lets it resume an earlier session.
        """
        self.client_node = ClientNode(self._new_connection(name, ticket))
        self.simulator.replace_node("client", self.client_node)

    def _new_endpoint(self, name: str) -> ServerEndpoint:
        config = EndpointConfig(
            transport=self.config.server,
            identity=self._server_tls,
            reset_key=b"the key of every run",
            retry=self.config.retry,
            max_half_open=self.config.max_half_open,
        )
        return ServerEndpoint(config, SeededEntropy(self.seed, name))

    def _new_connection(
        self, name: str, ticket: SessionTicket | None = None
    ) -> MultipathConnection:
        trust = ClientTls(server_name=SERVER_NAME, ca_data=self.config.certificate.certificate_pem)
        return client_connection(
            self.config.client,
            replace(trust, session_ticket=ticket),
            entropy=SeededEntropy(self.seed, name),
            tickets=self.tickets,
        )
