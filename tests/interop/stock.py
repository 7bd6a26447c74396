"""Unmodified aioquic as a node of the simulator, in both roles, with HTTP/3 on top if wanted."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aioquic._buffer import Buffer
from aioquic.h3.connection import H3Connection, Setting
from aioquic.h3.events import DatagramReceived, DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    HandshakeCompleted,
    QuicEvent,
    StreamDataReceived,
)
from aioquic.quic.packet import pull_quic_header
from aioquic.tls import CipherSuite
from typing_extensions import override

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.testing.certificates import make_certificate
from mqvpn_core.testing.simulator import Node

SERVER_NAME = "vpn.example"
CERTIFICATE = make_certificate(1, SERVER_NAME)


def client_configuration(suites: Sequence[int] = ()) -> QuicConfiguration:
    """Settings of a stock client that trusts `CERTIFICATE`."""
    return QuicConfiguration(
        alpn_protocols=["h3"],
        cadata=CERTIFICATE.certificate_pem,
        cipher_suites=[CipherSuite(suite) for suite in suites] or None,
        is_client=True,
        max_datagram_frame_size=65535,
        server_name=SERVER_NAME,
        verify_mode=ssl.CERT_REQUIRED,
    )


def server_configuration(suites: Sequence[int] = ()) -> QuicConfiguration:
    """Settings of a stock server that shows `CERTIFICATE`."""
    return QuicConfiguration(
        alpn_protocols=["h3"],
        certificate=CERTIFICATE.certificate,
        cipher_suites=[CipherSuite(suite) for suite in suites] or None,
        is_client=False,
        max_datagram_frame_size=65535,
        private_key=CERTIFICATE.private_key,
    )


class DatagramH3(H3Connection):
    """aioquic announces HTTP datagrams only together with WebTransport; this one does without."""

    @override
    def _get_local_settings(self) -> dict[int, int]:
        return {**super()._get_local_settings(), Setting.H3_DATAGRAM: 1}


@dataclass
class StockConnection:
    """One aioquic connection and what it has reported."""

    quic: QuicConnection
    is_http: bool
    h3: DatagramH3 | None = None
    events: list[QuicEvent] = field(default_factory=list)
    h3_events: list[H3Event] = field(default_factory=list)
    ended_streams: set[int] = field(default_factory=set)

    def collect(self) -> int:
        """Drain the connection's events; return their number."""
        before = len(self.events)
        while (event := self.quic.next_event()) is not None:
            self.events.append(event)
            if self.is_http and isinstance(event, HandshakeCompleted):
                self.h3 = DatagramH3(self.quic)
            if self.h3 is not None:
                new = self.h3.handle_event(event)
                self.h3_events.extend(new)
                self._note_ends(new)
        return len(self.events) - before

    def to_send(self, now: Instant) -> list[Transmit]:
        """Return what aioquic wants to send; every four-tuple is its "address"."""
        transmits = []
        for data, four_tuple in self.quic.datagrams_to_send(now=now):
            assert isinstance(four_tuple, FourTuple)
            transmits.append(
                Transmit(four_tuple=four_tuple, data=data, segment_size=len(data), ecn=0)
            )
        return transmits

    def feed(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Hand over the datagrams of a batch one by one."""
        for start in range(0, len(batch.data), batch.segment_size):
            segment = batch.data[start : start + batch.segment_size]
            self.quic.receive_datagram(segment, batch.four_tuple, now=now)

    @property
    def is_connected(self) -> bool:
        """The handshake is finished on this side."""
        return any(isinstance(event, HandshakeCompleted) for event in self.events)

    @property
    def termination(self) -> ConnectionTerminated | None:
        """Why it ended, if it did."""
        ends = [event for event in self.events if isinstance(event, ConnectionTerminated)]
        return ends[0] if ends else None

    @property
    def datagrams(self) -> list[bytes]:
        """Payloads of the DATAGRAM frames received."""
        return [event.data for event in self.events if isinstance(event, DatagramFrameReceived)]

    @property
    def http_datagrams(self) -> list[bytes]:
        """Payloads of the HTTP datagrams received."""
        return [event.data for event in self.h3_events if isinstance(event, DatagramReceived)]

    def stream_bytes(self, stream_id: int) -> bytes:
        """Return what a QUIC stream has carried so far."""
        parts = [event for event in self.events if isinstance(event, StreamDataReceived)]
        return b"".join(part.data for part in parts if part.stream_id == stream_id)

    def headers(self, stream_id: int) -> dict[bytes, bytes]:
        """Return the first header section received on a request stream."""
        for event in self.h3_events:
            if isinstance(event, HeadersReceived) and event.stream_id == stream_id:
                return dict(event.headers)
        return {}

    def body(self, stream_id: int) -> bytes:
        """Return the HTTP content received on a request stream."""
        parts = [event for event in self.h3_events if isinstance(event, DataReceived)]
        return b"".join(part.data for part in parts if part.stream_id == stream_id)

    def has_ended(self, stream_id: int) -> bool:
        """The peer finished its side of a request stream."""
        return stream_id in self.ended_streams

    def _note_ends(self, events: list[H3Event]) -> None:
        for event in events:
            if isinstance(event, DataReceived | HeadersReceived) and event.stream_ended:
                self.ended_streams.add(event.stream_id)


class StockClient(Node):
    """A stock client on a host."""

    def __init__(
        self, configuration: QuicConfiguration, four_tuple: FourTuple, *, is_http: bool = True
    ) -> None:
        self.connection = StockConnection(QuicConnection(configuration=configuration), is_http)
        self._four_tuple = four_tuple

    def connect(self, now: Instant) -> None:
        """Start the handshake."""
        self.connection.quic.connect(self._four_tuple, now=now)

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self.connection.feed(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.connection.quic.handle_timer(now=now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        return self.connection.to_send(now)

    @override
    def next_timeout(self) -> Instant | None:
        timer = self.connection.quic.get_timer()
        return None if timer is None else Instant(timer)

    @override
    def handle_events(self, now: Instant) -> int:
        return self.connection.collect()


class StockServer(Node):
    """A stock server for one client at a time: enough to talk to, without a demultiplexer."""

    def __init__(
        self,
        configuration: QuicConfiguration,
        *,
        is_http: bool = True,
        answer: Callable[[StockConnection, H3Event], None] | None = None,
    ) -> None:
        self._configuration = configuration
        self._is_http = is_http
        self._answer = answer
        self._answered_count = 0
        self.connection: StockConnection | None = None

    @override
    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        if self.connection is None:
            header = pull_quic_header(Buffer(data=bytes(batch.data)), host_cid_length=8)
            self.connection = StockConnection(
                QuicConnection(
                    configuration=self._configuration,
                    original_destination_connection_id=header.destination_cid,
                ),
                self._is_http,
            )
        self.connection.feed(batch, now)

    @override
    def handle_timeout(self, now: Instant) -> None:
        if self.connection is not None:
            self.connection.quic.handle_timer(now=now)

    @override
    def transmits(self, now: Instant) -> list[Transmit]:
        return [] if self.connection is None else self.connection.to_send(now)

    @override
    def next_timeout(self) -> Instant | None:
        timer = None if self.connection is None else self.connection.quic.get_timer()
        return None if timer is None else Instant(timer)

    @override
    def handle_events(self, now: Instant) -> int:
        if self.connection is None:
            return 0
        count = self.connection.collect()
        new = self.connection.h3_events[self._answered_count :]
        self._answered_count += len(new)
        if self._answer is not None:
            for event in new:
                self._answer(self.connection, event)
        return count
