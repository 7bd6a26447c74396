"""From the first Initial to a confirmed handshake: keys, path 0, certificate pins.

TLS itself is the engine's. This room takes the 1-RTT secrets out of the gate, creates path 0 when
they arrive, and tells when the handshake is complete and confirmed (RFC 9001 s4.1).
"""

from collections import deque

from cryptography import x509

from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.aioquic_bridge.credentials import spki_digest
from mqvpn_core.quic.aioquic_bridge.long_headers import long_header_prefix
from mqvpn_core.quic.connection_id_exchange import ConnectionIdExchange
from mqvpn_core.quic.events import Event, HandshakeCompleted, HandshakeConfirmed
from mqvpn_core.quic.network_paths import NetworkPathFactory
from mqvpn_core.quic.packet_sources import PacketSources
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.udp_datagrams import Transmit
from mqvpn_core.wire.code_points import FrameType, TransportErrorCode

PATH_ZERO = PathId(0)
"""The path of the handshake."""

_BAD_CERTIFICATE = TransportErrorCode.CRYPTO_ERROR + 42  # RFC 8446 s6: bad_certificate


class Handshake:
    """Drives the engine until 1-RTT keys, path 0 and the peer's identity are settled.

    A: is_complete, is_confirmed; B: receive, advance; D: transmits
    """

    def __init__(
        self,
        *,
        sources: PacketSources,
        network_paths: NetworkPathFactory,
        exchange: ConnectionIdExchange,
        pins: frozenset[bytes],
        events: deque[Event],
    ) -> None:
        """Begin before the first packet.

        Args:
            sources: the engine, the keys that get its secrets, the paths that get path 0, and the
                path IDs that learn whether multipath was negotiated.
            network_paths: makes the network path of path 0.
            exchange: gets the connection IDs of the handshake.
            pins: client: acceptable SHA-256 digests of the server's public key, or none.
            events: where HandshakeCompleted and HandshakeConfirmed go.
        """
        self.is_complete = False
        self.is_confirmed = False
        self._engine = sources.engine
        self._protection = sources.protection
        self._tracer = sources.tracer
        self._paths = sources.paths
        self._path_ids = sources.path_ids
        self._network_paths = network_paths
        self._exchange = exchange
        self._pins = pins
        self._events = events

    def receive(self, four_tuple: FourTuple, datagram: bytes, now: Instant) -> bytes:
        """Give long headers to the engine and return the 1-RTT packet behind them, or nothing."""
        prefix = long_header_prefix(datagram)
        if self._tracer is not None:
            self._tracer.note_handshake([prefix], is_sent=False)
        # A zero byte is no valid short header: the engine stops there, and the length that its
        # rules about Initial datagrams and amplification need stays right.
        padded = (
            datagram if prefix == len(datagram) else datagram[:prefix].ljust(len(datagram), b"\0")
        )
        self._engine.receive_long_headers(padded, four_tuple, now)
        self._install_keys(now)
        rest = datagram[prefix:]
        return rest if rest and rest[0] & 0x40 else b""

    def advance(self, now: Instant) -> bool:
        """Notice what the engine learnt from the packets since the last call.

        Returns:
            True when the handshake has just been completed.
        """
        if self.is_confirmed:
            return False
        engine = self._engine
        completes = engine.handshake_complete and not self.is_complete and not engine.is_ending
        if completes and self._peer_is_trusted():
            self.is_complete = True
            self._path_ids.negotiate(engine.peer_parameters.initial_max_path_id)
            self.share_amplification_counters()
            self._events.append(
                HandshakeCompleted(
                    alpn=engine.alpn,
                    session_resumed=engine.session_resumed,
                    multipath=self._path_ids.is_negotiated,
                )
            )
        if engine.handshake_confirmed and self.is_complete:
            self.is_confirmed = True
            self._protection.on_handshake_confirmed()
            self._events.append(HandshakeConfirmed())
            for path in self._paths.values():
                path.current.pmtu.start(now)
        return completes and self.is_complete

    def transmits(self, now: Instant) -> list[Transmit]:
        """Initial and Handshake packets to send."""
        datagrams = self._engine.handshake_datagrams(now)
        if self._tracer is not None:
            self._tracer.note_handshake(map(len, datagrams), is_sent=True)
        path = self._engine.handshake_path
        if path is None:
            return []
        return [
            Transmit(four_tuple=path.addr, data=data, segment_size=len(data), ecn=0)
            for data in datagrams
        ]

    def share_amplification_counters(self) -> None:
        """Let path 0 know what the handshake received and sent (RFC 9000 s8.1)."""
        if self.is_confirmed:
            return
        handshake_path = self._engine.handshake_path
        path = self._paths.get(PATH_ZERO)
        if handshake_path is None or path is None:
            return
        current = path.current = path.network_path(handshake_path.addr)
        current.is_validated = current.is_validated or handshake_path.is_validated
        current.received_bytes = max(current.received_bytes, handshake_path.bytes_received)
        current.sent_bytes = max(current.sent_bytes, handshake_path.bytes_sent)

    def return_amplification_counters(self) -> None:
        """Let the engine know what path 0 sent."""
        if self.is_confirmed:
            return
        handshake_path = self._engine.handshake_path
        path = self._paths.get(PATH_ZERO)
        if handshake_path is not None and path is not None:
            handshake_path.bytes_sent = path.current.sent_bytes

    def _install_keys(self, now: Instant) -> None:
        secrets = self._engine.take_secrets()
        for secret in secrets:
            install = (
                self._protection.install_send
                if secret.is_send
                else self._protection.install_receive
            )
            install(cipher_suite=secret.cipher_suite, secret=secret.secret, version=secret.version)
        if secrets and PATH_ZERO not in self._paths:
            self._create_path_zero(now)

    def _create_path_zero(self, now: Instant) -> None:
        engine = self._engine
        handshake_path = engine.handshake_path
        assert handshake_path is not None
        self._network_paths.set_peer_limits(
            max_udp_payload=engine.peer_parameters.max_udp_payload_size,
            max_ack_delay=engine.peer_max_ack_delay,
        )
        self._exchange.peer_limit = engine.peer_cid_limit
        self._exchange.set_path_zero(
            engine.peer_cid, engine.peer_reset_token, engine.preferred_address_cid
        )
        path = Path(
            PATH_ZERO,
            peer_cids=self._exchange.peer_ids(PATH_ZERO),
            make_network_path=self._network_paths.make,
            four_tuple=handshake_path.addr,
        )
        path.current.is_validated = handshake_path.is_validated
        sample = engine.handshake_rtt_sample
        if sample is not None:
            path.current.recovery.rtt.update(sample, 0.0, now)
        self._paths[PATH_ZERO] = path

    def _peer_is_trusted(self) -> bool:
        """Compare the server's key with the pins; a resumed session was checked when it began."""
        certificate = self._engine.peer_certificate_der
        if not self._pins or certificate is None:
            return True
        if spki_digest(x509.load_der_x509_certificate(certificate)) in self._pins:
            return True
        self._engine.close(
            error_code=_BAD_CERTIFICATE,
            frame_type=int(FrameType.CRYPTO),
            reason_phrase="certificate pin does not match",
        )
        return False
