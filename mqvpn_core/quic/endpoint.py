"""ServerEndpoint: many connections behind one or more UDP sockets, without I/O.

# walk: 11 of 16

Routes datagrams by destination connection ID (RFC 9000 s5.2). What belongs to no connection is
judged by `admission`, or answered by a stateless reset (RFC 9000 s10.3).
"""

import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from mqvpn_core.ids import ConnectionHandle, FourTuple, Instant
from mqvpn_core.quic.admission import Admission, AdmissionDesk
from mqvpn_core.quic.aioquic_bridge.configuration import server_engine
from mqvpn_core.quic.aioquic_bridge.quiet_engine import FirstContact
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.connection_steering import ConnectionSteering
from mqvpn_core.quic.datagram_routing import by_connection_id, destination_cid
from mqvpn_core.quic.deadline_queue import DeadlineQueue
from mqvpn_core.quic.stateless_answers import RESET_TOKEN_LENGTH, StatelessAnswers
from mqvpn_core.quic.timers import earliest, is_due
from mqvpn_core.quic.transport_config import (
    CONNECTION_ID_LENGTH,
    ServerTls,
    TransportConfig,
)
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit

HANDSHAKE_LIMIT = 15.0
"""Seconds after which a handshake that is not complete is given up, whatever still comes."""


class RetryPolicy(Enum):
    """When a client must prove its address before we keep state for it."""

    ALWAYS = "always"
    UNDER_LOAD = "auto"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """Settings of a server endpoint."""

    transport: TransportConfig
    """Settings of every connection."""
    identity: ServerTls
    """Certificate for new connections."""
    reset_key: bytes
    """Secret for stateless reset tokens; the same after a restart, so that clients that come back
    learn at once that their connection is gone. At least 16 bytes."""
    retry: RetryPolicy = RetryPolicy.UNDER_LOAD
    """When to send Retry."""
    max_half_open: int = 64
    """Unvalidated handshakes beyond which `UNDER_LOAD` sends Retry."""
    max_connections: int = 1000
    """Connections in all; beyond it a new one takes the place of the oldest stranger."""
    stateless_answers_per_second: float = 100.0
    """Most version negotiations, Retries, refusals and resets a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAccepted:
    """A new connection exists; its handshake may still fail."""

    handle: ConnectionHandle
    """How to address it."""
    connection: MultipathConnection
    """The connection."""
    four_tuple: FourTuple
    """Where its first datagram came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDiscarded:
    """A connection has ended for good and is forgotten."""

    handle: ConnectionHandle
    """Which one."""


EndpointEvent: TypeAlias = ConnectionAccepted | ConnectionDiscarded


class ServerEndpoint:
    """Demultiplexer and owner of a server's connections.

    A: connections, serving, shortest_round_trip, is_behind, has_ready
    B: receive_datagrams, handle_timeout, on_send_refused
    C: set_config, set_known, wake, poll, discard, close
    D: transmits, next_timeout, next_event, take_ready, take_touched; polled in this order
    """

    def __init__(
        self,
        config: EndpointConfig,
        entropy: Callable[[int], bytes],
        steering: ConnectionSteering | None = None,
    ) -> None:
        """Create an endpoint without connections.

        Args:
            config: settings.
            entropy: returns that many random bytes.
            steering: which packets are for this endpoint, where several share a port.
        """
        self.connections: dict[ConnectionHandle, MultipathConnection] = {}
        self.serving: ConnectionHandle | None = None
        """Connection that was worked on last: whom to `discard` when an exception comes out."""
        self._config = config
        self._entropy = entropy
        self._steering = steering
        self._routes: dict[bytes, ConnectionHandle] = {}
        self._initial_cids: dict[ConnectionHandle, bytes] = {}
        self._timeouts: DeadlineQueue[ConnectionHandle] = DeadlineQueue()
        # When their handshakes have to be complete.
        self._half_open: dict[ConnectionHandle, Instant] = {}
        # Connections of whom nobody has vouched for, the oldest first.
        self._strangers: dict[ConnectionHandle, None] = {}
        self._ready: set[ConnectionHandle] = set()
        self._needs_poll: set[ConnectionHandle] = set()
        # Polled, and to be polled once more.
        self._behind: set[ConnectionHandle] = set()
        # Something was done to them since somebody asked; None while nobody ever has.
        self._touched: set[ConnectionHandle] | None = None
        self._outgoing: list[Transmit] = []
        self._events: deque[EndpointEvent] = deque()
        self._next_handle = 1
        self._answers = StatelessAnswers(entropy, self._reset_token)
        self._answers.per_second = config.stateless_answers_per_second
        self._desk = AdmissionDesk(self._answers, self._new_connection_id)

    @property
    def shortest_round_trip(self) -> float:
        """The shortest of all connections, in seconds; 0 while none is known."""
        known = (connection.shortest_round_trip for connection in self.connections.values())
        return min(filter(None, known), default=0.0)

    @property
    def is_behind(self) -> bool:
        """`transmits` has to be called once more, for what no packet had to wait for."""
        return bool(self._behind)

    @property
    def has_ready(self) -> bool:
        """`take_ready` has something."""
        return bool(self._ready)

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Route the datagrams of one socket read."""
        for part in by_connection_id(batch):
            self.serving = None
            first = part.data[: part.segment_size]
            cid = destination_cid(first, 0)
            handle = self._routes.get(cid)
            if handle is None and not self._is_ours(cid):
                # Coalesced behind one of ours. Another process may know it: no answer from here.
                continue
            if handle is None and first[0] & 0x80:
                handle = self._accept(first, part.four_tuple, now)
            elif handle is None:
                self._answers.queue_reset(first, part.four_tuple, now)
            if handle is not None:
                self.serving = handle
                self.connections[handle].receive_datagrams(part, now)
                self.wake(handle)

    def handle_timeout(self, now: Instant) -> None:
        """Run the timers of all connections that are due."""
        while (handle := self._timeouts.take_next_due(now)) is not None:
            if is_due(self._half_open.get(handle), now):
                self.discard(handle)
                continue
            self.serving = handle
            self.connections[handle].handle_timeout(now)
            self.wake(handle)

    def on_send_refused(self, refused: RefusedDatagram, now: Instant) -> None:
        """The host did not send a datagram that is larger than the link takes."""
        # Rare enough to ask everybody.
        for handle, connection in self.connections.items():
            if connection.on_send_refused(refused, now):
                self.wake(handle)

    def set_config(self, config: EndpointConfig) -> None:
        """Use other settings for new connections."""
        self._config = config
        self._answers.per_second = config.stateless_answers_per_second

    def set_known(self, handle: ConnectionHandle, *, is_known: bool) -> None:
        """Say that a connection is of somebody we know, who never has to make room for others."""
        if handle not in self.connections:
            return
        if is_known:
            self._strangers.pop(handle, None)
        else:
            self._strangers[handle] = None

    def wake(self, handle: ConnectionHandle) -> None:
        """Something was done to a connection: it may have news, and something to send."""
        if handle in self.connections:
            self._ready.add(handle)
            self._needs_poll.add(handle)

    def poll(self, handle: ConnectionHandle) -> None:
        """A connection was given something to send, which makes no news."""
        if handle in self.connections:
            self._needs_poll.add(handle)

    def discard(self, handle: ConnectionHandle) -> None:
        """Forget a connection at once, without a word; its client will get a stateless reset.

        For a connection that raised an exception: nothing it would still say can be relied on.
        """
        connection = self.connections.get(handle)
        if connection is not None:
            self._discard(handle, connection)

    def close(self, error_code: int, reason: str) -> None:
        """Close every connection (HTTP/3 error code)."""
        for handle, connection in self.connections.items():
            connection.close(error_code, reason)
            self.wake(handle)

    def transmits(self, now: Instant) -> list[Transmit]:
        """Everything to send now, of all connections that were touched."""
        self._needs_poll |= self._behind
        self._behind.clear()
        if self._touched is not None:
            self._touched |= self._needs_poll
        while self._needs_poll:
            handle = self._needs_poll.pop()
            connection = self.connections.get(handle)
            if connection is None:
                continue
            self.serving = handle
            self._outgoing += connection.transmits(now)
            if connection.is_behind:
                self._behind.add(handle)
                continue
            self._after_poll(handle, connection)
        result, self._outgoing = self._outgoing, []
        return self._answers.take() + result

    def next_timeout(self) -> Instant | None:
        """When to call `handle_timeout` next."""
        return self._timeouts.earliest()

    def next_event(self) -> EndpointEvent | None:
        """Oldest event not handed out yet."""
        return self._events.popleft() if self._events else None

    def take_ready(self) -> set[ConnectionHandle]:
        """Connections whose events and state may have changed since the last call."""
        ready, self._ready = self._ready, set()
        return ready

    def take_touched(self) -> set[ConnectionHandle]:
        """Connections that have been asked for something to send, or are gone, since last time."""
        touched, self._touched = self._touched, set()
        return set(self.connections) if touched is None else touched

    def _accept(self, first: bytes, four_tuple: FourTuple, now: Instant) -> ConnectionHandle | None:
        """Decide about a datagram with a long header that belongs to no connection."""
        admission = self._desk.judge(first, four_tuple, now, wants_retry=self._wants_retry())
        if admission is None:
            return None
        if len(self.connections) >= self._config.max_connections and not self._make_room():
            return None
        handle = self._create(admission, four_tuple)
        self._half_open[handle] = Instant(now + HANDSHAKE_LIMIT)
        return handle

    def _make_room(self) -> bool:
        """Discard the oldest stranger; False when there is none.

        Otherwise whoever opens connections and says nothing more could keep everybody out.
        """
        oldest = next(iter(self._strangers), None)
        if oldest is None:
            return False
        self.discard(oldest)
        return True

    def _create(self, admission: Admission, four_tuple: FourTuple) -> ConnectionHandle:
        config = self._config
        engine = server_engine(
            config.transport,
            config.identity,
            FirstContact(
                original_destination_cid=admission.original_cid,
                retry_source_cid=admission.retry_cid,
                reset_token=self._reset_token,
                connection_id=None if self._steering is None else self._new_connection_id(),
            ),
        )
        connection = MultipathConnection(
            engine=engine,
            config=config.transport,
            entropy=self._entropy,
            reset_token=self._reset_token,
            new_connection_id=self._new_connection_id,
        )
        handle = ConnectionHandle(self._next_handle)
        self._next_handle += 1
        self.connections[handle] = connection
        self._initial_cids[handle] = admission.destination_cid
        self._routes[admission.destination_cid] = handle
        self._strangers[handle] = None
        self._update_routes(handle, connection)
        self._events.append(
            ConnectionAccepted(handle=handle, connection=connection, four_tuple=four_tuple)
        )
        return handle

    def _after_poll(self, handle: ConnectionHandle, connection: MultipathConnection) -> None:
        if connection.has_events:
            self._ready.add(handle)
        self._update_routes(handle, connection)
        if connection.handshake_complete:
            # The client uses the ID we chose from now on (RFC 9000 s7.2). The first one still
            # leads here: a late copy of its Initial must not open another connection.
            self._half_open.pop(handle, None)
        if connection.is_closed:
            self._discard(handle, connection)
        else:
            deadlines = (connection.next_timeout(), self._half_open.get(handle))
            self._timeouts.set(handle, earliest(deadlines))

    def _discard(self, handle: ConnectionHandle, connection: MultipathConnection) -> None:
        for cid in (
            *connection.local_connection_ids.all_connection_ids,
            self._initial_cids[handle],
        ):
            if self._routes.get(cid) == handle:
                del self._routes[cid]
        del self.connections[handle], self._initial_cids[handle]
        self._timeouts.remove(handle)
        self._half_open.pop(handle, None)
        self._strangers.pop(handle, None)
        self._ready.discard(handle)
        self._behind.discard(handle)
        if self._touched is not None:
            self._touched.add(handle)
        self._events.append(ConnectionDiscarded(handle=handle))

    def _update_routes(self, handle: ConnectionHandle, connection: MultipathConnection) -> None:
        added, removed = connection.local_connection_ids.take_route_changes()
        for cid in added:
            self._routes[cid] = handle
        for cid in removed:
            self._routes.pop(cid, None)

    def _is_ours(self, connection_id: bytes) -> bool:
        return self._steering is None or self._steering.is_own(connection_id)

    def _new_connection_id(self) -> bytes:
        if self._steering is None:
            return self._entropy(CONNECTION_ID_LENGTH)
        return self._steering.new_connection_id(self._entropy)

    def _wants_retry(self) -> bool:
        match self._config.retry:
            case RetryPolicy.ALWAYS:
                return True
            case RetryPolicy.NEVER:
                return False
            case RetryPolicy.UNDER_LOAD:
                return len(self._half_open) >= self._config.max_half_open

    def _reset_token(self, connection_id: bytes) -> bytes:
        digest = hmac.digest(self._config.reset_key, connection_id, hashlib.sha256)
        return digest[:RESET_TOKEN_LENGTH]
