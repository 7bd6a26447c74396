"""Feeds one client connection, drains it, sleeps: the trio side of a client.

A few tasks read (one per socket, one for the TUN device, one for the timer); all of them end in
`ClientDriver._pump`, which is synchronous. What was read enters the core with no checkpoint in
between, and one wake-up does a bounded amount of work. What the host answers to packets on the
spot, as TCP does, leaves in the same round. Under load one task looks at everything at intervals
instead, see `runtime/load_watch`. Decides nothing about the tunnel.
"""

# walk: 2 of 16

from collections.abc import Sequence

import trio

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.errors import HostError
from mqvpn_core.ids import ConnectionHandle, Instant
from mqvpn_core.runtime.bypass_desk import BypassedConnection, Returned, Subject, open_desk
from mqvpn_core.runtime.bypass_rounds import BypassRounds
from mqvpn_core.runtime.clock import DeadlineTimer, read_clock
from mqvpn_core.runtime.driver_ports import PacketSession, SessionObserver, Transport
from mqvpn_core.runtime.load_watch import LoadWatch
from mqvpn_core.runtime.outbox import Outbox
from mqvpn_core.runtime.packet_ports import DatagramSocket
from mqvpn_core.runtime.readiness import Readiness
from mqvpn_core.runtime.tun_device import PacketDevice

MAX_READS = 32
"""Socket reads of one wake-up; each may carry several coalesced datagrams."""
MAX_PACKETS = 64
"""IP packets taken from the TUN device in one wake-up."""
MAX_READS_UNDER_LOAD = 1024
"""Socket reads of one look: where links join nothing, each read is a single datagram, and a look
that leaves some behind costs as much as one that takes them all. The socket limits the bytes."""
MAX_PACKETS_UNDER_LOAD = 256
"""IP packets taken from the TUN device in one look: what comes in a few milliseconds is taken
together."""
SILENCE_LIMIT = 3.0
"""Seconds without a packet from the server after which the connection may count as lost."""
SILENT_PROBES = 4
"""Unanswered probe time-outs in a row that it takes besides; on a slow path they take longer."""

_THE_CONNECTION = ConnectionHandle(0)


class ClientDriver:
    """Drives one connection over its sockets.

    A: `settled`, `finished`, `received_any`, `has_fallen_silent`, `refused_packet_count`,
    `bypassed_packet_count`, `send_losses`, `device_failure`
    C: `attach`, `carry`, `add_socket`, `drop_socket`, `hold_out`, `finish`, `kick`. Tasks: `run`.
    """

    def __init__(self, transport: Transport, sockets: Sequence[DatagramSocket]) -> None:
        """Take a connection that was told to connect; the sockets stay the caller's to close."""
        self.settled = trio.Event()
        """Set when the handshake is complete or the connection has ended."""
        self.finished = trio.Event()
        """Set when nothing more will happen."""
        self.received_any = False
        """The server has answered something."""
        self.has_fallen_silent = False
        """Ended because the server does not answer any more."""
        self.refused_packet_count = 0
        """IP packets that the host did not take."""
        self.device_failure: HostError | None = None
        """Why the TUN device cannot be used any more."""
        self._transport = transport
        self._ports = [_Port(socket) for socket in sockets]
        self._nursery: trio.Nursery | None = None
        self._outbox = Outbox(sockets)
        self.send_losses = self._outbox.losses
        """What did not even reach a socket."""
        self._timer = DeadlineTimer()
        self._load = LoadWatch(lambda: transport.shortest_round_trip)
        self._readiness = Readiness(sockets)
        self._due_at: Instant | None = None
        self._session: PacketSession | None = None
        self._observers: tuple[SessionObserver, ...] = ()
        self._tun: PacketDevice | None = None
        self._carrying = trio.Event()
        self._last_received = read_clock()
        self._is_cut_off = False
        self._bypass = BypassRounds(self._take_returned, self._pump, lambda: (_THE_CONNECTION,))

    @property
    def bypassed_packet_count(self) -> int:
        """IP packets that went from descriptor to descriptor without Python."""
        return self._bypass.packet_count

    def attach(self, session: PacketSession, *observers: SessionObserver) -> None:
        """Let ``session`` use the connection from now on."""
        self._session = session
        self._observers = observers
        self.kick()

    def carry(self, tun: PacketDevice) -> None:
        """Move IP packets between the session and this device from now on.

        Until then packets wait in the device's own queue: what the host's TCP sent again during an
        outage goes out first when the tunnel is back. Does nothing after the end.
        """
        if self.finished.is_set():
            # While the machine was made ready for the tunnel; nobody would close what is opened.
            return
        self._tun = tun
        self._readiness.add(tun)
        sockets = [port.socket for port in self._ports]
        transport = self._transport
        if isinstance(transport, BypassedConnection):
            self._bypass.open(open_desk(tun, sockets, lambda _: self._subject(transport)))
        self._carrying.set()

    def add_socket(self, socket: DatagramSocket) -> None:
        """Send and receive over one more socket, which is ours to close from now on."""
        port = _Port(socket, is_ours=True)
        self._ports.append(port)
        self._outbox.add(socket)
        self._readiness.add(socket)
        self._bypass.add_socket(socket)
        if self._nursery is not None:
            self._start(port, self._nursery)

    def drop_socket(self, socket: DatagramSocket) -> None:
        """Close a socket; what waits for it is lost. Harmless when done twice."""
        for port in [each for each in self._ports if each.socket is socket]:
            self._ports.remove(port)
            self._bypass.remove_socket(socket)
            self._outbox.remove(socket)
            self._readiness.remove(socket)
            port.is_ours = True
            port.scope.cancel()
            if not port.is_served:
                socket.close()

    def hold_out(self, *, is_cut_off: bool) -> None:
        """While no link works, silence means nothing; afterwards it counts from zero."""
        if self._is_cut_off and not is_cut_off:
            self._last_received = read_clock()
        self._is_cut_off = is_cut_off

    def finish(self) -> None:
        """Send what is due (such as CONNECTION_CLOSE), then end `run`."""
        self.kick()
        self.finished.set()

    def kick(self) -> None:
        """Carry out what a command to the connection or the session has caused."""
        with self._bypass.round():
            self._pump(read_clock())

    async def run(self) -> None:
        """Drive until `finished`."""
        self.kick()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for port in self._ports:
                    self._start(port, nursery)
                nursery.start_soon(self._read_tun)
                nursery.start_soon(self._watch_timer)
                nursery.start_soon(self._watch_bypass)
                nursery.start_soon(
                    self._load.look_at_intervals, self._look_at_everything, self._calm_down
                )
                await self.finished.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._bypass.close()
            for port in [each for each in self._ports if each.is_ours]:
                self.drop_socket(port.socket)

    def _start(self, port: "_Port", nursery: trio.Nursery) -> None:
        # Already now: whoever drops the socket before the task runs leaves closing it to the task.
        port.is_served = True
        nursery.start_soon(self._serve, port)

    async def _serve(self, port: "_Port") -> None:
        try:
            with port.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read_socket, port.socket)
                    nursery.start_soon(self._outbox.flush, port.socket)
        finally:
            port.is_served = False
            if port.is_ours:
                # Only now: closing under a waiting task would be an error to it.
                port.socket.close()

    async def _read_socket(self, socket: DatagramSocket) -> None:
        while True:
            await socket.wait_readable()
            if self._load.is_high:
                await self._load.wait_low()
            elif self._bypass.reads(socket):
                await self._bypass.wait_for_change()
            else:
                with self._bypass.round():
                    self._pump(self._receive(socket))

    async def _read_tun(self) -> None:
        await self._carrying.wait()
        while self._tun is not None and self.device_failure is None:
            await self._tun.wait_readable()
            if self._load.is_high:
                await self._load.wait_low()
            elif self._bypass.reads_device:
                await self._bypass.wait_for_change()
            else:
                with self._bypass.round():
                    now = read_clock()
                    # The first one by itself: somebody may wait for the answer to it, and looking
                    # whether there are more takes as long as sending it.
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
                self._listen_for_silence(now)

    async def _watch_bypass(self) -> None:
        await self._carrying.wait()
        await self._bypass.watch(self._load)

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
            for port in self._ports:
                if readiness.is_ready(port.socket) and not bypass.reads(port.socket):
                    self._receive(port.socket)
            now = read_clock()
        elif not bypass.has_news and (self._due_at is None or self._due_at > now):
            self._load.note(0, now)
            return
        is_due = self._due_at is not None and self._due_at <= now
        if is_due:
            self._handle_timeout(now)
        # What the host answers to packets comes on the spot.
        has_written = self._drain_session(now)
        if (has_written or readiness.is_ready(self._tun)) and not bypass.reads_device:
            self._read_device(now)
        self._send(now)
        if is_due:
            self._listen_for_silence(now)

    def _subject(self, connection: BypassedConnection) -> Subject:
        return Subject(connection, None if self._session is None else self._session.bypass)

    def _take_returned(self, returned: Returned, now: Instant) -> None:
        """Go on with what the bypass has left to us."""
        for batch, at in returned.datagrams:
            self._transport.receive_datagrams(batch, at)
        if returned.has_received:
            self.received_any = True
            self._last_received = now
        self.refused_packet_count += returned.refused_count
        self._outbox.send(returned.transmits)
        self._load.note(returned.packet_count, now)
        if returned.failure is not None:
            self.device_failure = returned.failure
            self.finished.set()
        elif returned.packets:
            self._send_packets(returned.packets, now)

    def _receive(self, socket: DatagramSocket) -> Instant:
        """Hand what a socket has to the connection; return when that was."""
        batches = socket.receive(MAX_READS_UNDER_LOAD if self._load.is_high else MAX_READS)
        now = read_clock()
        count = 0
        for batch in batches:
            count += -(-len(batch.data) // batch.segment_size)
            self._transport.receive_datagrams(batch, now)
        if batches:
            self.received_any = True
            self._last_received = now
        self._load.note(count, now)
        return now

    def _handle_timeout(self, now: Instant) -> None:
        self._transport.handle_timeout(now)
        if self._session is not None:
            self._session.handle_timeout(now)

    def _listen_for_silence(self, now: Instant) -> None:
        is_silent = now - self._last_received >= SILENCE_LIMIT and not self._is_cut_off
        if is_silent and self._goes_unanswered():
            self.has_fallen_silent = True
            self.finished.set()

    def _goes_unanswered(self) -> bool:
        """Tell whether what we sent stays unacknowledged on every path.

        Waiting for the idle time-out, or for an old connection's ever slower probes, would leave
        the user without a tunnel long after the server is back.
        """
        paths = [path for path in self._transport.statistics().paths if path.is_in_use]
        return bool(paths) and all(path.probe_timeouts >= SILENT_PROBES for path in paths)

    def _pump(self, now: Instant) -> None:
        if self._drain_session(now) and not self._bypass.reads_device:
            self._read_device(now)
        self._send(now)

    def _send(self, now: Instant) -> None:
        transport = self._transport
        self._bypass.has_news = False
        self._outbox.send(transport.transmits(now))
        if transport.is_behind:
            self._outbox.send(transport.transmits(now))
        if transport.has_events and self._session is not None:
            self._drain_session(now)
            self._outbox.send(transport.transmits(now))
        if refused := self._outbox.take_refused():
            for each in refused:
                transport.on_send_refused(each, now)
            # Smaller ones in their place; what is still too large comes up the next time.
            self._outbox.send(transport.transmits(now))
        deadline = transport.next_timeout()
        if self._session is not None:
            deadline = earlier(deadline, self._session.next_timeout())
        self._due_at = deadline
        if not self._load.is_high:
            self._timer.set(deadline)
        if transport.is_ending:
            # CONNECTION_CLOSE is on its way if it is ours; the session learns the end last.
            self._drain_session(now)
            self.settled.set()
            self.finished.set()
        elif transport.handshake_complete:
            self.settled.set()

    def _drain_session(self, now: Instant) -> bool:
        """Carry out what the session has; tell whether the host has got packets."""
        session = self._session
        if session is None:
            return False
        session.receive_events(now)
        has_written = self._write_device(session)
        for observer in self._observers:
            observer.look(now)
        return has_written

    def _write_device(self, session: PacketSession) -> bool:
        packets = session.take_ip_packets()
        if not packets or self._tun is None:
            return False
        self.refused_packet_count += self._tun.write_packets(packets)
        return True

    def _read_device(self, now: Instant, limit: int = MAX_PACKETS) -> bool:
        """Take what the host has for the session; tell whether there was anything."""
        if self._tun is None:
            return False
        try:
            packets = self._tun.read_packets(
                MAX_PACKETS_UNDER_LOAD if self._load.is_high else limit
            )
        except HostError as error:
            self.device_failure = error
            self.finished.set()
            return False
        if not packets:
            # So that a time without packets is counted as well.
            self._load.note(0, now)
            return False
        self._load.note(count_packets(packets), now)
        return self._send_packets(packets, now)

    def _send_packets(self, packets: Sequence[Parcel], now: Instant) -> bool:
        """Hand packets of the host to the session; tell whether there is one."""
        if self._session is None:
            return False
        self._session.send_ip_packets(packets, now)
        self._bypass.offer(_THE_CONNECTION, packets)
        # Errors about packets that may not pass.
        self._write_device(self._session)
        return True


class _Port:
    """One socket with the task that serves it."""

    def __init__(self, socket: DatagramSocket, *, is_ours: bool = False) -> None:
        self.socket = socket
        self.is_ours = is_ours
        self.is_served = False
        self.scope = trio.CancelScope()


def earlier(one: Instant | None, other: Instant | None) -> Instant | None:
    """Return the earlier of two deadlines; `None` is never."""
    if one is None:
        return other
    if other is None:
        return one
    return min(one, other)
