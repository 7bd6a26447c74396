"""Our client against a stock aioquic HTTP/3 server, in the simulator."""

import hashlib

import pytest
from aioquic.h3.events import DatagramReceived, DataReceived, H3Event, HeadersReceived
from aioquic.tls import CipherSuite

from mqvpn_core.ids import FourTuple, SocketAddress, StreamId
from mqvpn_core.quic.events import ConnectionTerminated, HandshakeCompleted, KeysUpdated
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.testing.entropy import seeded_libraries
from mqvpn_core.testing.link_elements import Delay, Duplicate, Jitter, LinkElement, Loss, RateLimit
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.simulator import Simulator
from tests.interop.ours import OurHttpClient, body_of, connect_ip_request, request, response_body
from tests.interop.stock import StockConnection, StockServer, server_configuration

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)
MEGABYTE = 1_000_000
SUITES = [
    CipherSuite.AES_128_GCM_SHA256,
    CipherSuite.AES_256_GCM_SHA384,
    CipherSuite.CHACHA20_POLY1305_SHA256,
]
BAD_NETWORK: tuple[LinkElement, ...] = (
    Loss(0.03),
    Jitter(0.005),
    Duplicate(0.02),
    RateLimit(1_500_000, 60_000),
    Delay(0.015),
)
GOOD_NETWORK: tuple[LinkElement, ...] = (Delay(0.015),)


def answer(stock: StockConnection, event: H3Event) -> None:
    """Serve the site of `tests.interop.ours` with stock HTTP/3."""
    assert stock.h3 is not None
    if isinstance(event, DatagramReceived):
        stock.h3.send_datagram(event.stream_id, event.data)
    if not isinstance(event, HeadersReceived | DataReceived):
        return
    stream_id = event.stream_id
    headers = stock.headers(stream_id)
    if headers.get(b":protocol") == b"connect-ip":
        if isinstance(event, HeadersReceived):
            accepted = [(b":status", b"200"), (b"capsule-protocol", b"?1")]
            stock.h3.send_headers(stream_id, accepted)
        else:
            stock.h3.send_data(stream_id, event.data, end_stream=event.stream_ended)
    elif event.stream_ended:
        stock.h3.send_headers(stream_id, [(b":status", b"200")])
        body = response_body(headers, stock.body(stream_id))
        stock.h3.send_data(stream_id, body, end_stream=True)


class StockServerScene:
    """Our client, a stock server and a network between."""

    def __init__(
        self,
        seed: int = 1,
        elements: tuple[LinkElement, ...] = GOOD_NETWORK,
        suite: CipherSuite = SUITES[0],
    ) -> None:
        self.simulator = Simulator(seed)
        config = TransportConfig(cipher_suites=(suite,))
        self.client = OurHttpClient(FourTuple(CLIENT, SERVER), config)
        self.server = StockServer(server_configuration([suite]), answer=answer)
        self.simulator.add_host("client", self.client, [Link("wifi", CLIENT.host, elements)])
        self.simulator.add_host("server", self.server, [Link("eth0", SERVER.host)])
        self.client.connect(self.simulator.now)
        self.simulator.run_until(lambda: self.client.http.is_ready, limit=20)

    def fetch(self, method: bytes, path: bytes, content: bytes = b"") -> bytes:
        """Run one request to its end."""
        http = self.client.http
        stream_id = http.h3.open_request(request(method, path), end_stream=not content)
        if content:
            http.h3.send_data(stream_id, content, end_stream=True)
        self.simulator.run_until(lambda: stream_id in http.ended, limit=120)
        assert http.headers(stream_id)[b":status"] == b"200"
        return bytes(http.bodies[stream_id])

    @property
    def stock(self) -> StockConnection:
        """The server's connection."""
        assert self.server.connection is not None
        return self.server.connection


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("elements", [GOOD_NETWORK, BAD_NETWORK], ids=["good", "bad"])
def test_a_megabyte_each_way(elements: tuple[LinkElement, ...], suite: CipherSuite) -> None:
    with seeded_libraries(1):
        scene = StockServerScene(1, elements, suite)
        assert scene.fetch(b"GET", b"/bytes/%d" % MEGABYTE) == body_of(MEGABYTE)
        digest = scene.fetch(b"POST", b"/upload", body_of(MEGABYTE))
        assert digest == hashlib.sha256(body_of(MEGABYTE)).hexdigest().encode()


def test_the_handshake_is_single_path() -> None:
    with seeded_libraries(1):
        scene = StockServerScene()
    (completed,) = [
        event for event in scene.client.http.events if isinstance(event, HandshakeCompleted)
    ]
    assert completed == HandshakeCompleted(alpn="h3", session_resumed=False, multipath=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("elements", [GOOD_NETWORK, BAD_NETWORK], ids=["good", "bad"])
def test_the_stock_server_updates_keys(elements: tuple[LinkElement, ...], seed: int) -> None:
    with seeded_libraries(seed):
        scene = StockServerScene(seed, elements)
        for _ in range(3):
            # Stock loses what is in flight when it updates: let the network fall silent first.
            scene.simulator.run_until_quiet(quiet=1, limit=20)
            scene.stock.quic.request_key_update()
            assert scene.fetch(b"GET", b"/bytes/30000") == body_of(30_000)
    updates = [event for event in scene.client.http.events if isinstance(event, KeysUpdated)]
    assert updates == [KeysUpdated(key_phase=phase, initiated_locally=False) for phase in (1, 2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("elements", [GOOD_NETWORK, BAD_NETWORK], ids=["good", "bad"])
def test_our_client_updates_keys(elements: tuple[LinkElement, ...], seed: int) -> None:
    with seeded_libraries(seed):
        scene = StockServerScene(seed, elements)
        for _ in range(3):
            scene.client.connection.request_key_update(scene.simulator.now)
            assert scene.fetch(b"GET", b"/bytes/30000") == body_of(30_000)
            scene.simulator.run_for(5)
    updates = [event for event in scene.client.http.events if isinstance(event, KeysUpdated)]
    assert updates == [KeysUpdated(key_phase=phase, initiated_locally=True) for phase in (1, 2, 3)]


def test_connect_ip_with_http_datagrams() -> None:
    with seeded_libraries(1):
        scene = StockServerScene()
        http = scene.client.http
        assert http.h3.may_send_datagrams
        stream_id = http.h3.open_request(connect_ip_request())
        scene.simulator.run_until(lambda: bool(http.headers(stream_id)), limit=5)
        http.h3.send_data(stream_id, b"\x01\x00capsule")
        packets = [b"packet %d" % index for index in range(5)]
        http.h3.send_http_datagrams(stream_id, b"\x00", packets, scene.simulator.now)
        scene.simulator.run_until(lambda: len(http.http_datagrams) == 5, limit=5)
        scene.simulator.run_until(lambda: bool(http.bodies.get(stream_id)), limit=5)
    assert http.headers(stream_id)[b":status"] == b"200"
    assert http.http_datagrams == [b"\x00" + packet for packet in packets]
    assert http.bodies[stream_id] == b"\x01\x00capsule"


def test_either_side_may_close() -> None:
    with seeded_libraries(1):
        by_client, by_server = StockServerScene(), StockServerScene()
        by_client.client.http.h3.close(0x100, "done")
        by_client.simulator.run_for(3)
        by_server.stock.quic.close(error_code=0x101, reason_phrase="go away")
        by_server.simulator.run_for(3)
    termination = by_client.stock.termination
    assert termination is not None
    assert (termination.error_code, termination.reason_phrase) == (0x100, "done")
    assert by_server.client.http.events[-1] == ConnectionTerminated(
        error_code=0x101, reason="go away", by_peer=True, is_application=True
    )


def test_several_requests_share_the_connection() -> None:
    with seeded_libraries(1):
        scene = StockServerScene()
        http = scene.client.http
        streams = [
            http.h3.open_request(request(b"GET", b"/bytes/%d" % size), end_stream=True)
            for size in range(1000, 1020)
        ]
        scene.simulator.run_until(lambda: set(streams) <= http.ended, limit=20)
    assert streams == [StreamId(4 * index) for index in range(20)]
    for stream_id, size in zip(streams, range(1000, 1020), strict=True):
        assert bytes(http.bodies[stream_id]) == body_of(size)
