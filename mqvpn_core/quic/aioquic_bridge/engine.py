"""The engine: aioquic's connection without its 1-RTT packets, and what we ask of it.

It keeps TLS 1.3, Initial and Handshake packets, transport parameters, streams and flow control.
What is switched off is in `quiet_engine`. Every name with a leading underscore that is used here is
pinned by the canary test.
"""

from collections.abc import Iterable

from aioquic import tls
from aioquic.quic import events as aioquic_events
from aioquic.quic.connection import QuicConnectionState, QuicNetworkPath
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.aioquic_bridge.gate import TrafficSecret
from mqvpn_core.quic.aioquic_bridge.path_builder import BuilderStop, PathPacketBuilder
from mqvpn_core.quic.aioquic_bridge.quiet_engine import QuietEngine

_ONE_RTT = tls.Epoch.ONE_RTT


class EngineConnection(QuietEngine):
    """aioquic's QuicConnection behind the gate.

    A: state, peer_parameters, peer_certificate, unsent_bytes, timeout
    B: receive_long_headers, handle_engine_timeout, note_packet_received
    C: start, write_application_frames, write_close_frame, enter_draining
    D: handshake_datagrams, take_secrets, next_event
    """

    @property
    def is_client(self) -> bool:
        """We opened the connection."""
        return self._is_client

    @property
    def handshake_complete(self) -> bool:
        """TLS is finished on our side."""
        return self._handshake_complete

    @property
    def handshake_confirmed(self) -> bool:
        """The peer is known to have finished too (RFC 9001 s4.1.2)."""
        return self._handshake_confirmed

    @property
    def is_draining(self) -> bool:
        """The peer closed: nothing is sent any more."""
        return self._state is QuicConnectionState.DRAINING

    @property
    def is_terminated(self) -> bool:
        """Nothing is left to do."""
        return self._state is QuicConnectionState.TERMINATED

    @property
    def close_is_pending(self) -> bool:
        """`close` was called and no CONNECTION_CLOSE has been built yet."""
        return self._close_pending

    @property
    def close_cause(self) -> aioquic_events.ConnectionTerminated | None:
        """Why the connection ends, once it does."""
        return self._close_event

    @property
    def alpn(self) -> str:
        """The agreed application protocol; empty until TLS has it."""
        return self.tls.alpn_negotiated or "" if hasattr(self, "tls") else ""

    @property
    def session_resumed(self) -> bool:
        """The handshake used a session ticket."""
        return self.tls.session_resumed

    @property
    def peer_cid(self) -> bytes:
        """Connection ID with sequence number 0 that the peer chose."""
        return self._peer_cid.cid

    @property
    def peer_reset_token(self) -> bytes:
        """Stateless reset token of `peer_cid`; empty when the peer sent none."""
        return self._peer_cid.stateless_reset_token or b""

    @property
    def preferred_address_cid(self) -> tuple[bytes, bytes] | None:
        """Client: connection ID and reset token that came with a preferred address, if any did.

        RFC 9000 s5.1.1: its sequence number is 1.
        """
        for cid in self._peer_cid_available:
            if self._is_client and cid.sequence_number == 1:
                return cid.cid, cid.stateless_reset_token or b""
        return None

    @property
    def negotiated_version(self) -> int:
        """QUIC version in use."""
        assert self._version is not None
        return self._version

    @property
    def peer_cid_limit(self) -> int:
        """Peer's active_connection_id_limit (RFC 9000 s18.2)."""
        return self._remote_active_connection_id_limit

    @property
    def peer_max_ack_delay(self) -> float:
        """Peer's max_ack_delay in seconds."""
        return self._loss.max_ack_delay

    @property
    def peer_datagram_frame_limit(self) -> int:
        """Largest DATAGRAM frame the peer takes, in bytes; 0 when it takes none (RFC 9221 s3)."""
        return self._remote_max_datagram_frame_size or 0

    @property
    def handshake_rtt_sample(self) -> float | None:
        """RTT in seconds that Initial and Handshake packets measured."""
        return self._loss._rtt_latest if self._loss._rtt_initialized else None

    @property
    def peer_certificate_der(self) -> bytes | None:
        """The peer's certificate; None before TLS, and in a resumed session."""
        certificate: x509.Certificate | None = self.tls._peer_certificate
        return certificate.public_bytes(Encoding.DER) if certificate is not None else None

    @property
    def handshake_path(self) -> QuicNetworkPath | None:
        """The engine's only network path, with its anti-amplification counters."""
        return self._network_paths[0] if self._network_paths else None

    def engine_timeout(self) -> Instant | None:
        """Earliest timer of the engine."""
        if self._close_at is None:
            return None
        if self._handshake_confirmed or self.is_ending:
            return Instant(self._close_at)
        timer = self.get_timer()
        return Instant(timer) if timer is not None else None

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes of a stream that the peer has not acknowledged yet."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return 0
        return stream.sender._buffer_stop - stream.sender._buffer_start

    def has_stream(self, stream_id: int) -> bool:
        """The stream is open in at least one direction."""
        return stream_id in self._streams

    def may_have_stream(self, stream_id: int) -> bool:
        """The peer may legally have opened this stream (RFC 9000 s4.6)."""
        return stream_id // 4 < self._stream_limit(stream_id).value

    def refuse_before_one_rtt(self, frame_types: Iterable[int]) -> None:
        """Make frames of an extension a PROTOCOL_VIOLATION in Initial and Handshake packets."""
        handlers = vars(self)["_QuicConnection__frame_handlers"]
        for frame_type in frame_types:
            handlers[frame_type] = (self._handle_ping_frame, frozenset({_ONE_RTT}))

    def start(self, four_tuple: FourTuple, now: Instant) -> None:
        """Client: send the first flight at the next `handshake_datagrams`."""
        self.connect(four_tuple, now=now)

    def receive_long_headers(self, datagram: bytes, four_tuple: FourTuple, now: Instant) -> None:
        """Process the long-header packets at the start of a UDP datagram.

        Args:
            datagram: the packets, zero-padded to the length of the datagram they came in, so that
                the engine's rules about datagram sizes stay right.
            four_tuple: where it came from; opaque to the engine.
            now: time of arrival.
        """
        self.receive_datagram(datagram, four_tuple, now)

    def handshake_datagrams(self, now: Instant) -> list[bytes]:
        """Initial and Handshake packets to send on the handshake path now."""
        if self.handshake_path is None:
            return []
        return [data for data, _ in self.datagrams_to_send(now)]

    def handle_engine_timeout(self, now: Instant) -> None:
        """Run the engine's timers that are due."""
        if self._close_at is not None:
            self.handle_timer(now)

    def take_secrets(self) -> list[TrafficSecret]:
        """1-RTT secrets that TLS has derived since the last call."""
        return self.gate.take_secrets()

    def write_application_frames(self, builder: PathPacketBuilder, now: Instant) -> bool:
        """Let the engine write its 1-RTT frames.

        Returns:
            True when it wrote all it had, False when the builder's limits stopped it.
        """
        # Always validated: the engine must not add PATH_CHALLENGE frames of its own.
        path = QuicNetworkPath(addr=None, is_validated=True)
        with self.gate.opened():
            try:
                self._write_application(builder, path, now)  # type: ignore[arg-type] # duck type
            except BuilderStop:
                return False
        return True

    def write_close_frame(self, builder: PathPacketBuilder) -> None:
        """Write the CONNECTION_CLOSE frame that `close` asked for into an open packet."""
        cause = self._close_event
        assert cause is not None
        self._write_connection_close_frame(
            builder,  # type: ignore[arg-type] # duck type
            _ONE_RTT,
            cause.error_code,
            cause.frame_type,
            cause.reason_phrase[:256],
        )

    def note_packet_received(self, now: Instant) -> None:
        """Restart the idle timer for an authenticated 1-RTT packet (RFC 9000 s10.1)."""
        if not self.is_ending:
            self._restart_idle_timer(now)
            self._ack_eliciting_sent_since_receipt = False

    def note_ack_eliciting_sent(self, now: Instant) -> None:
        """Restart the idle timer for the first ack-eliciting packet after a receipt."""
        if not self._ack_eliciting_sent_since_receipt and not self.is_ending:
            self._restart_idle_timer(now)
            self._ack_eliciting_sent_since_receipt = True

    def note_peer_validated_address(self) -> None:
        """An ACK of a 1-RTT packet proves that the peer finished address validation."""
        self._loss.peer_completed_address_validation = True

    def enter_draining(self, error_code: int, reason: str, now: Instant) -> None:
        """End without a word, as after a stateless reset (RFC 9000 s10.3.1)."""
        if not self.is_ending:
            self._close_event = aioquic_events.ConnectionTerminated(
                error_code=error_code, frame_type=0, reason_phrase=reason
            )
            self._close_pending = False
            self._close_begin(is_initiator=False, now=now)
