"""Server: one HTTP/3 connection, its tunnels and its ordinary web requests.

A corridor: it judges nothing itself but the state of streams. A CONNECT-IP request without valid
credentials gets what the site says to an unknown page, so that a probe learns nothing.
"""

from collections import deque
from collections.abc import Sequence
from ipaddress import ip_network
from typing import TypeAlias, assert_never

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.errors import DecodeError, RemoteProtocolError
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.client_table import ClientTable
from mqvpn_core.masque.drop_reasons import DropReason, PacketCounters
from mqvpn_core.masque.http3_port import (
    Headers,
    Http3,
    send_data_if_open,
    send_headers_if_open,
)
from mqvpn_core.masque.http_messages import CAPSULE_PROTOCOL, decode_request
from mqvpn_core.masque.pending_requests import PendingRequests
from mqvpn_core.masque.sequenced_ip import SEQUENCE_FIELD
from mqvpn_core.masque.server_events import (
    AuthenticationFailed,
    ClientAuthenticated,
    NameResolutionWanted,
    ResolutionFailure,
    ServerSessionEvent,
    SiteRequestCancelled,
    SiteRequested,
    TunnelAddressesChanged,
    TunnelClosed,
    TunnelCloseReason,
    TunnelOpened,
)
from mqvpn_core.masque.server_policy import ServerPolicy
from mqvpn_core.masque.server_tunnel import ServerTunnel
from mqvpn_core.masque.site import BAD_REQUEST_PAGE, SitePage
from mqvpn_core.masque.site_answers import SiteAnswers
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.masque.tunnel_link import FOLLOW_INTERVAL
from mqvpn_core.masque.tunnel_requests import (
    Grant,
    Refusal,
    judge_request,
    refuse_capacity,
    refuse_target,
    routes_of_scope,
)
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HeadersReceived,
    Http3Event,
    HttpDatagramsReceived,
    RequestReset,
    RequestStopped,
)
from mqvpn_core.wire.address_capsules import IpAddress
from mqvpn_core.wire.code_points import Http3ErrorCode

_StreamEvent: TypeAlias = (
    HeadersReceived | DataReceived | HttpDatagramsReceived | RequestReset | RequestStopped
)


class ServerSession:
    """One HTTP/3 connection of the server.

    A: ``addresses``, ``counters``, ``tunnel_count``, ``body_room``, ``bypass``
    B: ``receive_events``, ``handle_timeout``, ``resolved``
    C: ``send_ip_packets``, ``respond``, ``send_body``, ``cancel_answer``, ``change_policy``,
    ``close``
    D: ``take_ip_packets``, ``next_timeout``, ``next_event``; poll the connection below afterwards
    """

    def __init__(self, *, policy: ServerPolicy, http3: Http3, peer_host: str) -> None:
        """Start with no request.

        Args:
            policy: what all sessions share.
            http3: the connection.
            peer_host: address of the client, as text, for the rate limit of failed attempts.
        """
        self._policy = policy
        self._http3 = http3
        self._peer_host = peer_host
        self._events: deque[ServerSessionEvent] = deque()
        self._tunnels: dict[StreamId, ServerTunnel] = {}
        self._table: ClientTable[StreamId] = ClientTable()
        self._pending = PendingRequests()
        self._site = SiteAnswers(http3)
        # Requests whose client has not finished sending.
        self._unfinished: set[StreamId] = set()
        self._to_device: list[Parcel] = []
        self._counters = PacketCounters()
        self._is_terminated, self._follow_at = False, Instant(0.0)

    @property
    def addresses(self) -> tuple[IpAddress, ...]:
        """Inner addresses of all tunnels."""
        return tuple(address for tunnel in self._tunnels.values() for address in tunnel.addresses)

    @property
    def tunnel_count(self) -> int:
        """Number of open tunnels."""
        return len(self._tunnels)

    @property
    def counters(self) -> PacketCounters:
        """What happened to packets of all tunnels so far, closed ones included."""
        total = PacketCounters()
        for part in (self._counters, *(tunnel.counters for tunnel in self._tunnels.values())):
            total.add(part)
        return total

    @property
    def bypass(self) -> TunnelBypass | None:
        """What of a tunnel's packets may pass without us; None where there are several."""
        if len(self._tunnels) != 1 or self._is_terminated:
            return None
        return next(iter(self._tunnels.values())).bypass

    def receive_events(self, now: Instant) -> None:
        """Take everything the connection has for us."""
        has_data, may_wait = False, now < self._follow_at
        while (event := self._http3.next_event()) is not None:
            if isinstance(event, HttpDatagramsReceived) and not self._is_terminated:
                has_data = True
                self._take_datagrams(event, now)
            else:
                may_wait = False
                self._take(event, now)
        if not (has_data and may_wait):
            self._follow_tunnels(now)

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""
        for tunnel in self._tunnels.values():
            tunnel.handle_timeout(now)
        self._follow_tunnels(now)

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` is due."""
        deadlines = [tunnel.next_timeout() for tunnel in self._tunnels.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        """Send IP packets from the TUN device that belong to this client."""
        if len(self._tunnels) == 1:
            (tunnel,) = self._tunnels.values()
            tunnel.send_ip_packets(packets, now)
            return
        batches, strays = self._table.dispatch(packets)
        for stream_id, batch in batches.items():
            self._tunnels[stream_id].send_ip_packets(batch, now)
        if strays:
            self._counters.count_drop(DropReason.NO_TUNNEL, count_packets(strays))

    def take_ip_packets(self) -> list[Parcel]:
        """Return IP packets for the TUN device: what passed, and our own ICMP messages."""
        packets, self._to_device = self._to_device, []
        for tunnel in self._tunnels.values():
            packets += tunnel.take_ip_packets()
        return packets

    def next_event(self) -> ServerSessionEvent | None:
        """Return the next event, or None."""
        return self._events.popleft() if self._events else None

    def change_policy(self, policy: ServerPolicy) -> None:
        """Judge requests by ``policy`` from now on; open tunnels stay as they are."""
        self._policy = policy

    def resolved(
        self,
        token: StreamId,
        outcome: tuple[IpAddress, ...] | ResolutionFailure,
        now: Instant,
    ) -> None:
        """Go on with a request whose name was resolved, if it still waits."""
        pending = self._pending.take(token)
        if pending is None:
            return
        if isinstance(outcome, ResolutionFailure) or not outcome:
            # RFC 9484 s4.1: "MUST reject the request and SHOULD send details using an
            # appropriate Proxy-Status header field".
            failure = outcome if isinstance(outcome, ResolutionFailure) else None
            self._send_page(token, refuse_target(failure or ResolutionFailure.NOT_FOUND))
            return
        self._open_tunnel(token, pending.grant, outcome, now)
        if pending.data or pending.end_stream:
            self._take_data(token, bytes(pending.data), end_stream=pending.end_stream, now=now)
        self._follow_tunnels(now)

    def respond(
        self, stream_id: StreamId, status: int, headers: Headers, *, end_stream: bool
    ) -> None:
        """Start the answer to a web request; ignored when the client has given up."""
        self._site.respond(stream_id, status, headers, end_stream=end_stream)

    def send_body(self, stream_id: StreamId, chunk: bytes, *, end_stream: bool) -> None:
        """Go on with the answer to a web request; ignored when the client has given up."""
        self._site.send_body(stream_id, chunk, end_stream=end_stream)

    def cancel_answer(self, stream_id: StreamId) -> None:
        """Break off the answer to a web request, as when its file became unreadable."""
        self._site.cancel(stream_id, Http3ErrorCode.H3_INTERNAL_ERROR)

    def body_room(self, stream_id: StreamId) -> int:
        """Return how many bytes of content a web request takes now; 0 also when it is gone."""
        return self._site.room(stream_id)

    def close(self, now: Instant) -> None:  # noqa: ARG002 - every command takes the time
        """End all tunnels, and the connection with them."""
        self._drop_everything(TunnelCloseReason.CLOSED_LOCALLY)
        if not self._is_terminated:
            self._is_terminated = True
            self._http3.close(Http3ErrorCode.H3_NO_ERROR, "")

    def _take(self, event: Http3Event, now: Instant) -> None:
        if isinstance(event, ConnectionTerminated):
            self._is_terminated = True
            self._drop_everything(TunnelCloseReason.CONNECTION_LOST)
        elif not self._is_terminated and isinstance(event, _StreamEvent):
            self._take_from_stream(event, now)

    def _take_from_stream(self, event: _StreamEvent, now: Instant) -> None:
        stream_id = event.stream_id
        match event:
            case HttpDatagramsReceived():
                self._take_datagrams(event, now)
            case HeadersReceived() if stream_id not in self._unfinished:
                if not event.end_stream:
                    self._unfinished.add(stream_id)
                self._take_request(event, now)
            case HeadersReceived():
                # Trailers; in a tunnel the connection has seen to it (RFC 9114 s4.4).
                self._take_data(stream_id, b"", end_stream=event.end_stream, now=now)
            case DataReceived():
                self._take_data(stream_id, event.data, end_stream=event.end_stream, now=now)
            case RequestReset() | RequestStopped():
                self._take_abort(stream_id)
            case _:
                assert_never(event)

    def _take_request(self, event: HeadersReceived, now: Instant) -> None:
        stream_id = event.stream_id
        try:
            request = decode_request(event.headers)
            if request.protocol is None:
                self._site.open(stream_id)
                self._events.append(
                    SiteRequested(
                        stream_id=stream_id,
                        method=request.method,
                        path=request.path,
                        authority=request.authority,
                    )
                )
                return
            judgement = judge_request(self._policy, request, self._peer_host, now)
        except DecodeError:
            # RFC 9114 s4.1.2: malformed requests are stream errors.
            self._http3.abort_stream(stream_id, Http3ErrorCode.H3_MESSAGE_ERROR)
            self._unfinished.discard(stream_id)
            return
        if isinstance(judgement, Refusal):
            if judgement.failed_authentication:
                self._events.append(
                    AuthenticationFailed(
                        peer_host=self._peer_host, is_rate_limited=judgement.is_rate_limited
                    )
                )
            self._send_page(stream_id, judgement.page)
            return
        self._events.append(ClientAuthenticated(user=judgement.owner.user))
        if event.end_stream:
            # The tunnel's life is that of its stream, and this one is over.
            self._send_page(stream_id, BAD_REQUEST_PAGE)
        elif len(self._tunnels) + len(self._pending) >= self._policy.max_tunnels:
            self._send_page(stream_id, refuse_capacity())
        elif isinstance(judgement.scope.target, str):
            # RFC 9484 s4.1: a name MUST be resolved "before replying to the HTTP request".
            self._pending.add(stream_id, judgement)
            self._events.append(NameResolutionWanted(token=stream_id, name=judgement.scope.target))
        else:
            self._open_tunnel(stream_id, judgement, (), now)

    def _open_tunnel(
        self, stream_id: StreamId, grant: Grant, resolved: tuple[IpAddress, ...], now: Instant
    ) -> None:
        routes = routes_of_scope(self._policy, grant.scope, resolved)
        if not routes:
            self._send_page(stream_id, refuse_target())
            return
        if not self._policy.quota.take(grant.owner.user):
            self._send_page(stream_id, refuse_capacity())
            return
        tunnel = ServerTunnel(self._http3, stream_id, self._policy, grant.owner, routes)
        if not tunnel.lease_addresses():
            self._policy.quota.give_back(grant.owner.user)
            self._send_page(stream_id, refuse_capacity())
            return
        self._tunnels[stream_id] = tunnel
        self._table.assign(stream_id, map(ip_network, tunnel.addresses))
        accepted = [(b":status", b"200"), CAPSULE_PROTOCOL]
        if grant.numbers_packets:
            accepted.append(SEQUENCE_FIELD)
        send_headers_if_open(self._http3, stream_id, accepted)
        tunnel.start(now, numbers_packets=grant.numbers_packets)
        self._events.append(
            TunnelOpened(stream_id=stream_id, user=grant.owner.user, addresses=tunnel.addresses)
        )

    def _take_data(
        self, stream_id: StreamId, data: bytes, *, end_stream: bool, now: Instant
    ) -> None:
        if end_stream:
            self._unfinished.discard(stream_id)
        if stream_id in self._pending:
            if not self._pending.receive_data(stream_id, data, end_stream=end_stream):
                self._unfinished.discard(stream_id)
                self._http3.abort_stream(stream_id, Http3ErrorCode.H3_EXCESSIVE_LOAD)
            return
        tunnel = self._tunnels.get(stream_id)
        if tunnel is None:
            # Content of a web request, or what an unsuccessful client had on its way.
            return
        try:
            changed = tunnel.receive_data(data, end_stream=end_stream, now=now)
        except RemoteProtocolError as error:
            self._http3.abort_stream(stream_id, error.error_code)
            self._close_tunnel(stream_id, TunnelCloseReason.PROTOCOL_ERROR)
            return
        if changed:
            self._table.assign(stream_id, map(ip_network, tunnel.addresses))
            self._events.append(
                TunnelAddressesChanged(stream_id=stream_id, addresses=tunnel.addresses)
            )

    def _take_datagrams(self, event: HttpDatagramsReceived, now: Instant) -> None:
        tunnel = self._tunnels.get(event.stream_id)
        if tunnel is not None:
            tunnel.receive_datagrams(event.payloads, now)
            return
        if event.stream_id in self._site:
            # RFC 9297 s2: a request without datagram semantics "MUST be aborted with
            # H3_DATAGRAM_ERROR".
            self._http3.abort_stream(event.stream_id, Http3ErrorCode.H3_DATAGRAM_ERROR)
            self._take_abort(event.stream_id)
        # RFC 9484 s7.1: a client may send before it is accepted; that is no error.
        self._counters.count_drop(DropReason.NO_TUNNEL, count_packets(event.payloads))

    def _take_abort(self, stream_id: StreamId) -> None:
        self._unfinished.discard(stream_id)
        if self._site.forget(stream_id):
            self._events.append(SiteRequestCancelled(stream_id=stream_id))
        self._pending.take(stream_id)
        if stream_id in self._tunnels:
            # RFC 9114 s4.4, RFC 9484 s4.1: one direction gone is the tunnel gone.
            self._http3.abort_stream(stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
            self._close_tunnel(stream_id, TunnelCloseReason.CLOSED_BY_CLIENT)

    def _follow_tunnels(self, now: Instant) -> None:
        """Let tunnels make progress, and close those that are over."""
        self._follow_at = Instant(now + FOLLOW_INTERVAL)
        for stream_id, tunnel in list(self._tunnels.items()):
            tunnel.progress(now)
            if tunnel.is_finished:
                send_data_if_open(self._http3, stream_id, b"", end_stream=True)
                self._close_tunnel(stream_id, TunnelCloseReason.CLOSED_BY_CLIENT)
            elif tunnel.has_failed:
                # RFC 9484 s7.2: "it MUST abort the IP proxying request stream".
                self._http3.abort_stream(stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
                self._close_tunnel(stream_id, TunnelCloseReason.IPV6_MTU_TOO_SMALL)
            elif not tunnel.is_current:
                self._http3.abort_stream(stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
                self._close_tunnel(stream_id, TunnelCloseReason.TAKEN_OVER)

    def _close_tunnel(self, stream_id: StreamId, reason: TunnelCloseReason) -> None:
        tunnel = self._tunnels.pop(stream_id)
        self._unfinished.discard(stream_id)
        self._table.remove(stream_id)
        self._to_device += tunnel.take_ip_packets()
        self._counters.add(tunnel.counters)
        tunnel.release()
        tunnel.policy.quota.give_back(tunnel.owner.user)
        self._events.append(
            TunnelClosed(stream_id=stream_id, user=tunnel.owner.user, reason=reason)
        )

    def _drop_everything(self, reason: TunnelCloseReason) -> None:
        for stream_id in list(self._tunnels):
            self._close_tunnel(stream_id, reason)
        for stream_id in self._site.forget_all():
            self._events.append(SiteRequestCancelled(stream_id=stream_id))
        self._pending.clear()
        self._unfinished.clear()

    def _send_page(self, stream_id: StreamId, page: SitePage) -> None:
        section = ((b":status", b"%d" % page.status), *page.headers)
        if send_headers_if_open(self._http3, stream_id, section):
            send_data_if_open(self._http3, stream_id, page.body, end_stream=True)
