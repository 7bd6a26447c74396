"""Stock aioquic as HTTP/3 client against our server endpoint, in the simulator."""

import hashlib

import pytest
from aioquic.quic.events import PingAcknowledged
from aioquic.tls import CipherSuite

from mqvpn_core.ids import FourTuple, SocketAddress, StreamId
from mqvpn_core.quic.events import ConnectionTerminated, HandshakeCompleted, KeysUpdated
from mqvpn_core.testing.entropy import seeded_libraries
from mqvpn_core.testing.link_elements import Delay, Duplicate, Jitter, LinkElement, Loss, RateLimit
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.simulator import Simulator
from tests.interop.ours import OurHttpServer, body_of, connect_ip_request, request
from tests.interop.stock import StockClient, client_configuration

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


class StockClientScene:
    """A stock client, our server and a network between."""

    def __init__(
        self,
        seed: int = 1,
        elements: tuple[LinkElement, ...] = GOOD_NETWORK,
        suite: CipherSuite = SUITES[0],
    ) -> None:
        self.simulator = Simulator(seed)
        self.client = StockClient(client_configuration([suite]), FourTuple(CLIENT, SERVER))
        self.server = OurHttpServer()
        self.simulator.add_host("client", self.client, [Link("wifi", CLIENT.host, elements)])
        self.simulator.add_host("server", self.server, [Link("eth0", SERVER.host)])
        self.client.connect(self.simulator.now)
        stock = self.client.connection
        self.simulator.run_until(lambda: bool(stock.h3 and stock.h3.received_settings), limit=20)

    def fetch(self, method: bytes, path: bytes, content: bytes = b"") -> bytes:
        """Run one request to its end."""
        stock = self.client.connection
        assert stock.h3 is not None
        stream_id = stock.quic.get_next_available_stream_id()
        stock.h3.send_headers(stream_id, request(method, path), end_stream=not content)
        if content:
            stock.h3.send_data(stream_id, content, end_stream=True)
        self.simulator.run_until(lambda: stock.has_ended(stream_id), limit=120)
        assert stock.headers(stream_id)[b":status"] == b"200"
        return stock.body(stream_id)


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("elements", [GOOD_NETWORK, BAD_NETWORK], ids=["good", "bad"])
def test_a_megabyte_each_way(elements: tuple[LinkElement, ...], suite: CipherSuite) -> None:
    with seeded_libraries(1):
        scene = StockClientScene(1, elements, suite)
        assert scene.fetch(b"GET", b"/bytes/%d" % MEGABYTE) == body_of(MEGABYTE)
        digest = scene.fetch(b"POST", b"/upload", body_of(MEGABYTE))
        assert digest == hashlib.sha256(body_of(MEGABYTE)).hexdigest().encode()


def test_the_handshake_is_single_path() -> None:
    with seeded_libraries(1):
        scene = StockClientScene()
    (completed,) = [
        event for event in scene.server.http.events if isinstance(event, HandshakeCompleted)
    ]
    assert completed == HandshakeCompleted(alpn="h3", session_resumed=False, multipath=False)
    assert not scene.server.http.connection.multipath_negotiated


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("elements", [GOOD_NETWORK, BAD_NETWORK], ids=["good", "bad"])
def test_the_stock_client_updates_keys(elements: tuple[LinkElement, ...], seed: int) -> None:
    with seeded_libraries(seed):
        scene = StockClientScene(seed, elements)
        for _ in range(3):
            # Stock loses what is in flight when it updates: let the network fall silent first.
            scene.simulator.run_until_quiet(quiet=1, limit=20)
            scene.client.connection.quic.request_key_update()
            assert scene.fetch(b"GET", b"/bytes/30000") == body_of(30_000)
    updates = [event for event in scene.server.http.events if isinstance(event, KeysUpdated)]
    assert updates == [KeysUpdated(key_phase=phase, initiated_locally=False) for phase in (1, 2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("elements", [GOOD_NETWORK, BAD_NETWORK], ids=["good", "bad"])
def test_our_server_updates_keys(elements: tuple[LinkElement, ...], seed: int) -> None:
    with seeded_libraries(seed):
        scene = StockClientScene(seed, elements)
        for _ in range(3):
            scene.server.http.connection.request_key_update(scene.simulator.now)
            scene.server.wake()
            assert scene.fetch(b"GET", b"/bytes/30000") == body_of(30_000)
            scene.simulator.run_for(5)
    updates = [event for event in scene.server.http.events if isinstance(event, KeysUpdated)]
    assert updates == [KeysUpdated(key_phase=phase, initiated_locally=True) for phase in (1, 2, 3)]


def test_connect_ip_with_http_datagrams() -> None:
    with seeded_libraries(1):
        scene = StockClientScene()
        stock = scene.client.connection
        assert stock.h3 is not None
        stream_id = stock.quic.get_next_available_stream_id()
        stock.h3.send_headers(stream_id, connect_ip_request())
        scene.simulator.run_until(lambda: bool(stock.headers(stream_id)), limit=5)
        stock.h3.send_data(stream_id, b"\x01\x00capsule", end_stream=False)
        for index in range(5):
            stock.h3.send_datagram(stream_id, b"\x00packet %d" % index)
        scene.simulator.run_until(lambda: len(stock.http_datagrams) == 5, limit=5)
        scene.simulator.run_until(lambda: bool(stock.body(stream_id)), limit=5)
    assert stock.headers(stream_id)[b":status"] == b"200"
    assert stock.http_datagrams == [b"\x00packet %d" % index for index in range(5)]
    assert stock.body(stream_id) == b"\x01\x00capsule"


def test_a_ping_is_acknowledged() -> None:
    with seeded_libraries(1):
        scene = StockClientScene()
        stock = scene.client.connection
        stock.quic.send_ping(77)
        scene.simulator.run_until(
            lambda: any(isinstance(event, PingAcknowledged) for event in stock.events), limit=5
        )


def test_either_side_may_close() -> None:
    with seeded_libraries(1):
        by_client, by_server = StockClientScene(), StockClientScene()
        by_client.client.connection.quic.close(error_code=0x100, reason_phrase="done")
        by_client.simulator.run_for(3)
        http = by_server.server.http
        http.h3.close(0x101, "go away")
        by_server.server.wake()
        by_server.simulator.run_for(3)
    assert by_client.server.http.events[-1] == ConnectionTerminated(
        error_code=0x100, reason="done", by_peer=True, is_application=True
    )
    assert not by_client.server.endpoint.connections
    termination = by_server.client.connection.termination
    assert termination is not None
    assert (termination.error_code, termination.reason_phrase) == (0x101, "go away")


def test_an_unknown_page_does_not_disturb_the_connection() -> None:
    with seeded_libraries(1):
        scene = StockClientScene()
        stock = scene.client.connection
        stream_id = stock.quic.get_next_available_stream_id()
        scene.fetch(b"GET", b"/bytes/0")
        assert scene.fetch(b"GET", b"/bytes/1") == body_of(1)
    assert scene.server.http.headers(StreamId(stream_id))[b":path"] == b"/bytes/0"
