"""Client: one CONNECT-IP request over one HTTP/3 connection, from SETTINGS to the last packet.

A corridor: it ties http3, the request stream and forwarding together and decides when the tunnel
is up. RFC 9484 s4 to s7. Knows nothing of the host; what it should have is told by events.
"""

import enum
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias, assert_never

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.client_tunnel import ClientTunnel
from mqvpn_core.masque.drop_reasons import DropReason, PacketCounters
from mqvpn_core.masque.http3_port import Http3
from mqvpn_core.masque.http_messages import (
    CAPSULE_PROTOCOL,
    INSTANCE_FIELD,
    check_capsule_message,
    decode_response,
)
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.masque.sequenced_ip import SEQUENCE_FIELD, agrees_on_sequence
from mqvpn_core.masque.session_events import (
    EndCause,
    IPInterface,
    SessionEnded,
    SessionEvent,
    explain_refusal,
    explain_reset,
    explain_termination,
)
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.masque.tunnel_link import FOLLOW_INTERVAL
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HeadersReceived,
    Http3Event,
    HttpDatagramsReceived,
    RequestReset,
    RequestStopped,
    SettingsReceived,
)
from mqvpn_core.wire.code_points import Http3ErrorCode
from mqvpn_core.wire.uri_templates import expand_uri_template

__all__ = ["ClientSession", "ClientSessionConfig"]

_StreamEvent: TypeAlias = (
    HeadersReceived | DataReceived | HttpDatagramsReceived | RequestReset | RequestStopped
)


class _State(enum.Enum):
    AWAITS_SETTINGS = "the server sent no SETTINGS"
    AWAITS_RESPONSE = "the server did not answer the tunnel request"
    ACCEPTED = "accepted"
    ENDED = "ended"


class ClientSession:
    """One tunnel of a client.

    A: ``mtu``, ``assigned``, ``routes``, ``counters``, ``bypass``
    B: ``receive_events``, ``handle_timeout``
    C: ``send_ip_packets``, ``close``
    D: ``take_ip_packets``, ``next_timeout``, ``next_event``; poll the connection below afterwards
    """

    def __init__(self, *, config: ClientSessionConfig, http3: Http3) -> None:
        """Prepare a session; the request goes out when the server's SETTINGS have arrived.

        Raises:
            LocalProtocolError: neither IPv4 nor IPv6 is wanted.
        """
        if not config.want_ipv4 and not config.want_ipv6:
            raise LocalProtocolError("a tunnel needs IPv4 or IPv6")
        self._config = config
        self._http3 = http3
        self._state = _State.AWAITS_SETTINGS
        self._stream_id: StreamId | None = None
        self._tunnel: ClientTunnel | None = None
        self._events: deque[SessionEvent] = deque()
        self._early_counters = PacketCounters()
        self._setup_deadline: Instant | None = None
        # When to look for what no event tells, such as a path MTU that has settled.
        self._follow_at = Instant(0.0)
        self._request_sent_at = Instant(0.0)
        self._is_terminated = False

    @property
    def mtu(self) -> int:
        """Largest IP packet the tunnel carries; 0 before it is accepted."""
        return 0 if self._tunnel is None else self._tunnel.mtu

    @property
    def assigned(self) -> tuple[IPInterface, ...]:
        """Our inner addresses."""
        return () if self._tunnel is None else self._tunnel.addresses

    @property
    def routes(self) -> RangeList:
        """Ranges the proxy takes packets for."""
        return () if self._tunnel is None else self._tunnel.routes

    @property
    def counters(self) -> PacketCounters:
        """What happened to packets so far."""
        return self._early_counters if self._tunnel is None else self._tunnel.counters

    @property
    def bypass(self) -> TunnelBypass | None:
        """What of the tunnel's packets may pass without us; None while nothing may."""
        if self._tunnel is None or self._state is _State.ENDED:
            return None
        return self._tunnel.bypass

    def receive_events(self, now: Instant) -> None:
        """Take everything the connection has for us."""
        if self._setup_deadline is None:
            self._setup_deadline = Instant(now + self._config.setup_timeout)
        has_data, may_wait = False, now < self._follow_at
        while (event := self._http3.next_event()) is not None:
            if isinstance(event, HttpDatagramsReceived) and event.stream_id == self._stream_id:
                has_data = True
                if self._state is not _State.ENDED:
                    self._take_datagrams(event.payloads, now)
            else:
                may_wait = False
                self._take(event, now)
        if self._state is _State.AWAITS_SETTINGS:
            settings = self._http3.peer_settings
            if settings is not None:
                self._start_request(settings, now)
        if not (has_data and may_wait):
            self._follow_tunnel(now)

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""
        if self._state is _State.ENDED:
            return
        if self._tunnel is not None:
            self._tunnel.handle_timeout(now)
            self._follow_tunnel(now)
        if self._is_late(now):
            reason = self._state.value if self._tunnel is None else self._tunnel.explain_delay()
            if self._stream_id is not None:
                self._http3.abort_stream(self._stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
            self._end(
                EndCause.TIMEOUT,
                f"{reason} within {self._config.setup_timeout:g} s",
                may_retry=True,
            )

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` is due."""
        if self._state is _State.ENDED:
            return None
        deadlines = [] if self._tunnel is None else [self._tunnel.next_timeout()]
        if self._tunnel is None or not self._tunnel.is_established:
            deadlines.append(self._setup_deadline)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        """Send IP packets from the TUN device."""
        if self._tunnel is None or self._state is _State.ENDED:
            self.counters.count_drop(DropReason.NO_TUNNEL, count_packets(packets))
        else:
            self._tunnel.send_ip_packets(packets, now)

    def take_ip_packets(self) -> list[Parcel]:
        """Return IP packets for the TUN device, our own ICMP messages included."""
        return [] if self._tunnel is None else self._tunnel.take_ip_packets()

    def next_event(self) -> SessionEvent | None:
        """Return the next event, or None."""
        return self._events.popleft() if self._events else None

    def close(self, now: Instant) -> None:  # noqa: ARG002 - every command takes the time
        """End the tunnel, and the connection with it."""
        if self._state is not _State.ENDED:
            self._end(EndCause.CLOSED_LOCALLY, "the tunnel was closed", may_retry=True)
        self._close_connection(Http3ErrorCode.H3_NO_ERROR, "")

    def _take(self, event: Http3Event, now: Instant) -> None:
        if isinstance(event, ConnectionTerminated):
            self._is_terminated = True
            if self._state is not _State.ENDED:
                awaits = self._state is _State.AWAITS_RESPONSE
                self._finish(explain_termination(event, awaits_response=awaits))
        elif self._state is not _State.ENDED and isinstance(event, _StreamEvent):
            self._take_from_stream(event, now)

    def _take_from_stream(self, event: _StreamEvent, now: Instant) -> None:
        if event.stream_id != self._stream_id:
            # RFC 9297 s2.1: datagrams of streams that do not exist (yet) may be dropped. Of
            # other events there are none: we make only one request.
            if isinstance(event, HttpDatagramsReceived):
                self.counters.count_drop(DropReason.NO_TUNNEL, count_packets(event.payloads))
            return
        try:
            match event:
                case HeadersReceived():
                    self._take_headers(event, now)
                case DataReceived():
                    self._take_data(event.data, end_stream=event.end_stream, now=now)
                case HttpDatagramsReceived():
                    self._take_datagrams(event.payloads, now)
                case RequestReset() | RequestStopped():
                    ended = (
                        None if self._tunnel is None else self._tunnel.explain_unwanted_request()
                    )
                    self._finish(ended or explain_reset(event.error_code))
                case _:
                    assert_never(event)
        except RemoteProtocolError as error:
            self._http3.abort_stream(event.stream_id, error.error_code)
            was_up = self._tunnel is not None and self._tunnel.is_established
            self._end(
                EndCause.MALFORMED_RESPONSE,
                f"the server broke the protocol: {error.reason}",
                may_retry=was_up,
            )

    def _start_request(self, settings: SettingsReceived, now: Instant) -> None:
        # RFC 9220 s3: no extended CONNECT before the server's setting says that it may be sent.
        if not settings.extended_connect:
            self._end(
                EndCause.NO_EXTENDED_CONNECT,
                "the server takes no tunnels (no extended CONNECT): check its address and port",
                may_retry=False,
            )
            return
        if not settings.h3_datagram:
            self._end(
                EndCause.NO_DATAGRAM_SUPPORT,
                "the server takes no HTTP Datagrams (SETTINGS_H3_DATAGRAM is missing)",
                may_retry=False,
            )
            return
        config = self._config
        # RFC 9484 s4.4.
        headers = [
            (b":method", b"CONNECT"),
            (b":protocol", b"connect-ip"),
            (b":scheme", b"https"),
            (b":authority", config.authority.encode("ascii")),
            (b":path", expand_uri_template(config.template, config.scope).encode("ascii")),
            CAPSULE_PROTOCOL,
        ]
        if config.authorization is not None:
            headers.append((b"authorization", config.authorization))
        if config.instance:
            headers.append((INSTANCE_FIELD, config.instance.encode("ascii")))
        if config.link.may_number_packets:
            headers.append(SEQUENCE_FIELD)
        self._stream_id = self._http3.open_request(headers)
        self._request_sent_at = now
        self._state = _State.AWAITS_RESPONSE

    def _take_headers(self, event: HeadersReceived, now: Instant) -> None:
        if self._tunnel is not None:
            # RFC 9114 s4.4: after CONNECT only DATA frames are permitted; anything else is a
            # connection error.
            self._close_connection(Http3ErrorCode.H3_FRAME_UNEXPECTED, "HEADERS in a tunnel")
            raise RemoteProtocolError(Http3ErrorCode.H3_FRAME_UNEXPECTED, "HEADERS in a tunnel")
        try:
            response = decode_response(event.headers)
            if response.is_success:
                check_capsule_message(response.fields, response.status)
        except DecodeError as error:
            # RFC 9114 s4.1.2: a client MUST NOT act on a malformed response.
            raise RemoteProtocolError(Http3ErrorCode.H3_MESSAGE_ERROR, str(error)) from error
        if response.is_interim:
            if event.end_stream:
                raise RemoteProtocolError(Http3ErrorCode.H3_MESSAGE_ERROR, "no final response")
            return
        if not response.is_success:
            # RFC 9484 s4.1: "the client MUST abort the request".
            self._http3.abort_stream(event.stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
            self._finish(explain_refusal(response))
        elif not self._http3.may_send_datagrams:
            self._http3.abort_stream(event.stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
            self._end(
                EndCause.NO_DATAGRAM_SUPPORT,
                "the server takes no QUIC DATAGRAM frames",
                may_retry=False,
            )
        else:
            self._state = _State.ACCEPTED
            self._tunnel = ClientTunnel(
                self._http3,
                event.stream_id,
                self._config,
                round_trip=now - self._request_sent_at,
                now=now,
            )
            if self._config.link.may_number_packets and agrees_on_sequence(response.fields):
                self._tunnel.open_sequence()
            if event.end_stream:
                self._take_data(b"", end_stream=True, now=now)

    def _take_data(self, data: bytes, *, end_stream: bool, now: Instant) -> None:
        if self._tunnel is None:
            # RFC 9114 s4.1: content comes after the final header section.
            raise RemoteProtocolError(Http3ErrorCode.H3_MESSAGE_ERROR, "no response")
        self._tunnel.receive_data(data, end_stream=end_stream, now=now)

    def _take_datagrams(self, payloads: Sequence[Parcel], now: Instant) -> None:
        if self._tunnel is None:
            self.counters.count_drop(DropReason.NO_TUNNEL, count_packets(payloads))
        else:
            self._tunnel.receive_datagrams(payloads, now)

    def _follow_tunnel(self, now: Instant) -> None:
        """Let the tunnel make progress and pass on what it has to say."""
        if self._tunnel is None or self._state is _State.ENDED:
            return
        self._tunnel.progress(now)
        while (event := self._tunnel.next_event()) is not None:
            if isinstance(event, SessionEnded):
                self._finish(event)
                return
            self._events.append(event)
        if self._tunnel.is_established:
            self._follow_at = Instant(now + FOLLOW_INTERVAL)

    def _is_late(self, now: Instant) -> bool:
        if self._state is _State.ENDED or self._setup_deadline is None:
            return False
        if self._tunnel is not None and self._tunnel.is_established:
            return False
        return now >= self._setup_deadline

    def _end(self, cause: EndCause, message: str, *, may_retry: bool) -> None:
        self._finish(SessionEnded(cause=cause, status=None, message=message, may_retry=may_retry))

    def _finish(self, event: SessionEnded) -> None:
        self._state = _State.ENDED
        self._events.append(event)

    def _close_connection(self, error_code: int, reason: str) -> None:
        if not self._is_terminated:
            self._is_terminated = True
            self._http3.close(error_code, reason)
