"""What a client session is told at its start. Values only."""

from dataclasses import dataclass, field

from mqvpn_core.masque.tunnel_link import LinkConfig
from mqvpn_core.wire.address_capsules import IpAddress
from mqvpn_core.wire.request_scopes import RequestScope
from mqvpn_core.wire.uri_templates import UriTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSessionConfig:
    """What a client session needs to know."""

    template: UriTemplate
    """Where the tunnel is (RFC 9484 s3)."""
    authority: str
    """``:authority`` of the request."""
    authorization: bytes | None = field(default=None, repr=False)
    """Whole value of the Authorization field; never logged."""
    scope: RequestScope = field(default_factory=RequestScope)
    """What to limit the request to (RFC 9484 s4.6)."""
    want_ipv4: bool = True
    """Use IPv4 inside the tunnel if the proxy offers it."""
    want_ipv6: bool = True
    """Use IPv6 inside the tunnel if the proxy offers it."""
    requested_addresses: tuple[IpAddress, ...] = ()
    """Addresses to ask for, such as those of the previous session."""
    may_request_addresses: bool = True
    """Send ADDRESS_REQUEST at all; off after `EndCause.ADDRESS_REQUEST_REFUSED`."""
    instance: str = ""
    """Random name of this client, the same at each reconnect; visible ASCII."""
    setup_timeout: float = 10.0
    """Seconds until the tunnel must be up."""
    link: LinkConfig = field(default_factory=LinkConfig)
    """MTU and capsule settings; host bits in assigned prefixes are tolerated there."""
