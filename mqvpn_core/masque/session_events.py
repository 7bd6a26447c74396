"""What a client session tells the shell. Values, and the reading of failures."""

import enum
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final, TypeAlias

from mqvpn_core.masque.http_messages import Response, field_value
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.wire.code_points import Http3ErrorCode

IPInterface: TypeAlias = IPv4Interface | IPv6Interface

_UNAUTHENTICATED: Final = frozenset({401, 403, 407})
_NOT_FOUND: Final = 404
_TEMPORARY: Final = frozenset({408, 421, 425, 429})
_FIRST_REDIRECTION: Final = 300
_FIRST_CLIENT_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500
# Words in the reason of a connection that was closed instead of an answer.
_REFUSAL_WORDS: Final = ("401", "403", "auth", "forbidden", "denied", "credential")


class EndCause(enum.Enum):
    """Why a session ended."""

    REFUSED_AUTHENTICATION = "authentication refused"
    """The proxy does not accept our key, or does not say why it knows nothing of a tunnel."""
    REFUSED = "refused"
    """The proxy answered with anything but 2xx."""
    MALFORMED_RESPONSE = "malformed response"
    """The proxy broke a rule of HTTP, capsules or CONNECT-IP."""
    NO_EXTENDED_CONNECT = "no extended CONNECT"
    """The server's SETTINGS say that it takes no CONNECT-IP requests."""
    NO_DATAGRAM_SUPPORT = "no datagram support"
    """The server does not take HTTP Datagrams in QUIC DATAGRAM frames."""
    NO_ADDRESS = "no address"
    """The proxy refused to assign any address that we can use."""
    ADDRESS_REQUEST_REFUSED = "address request refused"
    """The proxy ended the stream at our ADDRESS_REQUEST; try again without one."""
    TIMEOUT = "timeout"
    """The tunnel was not up in time; the message says what was missing."""
    CLOSED_BY_PEER = "closed by peer"
    """The proxy ended the request stream or the connection."""
    CONNECTION_LOST = "connection lost"
    """The QUIC connection failed."""
    IPV6_MTU_TOO_SMALL = "IPv6 MTU too small"
    """Packets of 1280 bytes do not fit the tunnel (RFC 9484 s7.2); try again without IPv6."""
    CLOSED_LOCALLY = "closed locally"
    """We closed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelEstablished:
    """IP packets may flow."""

    addresses: tuple[IPInterface, ...]
    """Our inner addresses; at least one."""
    routes: RangeList
    """Destinations the proxy takes packets for, of the families that we have addresses of."""
    mtu: int
    """Largest IP packet, in bytes; at least 1280 with an IPv6 address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressesChanged:
    """The proxy changed our addresses; this is the full list."""

    addresses: tuple[IPInterface, ...]
    """Our inner addresses now; empty when all were withdrawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesChanged:
    """The proxy changed its routes; this is the full list."""

    routes: RangeList
    """Destinations the proxy takes packets for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MtuChanged:
    """Another packet size fits now."""

    mtu: int
    """Largest IP packet, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The session is over; always the last event. The connection is still to be closed."""

    cause: EndCause
    """Why."""
    status: int | None
    """HTTP status of the refusal, if there was one."""
    message: str
    """What happened and what to do about it, one line."""
    may_retry: bool
    """Another attempt may succeed without a change of settings."""


SessionEvent: TypeAlias = (
    TunnelEstablished | AddressesChanged | RoutesChanged | MtuChanged | SessionEnded
)


def explain_refusal(response: Response) -> SessionEnded:
    """Read a final response that is not 2xx (RFC 9484 s4.1: "the request has failed")."""
    status = response.status
    cause = EndCause.REFUSED
    may_retry = status >= _FIRST_SERVER_ERROR or status in _TEMPORARY
    if status in _UNAUTHENTICATED:
        cause = EndCause.REFUSED_AUTHENTICATION
        message = f"the server refuses the key (status {status}): check the key"
    elif status == _NOT_FOUND:
        # A server that hides its tunnel says this to a wrong key, and so does ours.
        cause = EndCause.REFUSED_AUTHENTICATION
        message = (
            "the server says that there is no such page (status 404): check the key, "
            "then the path of the tunnel"
        )
    elif _FIRST_REDIRECTION <= status < _FIRST_CLIENT_ERROR:
        message = f"the server redirects elsewhere (status {status}); that is not followed"
    else:
        message = f"the server refuses the tunnel (status {status})"
    detail = field_value(response.fields, b"proxy-status")
    if detail is not None:
        message += f": {_printable(detail)}"
    return SessionEnded(cause=cause, status=status, message=message, may_retry=may_retry)


def explain_termination(event: ConnectionTerminated, *, awaits_response: bool) -> SessionEnded:
    """Read the end of the connection.

    Args:
        event: the end.
        awaits_response: our request was sent and not answered yet. Some servers queue a 403 and
            close the connection at once, so that only the close arrives.
    """
    reason = _printable(event.reason.encode("utf-8", "replace"))
    if event.by_peer and event.is_application:
        if awaits_response and (
            event.error_code in _UNAUTHENTICATED
            or any(word in reason.lower() for word in _REFUSAL_WORDS)
        ):
            return SessionEnded(
                cause=EndCause.REFUSED_AUTHENTICATION,
                status=None,
                message=f"the server closed the connection instead of an answer: {reason}; "
                "check the key",
                may_retry=False,
            )
        return SessionEnded(
            cause=EndCause.CLOSED_BY_PEER,
            status=None,
            message=f"the server closed the connection (code 0x{event.error_code:x}): {reason}",
            may_retry=True,
        )
    return SessionEnded(
        cause=EndCause.CONNECTION_LOST,
        status=None,
        message=f"the connection is lost (code 0x{event.error_code:x}): {reason}",
        may_retry=True,
    )


def explain_reset(error_code: int) -> SessionEnded:
    """Read a reset of our request stream."""
    try:
        name = Http3ErrorCode(error_code).name
    except ValueError:
        name = f"0x{error_code:x}"
    return SessionEnded(
        cause=EndCause.CLOSED_BY_PEER,
        status=None,
        message=f"the server reset the tunnel's request ({name})",
        # RFC 9114 s8.1: a message that was malformed will be malformed again.
        may_retry=error_code != Http3ErrorCode.H3_MESSAGE_ERROR,
    )


def _printable(text: bytes) -> str:
    """Make foreign text fit one line of a log."""
    decoded = text.decode("utf-8", "replace")[:200]
    return "".join(char if char.isprintable() else "?" for char in decoded)
