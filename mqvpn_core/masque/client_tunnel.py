"""Client: an accepted tunnel, from the 2xx response on: addresses, routes, MTU, packets.

Owns the decision when the tunnel is up and what changed since. The proxy may assign addresses
unprompted; only if nothing came within about one round trip is ADDRESS_REQUEST sent, because some
proxies end the stream at it. RFC 9484 s4.7, s7.2.
"""

import enum
from collections import deque
from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, ip_network
from typing import Final, assert_never

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.dataplane.parcels import count_packets
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.connect_ip import (
    AddressesAssigned,
    AddressesRequested,
    PeerFinished,
    RoutesAdvertised,
    StreamDatagramReceived,
    StreamEvent,
)
from mqvpn_core.masque.drop_reasons import DropReason, PacketCounters
from mqvpn_core.masque.forwarding import TunnelEnd
from mqvpn_core.masque.http3_port import Http3
from mqvpn_core.masque.link_local import ALL_NODES, MtuProofState
from mqvpn_core.masque.packet_filter import FilterRules
from mqvpn_core.masque.route_ranges import RangeList
from mqvpn_core.masque.session_events import (
    AddressesChanged,
    EndCause,
    IPInterface,
    MtuChanged,
    RoutesChanged,
    SessionEnded,
    SessionEvent,
    TunnelEstablished,
)
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.masque.tunnel_link import TunnelLink
from mqvpn_core.wire.address_capsules import IpPrefix
from mqvpn_core.wire.code_points import Http3ErrorCode

_IPV4: Final = 4
_ANY_ADDRESS: Final[tuple[IpPrefix, ...]] = (ip_network("0.0.0.0/32"), ip_network("::/128"))
"""What asks for an address of a family without preferring one (RFC 9484 s4.7.2)."""
_MIN_ADDRESS_WAIT: Final = 0.05
_MAX_ADDRESS_WAIT: Final = 1.0
_MTU_WAIT: Final = 0.5
"""How long path MTU discovery may delay the tunnel, so that TCP inside starts with a good MSS."""


class _State(enum.Enum):
    AWAITS_ASSIGNMENT = "awaits assignment"
    ESTABLISHED = "established"
    ENDED = "ended"


class ClientTunnel:
    """What follows a 2xx response.

    A: ``mtu``, ``addresses``, ``routes``, ``counters``
    B: ``receive_data``, ``receive_datagrams``, ``handle_timeout``, ``progress``
    C: ``send_ip_packets``, ``open_sequence``
    D: ``take_ip_packets``, ``next_timeout``, ``next_event``
    """

    def __init__(
        self,
        http3: Http3,
        stream_id: StreamId,
        config: ClientSessionConfig,
        *,
        round_trip: float,
        now: Instant,
    ) -> None:
        """Start waiting for an assignment.

        Args:
            http3: the connection.
            stream_id: the request stream.
            config: what the user wants.
            round_trip: how long the response took, in seconds.
            now: the time.
        """
        self._http3 = http3
        self._config = config
        self._link = TunnelLink(http3, stream_id, TunnelEnd.CLIENT, config.link)
        self._state = _State.AWAITS_ASSIGNMENT
        self._events: deque[SessionEvent] = deque()
        self._addresses: tuple[IPInterface, ...] = ()
        self._routes: RangeList = ()
        self._address_wait = min(max(round_trip, _MIN_ADDRESS_WAIT), _MAX_ADDRESS_WAIT)
        # Until then the list of addresses may still grow, and nothing is requested.
        self._wait_deadline: Instant | None = Instant(now + self._address_wait)
        self._mtu_deadline: Instant | None = Instant(now + _MTU_WAIT)
        self._open_request_ids: frozenset[int] = frozenset()
        self._has_requested = False
        self._link.refresh_mtu(now)

    @property
    def mtu(self) -> int:
        """Largest IP packet the tunnel carries now."""
        return self._link.mtu

    @property
    def is_established(self) -> bool:
        """Packets may flow."""
        return self._state is _State.ESTABLISHED

    @property
    def addresses(self) -> tuple[IPInterface, ...]:
        """Our inner addresses."""
        return self._addresses

    @property
    def routes(self) -> RangeList:
        """Ranges the proxy takes packets for, of the families that we use."""
        return self._routes

    @property
    def counters(self) -> PacketCounters:
        """What happened to packets so far."""
        return self._link.counters

    @property
    def bypass(self) -> TunnelBypass | None:
        """What may pass without us."""
        return self._link.bypass if self._state is _State.ESTABLISHED else None

    def receive_data(self, data: bytes, *, end_stream: bool, now: Instant) -> None:
        """Take DATA of the request stream.

        Raises:
            RemoteProtocolError: the proxy broke a rule; abort the stream with the code.
        """
        self._link.stream.receive_data(data, end_stream=end_stream)
        while self._state is not _State.ENDED:
            event = self._link.stream.next_event()
            if event is None:
                break
            self._take(event, now)

    def receive_datagrams(self, payloads: Sequence[Parcel], now: Instant) -> None:
        """Take HTTP Datagrams of the request."""
        self._link.receive_datagrams(payloads, now)

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""
        self._link.handle_timeout(now)
        if self._mtu_deadline is not None and now >= self._mtu_deadline:
            self._mtu_deadline = None
        if self._wait_deadline is not None and now >= self._wait_deadline:
            self._wait_deadline = None
            if self._should_request():
                self._request_addresses(now)

    def progress(self, now: Instant) -> None:
        """Follow the MTU, and see whether the tunnel is up or cannot stay; call after any input."""
        if self._state is _State.ENDED:
            return
        mtu_changed = self._link.refresh_mtu(now)
        proof = self._link.proof
        if proof is not None and proof.state is MtuProofState.FAILED:
            # RFC 9484 s7.2: too small for IPv6: "it MUST abort the IP proxying request stream".
            self._http3.abort_stream(self._link.stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
            self._end(
                EndCause.IPV6_MTU_TOO_SMALL,
                "the tunnel cannot carry the packets of 1280 bytes that IPv6 needs: "
                "switch IPv6 inside the tunnel off, or raise the MTU of the links",
            )
            return
        if self._state is _State.AWAITS_ASSIGNMENT:
            if self._is_ready():
                self._establish()
        elif mtu_changed:
            self._events.append(MtuChanged(mtu=self.mtu))
        self._link.flush()

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` is due."""
        deadlines = [self._link.next_timeout(), self._wait_deadline, self._mtu_deadline]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def open_sequence(self) -> None:
        """The proxy agreed on numbered packets (`mqvpn_core.masque.sequenced_ip`)."""
        self._link.open_sequence()

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        """Send IP packets from the TUN device."""
        if self._state is _State.ESTABLISHED:
            self._link.send_ip_packets(packets, now)
        else:
            self.counters.count_drop(DropReason.NO_TUNNEL, count_packets(packets))

    def take_ip_packets(self) -> list[Parcel]:
        """Return IP packets for the TUN device."""
        return self._link.take_ip_packets()

    def next_event(self) -> SessionEvent | None:
        """Return the next event, or None."""
        return self._events.popleft() if self._events else None

    def explain_delay(self) -> str:
        """Say what the tunnel is still waiting for."""
        if not self._addresses:
            return "the server accepted the tunnel but assigned no address"
        if not self._routes:
            return "the server assigned an address but advertised no route for it"
        if not self.mtu:
            return "the server accepted the tunnel but no path carries its packets"
        return "the tunnel cannot carry the packets of 1280 bytes that IPv6 needs"

    def explain_unwanted_request(self) -> SessionEnded | None:
        """Say why the proxy ended the stream, if it did so because we asked for an address."""
        if self._state is not _State.AWAITS_ASSIGNMENT or not self._open_request_ids:
            return None
        return SessionEnded(
            cause=EndCause.ADDRESS_REQUEST_REFUSED,
            status=None,
            message="the server ended the tunnel when asked for an address",
            may_retry=True,
        )

    def _take(self, event: StreamEvent, now: Instant) -> None:
        match event:
            case AddressesAssigned():
                self._take_assignment(event, now)
            case RoutesAdvertised():
                self._take_routes()
            case AddressesRequested():
                # RFC 9484 s4.7.2: every request gets an answer. We have nothing to give.
                self._link.stream.assign((), refused=event.requests)
            case StreamDatagramReceived():
                self._link.receive_datagrams((event.payload,), now)
            case PeerFinished():
                self._take_end()
            case _:
                assert_never(event)

    def _take_assignment(self, event: AddressesAssigned, now: Instant) -> None:
        self._open_request_ids -= event.answered_ids
        old = self._addresses
        # A prefix may come twice, once for each request that it answers.
        self._addresses = tuple(
            _interface(prefix) for prefix in event.prefixes if self._wants(prefix.version)
        )
        if self._state is _State.AWAITS_ASSIGNMENT:
            if not self._addresses and event.refused_ids and not self._open_request_ids:
                self._end(
                    EndCause.NO_ADDRESS,
                    "the server refused to assign an address; its pool may be used up",
                )
                return
            self._decide_to_wait(now)
        if self._state is _State.ESTABLISHED and self._addresses != old:
            self._events.append(AddressesChanged(addresses=self._addresses))
        self._start_proof(now)
        self._take_routes()

    def _decide_to_wait(self, now: Instant) -> None:
        """See what may still change before the tunnel is up."""
        if not self._addresses:
            return
        if not self._has_requested and self._misses_preference():
            self._request_addresses(now)
        elif self._open_request_ids or not self._has_requested:
            # The other family may follow in a capsule of its own.
            self._wait_deadline = Instant(now + self._address_wait)
        else:
            self._wait_deadline = None

    def _take_routes(self) -> None:
        old = self._routes
        versions = {address.version for address in self._addresses}
        self._routes = tuple(
            entry for entry in self._link.stream.routes if entry.start.version in versions
        )
        self._apply_rules()
        if self._state is _State.ESTABLISHED and self._routes != old:
            self._events.append(RoutesChanged(routes=self._routes))

    def _take_end(self) -> None:
        ended = self.explain_unwanted_request()
        if ended is None:
            self._end(EndCause.CLOSED_BY_PEER, "the server ended the tunnel")
        else:
            self._state = _State.ENDED
            self._events.append(ended)

    def _should_request(self) -> bool:
        # RFC 9484 s4.7.1: whoever expects an assignment MUST send ADDRESS_REQUEST.
        return (
            self._state is _State.AWAITS_ASSIGNMENT
            and self._config.may_request_addresses
            and not self._has_requested
            and not self._addresses
        )

    def _misses_preference(self) -> bool:
        if not self._config.may_request_addresses:
            return False
        given = {address.ip for address in self._addresses}
        versions = {address.version for address in self._addresses}
        return any(
            address.version in versions and address not in given
            for address in self._config.requested_addresses
        )

    def _request_addresses(self, now: Instant) -> None:
        wanted: list[IpPrefix] = []
        for anything in _ANY_ADDRESS:
            if self._wants(anything.version):
                preferred = [
                    ip_network(address)
                    for address in self._config.requested_addresses
                    if address.version == anything.version
                ]
                wanted += preferred or [anything]
        self._has_requested = True
        self._open_request_ids = frozenset(self._link.stream.request_addresses(wanted))
        # Whoever has an address already is not kept waiting for a better one.
        self._wait_deadline = Instant(now + _MAX_ADDRESS_WAIT) if self._addresses else None

    def _wants(self, version: int) -> bool:
        return self._config.want_ipv4 if version == _IPV4 else self._config.want_ipv6

    def _apply_rules(self) -> None:
        near = tuple(prefix for prefix in self._link.stream.assigned if self._wants(prefix.version))
        self._link.change_rules(
            FilterRules(near=near, far=self._routes), [address.ip for address in self._addresses]
        )

    def _start_proof(self, now: Instant) -> None:
        source = next(
            (entry.ip for entry in self._addresses if isinstance(entry, IPv6Interface)), None
        )
        if source is None:
            self._link.proof = None
        elif self._link.proof is None or self._link.proof.source != source:
            # RFC 9484 s7.2: the peer's address is not known, so all nodes of the link are asked.
            self._link.prove_mtu(source, (ALL_NODES,), now)

    def _is_ready(self) -> bool:
        if not self._addresses or not self._routes or self.mtu == 0:
            return False
        proof = self._link.proof
        if proof is not None and proof.state is MtuProofState.TOO_SMALL:
            return False
        if self._mtu_deadline is not None and not self._http3.path_mtu_is_settled:
            return False
        return self._wait_deadline is None or (not self._open_request_ids and self._is_complete())

    def _is_complete(self) -> bool:
        """Tell whether every family we want has an address and a route: nothing can follow."""
        wanted = {entry.version for entry in _ANY_ADDRESS if self._wants(entry.version)}
        routed = {entry.start.version for entry in self._routes}
        return wanted <= {address.version for address in self._addresses} and wanted <= routed

    def _establish(self) -> None:
        self._link.stream.settle()
        self._wait_deadline = None
        self._mtu_deadline = None
        self._state = _State.ESTABLISHED
        self._events.append(
            TunnelEstablished(addresses=self._addresses, routes=self._routes, mtu=self.mtu)
        )

    def _end(self, cause: EndCause, message: str) -> None:
        self._state = _State.ENDED
        self._events.append(SessionEnded(cause=cause, status=None, message=message, may_retry=True))


def _interface(prefix: IpPrefix) -> IPInterface:
    """Choose our own address in an assigned prefix: the only one, or the first of a network."""
    first = prefix.network_address
    if prefix.max_prefixlen - prefix.prefixlen > 1:
        first += 1
    if isinstance(prefix, IPv4Network):
        return IPv4Interface((int(first), prefix.prefixlen))
    return IPv6Interface((int(first), prefix.prefixlen))
