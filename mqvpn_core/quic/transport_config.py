"""Settings of the QUIC transport: plain values, validated once, shared by client and server."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.quic.aioquic_bridge.credentials import ServerCertificate, SessionTicket

CONNECTION_ID_LENGTH = 8
"""Length of every connection ID we issue; short headers are parsed with it."""

BASE_DATAGRAM_SIZE = 1200
"""Smallest maximum datagram size of QUIC (RFC 9000 s14)."""

MAX_INITIAL_PATH_ID = 64
"""More paths at a time than any machine has links; bounds what a peer makes us keep."""

MAX_DATAGRAM_FRAME_SIZE = 65535
"""What we advertise: some peers keep the value in 16 bits and read 65536 as "unsupported"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportConfig:
    """Settings that both roles share."""

    initial_max_path_id: int | None = None
    """Largest path ID the peer may use at first (RFC 10069 s2.1); None switches multipath off.
    At least 1, since some peers take 0 for "off"."""
    idle_timeout: float = 30.0
    """Seconds without a packet after which the connection is given up (RFC 9000 s10.1)."""
    keep_alive: float | None = 10.0
    """Seconds of silence after which a PING is sent; None sends none."""
    initial_rtt: float = 0.1
    """Seconds assumed before the first RTT sample."""
    congestion_control: str = "cubic"
    """Name known to `mqvpn_core.quic.congestion`."""
    max_udp_payload: int = 1472
    """Largest UDP payload that path MTU discovery tries on IPv4; IPv6 tries 20 bytes less."""
    datagram_queue_bytes: int = 2 * 1024 * 1024
    """Most bytes of DATAGRAM payload that wait for a path."""
    scheduler: str = "weighted"
    """How paths are chosen for DATAGRAMs: a value of `quic.schedulers.Strategy`."""
    classify_datagram: Callable[[bytes], int] | None = None
    """Tells which inner flow a DATAGRAM payload belongs to; None takes all for one."""
    mark_datagram: Callable[[bytes], bytes | None] | None = None
    """Returns a DATAGRAM payload with a congestion mark (ECN), None for one that cannot have it."""
    manages_datagram_queues: bool = False
    """Mark or drop DATAGRAMs of inner flows whose queues do not empty."""
    datagram_max_age: float = 0.2
    """Seconds a DATAGRAM payload may wait before it is dropped as stale."""
    key_update_interval: float | None = None
    """Seconds between key updates; None updates only when the AEAD limit asks for it."""
    alpn: tuple[str, ...] = ("h3",)
    """Application protocols, most wanted first."""
    cipher_suites: tuple[int, ...] = ()
    """TLS code points, most wanted first; empty takes AES-128-GCM, ChaCha20, AES-256-GCM."""
    seals_late: bool = False
    """Whoever takes the transmits may find flights in them and has to send them in order; for
    sockets of the machine. Without a native kernel, or where packets are traced, there are none."""
    is_traced: bool = False
    """Record what every connection does, packet by packet, for `MultipathConnection.take_trace`."""
    max_stream_bytes: int = 1024 * 1024
    """Flow control window granted for one stream."""
    max_connection_bytes: int = 2 * 1024 * 1024
    """Flow control window granted for the whole connection."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        if self.idle_timeout <= 0 or self.initial_rtt <= 0:
            raise LocalProtocolError("idle_timeout and initial_rtt must be positive")
        largest = self.initial_max_path_id
        if largest is not None and not 1 <= largest <= MAX_INITIAL_PATH_ID:
            raise LocalProtocolError("initial_max_path_id must be 1 to 64")
        if not BASE_DATAGRAM_SIZE <= self.max_udp_payload <= 65527:  # noqa: PLR2004 - RFC 9000 s18.2
            raise LocalProtocolError("max_udp_payload must be 1200 to 65527 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """Whom a client trusts and how it names the server."""

    server_name: str
    """DNS name or address the certificate must be valid for."""
    sni: str | None = None
    """Name sent as Server Name Indication; None sends `server_name`, or a fixed DNS name when
    that is an address, because some servers refuse a ClientHello without SNI."""
    ca_file: str | None = None
    """PEM file with the only trusted roots; None takes the system's."""
    ca_data: bytes | None = None
    """PEM text with the only trusted roots."""
    pins: frozenset[bytes] = frozenset()
    """SHA-256 digests of acceptable SubjectPublicKeyInfo; when given they replace the chain."""
    verify: bool = True
    """False accepts any certificate."""
    session_ticket: SessionTicket | None = None
    """Ticket of an earlier connection to resume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """What a server proves its identity with."""

    certificate: ServerCertificate
    """Chain and private key."""
    tickets: dict[bytes, SessionTicket] = field(default_factory=dict)
    """Issued session tickets by their label; shared by all connections of one endpoint."""
    max_tickets: int = 1000
    """Oldest tickets are forgotten beyond this number."""
