"""MultipathConnection: one QUIC connection without I/O. A corridor: the rooms do the work.

Owns the engine (handshake, streams), the paths, the keys, the datagram queue and the timers, and
calls them in the order of the data walk. It touches no packet bytes itself.
"""

from collections.abc import Callable, Sequence

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.aioquic_bridge.engine_events import translate_event
from mqvpn_core.quic.bypass_lanes import BypassLanes
from mqvpn_core.quic.connection_ids import LocalConnectionIds
from mqvpn_core.quic.connection_parts import assemble_parts
from mqvpn_core.quic.connection_timers import ConnectionTimers
from mqvpn_core.quic.duplication import Duplication
from mqvpn_core.quic.events import Event
from mqvpn_core.quic.inbound import Inbound
from mqvpn_core.quic.packet_sources import PACKET_OVERHEAD
from mqvpn_core.quic.path_use import PathUse
from mqvpn_core.quic.statistics import ConnectionStatistics
from mqvpn_core.quic.straight_way import StraightWay
from mqvpn_core.quic.trace import TraceRecord
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit
from mqvpn_core.wire.code_points import FrameType

_DATAGRAM_TYPE_AND_LENGTH = 3
_NO_SIZE = 1 << 32  # larger than any


class MultipathConnection:
    """One connection, client or server, told the time and the bytes.

    A: engine, lanes, is_client, is_closed, is_ending, handshake_complete, handshake_confirmed,
       alpn, multipath_negotiated, max_datagram_payload, shortest_round_trip, path_mtu_is_settled,
       local_connection_ids, statistics, peer_certificate_der, is_behind, has_events
    B: receive_datagrams, note_bypassed, handle_timeout, on_send_refused
    C: connect, open_path, migrate_path, abandon_path, set_path_use, probe_paths, limit_path_rate,
       set_scheduler, allow_duplicates, queue_datagrams, note_stream_activity, request_key_update,
       close
    D: transmits, next_timeout, next_event; polled in this order after every B and C, the first once
       more while ``is_behind``; take_trace
    """

    def __init__(
        self,
        *,
        engine: EngineConnection,
        config: TransportConfig,
        entropy: Callable[[int], bytes],
        reset_token: Callable[[bytes], bytes],
        new_connection_id: Callable[[], bytes] | None = None,
        pins: frozenset[bytes] = frozenset(),
    ) -> None:
        """Create a connection round an engine (`quic.endpoint` and `quic.client` know how).

        Args:
            engine: made by `aioquic_bridge.configuration`.
            config: settings.
            entropy: returns that many random bytes.
            reset_token: stateless reset token for a connection ID of ours.
            new_connection_id: makes connection IDs; None makes random ones.
            pins: client: SHA-256 digests one of which the server's public key must have.
        """
        parts = assemble_parts(
            engine=engine,
            config=config,
            entropy=entropy,
            reset_token=reset_token,
            new_connection_id=new_connection_id,
            pins=pins,
        )
        self.engine = engine
        self._events = parts.events
        self._sources = parts.sources
        self._tracer = parts.sources.tracer
        self._paths = parts.sources.paths
        self._path_ids = parts.sources.path_ids
        self._protection = parts.sources.protection
        self._local_cids = parts.local_cids
        self._exchange = parts.exchange
        self._manager = parts.manager
        self._upkeep = parts.upkeep
        self._packetizer = parts.packetizer
        self._receiver = parts.receiver
        self._closing = parts.closing
        self._handshake = parts.handshake
        self._key_updates = parts.key_updates
        self._traffic_moves = parts.traffic_moves
        self._inbound = Inbound(parts)
        self._timers = ConnectionTimers(parts)
        self._straight_way = StraightWay(parts, self._timers)
        self.lanes = BypassLanes(parts)
        """What may go past this object, and what did."""
        # Since when something that came has still to be acted on.
        self._behind_since: Instant | None = None
        # What came for sending since the last look, while it is only one payload.
        self._lone: tuple[bytes, Sequence[Parcel], Instant] | None = None

    @property
    def is_client(self) -> bool:
        """We opened the connection."""
        return self.engine.is_client

    @property
    def is_closed(self) -> bool:
        """Nothing will be sent or received any more; the object can be dropped."""
        return self.engine.is_terminated

    @property
    def is_behind(self) -> bool:
        """Something has come that no packet had to wait for; `transmits` catches up with it."""
        return self._behind_since is not None

    @property
    def has_events(self) -> bool:
        """`next_event` has something."""
        return bool(self._events)

    @property
    def is_ending(self) -> bool:
        """The connection is closing, draining or closed."""
        return self.engine.is_ending or self.engine.close_is_pending

    @property
    def handshake_complete(self) -> bool:
        """TLS is finished and the peer accepted."""
        return self._handshake.is_complete

    @property
    def handshake_confirmed(self) -> bool:
        """The peer is known to have finished too."""
        return self._handshake.is_confirmed

    @property
    def alpn(self) -> str:
        """The agreed application protocol; empty until TLS has it."""
        return self.engine.alpn

    @property
    def multipath_negotiated(self) -> bool:
        """Both sides sent ``initial_max_path_id``."""
        return self._path_ids.is_negotiated

    @property
    def peer_certificate_der(self) -> bytes | None:
        """The server's certificate; None before TLS has it and in a resumed session."""
        return self.engine.peer_certificate_der

    @property
    def max_datagram_payload(self) -> int:
        """Largest DATAGRAM payload that one packet carries on every path now; 0 when none."""
        limit = self.engine.peer_datagram_frame_limit
        smallest = smallest_settled = _NO_SIZE
        # A plain loop: this is asked with every batch.
        for path in self._paths.values():
            if path.may_carry_data:
                pmtu = path.current.pmtu
                smallest = min(smallest, pmtu.current)
                if pmtu.is_settled:
                    smallest_settled = min(smallest_settled, pmtu.current)
        if limit == 0 or smallest == _NO_SIZE:
            return 0
        # A path that is still searching carries what fits; it does not shrink the tunnel.
        if smallest_settled != _NO_SIZE:
            smallest = smallest_settled
        return max(0, min(smallest - PACKET_OVERHEAD - 1, limit - _DATAGRAM_TYPE_AND_LENGTH))

    @property
    def shortest_round_trip(self) -> float:
        """The shortest ever of the paths that may carry data, in seconds; 0 while none is known."""
        rtts = [path.current.recovery.rtt for path in self._paths.values() if path.may_carry_data]
        return min((rtt.minimum for rtt in rtts if rtt.has_sample), default=0.0)

    @property
    def path_mtu_is_settled(self) -> bool:
        """Path MTU discovery is not searching at the moment."""
        return self._handshake.is_confirmed and all(
            path.current.pmtu.is_settled for path in self._paths.values()
        )

    @property
    def local_connection_ids(self) -> LocalConnectionIds:
        """Connection IDs that lead to this connection."""
        return self._local_cids

    def statistics(self) -> ConnectionStatistics:
        """Take a snapshot of the numbers."""
        self._catch_up()
        queue = self._sources.datagrams
        return ConnectionStatistics(
            paths=tuple(path.statistics() for path in self._paths.values()),
            key_phase=self._protection.send_key_phase,
            datagrams_waiting=len(queue) + (self._lone is not None),
            datagrams_dropped=queue.dropped_count,
            datagrams_marked=queue.marked_count,
            undecryptable_packets=self._receiver.undecryptable_count,
            last_received_at=self._receiver.last_received_at,
        )

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Process UDP payloads that came over one four-tuple."""
        if self._tracer is not None:
            self._trace_start(batch.four_tuple, now)
        if self.engine.is_ending:
            self._closing.on_packets_received(-(-len(batch.data) // max(batch.segment_size, 1)))
            return
        try:
            self._inbound.receive(batch, now)
        except RemoteProtocolError as error:
            self._close_for(error)
        if self._behind_since is None:
            self._behind_since = now
        engine, sources = self.engine, self._sources
        if not self._handshake.is_confirmed or sources.engine_has_frames or engine.is_ending:
            self._catch_up()

    def note_bypassed(self, take: Callable[[BypassLanes], None]) -> None:
        """Take in what went past this object; ``take`` says it to ``lanes``."""
        try:
            take(self.lanes)
        except RemoteProtocolError as error:
            self._close_for(error)

    def handle_timeout(self, now: Instant) -> None:
        """Run what is due."""
        if self._tracer is not None:
            self._tracer.set_time(now)
        self._catch_up()
        self._timers.run(now)
        self._after_input(now)

    def on_send_refused(self, refused: RefusedDatagram, now: Instant) -> bool:
        """The host did not send a datagram; tell whether it was one of this connection."""
        return self._upkeep.on_send_refused(self._paths.values(), refused, now)

    def connect(self, four_tuple: FourTuple, now: Instant) -> None:
        """Client: start the handshake over a network path.

        Raises:
            LocalProtocolError: the connection was closed before.
        """
        if self.engine.is_ending:
            raise LocalProtocolError("the connection is closed already")
        self.engine.start(four_tuple, now)
        if self._tracer is not None:
            self._trace_start(four_tuple, now)

    def open_path(self, four_tuple: FourTuple, now: Instant) -> PathId:
        """Client: open another path; PathValidated or PathAbandoned tells how it went.

        Raises:
            PathUnavailableError: no path ID is free yet; PathIdsAvailable tells when one is.
            LocalProtocolError: multipath was not negotiated, the handshake is not confirmed, or the
                server forbids it.
        """
        if not self.is_client or not self._path_ids.is_negotiated or not self.handshake_confirmed:
            raise LocalProtocolError("paths can be opened by a client after a multipath handshake")
        if self._is_forbidden(four_tuple):
            # RFC 10069 s2.2: "it is forbidden to establish new paths to the peer's handshake
            # address"
            raise LocalProtocolError("the server forbids further paths to this address")
        return self._manager.open(four_tuple, now)

    def migrate_path(self, path_id: PathId, four_tuple: FourTuple, now: Instant) -> None:
        """Client: let a path go on over another network path (RFC 9000 s9.2).

        Needs no further path ID, and no multipath; PathValidated tells when the server has
        answered there.

        Raises:
            LocalProtocolError: there is no such path, the handshake is not confirmed, or the
                server forbids it.
        """
        path = self._paths.get(path_id)
        if not self.is_client or not self.handshake_confirmed:
            # RFC 9000 s9: "MUST NOT initiate connection migration before the handshake is
            # confirmed"
            raise LocalProtocolError("paths can be moved by a client after the handshake")
        if path is None or not path.may_send:
            raise LocalProtocolError(f"path {path_id} does not exist")
        if self._is_forbidden(four_tuple):
            raise LocalProtocolError("the server forbids other paths to this address")
        self._upkeep.on_new_address(path, four_tuple, now)
        # The client knows the server's address; only a server has to fear for a stranger.
        path.current.is_limited = False
        # RFC 9000 s9.5: another local address takes another connection ID
        self._exchange.rotate(path_id)

    def abandon_path(
        self, path_id: PathId, error_code: int, now: Instant, reason: str = "we gave it up"
    ) -> None:
        """Give a path up; PATH_ABANDON goes out on another one.

        Args:
            path_id: the path.
            error_code: why, for PATH_ABANDON.
            now: the time.
            reason: why, in words for PathAbandoned and TrafficMoved.

        Raises:
            LocalProtocolError: there is no such path, or it is the only one.
        """
        if path_id not in self._paths:
            raise LocalProtocolError(f"path {path_id} does not exist")
        others = [path for path in self._manager.sending_paths() if path.path_id != path_id]
        if not others:
            raise LocalProtocolError("the only path is not abandoned; close the connection instead")
        self._manager.abandon(path_id, error_code, reason, by_peer=False, now=now)

    def set_path_use(self, path_id: PathId, use: PathUse) -> None:
        """Decide what a path is for; the peer learns whether it is a backup.

        Raises:
            LocalProtocolError: there is no such path.
        """
        self._manager.set_use(path_id, use)

    def probe_paths(self) -> None:
        """Ask the peer for an answer on each path, to learn at once which of them still work."""
        for path in self._manager.sending_paths():
            path.ping_is_due = True

    def limit_path_rate(self, path_id: PathId, bytes_per_second: float | None) -> None:
        """Send on a path no faster than this, acknowledgements aside; None takes the limit away.

        Raises:
            LocalProtocolError: there is no such path.
        """
        path = self._paths.get(path_id)
        if path is None or path.is_abandoned:
            raise LocalProtocolError(f"path {path_id} does not exist")
        path.limit_rate(bytes_per_second)

    def set_scheduler(self, name: str) -> None:
        """Choose paths for DATAGRAMs in another way from now on (`quic.schedulers.Strategy`).

        Raises:
            LocalProtocolError: there is no such strategy.
        """
        self._sources.datagrams.set_strategy(name)

    def allow_duplicates(self, prefix: bytes, duplication: Duplication | None) -> None:
        """Let DATAGRAMs with a prefix be sent twice where the scheduler wants that."""
        self._sources.datagrams.allow_duplicates(prefix, duplication)

    def queue_datagrams(self, prefix: bytes, payloads: Sequence[Parcel], now: Instant) -> None:
        """Queue DATAGRAM payloads; each goes out as `prefix` + payload, or is dropped and counted.

        RFC 9221 s3: nothing is queued for a peer that does not take DATAGRAM frames.
        """
        if self._lone is None and len(payloads) == 1 and isinstance(payloads[0], bytes):
            self._lone = prefix, payloads, now
            return
        self._queue_lone()
        if self.max_datagram_payload:
            self._sources.datagrams.push(prefix, payloads, now)

    def note_stream_activity(self) -> None:
        """The engine was given stream data or a stream command to send."""
        self._sources.engine_has_frames = True

    def request_key_update(self, now: Instant) -> None:
        """Update our keys as soon as the rules allow (RFC 9001 s6.1)."""
        del now
        self._key_updates.request()

    def close(self, error_code: int, reason: str, *, is_application: bool = True) -> None:
        """Close the connection; the next `transmits` carries CONNECTION_CLOSE.

        A client that has not connected yet is closed at once.
        """
        frame_type = None if is_application else int(FrameType.PADDING)
        self.engine.close(error_code=error_code, frame_type=frame_type, reason_phrase=reason)
        self._note_end()

    def transmits(self, now: Instant) -> list[Transmit]:
        """Everything that may be sent now."""
        engine = self.engine
        if self._tracer is not None:
            self._tracer.set_time(now)
        if engine.is_ending:
            return self._closing.repetition()
        result: list[Transmit] = []
        try:
            if self._lone is not None:
                straight = self._straight_way.send(self._lone[0], self._lone[1], now)
                if straight is not None:
                    self._lone = None
                    return straight
                self._queue_lone()
            self._catch_up()
            self._collect_transmits(result, now)
        except RemoteProtocolError as error:
            # Keys that are nearly used up and cannot be updated (RFC 9001 s6.6).
            self._close_for(error)
        self._note_end()
        return result

    def _queue_lone(self) -> None:
        """Let a payload wait with all others."""
        if self._lone is not None:
            prefix, payloads, queued_at = self._lone
            self._lone = None
            if self.max_datagram_payload:
                self._sources.datagrams.push(prefix, payloads, queued_at)

    def _collect_transmits(self, result: list[Transmit], now: Instant) -> None:
        engine = self.engine
        sending = self._manager.sending_paths()
        can_send = self._protection.can_send and bool(sending)
        if engine.close_is_pending and self._protection.can_send:
            carrier = self._manager.closing_path()
            result += self._closing.build(carrier, now) if carrier is not None else []
        if engine.close_is_pending or not engine.handshake_confirmed:
            result += self._handshake.transmits(now)
        if can_send and not engine.is_ending:
            self._traffic_moves.look(self._paths.values(), now)
            self._handshake.share_amplification_counters()
            if self._handshake.is_confirmed:
                self._key_updates.run(now, engine.largest_probe_timeout)
            may_carry_data = self._handshake.is_complete
            result += self._packetizer.build(sending, now, with_bulk=may_carry_data)
            self._handshake.return_amplification_counters()
            if self._traffic_moves.is_waiting:
                self._traffic_moves.look(self._paths.values(), now)
            self._timers.set_pacing(now)

    def next_timeout(self) -> Instant | None:
        """When to call `handle_timeout` (or just `transmits`) next."""
        return self._timers.next_timeout() if self._behind_since is None else self._behind_since

    def next_event(self) -> Event | None:
        """Oldest event not handed out yet."""
        return self._events.popleft() if self._events else None

    def take_trace(self) -> tuple[list[TraceRecord], int]:
        """Records since the last call, and how many more there was no room for.

        Empty unless `TransportConfig.is_traced`.
        """
        return self._tracer.take() if self._tracer is not None else ([], 0)

    def _trace_start(self, four_tuple: FourTuple, now: Instant) -> None:
        assert self._tracer is not None
        self._tracer.set_time(now)
        original_cid = self.engine.original_destination_connection_id
        self._tracer.note_start(four_tuple, original_cid, is_client=self.is_client)

    def _is_forbidden(self, four_tuple: FourTuple) -> bool:
        """Tell whether the server wants to be reached only as in the handshake (RFC 9000 s18.2)."""
        handshake_path = self.engine.handshake_path
        server = handshake_path.addr.remote if handshake_path is not None else None
        forbids = self.engine.peer_parameters.disable_active_migration
        return forbids and four_tuple.remote == server

    def _catch_up(self) -> None:
        """Act on what has come and could wait."""
        if self._behind_since is not None:
            now, self._behind_since = self._behind_since, None
            try:
                self._inbound.settle()
            except RemoteProtocolError as error:
                self._close_for(error)
            self._after_input(now)

    def _after_input(self, now: Instant) -> None:
        """Notice what the packets or the time have changed."""
        engine = self.engine
        timeouts = [path.current.recovery.probe_timeout() for path in self._manager.sending_paths()]
        if timeouts:
            engine.largest_probe_timeout = max(timeouts)
        self._inbound.advance_handshake(now)
        while (engine_event := engine.next_event()) is not None:
            event = translate_event(engine_event)
            if event is not None:
                self._events.append(event)
        self._key_updates.tell(now)
        self._traffic_moves.look(self._paths.values(), now)
        self._note_end()

    def _close_for(self, error: RemoteProtocolError) -> None:
        self.close(error.error_code, error.reason, is_application=False)

    def _note_end(self) -> None:
        event = self._closing.event()
        if event is not None:
            self._events.append(event)
