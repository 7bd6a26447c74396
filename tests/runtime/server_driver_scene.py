"""A server's driver with fakes on every side."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import trio.testing

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit
from mqvpn_core.runtime.server_driver import ServerDriver
from tests.runtime.fakes import (
    FakeSession,
    FakeSocket,
    FakeTransport,
    FakeTun,
    datagram,
)
from tests.runtime.virtual_time import at_work

LISTEN = SocketAddress("192.0.2.1", 443)


def from_client(number: int, data: bytes) -> ReceivedDatagrams:
    return datagram(data, FourTuple(LISTEN, SocketAddress("198.51.100.1", number)))


class FakeEndpoint:
    """One connection per remote port; the port is its handle."""

    def __init__(self) -> None:
        self.transports: dict[ConnectionHandle, FakeTransport] = {}
        self.ready: set[ConnectionHandle] = set()
        self.timeouts: list[float] = []
        self.serving: ConnectionHandle | None = None
        self.discarded: list[ConnectionHandle] = []
        self.deadline: Instant | None = None
        self.shortest_round_trip = 0.0
        self.fails_at_timeout: set[ConnectionHandle] = set()
        self.fails_at_sending: set[ConnectionHandle] = set()

    @property
    def is_behind(self) -> bool:
        return any(transport.is_behind for transport in self.transports.values())

    @property
    def has_ready(self) -> bool:
        return bool(self.ready)

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        handle = ConnectionHandle(batch.four_tuple.remote.port)
        transport = self.transports.setdefault(handle, FakeTransport())
        self.ready.add(handle)
        self.serving = handle
        transport.receive_datagrams(batch, now)

    def handle_timeout(self, now: Instant) -> None:
        self.timeouts.append(now)
        self.deadline = None
        for handle in self.transports:
            self.serving = handle
            if handle in self.fails_at_timeout:
                raise RuntimeError("planted")

    def discard(self, handle: ConnectionHandle) -> None:
        self.discarded.append(handle)
        self.transports.pop(handle, None)

    def transmits(self, now: Instant) -> list[Transmit]:
        answers = []
        for handle, transport in self.transports.items():
            self.serving = handle
            if handle in self.fails_at_sending:
                raise RuntimeError("planted")
            sent = transport.transmits(now)
            if transport.has_events:
                self.ready.add(handle)
            for each in sent:
                where = FourTuple(LISTEN, SocketAddress("198.51.100.1", handle))
                answers.append(
                    Transmit(four_tuple=where, data=each.data, segment_size=len(each.data), ecn=0)
                )
        return answers

    def next_timeout(self) -> Instant | None:
        return self.deadline

    def on_send_refused(self, refused: RefusedDatagram, now: Instant) -> None:
        handle = ConnectionHandle(refused.four_tuple.remote.port)
        self.transports[handle].on_send_refused(refused, now)

    def take_ready(self) -> set[ConnectionHandle]:
        ready, self.ready = self.ready, set()
        return ready

    def wake(self, handle: ConnectionHandle) -> None:
        self.ready.add(handle)

    def poll(self, handle: ConnectionHandle) -> None:
        pass


class FakeKeeper:
    """A session for each connection; packets go to the client named in their first byte."""

    def __init__(self, endpoint: FakeEndpoint) -> None:
        self.endpoint = endpoint
        self.live: dict[ConnectionHandle, FakeSession] = {}
        self.failed: list[ConnectionHandle] = []
        self.looks: list[ConnectionHandle] = []

    @property
    def sessions(self) -> Mapping[ConnectionHandle, FakeSession]:
        return self.live

    def take_endpoint_events(self, now: Instant) -> None:
        del now
        for handle, transport in self.endpoint.transports.items():
            if handle not in self.live and handle not in self.failed:
                self.live[handle] = FakeSession(transport)

    def look(self, handle: ConnectionHandle, session: FakeSession, now: Instant) -> None:
        del session, now
        self.looks.append(handle)

    def fail(self, handle: ConnectionHandle, now: Instant) -> None:
        del now
        self.failed.append(handle)
        self.live.pop(handle, None)

    def dispatch(self, packets: Sequence[Parcel]) -> Mapping[ConnectionHandle, list[bytes]]:
        batches: dict[ConnectionHandle, list[bytes]] = {}
        for packet in expand(packets):
            batches.setdefault(ConnectionHandle(packet[0]), []).append(packet)
        return batches


class Scene:
    """A server driver with fakes on every side."""

    def __init__(self, tun: FakeTun | None = None) -> None:
        self.socket = FakeSocket(LISTEN)
        self.tun = tun or FakeTun()
        self.endpoint = FakeEndpoint()
        self.keeper = FakeKeeper(self.endpoint)
        self.driver: ServerDriver[FakeSession] = ServerDriver(
            self.endpoint, self.keeper, [self.socket], self.tun
        )

    def running(self) -> AbstractAsyncContextManager[None]:
        return at_work(self.driver.run)

    async def client_sends(self, number: int, *texts: bytes) -> None:
        self.socket.arrive(*[from_client(number, text) for text in texts])
        await trio.testing.wait_all_tasks_blocked()

    async def host_sends(self, *packets: bytes) -> None:
        self.tun.route_in(*packets)
        await trio.testing.wait_all_tasks_blocked()
