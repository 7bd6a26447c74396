"""An ordinary HTTP/3 client that visits the server's web site over a real socket."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import trio

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import IfIndex, Instant, SocketAddress, StreamId
from mqvpn_core.quic.aioquic_bridge.credentials import spki_digest
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.quic.http3_events import DataReceived, HeadersReceived, RequestReset
from mqvpn_core.quic.transport_config import ClientTls, TransportConfig
from mqvpn_core.runtime.client_connection import (
    ClientConnection,
    DialSettings,
    open_client_connection,
)
from mqvpn_core.runtime.dialing import Candidate, run_driver
from mqvpn_core.runtime.host_operations import LinkInfo
from mqvpn_core.runtime.limited_socket import LimitedSocket
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.runtime.world import CERTIFICATE, LOOPBACK, PATIENCE


@dataclass
class Answer:
    """What came back for one request."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False
    was_reset: bool = False

    @property
    def status(self) -> int:
        return int(self.headers[b":status"])


class Visitor:
    """Sends requests and collects answers; a session and its observer in one."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.answers: dict[StreamId, Answer] = {}
        self._news = trio.Event()

    @property
    def http3(self) -> Http3Connection:
        return self.connection.http3

    def receive_events(self, now: Instant) -> None:
        del now
        while (event := self.http3.next_event()) is not None:
            match event:
                case HeadersReceived():
                    answer = self.answers[event.stream_id]
                    answer.headers.update(event.headers)
                    answer.is_complete = event.end_stream
                case DataReceived():
                    answer = self.answers[event.stream_id]
                    answer.body += event.data
                    answer.is_complete = event.end_stream
                case RequestReset():
                    self.answers[event.stream_id].was_reset = True
                case _:
                    continue
            self._news.set()

    def handle_timeout(self, now: Instant) -> None:
        del now

    def next_timeout(self) -> Instant | None:
        return None

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        raise AssertionError(f"a visitor has no tunnel: {len(packets)} packets at {now}")

    @property
    def bypass(self) -> None:
        return None

    def take_ip_packets(self) -> list[bytes]:
        return []

    def look(self, now: Instant) -> None:
        del now

    def ask(self, path: bytes, method: bytes = b"GET", *more: tuple[bytes, bytes]) -> Answer:
        headers = [(b":method", method), (b":scheme", b"https"), (b":path", path)]
        headers.append((b":authority", b"vpn.test"))
        # RFC 9114 s4.3: pseudo-header fields come first.
        headers += sorted(more, key=lambda field: not field[0].startswith(b":"))
        stream_id = self.http3.open_request(headers, end_stream=not more)
        answer = self.answers[stream_id] = Answer()
        self.connection.driver.kick()
        return answer

    async def fetch(
        self, path: bytes, method: bytes = b"GET", *more: tuple[bytes, bytes]
    ) -> Answer:
        answer = self.ask(path, method, *more)
        await self._until(lambda: answer.is_complete or answer.was_reset)
        return answer

    async def open_tunnel(self, path: bytes, key: str) -> Answer:
        """Ask for a tunnel; return when there is an answer, whatever it is."""
        answer = self.ask(
            path,
            b"CONNECT",
            (b":protocol", b"connect-ip"),
            (b"authorization", f"Bearer {key}".encode()),
        )
        await self._until(lambda: bool(answer.headers) or answer.was_reset)
        return answer

    async def _until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():
                self._news = trio.Event()
                await self._news.wait()


@asynccontextmanager
async def visit(port: int) -> AsyncIterator[Visitor]:
    """Connect to a server on loopback, and leave in order."""
    address = ip_address(LOOPBACK)
    link = LinkInfo(ifindex=IfIndex(1), name="lo", source=address, mtu=1500)
    socket = LimitedSocket(UdpSocket(SocketAddress(LOOPBACK, 0), UdpOptions()))
    settings = DialSettings(
        transport=TransportConfig(),
        trust=ClientTls(
            server_name="vpn.test", pins=frozenset({spki_digest(CERTIFICATE.certificate)})
        ),
        entropy=secrets.token_bytes,
    )
    candidate = Candidate(remote=SocketAddress(LOOPBACK, port), link=link)
    connection = open_client_connection(candidate, socket, settings)
    visitor = Visitor(connection)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_driver, connection)
        try:
            connection.driver.attach(visitor, visitor)
            with trio.fail_after(PATIENCE):
                await connection.driver.settled.wait()
            while visitor.http3.peer_settings is None:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.001)
            yield visitor
        finally:
            connection.abandon()
