"""A stock peer whose keys seal whatever a test asks for, and one of our roles that meets it."""

from aioquic.quic.connection import QuicConnection

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.testing.link_elements import Delay
from mqvpn_core.testing.links import Link
from mqvpn_core.testing.simulator import Simulator
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.varint import encode_varint
from tests.interop.ours import OurHttp, OurHttpClient, OurHttpServer
from tests.interop.stock import (
    StockClient,
    StockConnection,
    StockServer,
    client_configuration,
    server_configuration,
)
from tests.simulation.injector import Injector, Oddities

CLIENT = SocketAddress("10.0.0.2", 5000)
SERVER = SocketAddress("192.0.2.1", 443)


def v(*values: int) -> bytes:
    """Encode integers one after the other."""
    return b"".join(encode_varint(value) for value in values)


class MisbehavingClient:
    """Our server, and a stock client that an injector speaks for."""

    def __init__(self) -> None:
        self.simulator = Simulator(1)
        self._peer = StockClient(client_configuration(), FourTuple(CLIENT, SERVER), is_http=False)
        self._server = OurHttpServer()
        self.simulator.add_host("client", self._peer, [Link("wifi", CLIENT.host, [Delay(0.01)])])
        self.simulator.add_host("server", self._server, [Link("eth0", SERVER.host)])
        self._peer.connect(self.simulator.now)
        self.simulator.run_for(1)
        self.injector = Injector(self.quic, FourTuple(CLIENT, SERVER))

    @property
    def stock(self) -> StockConnection:
        return self._peer.connection

    @property
    def quic(self) -> QuicConnection:
        return self.stock.quic

    @property
    def ours(self) -> OurHttp:
        return self._server.http


class MisbehavingServer:
    """Our client, and a stock server that an injector speaks for."""

    def __init__(self) -> None:
        self.simulator = Simulator(1)
        self._client = OurHttpClient(FourTuple(CLIENT, SERVER))
        self._peer = StockServer(server_configuration(), is_http=False)
        self.simulator.add_host("client", self._client, [Link("wifi", CLIENT.host, [Delay(0.01)])])
        self.simulator.add_host("server", self._peer, [Link("eth0", SERVER.host)])
        self._client.connect(self.simulator.now)
        self.simulator.run_for(1)
        self.injector = Injector(self.quic, FourTuple(SERVER, CLIENT))

    @property
    def stock(self) -> StockConnection:
        assert self._peer.connection is not None
        return self._peer.connection

    @property
    def quic(self) -> QuicConnection:
        return self.stock.quic

    @property
    def ours(self) -> OurHttp:
        return self._client.http


Scene = MisbehavingClient | MisbehavingServer


def make_scene(role: str) -> Scene:
    return MisbehavingClient() if role == "server" else MisbehavingServer()


def inject(scene: Scene, *payloads: bytes, oddities: Oddities | None = None) -> None:
    """Send packets with these frames and let time pass."""
    for payload in payloads:
        scene.simulator.inject(scene.injector.datagram(payload, oddities))
    scene.simulator.run_for(1)


def assert_closed_with(scene: Scene, code: int) -> None:
    """Our side gave up with this code and told the peer."""
    end = scene.ours.events[-1]
    assert isinstance(end, ConnectionTerminated), "the connection goes on"
    assert end.error_code == code, f"closed with 0x{end.error_code:x}: {end.reason}"
    assert not end.by_peer
    assert not end.is_application
    heard = scene.stock.termination
    assert heard is not None
    assert heard.error_code == code


def assert_alive(scene: Scene) -> None:
    """Our side still answers."""
    assert not any(isinstance(event, ConnectionTerminated) for event in scene.ours.events)
    assert scene.stock.termination is None
    before = scene.simulator.sent_count
    inject(scene, bytes([FrameType.PING]))
    assert scene.simulator.sent_count > before
