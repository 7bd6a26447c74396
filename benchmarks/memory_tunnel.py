"""A client and a server with a tunnel between them in one process: no sockets, no event loop.

Both ends are called in the order in which the drivers of `mqvpn_core.runtime` call them. Time is
virtual, so that timers fire as they would; the processor time of each end is real.
"""

import heapq
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from time import thread_time_ns

from typing_extensions import override

from mqvpn_core.app.quic_settings import INITIAL_MAX_PATH_ID
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, SocketAddress
from mqvpn_core.masque.address_pool import AddressPool
from mqvpn_core.masque.authentication import Accepted
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.client_session import ClientSession
from mqvpn_core.masque.server_policy import ServerPolicy, TunnelQuota
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.quic.aioquic_bridge.credentials import ServerCertificate
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.endpoint import ConnectionAccepted, EndpointConfig, ServerEndpoint
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.quic.transport_config import ClientTls, ServerTls, TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.runtime.client_driver import earlier
from mqvpn_core.testing.certificates import SelfSignedCertificate, make_certificate
from mqvpn_core.testing.entropy import SeededEntropy
from mqvpn_core.wire.ip_packets import flow_key
from mqvpn_core.wire.uri_templates import compile_template_matcher, default_uri_template

LINK_DELAY = 100e-6
"""Seconds that every UDP datagram takes."""
SERVER_HOST = "198.51.100.7"
"""Who the inner packets go to."""

_SERVER = SocketAddress("192.0.2.1", 443)
_NAME = "vpn.example"
_SEED = 1
_SETTLE_SECONDS = 3.0
_START = Instant(100.0)
_OTHER_WORK = bytes(8 * 1024 * 1024)
"""Larger than the processor's own caches."""

Answer = Callable[[Sequence[bytes]], list[bytes]]
"""What a host answers to IP packets on the spot."""


class End(ABC):
    """One end: counts how often it is woken and the processor time it takes.

    A: ``wakeups``, ``cpu_ns``, ``carried_bytes``, ``due_at``. B: ``wake``. C: ``answer``.
    """

    def __init__(self) -> None:
        self.wakeups = 0
        self.cpu_ns = 0
        self.carried_bytes = 0
        """Bytes of IP packets that it brought to its host."""
        self.due_at: Instant | None = None
        self.answer: Answer = lambda _packets: []

    def wake(self, work: Callable[[Instant], None], now: Instant) -> list[Transmit]:
        """Let it do one thing and what follows from it; return what it sends."""
        self.wakeups += 1
        start = thread_time_ns()
        work(now)
        transmits = self._transmits(now)
        self.cpu_ns += thread_time_ns() - start
        return transmits

    @abstractmethod
    def receive(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Take UDP datagrams, and what the host answers to them."""

    @abstractmethod
    def send_ip_packets(self, packets: Sequence[bytes], now: Instant) -> None:
        """Take IP packets of the host."""

    @abstractmethod
    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""

    @abstractmethod
    def _transmits(self, now: Instant) -> list[Transmit]:
        """Return what is to be sent."""

    def _write_device(self, packets: Sequence[bytes], now: Instant) -> None:
        """Give the host packets and take what it answers."""
        if packets:
            self.carried_bytes += sum(map(len, packets))
            answers = self.answer(packets)
            if answers:
                self.send_ip_packets(answers, now)


class ClientEnd(End):
    """The client, as `mqvpn_core.runtime.client_driver` drives it."""

    def __init__(self, transport: TransportConfig, certificate: SelfSignedCertificate) -> None:
        super().__init__()
        trust = ClientTls(server_name=_NAME, ca_data=certificate.certificate_pem)
        self.connection = client_connection(
            transport, trust, entropy=SeededEntropy(_SEED, "client")
        )
        config = ClientSessionConfig(
            template=default_uri_template(_NAME), authority=_NAME, authorization=b"Bearer key"
        )
        self.session = ClientSession(config=config, http3=Http3Connection(self.connection))

    @override
    def receive(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self.connection.receive_datagrams(batch, now)
        self._drain(now)

    @override
    def send_ip_packets(self, packets: Sequence[bytes], now: Instant) -> None:
        self.session.send_ip_packets(packets, now)
        self.session.take_ip_packets()

    @override
    def handle_timeout(self, now: Instant) -> None:
        self.connection.handle_timeout(now)
        self.session.handle_timeout(now)
        self._drain(now)

    def _drain(self, now: Instant) -> None:
        self.session.receive_events(now)
        self._write_device(expand(self.session.take_ip_packets()), now)

    @override
    def _transmits(self, now: Instant) -> list[Transmit]:
        transmits = self.connection.transmits(now)
        if self.connection.is_behind:
            transmits += self.connection.transmits(now)
        self.due_at = earlier(self.connection.next_timeout(), self.session.next_timeout())
        return transmits


class ServerEnd(End):
    """The server, as `mqvpn_core.runtime.server_driver` drives it; it has one client."""

    def __init__(self, transport: TransportConfig, certificate: SelfSignedCertificate) -> None:
        super().__init__()
        chain = ServerCertificate(
            chain=(certificate.certificate,), private_key=certificate.private_key
        )
        config = EndpointConfig(
            transport=transport, identity=ServerTls(certificate=chain), reset_key=bytes(16)
        )
        self._endpoint = ServerEndpoint(config, SeededEntropy(_SEED, "server"))
        self._policy = ServerPolicy(
            matchers=(compile_template_matcher(default_uri_template(_NAME)),),
            authenticator=_Gullible(),
            pools=(AddressPool(ip_network("10.0.0.0/24")),),
            quota=TunnelQuota(),
        )
        self._sessions: dict[ConnectionHandle, ServerSession] = {}
        self._session_due: Instant | None = None

    @override
    def receive(self, batch: ReceivedDatagrams, now: Instant) -> None:
        self._endpoint.receive_datagrams(batch, now)
        self._drain(now)

    @override
    def send_ip_packets(self, packets: Sequence[bytes], now: Instant) -> None:
        for handle, session in self._sessions.items():
            self._endpoint.poll(handle)
            session.send_ip_packets(packets, now)
            session.take_ip_packets()

    @override
    def handle_timeout(self, now: Instant) -> None:
        self._endpoint.handle_timeout(now)
        for handle, session in self._sessions.items():
            self._endpoint.wake(handle)
            session.handle_timeout(now)
        self._drain(now)

    def _drain(self, now: Instant) -> None:
        while (event := self._endpoint.next_event()) is not None:
            if isinstance(event, ConnectionAccepted):
                http3 = Http3Connection(event.connection)
                peer_host = event.four_tuple.remote.host
                self._sessions[event.handle] = ServerSession(
                    policy=self._policy, http3=http3, peer_host=peer_host
                )
        to_host: list[bytes] = []
        while ready := self._endpoint.take_ready():
            for handle in ready:
                session = self._sessions[handle]
                session.receive_events(now)
                to_host += expand(session.take_ip_packets())
                self._session_due = session.next_timeout()
        self._write_device(to_host, now)

    @override
    def _transmits(self, now: Instant) -> list[Transmit]:
        transmits = self._endpoint.transmits(now)
        if self._endpoint.is_behind:
            transmits += self._endpoint.transmits(now)
        self.due_at = earlier(self._endpoint.next_timeout(), self._session_due)
        return transmits


@dataclass(frozen=True, slots=True, order=True)
class _Happening:
    at: Instant
    serial: int
    end: End
    work: Callable[[Instant], None]


class MemoryTunnel:
    """Both ends and the links between them.

    A: ``client``, ``server``, ``inner_client``, ``now``
    C: ``send``, ``run``, ``reset_counters``
    """

    def __init__(self, *, paths: int, cold: bool = False) -> None:
        """Connect, open the paths and wait until everything is quiet.

        Args:
            paths: paths of the connection.
            cold: empty the processor's caches before each wake-up, as whoever else runs on a
                machine does while a process sleeps.
        """
        self._cold = cold
        certificate = make_certificate(_SEED, _NAME)
        transport = TransportConfig(
            initial_max_path_id=INITIAL_MAX_PATH_ID, classify_datagram=flow_key
        )
        self.client = ClientEnd(transport, certificate)
        self.server = ServerEnd(transport, certificate)
        self.now = _START
        self._serials = itertools.count()
        self._happenings: list[_Happening] = []
        connection = self.client.connection
        self._do(self.client, lambda now: connection.connect(_four_tuple(0), now))
        self.run(_SETTLE_SECONDS)
        for index in range(1, paths):
            self._do(self.client, _opener(connection, index))
        self.run(_SETTLE_SECONDS)
        if not self.client.session.assigned:
            raise RuntimeError("the tunnel did not come up")
        self.inner_client = IPv4Address(self.client.session.assigned[0].ip.packed)
        self.reset_counters()

    def reset_counters(self) -> None:
        """Count from here."""
        for end in (self.client, self.server):
            end.wakeups = end.cpu_ns = end.carried_bytes = 0

    def send(self, packets: Sequence[bytes]) -> None:
        """Let the client's host send IP packets."""
        self._do(self.client, lambda now: self.client.send_ip_packets(packets, now))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = Instant(self.now + seconds)
        while True:
            timers = [
                (end.due_at, end) for end in (self.client, self.server) if end.due_at is not None
            ]
            due_at, due_end = min(timers, key=lambda timer: timer[0], default=(None, self.client))
            first = self._happenings[0] if self._happenings else None
            if first is not None and (due_at is None or first.at <= due_at):
                if first.at > until:
                    break
                heapq.heappop(self._happenings)
                self.now = first.at
                self._do(first.end, first.work)
            elif due_at is not None and due_at <= until:
                self.now = Instant(max(self.now, due_at))
                self._do(due_end, due_end.handle_timeout)
            else:
                break
        self.now = until

    def _do(self, end: End, work: Callable[[Instant], None]) -> None:
        other = self.server if end is self.client else self.client
        if self._cold:
            _OTHER_WORK.count(1)
        for transmit in end.wake(work, self.now):
            batch = ReceivedDatagrams(
                FourTuple(local=transmit.four_tuple.remote, remote=transmit.four_tuple.local),
                transmit.data,
                transmit.segment_size,
                transmit.ecn,
            )
            self._plan(LINK_DELAY, other, _delivery(other, batch))

    def _plan(self, delay: float, end: End, work: Callable[[Instant], None]) -> None:
        happening = _Happening(Instant(self.now + delay), next(self._serials), end, work)
        heapq.heappush(self._happenings, happening)


class _Gullible:
    def authenticate(self, authorization: bytes | None, peer_host: str, now: Instant) -> Accepted:
        del authorization, peer_host, now
        return Accepted(user="client")


def _four_tuple(index: int) -> FourTuple:
    return FourTuple(SocketAddress(f"10.1.{index}.2", 5000 + index), _SERVER)


def _opener(connection: MultipathConnection, index: int) -> Callable[[Instant], None]:
    def open_path(now: Instant) -> None:
        connection.open_path(_four_tuple(index), now)

    return open_path


def _delivery(end: End, batch: ReceivedDatagrams) -> Callable[[Instant], None]:
    return lambda now: end.receive(batch, now)
