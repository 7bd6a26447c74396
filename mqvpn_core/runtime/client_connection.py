"""One QUIC connection of a client to one address of its server, with its socket.

The socket is bound to the physical link towards the server, so that the tunnel's own packets never
enter the tunnel, whatever the routes say.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.client import client_connection
from mqvpn_core.quic.connection import MultipathConnection
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.quic.transport_config import BASE_DATAGRAM_SIZE, ClientTls, TransportConfig
from mqvpn_core.runtime.client_driver import ClientDriver
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.dialing import Candidate
from mqvpn_core.runtime.packet_ports import DatagramSocket, LimitableSocket
from mqvpn_core.tunnel.lifecycle import Failure, FailureKind
from mqvpn_core.wire.code_points import Http3ErrorCode, TransportErrorCode

_IPV4_AND_UDP_HEADERS = 28
_ALERTS = 256
_CERTIFICATE_ALERTS = range(41, 50)  # no_certificate to access_denied (RFC 8446 s6)


@dataclass(frozen=True, slots=True, kw_only=True)
class DialSettings:
    """What every connection of one client is made with."""

    transport: TransportConfig
    """Settings of the connection."""
    trust: ClientTls
    """Which server to believe."""
    entropy: Callable[[int], bytes]
    """Returns that many random bytes."""


class ClientConnection:
    """A connection under way: `mqvpn_core.runtime.dialing.Dialled`.

    A: `remote`, `driver`, `link`, `is_detour`, `link_names`, `socket`, `sockets`, `connection`,
    `http3`, `path_events`, `failure`. C: `abandon`.
    """

    def __init__(
        self,
        connection: MultipathConnection,
        socket: LimitableSocket,
        candidate: Candidate,
    ) -> None:
        """Take over a socket and a connection, and start the handshake."""
        self.remote = candidate.remote
        """The server's address."""
        self.link = candidate.link
        """Link of its first path."""
        self.is_detour = candidate.is_detour
        """That link is one that no rule would choose."""
        self.link_names = {socket.local_address: candidate.link.name}
        """Names of the links of its paths by their local addresses."""
        self.connection = connection
        """The QUIC connection."""
        self.http3 = Http3Connection(connection)
        """HTTP/3 on it."""
        self.path_events = self.http3.watch()
        """What it tells of its paths, for whoever keeps them."""
        self.socket = socket
        """Socket of its first path."""
        self.sockets: Sequence[DatagramSocket] = (socket,)
        """Closed when the driver has ended."""
        self.driver = ClientDriver(connection, self.sockets)
        """Moves its packets."""
        connection.connect(FourTuple(socket.local_address, self.remote), read_clock())

    def failure(self) -> Failure | None:
        """Say why the connection has ended, or None while it has not."""
        if not self.connection.is_ending:
            return None
        while (event := self.http3.next_event()) is not None:
            if isinstance(event, ConnectionTerminated):
                return explain_failed_handshake(event, self.remote)
        return Failure(
            kind=FailureKind.UNREACHABLE, message=f"{self.remote.host}: the connection was closed"
        )

    def abandon(self) -> None:
        """Close the connection for want of a use."""
        self.http3.close(Http3ErrorCode.H3_NO_ERROR, "")
        self.driver.finish()


def open_client_connection(
    candidate: Candidate, socket: LimitableSocket, settings: DialSettings
) -> ClientConnection:
    """Make a connection over a socket on the candidate's link and start the handshake.

    The socket is closed when that fails.
    """
    transport = replace(settings.transport, max_udp_payload=largest_payload(candidate.link.mtu))
    try:
        connection = client_connection(transport, settings.trust, entropy=settings.entropy)
        return ClientConnection(connection, socket, candidate)
    except BaseException:
        socket.close()
        raise


def largest_payload(link_mtu: int) -> int:
    """Return the UDP payload that fills an IPv4 packet of this size, as path discovery wants it."""
    return max(BASE_DATAGRAM_SIZE, min(link_mtu, 65535) - _IPV4_AND_UDP_HEADERS)


def explain_failed_handshake(event: ConnectionTerminated, remote: SocketAddress) -> Failure:
    """Read the end of a connection that never carried a request."""
    reason = "".join(char if char.isprintable() else "?" for char in event.reason[:200])
    alert = event.error_code - TransportErrorCode.CRYPTO_ERROR
    if not event.is_application and 0 <= alert < _ALERTS:
        if alert in _CERTIFICATE_ALERTS and not event.by_peer:
            return Failure(
                kind=FailureKind.CERTIFICATE,
                message=f"the certificate of {remote.host} is not trusted: {reason}; if the server "
                "is yours, pass --pin with what 'mqvpn-core gencert' printed, or --ca-file",
            )
        return Failure(
            kind=FailureKind.UNREACHABLE,
            message=f"{remote.host}: the TLS handshake failed (alert {alert}): {reason}",
        )
    who = "the server" if event.by_peer else "this side"
    where = f"[{remote.host}]" if isinstance(ip_address(remote.host), IPv6Address) else remote.host
    return Failure(
        kind=FailureKind.UNREACHABLE,
        message=f"{where}: {who} ended the handshake (code 0x{event.error_code:x}): {reason}",
    )
