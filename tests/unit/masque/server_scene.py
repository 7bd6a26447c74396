"""A server session against scripted clients."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.server_events import (
    ServerSessionEvent,
    TunnelClosed,
    TunnelCloseReason,
    TunnelOpened,
)
from mqvpn_core.masque.server_policy import ServerPolicy
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HeadersReceived,
    HttpDatagramsReceived,
)
from mqvpn_core.testing.fake_http3 import FakeHttp3
from tests.unit.masque.samples import (
    KEY,
    PATH,
    T0,
    Headers,
    at,
    policy_of,
    server_events,
)

DUAL = ("10.0.0.0/24", "fd00::/64")
OPENED = TunnelOpened(stream_id=StreamId(0), user="alice", addresses=(ip_address("10.0.0.2"),))


def request(
    path: bytes = PATH,
    *extra: tuple[bytes, bytes],
    key: bytes | None = KEY,
    protocol: bytes = b"connect-ip",
    authority: bytes = b"vpn.example.org",
    scheme: bytes = b"https",
) -> Headers:
    """Return the header section of a tunnel request."""
    credentials = () if key is None else ((b"authorization", key),)
    return (
        (b":method", b"CONNECT"),
        (b":protocol", protocol),
        (b":scheme", scheme),
        (b":authority", authority),
        (b":path", path),
        *credentials,
        *extra,
    )


def get(path: bytes = b"/", method: bytes = b"GET") -> Headers:
    """Return the header section of a web request."""
    return (
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", b"vpn.example.org"),
        (b":path", path),
    )


class Scene:
    """A server session and a scripted connection."""

    def __init__(self, policy: ServerPolicy | None = None) -> None:
        self.policy = policy_of() if policy is None else policy
        self.http3 = FakeHttp3()
        self.http3.receive_settings(extended_connect=False)
        self.session = ServerSession(policy=self.policy, http3=self.http3, peer_host="192.0.2.9")

    @property
    def addresses(self) -> list[IPv4Address | IPv6Address]:
        """Inner addresses of the client."""
        return list(self.session.addresses)

    def step(self, now: Instant = T0) -> list[ServerSessionEvent]:
        self.session.receive_events(now)
        return server_events(self.session)

    def ask(
        self, headers: Headers, *, stream: int = 0, fin: bool = False, now: Instant = T0
    ) -> list[ServerSessionEvent]:
        self.http3.receive(
            HeadersReceived(stream_id=StreamId(stream), headers=headers, end_stream=fin)
        )
        return self.step(now)

    def data(
        self, data: bytes, *, stream: int = 0, fin: bool = False, now: Instant = T0
    ) -> list[ServerSessionEvent]:
        self.http3.receive(DataReceived(stream_id=StreamId(stream), data=data, end_stream=fin))
        return self.step(now)

    def datagrams(self, *payloads: bytes, stream: int = 0) -> list[bytes]:
        self.http3.receive(HttpDatagramsReceived(stream_id=StreamId(stream), payloads=payloads))
        assert self.step() == []
        return expand(self.session.take_ip_packets())

    def wait(self, seconds: float) -> list[ServerSessionEvent]:
        """Handle every timeout up to this long after the start."""
        events = []
        while (deadline := self.session.next_timeout()) is not None and deadline <= at(seconds):
            self.session.handle_timeout(deadline)
            events += self.step(deadline)
        return events


def opened(*networks: str, policy: ServerPolicy | None = None) -> Scene:
    scene = Scene(policy_of(*networks) if policy is None else policy)
    assert scene.ask(request())[1:] != []
    assert scene.http3.sent().status == b"200"
    return scene


def refusal_of(scene: Scene, stream: int = 0) -> tuple[bytes | None, dict[bytes, bytes], bytes]:
    sent = scene.http3.sent(stream)
    assert sent.is_finished
    assert sent.aborted_with is None
    assert scene.session.tunnel_count == 0
    return sent.status, sent.fields, sent.data


def closed(reason: TunnelCloseReason, stream: int = 0) -> TunnelClosed:
    return TunnelClosed(stream_id=StreamId(stream), user="alice", reason=reason)
