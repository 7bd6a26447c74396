"""Packets, policies and pairs of sessions that the tests of this room share."""

from ipaddress import ip_address, ip_network

from mqvpn_core.ids import Instant
from mqvpn_core.masque.address_pool import AddressPool
from mqvpn_core.masque.authentication import Accepted, Decision, RateLimited, Refused
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.client_session import ClientSession
from mqvpn_core.masque.server_events import ServerSessionEvent
from mqvpn_core.masque.server_policy import ServerPolicy, TunnelQuota
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.masque.session_events import SessionEvent
from mqvpn_core.testing.fake_http3 import FakeHttp3, join
from mqvpn_core.wire.address_capsules import (
    AddressAssign,
    AddressRequest,
    AssignedAddress,
    IpAddressRange,
    RequestedAddress,
    RouteAdvertisement,
)
from mqvpn_core.wire.capsules import Capsule, CapsuleLimits, CapsuleParser, encode_capsule
from mqvpn_core.wire.icmp import IcmpEcho, compose_icmp_echo
from mqvpn_core.wire.ip_packets import internet_checksum
from mqvpn_core.wire.uri_templates import compile_template_matcher, default_uri_template

TEMPLATE = default_uri_template("vpn.example.org")
PATH = b"/.well-known/masque/ip/%2A/%2A/"
KEY = b"Bearer right"
T0 = Instant(100.0)

UDP = 17
TCP = 6

Headers = tuple[tuple[bytes, bytes], ...]


def at(seconds: float) -> Instant:
    """Return an instant this long after the start."""
    return Instant(T0 + seconds)


def ipv4_packet(
    source: str,
    destination: str,
    *,
    protocol: int = UDP,
    ttl: int = 64,
    size: int = 60,
    dont_fragment: bool = True,
) -> bytes:
    """Compose an IPv4 packet with a valid header."""
    header = bytearray(20)
    header[0] = 0x45
    header[2:4] = size.to_bytes(2, "big")
    header[6] = 0x40 if dont_fragment else 0
    header[8] = ttl
    header[9] = protocol
    header[12:16] = ip_address(source).packed
    header[16:20] = ip_address(destination).packed
    header[10:12] = internet_checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + bytes(size - 20)


def ipv6_packet(
    source: str,
    destination: str,
    *,
    protocol: int = UDP,
    hop_limit: int = 64,
    size: int = 80,
    extension: bytes = b"",
) -> bytes:
    """Compose an IPv6 packet; ``extension`` is a Hop-by-Hop header whose first byte is replaced."""
    payload = bytes(size - 40 - len(extension))
    first = protocol
    if extension:
        first = 0
        payload = bytes((protocol,)) + extension[1:] + payload
    return b"".join(
        (
            bytes((0x60, 0, 0, 0)),
            (size - 40).to_bytes(2, "big"),
            bytes((first, hop_limit)),
            ip_address(source).packed,
            ip_address(destination).packed,
            payload,
        )
    )


def echo_packet(
    source: str, destination: str, *, data: bytes = b"ping", reply: bool = False
) -> bytes:
    """Compose an ICMP or ICMPv6 echo."""
    echo = IcmpEcho(is_reply=reply, identifier=7, sequence_number=1, data=data)
    return compose_icmp_echo(echo, ip_address(source), ip_address(destination))


def route(start: str, end: str | None = None, protocol: int = 0) -> IpAddressRange:
    """Return a range; of one network when there is no end."""
    if end is not None:
        return IpAddressRange(start=ip_address(start), end=ip_address(end), protocol=protocol)
    network = ip_network(start)
    return IpAddressRange(
        start=network.network_address, end=network.broadcast_address, protocol=protocol
    )


def assign(*prefixes: str, request_id: int = 0) -> bytes:
    """Encode ADDRESS_ASSIGN."""
    return encode_capsule(
        AddressAssign(
            addresses=tuple(
                AssignedAddress(request_id=request_id, prefix=ip_network(prefix))
                for prefix in prefixes
            )
        )
    )


def assign_answers(*answers: tuple[int, str]) -> bytes:
    """Encode ADDRESS_ASSIGN with these request IDs and prefixes."""
    return encode_capsule(
        AddressAssign(
            addresses=tuple(
                AssignedAddress(request_id=number, prefix=ip_network(prefix))
                for number, prefix in answers
            )
        )
    )


def request_addresses(*requests: tuple[int, str]) -> bytes:
    """Encode ADDRESS_REQUEST with these request IDs and prefixes."""
    return encode_capsule(
        AddressRequest(
            addresses=tuple(
                RequestedAddress(request_id=number, prefix=ip_network(prefix))
                for number, prefix in requests
            )
        )
    )


def advertise(*ranges: IpAddressRange) -> bytes:
    """Encode ROUTE_ADVERTISEMENT."""
    return encode_capsule(RouteAdvertisement(ranges=ranges))


def capsules_of(data: bytes | bytearray) -> list[Capsule]:
    """Decode what was sent on a stream."""
    return CapsuleParser(CapsuleLimits()).feed(bytes(data))


class OneKey:
    """An authenticator that knows one key; it remembers what it was asked."""

    def __init__(self, user: str | None = "alice") -> None:
        self.user = user
        self.limited = False
        self.asked: list[tuple[bytes | None, str]] = []

    def authenticate(self, authorization: bytes | None, peer_host: str, now: Instant) -> Decision:
        """Judge one request."""
        del now
        self.asked.append((authorization, peer_host))
        if self.limited:
            return RateLimited(retry_after=30.0)
        return Accepted(user=self.user) if authorization == KEY else Refused()


def pool(network: str) -> AddressPool:
    """Return an empty pool."""
    return AddressPool(ip_network(network))


def policy_of(
    *networks: str, authenticator: OneKey | None = None, quota: TunnelQuota | None = None
) -> ServerPolicy:
    """Return a policy with pools of these networks."""
    return ServerPolicy(
        matchers=(compile_template_matcher(TEMPLATE),),
        authenticator=OneKey() if authenticator is None else authenticator,
        pools=tuple(pool(network) for network in networks or ("10.0.0.0/24",)),
        quota=TunnelQuota() if quota is None else quota,
    )


def config_of(*, authorization: bytes | None = KEY) -> ClientSessionConfig:
    """Return client settings that fit `policy_of`."""
    return ClientSessionConfig(
        template=TEMPLATE, authority="vpn.example.org", authorization=authorization
    )


def client_events(session: ClientSession) -> list[SessionEvent]:
    """Take all events."""
    events = []
    while (event := session.next_event()) is not None:
        events.append(event)
    return events


def server_events(session: ServerSession) -> list[ServerSessionEvent]:
    """Take all events."""
    events = []
    while (event := session.next_event()) is not None:
        events.append(event)
    return events


class Pair:
    """A client and a server session on joined connections."""

    def __init__(
        self,
        config: ClientSessionConfig | None = None,
        policy: ServerPolicy | None = None,
        *,
        datagram_room: int = 1400,
    ) -> None:
        self.client_http3 = FakeHttp3(datagram_room=datagram_room)
        self.server_http3 = FakeHttp3(datagram_room=datagram_room)
        join(self.client_http3, self.server_http3)
        self.client = ClientSession(
            config=config_of() if config is None else config, http3=self.client_http3
        )
        self.server = ServerSession(
            policy=policy_of() if policy is None else policy,
            http3=self.server_http3,
            peer_host="192.0.2.1",
        )
        self.now = T0

    def run(self, seconds: float = 0.1) -> None:
        """Let both talk; timeouts are handled when they are due."""
        end = Instant(self.now + seconds)
        while True:
            for _ in range(6):
                self.client.receive_events(self.now)
                self.server.receive_events(self.now)
            due = [
                deadline
                for deadline in (self.client.next_timeout(), self.server.next_timeout())
                if deadline is not None and deadline <= end
            ]
            if not due:
                break
            self.now = Instant(max(min(due), self.now + 1e-6))
            self.client.handle_timeout(self.now)
            self.server.handle_timeout(self.now)
        self.now = end
