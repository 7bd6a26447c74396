"""MultipathConnection: one QUIC connection without I/O. A corridor: the rooms do the work.

Owns the engine (handshake, streams), the paths, the keys, the datagram queue and the timers, and
calls them in the order of the data walk. It touches no packet bytes itself.
"""

from collections import deque
from collections.abc import Callable, Sequence

from cryptography import x509

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.ack_processing import AckProcessor
from mqvpn_core.quic.aioquic_bridge.credentials import spki_digest
from mqvpn_core.quic.aioquic_bridge.engine import EngineConnection
from mqvpn_core.quic.aioquic_bridge.engine_events import translate_event
from mqvpn_core.quic.aioquic_bridge.frame_table import FrameTable, OwnFrame
from mqvpn_core.quic.aioquic_bridge.long_headers import long_header_prefix
from mqvpn_core.quic.closing import Closing
from mqvpn_core.quic.connection_ids import LocalConnectionIds, PeerConnectionIds
from mqvpn_core.quic.control_frames import ControlFrames
from mqvpn_core.quic.datagram_queue import DatagramQueue
from mqvpn_core.quic.events import (
    DatagramsReceived,
    Event,
    HandshakeCompleted,
    HandshakeConfirmed,
    KeysUpdated,
    PathMigrated,
    PathMtuChanged,
    PathValidated,
)
from mqvpn_core.quic.network_paths import NetworkPathFactory
from mqvpn_core.quic.packet_receiver import PacketReceiver, ReceivedBatch, split_segments
from mqvpn_core.quic.packetizer import PACKET_OVERHEAD, Packetizer, PacketSources
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.protection import PacketProtection
from mqvpn_core.quic.schedulers import by_lowest_rtt
from mqvpn_core.quic.statistics import ConnectionStatistics
from mqvpn_core.quic.timers import earliest, is_due
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH, TransportConfig
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import FrameType, TransportErrorCode
from mqvpn_core.wire.path_frames import (
    NewConnectionId,
    PathChallenge,
    PathResponse,
    RetireConnectionId,
    encode_path_frame,
)

_BAD_CERTIFICATE = TransportErrorCode.CRYPTO_ERROR + 42  # RFC 8446 s6: bad_certificate
_PATH_ZERO = PathId(0)
_DATAGRAM_TYPE_AND_LENGTH = 3


class MultipathConnection:
    """One connection, client or server, told the time and the bytes.

    A: engine, is_client, is_closed, handshake_complete, handshake_confirmed, multipath_negotiated,
       max_datagram_payload, path_mtu_is_settled, statistics, peer_certificate_der
    B: receive_datagrams, handle_timeout
    C: connect, queue_datagrams, note_stream_activity, request_key_update, close
    D: transmits, next_timeout, next_event; polled in this order after every B and C
    """

    def __init__(
        self,
        *,
        engine: EngineConnection,
        config: TransportConfig,
        entropy: Callable[[int], bytes],
        reset_token: Callable[[bytes], bytes],
        pins: frozenset[bytes] = frozenset(),
    ) -> None:
        """Create a connection round an engine (`quic.endpoint` and `quic.client` know how).

        Args:
            engine: made by `aioquic_bridge.configuration`.
            config: settings.
            entropy: returns that many random bytes.
            reset_token: stateless reset token for a connection ID of ours.
            pins: client: SHA-256 digests one of which the server's public key must have.
        """
        self.engine = engine
        self._config = config
        self._pins = pins
        self._events: deque[Event] = deque()
        self._paths: dict[PathId, Path] = {}
        self._protection = PacketProtection(is_client=engine.is_client)
        self._local_cids = LocalConnectionIds(
            initial=engine.host_cid,
            generate=lambda: entropy(CONNECTION_ID_LENGTH),
            reset_token=reset_token,
        )
        self._sources = PacketSources(
            engine=engine,
            protection=self._protection,
            control_frames=ControlFrames(),
            datagrams=DatagramQueue(
                max_bytes=config.datagram_queue_bytes, max_age=config.datagram_max_age
            ),
            entropy=entropy,
        )
        self._packetizer = Packetizer(self._sources)
        self._receiver = PacketReceiver(
            protection=self._protection,
            frame_table=FrameTable(engine),
            local_cids=self._local_cids,
            paths=self._paths,
            is_client=engine.is_client,
        )
        self._acks = AckProcessor(self._sources)
        self._closing = Closing(engine, self._packetizer)
        self._network_paths = NetworkPathFactory(config)
        self._is_complete = False
        self._is_confirmed = False
        self._key_update_wanted = False
        self._keys_updated_at = Instant(0.0)
        self._last_keep_alive_at = Instant(0.0)
        self._pacing_at: Instant | None = None

    @property
    def is_client(self) -> bool:
        """We opened the connection."""
        return self.engine.is_client

    @property
    def is_closed(self) -> bool:
        """Nothing will be sent or received any more; the object can be dropped."""
        return self.engine.is_terminated

    @property
    def is_ending(self) -> bool:
        """The connection is closing, draining or closed."""
        return self.engine.is_ending or self.engine.close_is_pending

    @property
    def handshake_complete(self) -> bool:
        """TLS is finished and the peer accepted."""
        return self._is_complete

    @property
    def handshake_confirmed(self) -> bool:
        """The peer is known to have finished too."""
        return self._is_confirmed

    @property
    def alpn(self) -> str:
        """The agreed application protocol; empty until TLS has it."""
        return self.engine.tls.alpn_negotiated or ""

    @property
    def multipath_negotiated(self) -> bool:
        """Both sides sent ``initial_max_path_id``."""
        return False

    @property
    def peer_certificate_der(self) -> bytes | None:
        """The server's certificate; None before TLS has it and in a resumed session."""
        return self.engine.peer_certificate_der

    @property
    def max_datagram_payload(self) -> int:
        """Largest DATAGRAM payload that one packet carries on every path now; 0 when none."""
        limit = self.engine.peer_datagram_frame_limit
        if limit == 0 or not self._paths:
            return 0
        smallest = min(path.current.pmtu.current for path in self._paths.values())
        return max(0, min(smallest - PACKET_OVERHEAD - 1, limit - _DATAGRAM_TYPE_AND_LENGTH))

    @property
    def path_mtu_is_settled(self) -> bool:
        """Path MTU discovery is not searching at the moment."""
        return bool(self._paths) and all(
            path.current.pmtu.is_settled for path in self._paths.values()
        )

    @property
    def local_connection_ids(self) -> LocalConnectionIds:
        """Connection IDs that lead to this connection."""
        return self._local_cids

    def statistics(self) -> ConnectionStatistics:
        """Take a snapshot of the numbers."""
        queue = self._sources.datagrams
        return ConnectionStatistics(
            paths=tuple(path.statistics() for path in self._paths.values()),
            key_phase=self._protection.send_key_phase,
            datagrams_waiting=len(queue),
            datagrams_dropped=queue.dropped_count,
            undecryptable_packets=self._receiver.undecryptable_count,
            last_received_at=self._receiver.last_received_at,
        )

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Process UDP payloads that came over one four-tuple."""
        packets = split_segments(batch)
        if self.engine.is_ending:
            self._closing.on_packets_received(len(packets))
            return
        short: list[bytes] = []
        try:
            for packet in packets:
                if packet[0] & 0x80:
                    self._receive_short(batch.four_tuple, short, batch.ecn, now)
                    short = self._receive_long(batch.four_tuple, packet, now)
                else:
                    short.append(packet)
            self._receive_short(batch.four_tuple, short, batch.ecn, now)
        except RemoteProtocolError as error:
            self._close_for(error)
        self._after_input(now)

    def handle_timeout(self, now: Instant) -> None:
        """Run what is due."""
        if is_due(self.engine.engine_timeout(), now):
            self.engine.handle_engine_timeout(now)
        if not self.engine.is_ending and self._protection.can_send:
            for path in list(self._paths.values()):
                self._handle_path_timeout(path, now)
            slowest = self.engine.largest_probe_timeout
            if is_due(self._protection.next_timeout(slowest), now):
                self._protection.handle_timeout(now, slowest)
            if is_due(self._keep_alive_at(), now):
                self._last_keep_alive_at = now
                for path in self._paths.values():
                    path.ping_is_due = True
        self._after_input(now)

    def connect(self, four_tuple: FourTuple, now: Instant) -> None:
        """Client: start the handshake over a network path."""
        self.engine.start(four_tuple, now)

    def queue_datagrams(self, prefix: bytes, payloads: Sequence[bytes], now: Instant) -> None:
        """Queue DATAGRAM payloads; each goes out as `prefix` + payload, or is dropped and counted.

        RFC 9221 s3: nothing is queued for a peer that does not take DATAGRAM frames.
        """
        limit = self.max_datagram_payload
        if limit:
            self._sources.datagrams.push(prefix, payloads, now)

    def note_stream_activity(self) -> None:
        """The engine was given stream data or a stream command to send."""
        self._sources.engine_has_frames = True

    def request_key_update(self, now: Instant) -> None:
        """Update our keys as soon as the rules allow (RFC 9001 s6.1)."""
        del now
        self._key_update_wanted = True

    def close(self, error_code: int, reason: str, *, is_application: bool = True) -> None:
        """Close the connection; the next `transmits` carries CONNECTION_CLOSE."""
        frame_type = None if is_application else int(FrameType.PADDING)
        self.engine.close(error_code=error_code, frame_type=frame_type, reason_phrase=reason)

    def transmits(self, now: Instant) -> list[Transmit]:
        """Everything that may be sent now."""
        engine = self.engine
        if engine.is_ending:
            return self._closing.repetition()
        result: list[Transmit] = []
        try:
            self._collect_transmits(result, now)
        except RemoteProtocolError as error:
            # Keys that are nearly used up and cannot be updated (RFC 9001 s6.6).
            self._close_for(error)
        self._note_end()
        return result

    def _collect_transmits(self, result: list[Transmit], now: Instant) -> None:
        engine = self.engine
        can_send = self._protection.can_send and bool(self._paths)
        if engine.close_is_pending and can_send:
            result += self._closing.build(next(iter(self._paths.values())), now)
        if engine.close_is_pending or not engine.handshake_confirmed:
            result += self._handshake_transmits(now)
        if can_send and not engine.is_ending:
            self._sync_handshake_path()
            self._update_keys_if_due(now)
            for path in by_lowest_rtt(self._paths.values()):
                result += self._packetizer.build(path, now)
            self._sync_handshake_counters()
            self._set_pacing_timer(now)

    def next_timeout(self) -> Instant | None:
        """When to call `handle_timeout` (or just `transmits`) next."""
        candidates = [self.engine.engine_timeout()]
        if not self.engine.is_ending and self._protection.can_send:
            candidates += [
                self._protection.next_timeout(self.engine.largest_probe_timeout),
                self._keep_alive_at(),
                self._pacing_at,
            ]
            for path in self._paths.values():
                candidates += path.next_timeout(handshake_confirmed=self._is_confirmed)
        return earliest(candidates)

    def next_event(self) -> Event | None:
        """Oldest event not handed out yet."""
        return self._events.popleft() if self._events else None

    def _receive_long(self, four_tuple: FourTuple, packet: bytes, now: Instant) -> list[bytes]:
        """Give long headers to the engine and return the 1-RTT packet behind them, if any."""
        prefix = long_header_prefix(packet)
        # A zero byte is no valid short header: the engine stops there, and the length that its
        # rules about Initial datagrams and amplification need stays right.
        padded = packet if prefix == len(packet) else packet[:prefix].ljust(len(packet), b"\0")
        self.engine.receive_long_headers(padded, four_tuple, now)
        self._install_keys(now)
        self._sources.engine_has_frames = True
        rest = packet[prefix:]
        return [rest] if rest and rest[0] & 0x40 else []

    def _receive_short(
        self, four_tuple: FourTuple, packets: list[bytes], ecn: int, now: Instant
    ) -> None:
        if not self._protection.can_receive:
            for packet in packets:
                self._receiver.keep_early(four_tuple, packet, ecn)
            return
        for outcome in self._receiver.open(four_tuple, packets, ecn, now):
            if isinstance(outcome, ReceivedBatch):
                self._process_batch(outcome, four_tuple, now)
            elif self._receiver.is_stateless_reset(outcome):
                self.engine.enter_draining(0, "stateless reset: the server lost its state", now)
                return

    def _process_batch(self, batch: ReceivedBatch, four_tuple: FourTuple, now: Instant) -> None:
        self.engine.note_packet_received(now)
        path = batch.path
        if batch.datagrams:
            self._events.append(DatagramsReceived(payloads=tuple(batch.datagrams)))
        for frame in batch.own_frames:
            self._on_own_frame(path, four_tuple, frame, now)
        if batch.touched_engine:
            self._sources.engine_has_frames = True
        if batch.migrates and not self.is_client and four_tuple != path.current.four_tuple:
            self._migrate(path, four_tuple, batch.cid_sequence, now)
        path.last_cid_sequence = batch.cid_sequence

    def _on_own_frame(
        self, path: Path, four_tuple: FourTuple, frame: OwnFrame, now: Instant
    ) -> None:
        match frame:
            case Ack():
                # RFC 10069: ACK frames acknowledge packets of path 0.
                path_zero = self._paths[_PATH_ZERO]
                if self._acks.on_ack(path_zero, frame, now):
                    self._tell_mtu(path_zero)
            case NewConnectionId():
                self._retire(self._paths[_PATH_ZERO].peer_cids.on_new_connection_id(frame))
            case RetireConnectionId():
                self._local_cids.retire(_PATH_ZERO, frame.sequence_number)
                self._issue_connection_ids()
            case PathChallenge():
                path.network_path(four_tuple).on_challenge(frame.data)
            case PathResponse():
                self._on_path_response(path, frame.data)
            case _:
                # Multipath frames are unknown frames where the extension was not negotiated
                # (RFC 9000 s12.4).
                raise RemoteProtocolError(
                    TransportErrorCode.FRAME_ENCODING_ERROR, "frame of an extension not negotiated"
                )
        if self._sources.control_frames.is_overrun:
            raise RemoteProtocolError(
                TransportErrorCode.CONNECTION_ID_LIMIT_ERROR, "too many frames to answer"
            )

    def _on_path_response(self, path: Path, data: bytes) -> None:
        for network_path in path.network_paths.values():
            if network_path.on_response(data):
                self._events.append(
                    PathValidated(path_id=path.path_id, four_tuple=network_path.four_tuple)
                )

    def _migrate(self, path: Path, four_tuple: FourTuple, cid_sequence: int, now: Instant) -> None:
        """The peer is at another address: answer there from now on (RFC 9000 s9.3)."""
        old = path.migrate(path.network_path(four_tuple), now)
        if cid_sequence != path.last_cid_sequence:
            # RFC 9000 s9.5: the peer moved on purpose, with a fresh connection ID: so do we
            self._retire(path.peer_cids.rotate())
        self._events.append(PathMigrated(path_id=path.path_id, old=old, new=four_tuple))

    def _retire(self, sequence_numbers: Sequence[int]) -> None:
        for number in sequence_numbers:
            frame = encode_path_frame(RetireConnectionId(sequence_number=number))
            self._sources.control_frames.push(frame)

    def _issue_connection_ids(self) -> None:
        for frame in self._local_cids.issue(_PATH_ZERO, self.engine.peer_cid_limit):
            self._sources.control_frames.push(encode_path_frame(frame))

    def _install_keys(self, now: Instant) -> None:
        secrets = self.engine.take_secrets()
        for secret in secrets:
            install = (
                self._protection.install_send
                if secret.is_send
                else self._protection.install_receive
            )
            install(cipher_suite=secret.cipher_suite, secret=secret.secret, version=secret.version)
        if secrets and _PATH_ZERO not in self._paths:
            self._create_path_zero(now)
        if secrets and self._protection.can_receive:
            self._keys_updated_at = now
            for four_tuple, packet, ecn in self._receiver.take_early():
                self._receive_short(four_tuple, [packet], ecn, now)

    def _create_path_zero(self, now: Instant) -> None:
        engine = self.engine
        handshake_path = engine.handshake_path
        assert handshake_path is not None
        self._network_paths.set_peer_limits(
            max_udp_payload=engine.peer_parameters.max_udp_payload_size,
            max_ack_delay=engine.peer_max_ack_delay,
        )
        path = Path(
            _PATH_ZERO,
            peer_cids=PeerConnectionIds(
                initial=engine.peer_cid, reset_token=engine.peer_reset_token
            ),
            make_network_path=self._network_paths.make,
            four_tuple=handshake_path.addr,
        )
        path.current.is_validated = handshake_path.is_validated
        sample = engine.handshake_rtt_sample
        if sample is not None:
            path.current.recovery.rtt.update(sample, 0.0, now)
        self._paths[_PATH_ZERO] = path

    def _after_input(self, now: Instant) -> None:
        """Notice what the engine learnt."""
        engine = self.engine
        if self._paths:
            engine.largest_probe_timeout = max(
                path.current.recovery.probe_timeout() for path in self._paths.values()
            )
        if engine.handshake_complete and not self._is_complete and not engine.is_ending:
            self._complete_handshake()
        if engine.handshake_confirmed and self._is_complete and not self._is_confirmed:
            self._is_confirmed = True
            self._protection.on_handshake_confirmed()
            self._last_keep_alive_at = now
            self._events.append(HandshakeConfirmed())
            for path in self._paths.values():
                path.current.pmtu.start(now)
        while (engine_event := engine.next_event()) is not None:
            event = translate_event(engine_event)
            if event is not None:
                self._events.append(event)
        for phase, locally in self._protection.take_update_events():
            self._keys_updated_at = now
            self._events.append(KeysUpdated(key_phase=phase, initiated_locally=locally))
        self._note_end()

    def _complete_handshake(self) -> None:
        engine = self.engine
        self._sync_handshake_path()
        certificate = engine.peer_certificate_der
        if self._pins and certificate is not None:
            pin = spki_digest(x509.load_der_x509_certificate(certificate))
            if pin not in self._pins:
                engine.close(
                    error_code=_BAD_CERTIFICATE,
                    frame_type=int(FrameType.CRYPTO),
                    reason_phrase="certificate pin does not match",
                )
                return
        self._is_complete = True
        self._events.append(
            HandshakeCompleted(
                alpn=self.alpn,
                session_resumed=engine.tls.session_resumed,
                multipath=self.multipath_negotiated,
            )
        )
        self._issue_connection_ids()

    def _handshake_transmits(self, now: Instant) -> list[Transmit]:
        datagrams = self.engine.handshake_datagrams(now)
        path = self.engine.handshake_path
        if path is None:
            return []
        return [
            Transmit(four_tuple=path.addr, data=data, segment_size=len(data), ecn=0)
            for data in datagrams
        ]

    def _sync_handshake_path(self) -> None:
        """Share the anti-amplification counters of the handshake with path 0 (RFC 9000 s8.1)."""
        handshake_path = self.engine.handshake_path
        path = self._paths.get(_PATH_ZERO)
        if self._is_confirmed or handshake_path is None or path is None:
            return
        current = path.network_path(handshake_path.addr)
        path.current = current
        current.is_validated = current.is_validated or handshake_path.is_validated
        current.received_bytes = max(current.received_bytes, handshake_path.bytes_received)
        current.sent_bytes = max(current.sent_bytes, handshake_path.bytes_sent)

    def _sync_handshake_counters(self) -> None:
        handshake_path = self.engine.handshake_path
        if not self._is_confirmed and handshake_path is not None:
            handshake_path.bytes_sent = self._paths[_PATH_ZERO].current.sent_bytes

    def _handle_path_timeout(self, path: Path, now: Instant) -> None:
        recovery = path.current.recovery
        due = recovery.next_timeout(path.sent, handshake_confirmed=self._is_confirmed)
        changed = is_due(due, now) and self._acks.on_timeout(
            path, now, handshake_confirmed=self._is_confirmed
        )
        if is_due(path.current.pmtu.next_timeout(), now):
            changed = bool(path.current.pmtu.handle_timeout(now)) or changed
        for network_path in list(path.network_paths.values()):
            if not network_path.has_failed(now) or network_path is not path.current:
                continue
            if not path.return_to_validated():
                self.engine.enter_draining(
                    TransportErrorCode.NO_VIABLE_PATH, "no network path works", now
                )
                return
            self._events.append(
                PathMigrated(
                    path_id=path.path_id,
                    old=network_path.four_tuple,
                    new=path.current.four_tuple,
                )
            )
        if changed:
            self._tell_mtu(path)

    def _tell_mtu(self, path: Path) -> None:
        size = path.current.pmtu.current
        path.current.recovery.set_max_datagram_size(size)
        self._events.append(PathMtuChanged(path_id=path.path_id, max_datagram_size=size))

    def _keep_alive_at(self) -> Instant | None:
        if self._config.keep_alive is None or not self._is_confirmed:
            return None
        last = max(self._receiver.last_received_at, self._last_keep_alive_at)
        return Instant(last + self._config.keep_alive)

    def _set_pacing_timer(self, now: Instant) -> None:
        self._pacing_at = None
        if len(self._sources.datagrams) or self._sources.engine_has_frames:
            self._pacing_at = earliest(
                [path.current.recovery.next_pacing_time(now) for path in self._paths.values()]
            )

    def _update_keys_if_due(self, now: Instant) -> None:
        if not self._is_confirmed:
            return
        interval = self._config.key_update_interval
        is_old = interval is not None and now >= self._keys_updated_at + interval
        if not (self._key_update_wanted or is_old or self._protection.needs_update):
            return
        if self._protection.may_initiate_update(now, self.engine.largest_probe_timeout):
            self._protection.initiate_update(now)
            self._key_update_wanted = False
            for phase, locally in self._protection.take_update_events():
                self._keys_updated_at = now
                self._events.append(KeysUpdated(key_phase=phase, initiated_locally=locally))

    def _close_for(self, error: RemoteProtocolError) -> None:
        self.close(error.error_code, error.reason, is_application=False)

    def _note_end(self) -> None:
        event = self._closing.event()
        if event is not None:
            self._events.append(event)
