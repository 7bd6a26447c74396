"""The engine: aioquic's connection without its 1-RTT packets. All private names live here.

It keeps TLS 1.3, Initial and Handshake packets, transport parameters, streams and flow control.
What it would do in 1-RTT packets (keys, ACK, loss, connection IDs, validation, migration) is
switched off below; `quic.connection` does it. Every name with a leading underscore that is used
here is pinned by the canary test.
"""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aioquic import tls
from aioquic.quic import events as aioquic_events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    END_STATES,
    QuicConnectionError,
    QuicConnectionState,
    QuicNetworkPath,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typing_extensions import override

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.aioquic_bridge.credentials import SessionTicket, strip_early_data
from mqvpn_core.quic.aioquic_bridge.flow_control import SlidingFlowControl
from mqvpn_core.quic.aioquic_bridge.gate import OneRttGate, TrafficSecret
from mqvpn_core.quic.aioquic_bridge.path_builder import BuilderStop, PathPacketBuilder
from mqvpn_core.quic.aioquic_bridge.peer_parameters import PeerParameters, read_peer_parameters
from mqvpn_core.wire.code_points import TransportErrorCode, TransportParameter
from mqvpn_core.wire.varint import encode_varint

_ONE_RTT = tls.Epoch.ONE_RTT


class _NullPacer:
    """Pacing is the path's business; the engine's would hold back frames it knows nothing of."""

    packet_time = None

    def next_send_time(self, now: float) -> float | None:
        """Let everything go at once."""
        del now
        return None

    def update_after_send(self, now: float) -> None:
        """Ignore what was sent."""

    def update_rate(self, **_: object) -> None:
        """Ignore the engine's own window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstContact:
    """Server: what is known when a client's first acceptable Initial arrives."""

    original_destination_cid: bytes
    """DCID of the client's very first Initial."""
    retry_source_cid: bytes | None
    """Connection ID that our Retry packet gave the client, if there was one."""
    reset_token: Callable[[bytes], bytes]
    """Stateless reset token of a connection ID, the same after a restart."""
    connection_id: bytes | None = None
    """First connection ID of ours; None lets the engine draw one."""


class EngineConnection(SlidingFlowControl):
    """aioquic's QuicConnection behind the gate.

    A: state, peer_parameters, peer_certificate, unsent_bytes, timeout
    B: receive_long_headers, handle_engine_timeout, note_packet_received
    C: start, write_application_frames, write_close_frame, enter_draining
    D: handshake_datagrams, take_secrets, next_event
    """

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        tickets: dict[bytes, SessionTicket],
        first_contact: FirstContact | None = None,
        verification_name: str | None = None,
        initial_max_path_id: int | None = None,
    ) -> None:
        """Create the connection; nothing is sent before `start` or a first datagram.

        Args:
            configuration: aioquic's settings, made by `quic.aioquic_bridge.configuration`.
            tickets: server: store of issued session tickets; client: where new ones are put.
            first_contact: server: how the client got in touch.
            verification_name: client: name the certificate must be valid for.
            initial_max_path_id: multipath transport parameter to send, or None for none.
        """
        # Attributes come first: the base class calls overridden methods while constructing.
        self.gate = OneRttGate()
        self.peer_parameters = PeerParameters()
        self.largest_probe_timeout = 0.0
        self._tickets = tickets
        self._verification_name = verification_name
        self._initial_max_path_id = initial_max_path_id
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=(
                first_contact.original_destination_cid if first_contact else None
            ),
            retry_source_connection_id=first_contact.retry_source_cid if first_contact else None,
            session_ticket_fetcher=None if configuration.is_client else self._fetch_ticket,
            session_ticket_handler=self._store_ticket,
        )
        if first_contact is not None:
            self._set_connection_id(first_contact.connection_id)
            # The engine's own token is random: after a restart nobody could derive it.
            self._host_cids[0].stateless_reset_token = first_contact.reset_token(self.host_cid)
        self._loss._pacer = _NullPacer()  # type: ignore[assignment] # the three methods the engine calls

    def _set_connection_id(self, connection_id: bytes | None) -> None:
        if connection_id is not None:
            self._host_cids[0].cid = connection_id
            self.host_cid = self._local_initial_source_connection_id = connection_id

    @override
    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        # Runs again after Retry and Version Negotiation: a new gate each time.
        self.gate = OneRttGate()
        self._cryptos[_ONE_RTT] = self.gate  # type: ignore[assignment] # what the engine calls of it
        # 0-RTT would share path 0's packet numbers with our transport: never offer or accept it.
        self.tls._max_early_data = None
        if self._is_client:
            # A ClientHello holds a key share for each group. X448 and P-384 take longest to make
            # by far, and every server knows one of these two (RFC 8446 s9.1).
            self.tls._supported_groups = [tls.Group.X25519, tls.Group.SECP256R1]

    @override
    def _connect(self, now: float) -> None:
        super()._connect(now)
        # The ClientHello carries the SNI; from here on the name only verifies the certificate.
        self.tls._server_name = self._verification_name or self._configuration.server_name

    @override
    def close(
        self, error_code: int = 0, frame_type: int | None = None, reason_phrase: str = ""
    ) -> None:
        super().close(error_code, frame_type, reason_phrase)
        if self._is_client and not self._connect_called and not self.is_ending:
            # Nobody has heard of the connection: there is nobody to tell and nothing to wait for.
            self._close_pending = False
            self._close_end()

    @override
    def _serialize_transport_parameters(self) -> bytes:
        parameters = super()._serialize_transport_parameters()
        if self._initial_max_path_id is None:
            return parameters
        value = encode_varint(self._initial_max_path_id)
        identifier = encode_varint(TransportParameter.INITIAL_MAX_PATH_ID)
        return parameters + identifier + encode_varint(len(value)) + value

    @override
    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:
        super()._parse_transport_parameters(data, from_session_ticket)
        if not from_session_ticket:
            try:
                self.peer_parameters = read_peer_parameters(
                    data, knows_multipath=self._initial_max_path_id is not None
                )
            except DecodeError as error:
                raise QuicConnectionError(
                    error_code=0x08,  # RFC 9000 s20.1: TRANSPORT_PARAMETER_ERROR
                    frame_type=0x06,
                    reason_phrase=str(error),
                ) from error
            if self.peer_parameters.initial_max_path_id is not None and not self._peer_cid.cid:
                # RFC 10069 s2.1: the extension needs connection IDs to tell paths apart
                raise QuicConnectionError(
                    error_code=TransportErrorCode.PROTOCOL_VIOLATION,
                    frame_type=0x06,
                    reason_phrase="initial_max_path_id with a zero-length connection ID",
                )

    @override
    def _idle_timeout(self) -> float:
        # RFC 9000 s10.1: "at least three times the current PTO", here of the slowest path.
        return max(super()._idle_timeout(), 3 * self.largest_probe_timeout)

    @override
    def _close_begin(self, is_initiator: bool, now: float) -> None:
        super()._close_begin(is_initiator, now)
        self._close_at = now + 3 * max(self._loss.get_probe_timeout(), self.largest_probe_timeout)

    @override
    def _replenish_connection_ids(self) -> None:
        """Issue nothing: `quic.connection_ids` does."""

    @override
    def _send_probing_frames(
        self, network_path: QuicNetworkPath, now: float
    ) -> list[tuple[bytes, object]]:
        """Send nothing: path validation is `quic.network_paths`'."""
        del network_path, now
        return []

    @override
    def _probe_preferred_address(self) -> None:
        self._remote_preferred_address = None

    def _fetch_ticket(self, label: bytes) -> tls.SessionTicket | None:
        # RFC 8446 8.1: a ticket is used once, so that a replayed ClientHello resumes nothing.
        return self._tickets.pop(label, None)

    def _store_ticket(self, ticket: tls.SessionTicket) -> None:
        self._tickets[ticket.ticket] = strip_early_data(
            ticket, server_name=self._configuration.server_name
        )

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
    def is_ending(self) -> bool:
        """Closing, draining or gone (RFC 9000 s10.2)."""
        # The first comparison spares the common case the hash of an enum member.
        return self._state is not QuicConnectionState.CONNECTED and self._state in END_STATES

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
            self._close_at = now + self._idle_timeout()
            self._ack_eliciting_sent_since_receipt = False

    def note_ack_eliciting_sent(self, now: Instant) -> None:
        """Restart the idle timer for the first ack-eliciting packet after a receipt."""
        if not self._ack_eliciting_sent_since_receipt and not self.is_ending:
            self._close_at = now + self._idle_timeout()
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


def verify_mode(*, verify: bool) -> ssl.VerifyMode:
    """Translate the setting for aioquic."""
    return ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
