"""Server: what a CONNECT-IP request asks for, and how it is answered before there is a tunnel.

Owns judging a request: credentials first, so that nobody without them learns anything; then the
rules of RFC 9484 s4.4 and s4.6. Knows nothing of streams; returns values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final, TypeAlias

from mqvpn_core.ids import Instant
from mqvpn_core.masque.authentication import Accepted, RateLimited, Refused
from mqvpn_core.masque.http_messages import (
    INSTANCE_FIELD,
    Request,
    check_capsule_message,
    field_value,
)
from mqvpn_core.masque.route_ranges import (
    RangeList,
    intersect_networks,
    subtract_networks,
    with_protocol,
)
from mqvpn_core.masque.sequenced_ip import agrees_on_sequence
from mqvpn_core.masque.server_events import ResolutionFailure
from mqvpn_core.masque.server_policy import ServerPolicy
from mqvpn_core.masque.server_tunnel import TunnelOwner
from mqvpn_core.masque.site import BAD_REQUEST_PAGE, HeaderList, SitePage, make_page
from mqvpn_core.wire.address_capsules import IpAddress, IpPrefix
from mqvpn_core.wire.code_points import IpProtocol
from mqvpn_core.wire.request_scopes import RequestScope
from mqvpn_core.wire.uri_templates import match_request_path

PROTOCOL: Final = b"connect-ip"
"""The upgrade token (RFC 9484 s12.1)."""

_MAX_INSTANCE_BYTES: Final = 64
# RFC 9484 s4.8: "IP proxies MAY reject requests to scope to protocol numbers that are used for
# extension headers." 0 among them would read as "all protocols" in a route.
_EXTENSION_HEADERS: Final = frozenset(
    {
        IpProtocol.HOP_BY_HOP_OPTIONS,
        IpProtocol.IPV6_ROUTING,
        IpProtocol.IPV6_FRAGMENT,
        IpProtocol.AUTHENTICATION_HEADER,
        IpProtocol.DESTINATION_OPTIONS,
        IpProtocol.MOBILITY,
        IpProtocol.HOST_IDENTITY,
        IpProtocol.SHIM6,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The request gets this answer and no tunnel."""

    page: SitePage
    """The answer."""
    failed_authentication: bool = False
    """The credentials were the reason."""
    is_rate_limited: bool = False
    """The credentials were not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The request may have a tunnel."""

    owner: TunnelOwner
    """Who asks."""
    scope: RequestScope
    """What the tunnel is limited to; its target may be a name that is still to be resolved."""
    numbers_packets: bool = False
    """The client offers `mqvpn_core.masque.sequenced_ip`, and policy allows it."""


Judgement: TypeAlias = Refusal | Grant


def judge_request(
    policy: ServerPolicy, request: Request, peer_host: str, now: Instant
) -> Judgement:
    """Decide over an extended CONNECT.

    Raises:
        DecodeError: the client is authenticated, and the request is malformed.
    """
    if request.protocol != PROTOCOL:
        # RFC 9220 s3: an unknown protocol SHOULD get 501; who hides one tunnel hides all.
        return Refusal(page=_page(501) if policy.auth_challenge else policy.not_found)
    decision = policy.authenticator.authenticate(
        field_value(request.fields, b"authorization"), peer_host, now
    )
    if not isinstance(decision, Accepted):
        return _refuse_credentials(policy, decision)
    # RFC 9297 s3.2.
    check_capsule_message(request.fields)
    scope = _match(policy, request.path)
    if scope is None:
        return Refusal(page=policy.not_found)
    page = _scope_problem(policy, request, scope)
    if page is not None:
        return Refusal(page=page)
    owner = TunnelOwner(user=decision.user, instance=_instance(request))
    return Grant(
        owner=owner,
        scope=scope,
        numbers_packets=policy.link.may_number_packets and agrees_on_sequence(request.fields),
    )


def routes_of_scope(
    policy: ServerPolicy, scope: RequestScope, resolved: Sequence[IpAddress] = ()
) -> RangeList:
    """Return what may be advertised to a request (RFC 9484 s4.6).

    Args:
        policy: what the server offers.
        scope: what the request is limited to.
        resolved: addresses of the target, if it is a name.
    """
    routes = policy.routes
    if scope.target is not None:
        targets: list[IpPrefix] = (
            [ip_network(address) for address in resolved]
            if isinstance(scope.target, str)
            else [scope.target]
        )
        routes = intersect_networks(routes, targets)
        # A target that policy forbids altogether is not worth a tunnel.
        routes = subtract_networks(routes, policy.denied)
    versions = {pool.network.version for pool in policy.pools}
    routes = tuple(entry for entry in routes if entry.start.version in versions)
    return routes if scope.protocol is None else with_protocol(routes, scope.protocol)


def refuse_target(failure: ResolutionFailure | None = None) -> SitePage:
    """Return the answer when a scope cannot be served (RFC 9484 s4.1, RFC 9209).

    Args:
        failure: why the name has no address; None when policy forbids the destination.
    """
    # Status codes that RFC 9209 s2.3 recommends for these errors, but 403 for our own policy.
    status, error = {
        None: (403, "destination_ip_prohibited"),
        ResolutionFailure.NOT_FOUND: (502, "dns_error"),
        ResolutionFailure.TIMED_OUT: (504, "dns_timeout"),
    }[failure]
    return _page(status, ((b"proxy-status", f"mqvpn; error={error}".encode("ascii")),))


def refuse_capacity() -> SitePage:
    """Return the answer when there are too many tunnels or no address is left."""
    return _page(503, ((b"proxy-status", b"mqvpn; error=connection_limit_reached"),))


def _match(policy: ServerPolicy, path: bytes) -> RequestScope | None:
    for matcher in policy.matchers:
        scope = match_request_path(matcher, path)
        if scope is not None:
            return scope
    return None


def _scope_problem(policy: ServerPolicy, request: Request, scope: RequestScope) -> SitePage | None:
    if policy.authorities is not None and request.authority.lower() not in policy.authorities:
        return _page(421)
    if request.scheme != b"https" or scope.protocol in _EXTENSION_HEADERS:
        return BAD_REQUEST_PAGE
    return None


def _refuse_credentials(policy: ServerPolicy, decision: Refused | RateLimited) -> Refusal:
    limited = isinstance(decision, RateLimited)
    if not policy.auth_challenge:
        page = policy.not_found
    elif isinstance(decision, RateLimited):
        seconds = str(int(decision.retry_after) + 1).encode("ascii")
        page = _page(429, ((b"retry-after", seconds),))
    else:
        # RFC 9110 s15.5.2: a 401 MUST carry WWW-Authenticate.
        page = _page(401, ((b"www-authenticate", b'Bearer realm="tunnel"'),))
    return Refusal(page=page, failed_authentication=True, is_rate_limited=limited)


def _instance(request: Request) -> str:
    value = field_value(request.fields, INSTANCE_FIELD) or b""
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= _MAX_INSTANCE_BYTES and text.isprintable() else ""


_TITLES: Final = {
    401: "Unauthorized",
    403: "Forbidden",
    421: "Misdirected Request",
    429: "Too Many Requests",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def _page(status: int, extra: HeaderList = ()) -> SitePage:
    return make_page(status, f"<!doctype html>\n<h1>{_TITLES[status]}</h1>\n".encode(), extra=extra)
