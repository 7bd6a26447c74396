"""Feeds the endpoint and its sessions, drains them, sleeps: the trio side of a server.

As in the client, a few tasks read and all of them end in one synchronous pump. The pump visits
only the connections that something happened to, and sends what the host answers on the spot. Under
load one task looks at everything at intervals instead, see `runtime/load_watch`. The pump is also
the fault boundary: an exception while one client is served ends that client's connection and
nothing else.
"""

# walk: 11 of 16

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar, runtime_checkable

import trio

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.ids import ConnectionHandle, Instant
from mqvpn_core.quic.deadline_queue import DeadlineQueue
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit
from mqvpn_core.runtime.bypass_desk import BypassedConnection, Returned, Subject, open_desk
from mqvpn_core.runtime.bypass_rounds import BypassRounds
from mqvpn_core.runtime.client_driver import (
    MAX_PACKETS,
    MAX_PACKETS_UNDER_LOAD,
    MAX_READS,
    MAX_READS_UNDER_LOAD,
    earlier,
)
from mqvpn_core.runtime.clock import DeadlineTimer, read_clock
from mqvpn_core.runtime.driver_ports import PacketSession
from mqvpn_core.runtime.load_watch import LoadWatch
from mqvpn_core.runtime.outbox import Outbox
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.runtime.readiness import Readiness
from mqvpn_core.runtime.tun_device import PacketDevice

_log = logging.getLogger(__name__)

MAX_DEVICE_ROUNDS = 8
"""Reads of the TUN device in one look, one after the other, where many clients share it."""
MANY_CLIENTS = 8
"""Clients that make it many: each of them that gets packets of several reads is served once."""

S = TypeVar("S", bound=PacketSession)
R = TypeVar("R")


class EndpointPort(Protocol):
    """What the driver needs of a QUIC server endpoint."""

    @property
    def is_behind(self) -> bool:
        """`transmits` has to be called once more, for what no packet had to wait for."""

    @property
    def has_ready(self) -> bool:
        """`take_ready` has something."""

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Take what a socket gave."""

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""

    def transmits(self, now: Instant) -> list[Transmit]:
        """Return what may be sent now."""

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` wants to be called."""

    def on_send_refused(self, refused: RefusedDatagram, now: Instant) -> None:
        """Learn that a datagram was too large for its link."""

    def take_ready(self) -> set[ConnectionHandle]:
        """Return the connections that something happened to since the last call."""

    def wake(self, handle: ConnectionHandle) -> None:
        """Have a connection in the next `take_ready` and `transmits`: it was given a command."""

    def poll(self, handle: ConnectionHandle) -> None:
        """Have a connection in the next `transmits`: it was given packets."""

    @property
    def shortest_round_trip(self) -> float:
        """The shortest of all connections, in seconds; 0 while none is known."""

    @property
    def serving(self) -> ConnectionHandle | None:
        """The connection that was worked on last."""

    def discard(self, handle: ConnectionHandle) -> None:
        """Forget a connection at once."""


@runtime_checkable
class BypassedEndpoint(Protocol):
    """An endpoint whose connections' packets may go past the driver."""

    @property
    def connections(self) -> Mapping[ConnectionHandle, BypassedConnection]:
        """All of them."""

    def take_touched(self) -> set[ConnectionHandle]:
        """Return those for which something may have changed since the last call."""


class SessionKeeper(Protocol[S]):
    """Owns the sessions and what they mean; nothing here may block."""

    @property
    def sessions(self) -> Mapping[ConnectionHandle, S]:
        """The sessions by connection."""

    def take_endpoint_events(self, now: Instant) -> None:
        """Make and forget sessions as connections come and go."""

    def look(self, handle: ConnectionHandle, session: S, now: Instant) -> None:
        """Take the events of one session."""

    def fail(self, handle: ConnectionHandle, now: Instant) -> None:
        """End one connection whose handling raised an exception."""

    def dispatch(self, packets: Sequence[Parcel]) -> Mapping[ConnectionHandle, Sequence[Parcel]]:
        """Sort packets from the TUN device by the connection they go to."""


class ServerDriver(Generic[S]):
    """Drives one endpoint over its sockets and one TUN device.

    A: `refused_packet_count`, `bypassed_packet_count`, `send_losses`, `fault_count`
    C: `kick`, `feed`. Tasks: `run`.
    """

    def __init__(
        self,
        endpoint: EndpointPort,
        keeper: SessionKeeper[S],
        sockets: Sequence[DatagramSocket],
        tun: PacketDevice,
    ) -> None:
        """Put the parts together; they stay the caller's to close."""
        self.refused_packet_count = 0
        """IP packets that the host did not take."""
        self.fault_count = 0
        """Exceptions caught at the fault boundary."""
        self._endpoint = endpoint
        self._keeper = keeper
        self._sockets = sockets
        self._tun = tun
        self._outbox = Outbox(sockets)
        self.send_losses = self._outbox.losses
        """What did not even reach a socket."""
        self._timer = DeadlineTimer()
        self._load = LoadWatch(lambda: endpoint.shortest_round_trip)
        self._readiness = Readiness((*sockets, tun))
        self._due_at: Instant | None = None
        self._deadlines: DeadlineQueue[ConnectionHandle] = DeadlineQueue()
        self._bypassed = endpoint if isinstance(endpoint, BypassedEndpoint) else None
        self._bypass = BypassRounds(self._take_returned, self._pump, self._take_touched)

    @property
    def bypassed_packet_count(self) -> int:
        """IP packets that went from descriptor to descriptor without Python."""
        return self._bypass.packet_count

    def kick(self, handle: ConnectionHandle | None = None) -> None:
        """Carry out what commands have caused.

        Args:
            handle: the connection whose session was given a command.
        """
        with self._bypass.round():
            if handle is not None:
                self._endpoint.wake(handle)
            self._pump(read_clock())

    def feed(self, packets: Sequence[Parcel]) -> None:
        """Send packets for clients that came by another way than the device."""
        with self._bypass.round():
            now = read_clock()
            self._dispatch(packets, now)
            self._send(now)

    async def run(self) -> None:
        """Drive until cancelled."""
        try:
            if self._bypassed is not None:
                desk = open_desk(self._tun, self._sockets, self._subject, self._guard_one)
                self._bypass.open(desk)
            self.kick()
            async with trio.open_nursery() as nursery:
                for socket in self._sockets:
                    nursery.start_soon(self._read_socket, socket)
                nursery.start_soon(self._read_tun)
                nursery.start_soon(self._watch_timer)
                nursery.start_soon(self._bypass.watch, self._load)
                nursery.start_soon(
                    self._load.look_at_intervals, self._look_at_everything, self._calm_down
                )
                nursery.start_soon(self._outbox.run)
        finally:
            self._bypass.close()

    async def _read_socket(self, socket: DatagramSocket) -> None:
        while True:
            await socket.wait_readable()
            if self._load.is_high:
                await self._load.wait_low()
            elif self._bypass.reads(socket):
                await self._bypass.wait_for_change()
            else:
                with self._bypass.round():
                    self._pump(self._read_batches(socket))

    async def _read_tun(self) -> None:
        while True:
            await self._tun.wait_readable()
            if self._load.is_high:
                await self._load.wait_low()
            elif self._bypass.reads_device:
                await self._bypass.wait_for_change()
            else:
                with self._bypass.round():
                    now = read_clock()
                    # The first one by itself, as in the client.
                    if self._read_device(now, 1):
                        self._send(now)
                        if self._read_device(now):
                            self._send(now)

    async def _watch_timer(self) -> None:
        while True:
            await self._timer.wait()
            with self._bypass.round():
                now = read_clock()
                self._handle_timeout(now)
                self._pump(now)

    def _take_returned(self, returned: Returned, now: Instant) -> None:
        """Go on with what the bypass has left to us."""
        for batch, at in returned.datagrams:
            self._receive(batch, at)
        for handle in returned.touched:
            self._endpoint.poll(handle)
        self.refused_packet_count += returned.refused_count
        self._outbox.send(returned.transmits)
        self._load.note(returned.packet_count, now)
        if returned.failure is not None:
            raise returned.failure
        if returned.packets:
            self._dispatch(returned.packets, now)

    def _guard_one(self, handle: ConnectionHandle, work: Callable[[], None]) -> None:
        """Work for one client, which an exception ends and nobody else."""
        try:
            work()
        except Exception:  # noqa: BLE001 - fault boundary: ends this client only
            self._end_client(handle, read_clock())
            self._endpoint.discard(handle)

    def _take_touched(self) -> set[ConnectionHandle]:
        return set() if self._bypassed is None else self._bypassed.take_touched()

    def _subject(self, handle: ConnectionHandle) -> Subject | None:
        connection = None if self._bypassed is None else self._bypassed.connections.get(handle)
        session = self._keeper.sessions.get(handle)
        if connection is None or session is None:
            return None
        return Subject(connection, session.bypass)

    def _calm_down(self) -> None:
        """Load is over: what waits for the timer does so again."""
        self._timer.set(self._due_at)

    def _look_at_everything(self, now: Instant) -> None:
        """Do in one round what the tasks do in many."""
        with self._bypass.round():
            self._look(now)

    def _look(self, now: Instant) -> None:
        readiness, bypass = self._readiness, self._bypass
        if readiness.look():
            for socket in filter(readiness.is_ready, self._sockets):
                if not bypass.reads(socket):
                    self._read_batches(socket)
            now = read_clock()
        elif not bypass.has_news and (self._due_at is None or self._due_at > now):
            self._load.note(0, now)
            return
        if self._due_at is not None and self._due_at <= now:
            self._handle_timeout(now)
        has_written = self._visit_ready(now)
        if (has_written or readiness.is_ready(self._tun)) and not bypass.reads_device:
            for _ in range(MAX_DEVICE_ROUNDS):
                if self._read_device(now) < MANY_CLIENTS:
                    break
        self._send(now)

    def _read_batches(self, socket: DatagramSocket) -> Instant:
        """Hand what a socket has to the endpoint; return when that was."""
        batches = socket.receive(MAX_READS_UNDER_LOAD if self._load.is_high else MAX_READS)
        now = read_clock()
        count = 0
        for batch in batches:
            count += -(-len(batch.data) // batch.segment_size)
            self._receive(batch, now)
        self._load.note(count, now)
        return now

    def _handle_timeout(self, now: Instant) -> None:
        self._guard(self._endpoint.handle_timeout, now)
        for handle in self._deadlines.take_due(now):
            self._handle_session_timeout(handle, now)

    def _receive(self, batch: ReceivedDatagrams, now: Instant) -> None:
        try:
            self._endpoint.receive_datagrams(batch, now)
        except Exception:  # noqa: BLE001 - fault boundary: ends this client only
            self._report_fault("datagrams from %s", batch.four_tuple.remote.host)
            self._discard_faulty(now)

    def _guard(self, work: Callable[[Instant], R], now: Instant) -> R:
        """Have the endpoint work on all connections, without those that raise exceptions."""
        while True:
            try:
                return work(now)
            except Exception:
                handle = self._endpoint.serving
                if handle is None:
                    raise
                self._report_fault("connection %d", handle)
                self._discard_faulty(now)

    def _discard_faulty(self, now: Instant) -> None:
        handle = self._endpoint.serving
        if handle is None:
            return
        try:
            self._keeper.fail(handle, now)
        except Exception:  # noqa: BLE001 - fault boundary: the client is being ended already
            self._report_fault("the end of connection %d", handle)
        self._endpoint.discard(handle)

    def _read_device(self, now: Instant, limit: int = MAX_PACKETS) -> int:
        """Hand what the host has for clients to their sessions; return how many got something."""
        if self._load.is_high:
            limit = MAX_PACKETS_UNDER_LOAD
        packets = self._tun.read_packets(limit)
        self._load.note(count_packets(packets), now)
        return self._dispatch(packets, now) if packets else 0

    def _dispatch(self, packets: Sequence[Parcel], now: Instant) -> int:
        errors: list[Parcel] = []
        by_client = self._keeper.dispatch(packets)
        for handle, batch in by_client.items():
            self._send_packets(handle, batch, errors, now)
        if errors:
            self.refused_packet_count += self._tun.write_packets(errors)
        return len(by_client)

    def _send_packets(
        self,
        handle: ConnectionHandle,
        packets: Sequence[Parcel],
        errors: list[Parcel],
        now: Instant,
    ) -> None:
        """Hand packets to one session; what it says about them goes to ``errors``."""
        session = self._keeper.sessions.get(handle)
        if session is None:
            return
        self._endpoint.poll(handle)
        try:
            session.send_ip_packets(packets, now)
            self._bypass.offer(handle, packets)
            errors += session.take_ip_packets()
        except Exception:  # noqa: BLE001 - fault boundary: ends this client only
            self._end_client(handle, now)

    def _handle_session_timeout(self, handle: ConnectionHandle, now: Instant) -> None:
        session = self._keeper.sessions.get(handle)
        if session is None:
            return
        self._endpoint.wake(handle)
        try:
            session.handle_timeout(now)
        except Exception:  # noqa: BLE001 - fault boundary: ends this client only
            self._end_client(handle, now)

    def _pump(self, now: Instant) -> None:
        if self._visit_ready(now) and not self._bypass.reads_device:
            self._read_device(now)
        self._send(now)

    def _visit_ready(self, now: Instant) -> bool:
        """Serve whatever something has happened to; tell whether the host has got packets."""
        self._keeper.take_endpoint_events(now)
        has_written = False
        while ready := self._endpoint.take_ready():
            to_host: list[Parcel] = []
            visited = [handle for handle in ready if self._visit(handle, to_host, now)]
            if to_host:
                self.refused_packet_count += self._tun.write_packets(to_host)
                has_written = True
                if (
                    not self._load.is_high
                    and not self._bypass.reads_device
                    and self._read_device(now, 1)
                ):
                    # The host has answered on the spot, and somebody waits for that too.
                    self._outbox.send(self._guard(self._endpoint.transmits, now))
            # Behind it, because the packets are waited for.
            for handle in visited:
                self._look_at(handle, now)
        return has_written

    def _send(self, now: Instant) -> None:
        self._bypass.has_news = False
        self._outbox.send(self._guard(self._endpoint.transmits, now))
        if self._endpoint.is_behind:
            self._outbox.send(self._guard(self._endpoint.transmits, now))
        if self._endpoint.has_ready:
            self._visit_ready(now)
            self._outbox.send(self._guard(self._endpoint.transmits, now))
        if refused := self._outbox.take_refused():
            for each in refused:
                self._endpoint.on_send_refused(each, now)
            # Smaller ones in their place; what is still too large comes up the next time.
            self._outbox.send(self._guard(self._endpoint.transmits, now))
        # Sending may have ended connections: their sessions must not wait for the next round.
        self._keeper.take_endpoint_events(now)
        self._due_at = earlier(self._endpoint.next_timeout(), self._deadlines.earliest())
        if not self._load.is_high:
            self._timer.set(self._due_at)

    def _visit(self, handle: ConnectionHandle, to_host: list[Parcel], now: Instant) -> bool:
        """Take what a session has for the host; tell whether there is one to look at."""
        session = self._keeper.sessions.get(handle)
        if session is None:
            self._deadlines.remove(handle)
            return False
        try:
            session.receive_events(now)
            to_host += session.take_ip_packets()
        except Exception:  # noqa: BLE001 - fault boundary: ends this client only
            self._end_client(handle, now)
            return False
        return True

    def _look_at(self, handle: ConnectionHandle, now: Instant) -> None:
        session = self._keeper.sessions.get(handle)
        if session is None:
            return
        try:
            self._keeper.look(handle, session, now)
            self._deadlines.set(handle, session.next_timeout())
        except Exception:  # noqa: BLE001 - fault boundary: ends this client only
            self._end_client(handle, now)

    def _end_client(self, handle: ConnectionHandle, now: Instant) -> None:
        self._report_fault("connection %d", handle)
        self._deadlines.remove(handle)
        try:
            self._keeper.fail(handle, now)
        except Exception:  # noqa: BLE001 - fault boundary: the client is being ended already
            self._report_fault("the end of connection %d", handle)

    def _report_fault(self, what: str, subject: object) -> None:
        self.fault_count += 1
        _log.exception("internal error while handling " + what, subject)
