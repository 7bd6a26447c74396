"""aioquic's connection with its 1-RTT packets switched off.

What it would do in them (keys, ACK, loss, pacing, connection IDs, validation, migration) is
overridden here; `quic.connection` does it. What the handshake says is changed where multipath or
the absence of 0-RTT needs it. Every name with a leading underscore that is used here is pinned by
the canary test.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    END_STATES,
    QuicConnectionError,
    QuicConnectionState,
    QuicNetworkPath,
)
from typing_extensions import override

from mqvpn_core.errors import DecodeError
from mqvpn_core.ids import Instant
from mqvpn_core.quic.aioquic_bridge.credentials import SessionTicket, strip_early_data
from mqvpn_core.quic.aioquic_bridge.flow_control import SlidingFlowControl
from mqvpn_core.quic.aioquic_bridge.gate import OneRttGate
from mqvpn_core.quic.aioquic_bridge.peer_parameters import PeerParameters, read_peer_parameters
from mqvpn_core.wire.code_points import TransportErrorCode, TransportParameter
from mqvpn_core.wire.varint import encode_varint

IDLE_LOOK_INTERVAL = 0.05
"""Seconds for which the length of the idle time-out counts as known."""


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


class QuietEngine(SlidingFlowControl):
    """The overrides. A: gate, peer_parameters, is_ending; `EngineConnection` has the rest."""

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
        self._idle_seconds = 0.0
        self._idle_known_until = -math.inf
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
        self._cryptos[tls.Epoch.ONE_RTT] = self.gate  # type: ignore[assignment] # what the engine calls of it
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

    def _restart_idle_timer(self, now: Instant) -> None:
        # With every batch, and what the seconds follow from moves slowly.
        if now >= self._idle_known_until:
            self._idle_seconds = self._idle_timeout()
            self._idle_known_until = now + IDLE_LOOK_INTERVAL
        self._close_at = now + self._idle_seconds

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
    def is_ending(self) -> bool:
        """Closing, draining or gone (RFC 9000 s10.2)."""
        # The first comparison spares the common case the hash of an enum member.
        return self._state is not QuicConnectionState.CONNECTED and self._state in END_STATES
