"""Our client and server with HTTP/3 as nodes, and the small web site that both sides serve."""

import hashlib
from dataclasses import dataclass, field

from typing_extensions import override

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, StreamId
from mqvpn_core.quic.aioquic_bridge.credentials import ServerCertificate
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.endpoint import ConnectionAccepted, EndpointConfig, ServerEndpoint
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HeadersReceived,
    Http3Event,
    HttpDatagramsReceived,
    SettingsReceived,
)
from mqvpn_core.quic.transport_config import ClientTls, ServerTls, TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.entropy import SeededEntropy
from mqvpn_core.testing.simulator import Node
from tests.interop.stock import CERTIFICATE, SERVER_NAME

CONNECT_IP_PATH = b"/.well-known/masque/ip/*/*/"


def body_of(size: int) -> bytes:
    """Return the content of ``/bytes/size``."""
    return (hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1))[:size]


def request(method: bytes, path: bytes) -> list[tuple[bytes, bytes]]:
    """Make the header section of an ordinary request."""
    return [
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", SERVER_NAME.encode()),
        (b":path", path),
    ]


def connect_ip_request() -> list[tuple[bytes, bytes]]:
    """Make the header section of a CONNECT-IP request (RFC 9484 s4.3)."""
    return [
        *request(b"CONNECT", CONNECT_IP_PATH),
        (b":protocol", b"connect-ip"),
        (b"capsule-protocol", b"?1"),
    ]


@dataclass
class OurHttp:
    """One HTTP/3 connection of ours and what it has reported."""

    connection: MultipathConnection
    h3: Http3Connection = field(init=False)
    events: list[Http3Event] = field(default_factory=list)
    bodies: dict[StreamId, bytearray] = field(default_factory=dict)
    ended: set[StreamId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.h3 = Http3Connection(self.connection)

    def collect(self) -> list[Http3Event]:
        """Drain the events, and return the new ones."""
        new = []
        while (event := self.h3.next_event()) is not None:
            new.append(event)
            if isinstance(event, DataReceived):
                self.bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
            if isinstance(event, DataReceived | HeadersReceived) and event.end_stream:
                self.ended.add(event.stream_id)
        self.events.extend(new)
        return new

    def headers(self, stream_id: StreamId) -> dict[bytes, bytes]:
        """Return the first header section received on a stream."""
        for event in self.events:
            if isinstance(event, HeadersReceived) and event.stream_id == stream_id:
                return dict(event.headers)
        return {}

    @property
    def is_ready(self) -> bool:
        """The peer's SETTINGS have arrived."""
        return any(isinstance(event, SettingsReceived) for event in self.events)

    @property
    def http_datagrams(self) -> list[bytes]:
        """Payloads of the HTTP datagrams received."""
        received = [event for event in self.events if isinstance(event, HttpDatagramsReceived)]
        return [payload for event in received for payload in expand(event.payloads)]


class OurHttpClient(Node):
    """Our client on a host."""

    def __init__(self, four_tuple: FourTuple, config: TransportConfig | None = None) -> None:
        trust = ClientTls(server_name=SERVER_NAME, ca_data=CERTIFICATE.certificate_pem)
        self.connection = client_connection(
            config or TransportConfig(), trust, entropy=SeededEntropy(1, "our client")
        )
        self.http = OurHttp(self.connection)
        self._four_tuple = four_tuple

    def connect(self, now: Instant) -> None:
        """Start the handshake."""
        self.connection.connect(self._four_tuple, now)

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self.connection.receive_datagrams(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.connection.handle_timeout(now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        return self.connection.transmits(now)

    @override
    def next_timeout(self) -> Instant | None:
        return self.connection.next_timeout()

    @override
    def handle_events(self, now: Instant) -> int:
        return len(self.http.collect())


class OurHttpServer(Node):
    """Our server on a host, with a small site: /bytes/N, /upload, and an echoing CONNECT-IP."""

    def __init__(self, config: TransportConfig | None = None) -> None:
        certificate = ServerCertificate(
            chain=(CERTIFICATE.certificate,), private_key=CERTIFICATE.private_key
        )
        endpoint_config = EndpointConfig(
            transport=config or TransportConfig(),
            identity=ServerTls(certificate=certificate),
            reset_key=b"a key for these tests",
        )
        self.endpoint = ServerEndpoint(endpoint_config, SeededEntropy(1, "our server"))
        self.https: dict[ConnectionHandle, OurHttp] = {}

    @property
    def http(self) -> OurHttp:
        """The newest connection."""
        return list(self.https.values())[-1]

    def wake(self) -> None:
        """Commands were given to a connection."""
        for handle in self.https:
            self.endpoint.wake(handle)

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self.endpoint.receive_datagrams(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.endpoint.handle_timeout(now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        return self.endpoint.transmits(now)

    @override
    def next_timeout(self) -> Instant | None:
        return self.endpoint.next_timeout()

    @override
    def handle_events(self, now: Instant) -> int:
        count = 0
        while (event := self.endpoint.next_event()) is not None:
            count += 1
            if isinstance(event, ConnectionAccepted):
                self.https[event.handle] = OurHttp(event.connection)
        for handle in sorted(self.endpoint.take_ready() & self.https.keys()):
            http = self.https[handle]
            for h3_event in http.collect():
                count += 1
                self._answer(http, h3_event, now)
                self.endpoint.wake(handle)
        return count

    def _answer(self, http: OurHttp, event: Http3Event, now: Instant) -> None:
        h3 = http.h3
        if isinstance(event, HttpDatagramsReceived):
            h3.send_http_datagrams(event.stream_id, b"", event.payloads, now)
            return
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        stream_id = event.stream_id
        headers = http.headers(stream_id)
        if headers.get(b":protocol") == b"connect-ip":
            if isinstance(event, HeadersReceived):
                accepted = [(b":status", b"200"), (b"capsule-protocol", b"?1")]
                h3.send_headers(stream_id, accepted)
            else:
                h3.send_data(stream_id, event.data, end_stream=event.end_stream)
        elif event.end_stream:
            body = response_body(headers, bytes(http.bodies.get(stream_id, b"")))
            h3.send_headers(stream_id, [(b":status", b"200")])
            h3.send_data(stream_id, body, end_stream=True)


def response_body(headers: dict[bytes, bytes], content: bytes) -> bytes:
    """Return what the site answers to a complete request."""
    path = headers[b":path"]
    if path.startswith(b"/bytes/"):
        return body_of(int(path.removeprefix(b"/bytes/")))
    return hashlib.sha256(content).hexdigest().encode()
