"""A client session against a scripted server."""

from dataclasses import replace
from ipaddress import ip_network

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.client_session import ClientSession
from mqvpn_core.masque.session_events import (
    SessionEnded,
    SessionEvent,
    TunnelEstablished,
)
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HeadersReceived,
    HttpDatagramsReceived,
    RequestReset,
)
from mqvpn_core.testing.fake_http3 import FakeHttp3
from tests.unit.masque.samples import (
    T0,
    advertise,
    assign,
    at,
    client_events,
    config_of,
    route,
)

STREAM = StreamId(0)
ALL_V4 = route("0.0.0.0/0")
ALL_V6 = route("::/0")
ALL_ZERO = ip_network("::/128")
ONLY_V4 = replace(config_of(), want_ipv6=False)
ONLY_V6 = replace(config_of(), want_ipv4=False)


class Scene:
    """A client session, a scripted connection, and everything the session said."""

    def __init__(self, config: ClientSessionConfig = ONLY_V4, *, settings: bool = True) -> None:
        self.http3 = FakeHttp3()
        self.session = ClientSession(config=config, http3=self.http3)
        self.events: list[SessionEvent] = []
        if settings:
            self.http3.receive_settings()
        self.step(T0)

    def step(self, now: Instant) -> None:
        self.session.receive_events(now)
        self.events += client_events(self.session)

    def answer(self, *fields: tuple[bytes, bytes], now: Instant = T0, fin: bool = False) -> None:
        self.http3.receive(HeadersReceived(stream_id=STREAM, headers=fields, end_stream=fin))
        self.step(now)

    def accept(self, now: Instant = T0) -> None:
        self.answer((b":status", b"200"), (b"capsule-protocol", b"?1"), now=now)

    def data(self, data: bytes, now: Instant = T0, *, fin: bool = False) -> None:
        self.http3.receive(DataReceived(stream_id=STREAM, data=data, end_stream=fin))
        self.step(now)

    def datagrams(self, *payloads: bytes, now: Instant = T0) -> list[bytes]:
        self.http3.receive(HttpDatagramsReceived(stream_id=STREAM, payloads=payloads))
        self.step(now)
        return expand(self.session.take_ip_packets())

    def wait(self, seconds: float) -> None:
        """Handle every timeout up to this long after the start."""
        end = at(seconds)
        while (deadline := self.session.next_timeout()) is not None and deadline <= end:
            self.session.handle_timeout(deadline)
            self.step(deadline)

    def establish(self) -> None:
        self.accept()
        self.data(assign("10.0.0.2/32") + advertise(ALL_V4))
        assert isinstance(self.events.pop(), TunnelEstablished)
        assert self.events == []

    def end(self) -> SessionEnded:
        """Return the end, which must be the only event that is left and the last ever."""
        (event,) = self.events
        assert isinstance(event, SessionEnded)
        assert self.session.next_timeout() is None
        self.data(assign("10.0.0.9/32"))
        self.http3.receive(RequestReset(stream_id=STREAM, error_code=0))
        self.session.handle_timeout(at(1000))
        self.step(at(1000))
        assert len(self.events) == 1
        return event
