"""Peers that send anything: sessions raise nothing, end once, and leave nothing behind."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import Instant, StreamId
from mqvpn_core.masque.client_session import ClientSession
from mqvpn_core.masque.connect_ip import ConnectIpStream
from mqvpn_core.masque.server_events import (
    NameResolutionWanted,
    ResolutionFailure,
    SiteRequested,
    TunnelClosed,
    TunnelOpened,
)
from mqvpn_core.masque.server_session import ServerSession
from mqvpn_core.masque.session_events import SessionEnded, TunnelEstablished
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
from mqvpn_core.testing.fake_http3 import FakeHttp3
from mqvpn_core.wire.capsules import (
    CapsuleLimits,
    DatagramCapsule,
    encode_capsule,
    encode_capsule_header,
)
from mqvpn_core.wire.code_points import Http3ErrorCode
from tests.unit.masque.samples import (
    KEY,
    PATH,
    T0,
    advertise,
    assign,
    assign_answers,
    client_events,
    config_of,
    echo_packet,
    ipv4_packet,
    policy_of,
    request_addresses,
    route,
    server_events,
)

pytestmark = pytest.mark.slow

GOOD_CAPSULES = [
    assign("10.0.0.2/32"),
    assign("fd00::2/128"),
    assign("10.0.0.2/32", "fd00::2/128"),
    assign(),
    assign_answers((1, "10.0.0.9/32"), (2, "::/128")),
    assign_answers((1, "0.0.0.0/32")),
    request_addresses((1, "0.0.0.0/32"), (2, "::/128")),
    request_addresses((3, "10.0.0.9/32")),
    advertise(route("0.0.0.0/0")),
    advertise(route("0.0.0.0/0"), route("::/0")),
    advertise(),
    encode_capsule(DatagramCapsule(payload=b"\0" + ipv4_packet("10.0.0.2", "198.51.100.7"))),
    encode_capsule_header(0x17, 3) + b"abc",
]
GOOD_DATAGRAMS = [
    b"\0" + ipv4_packet("10.0.0.2", "198.51.100.7"),
    b"\0" + ipv4_packet("198.51.100.7", "10.0.0.2"),
    b"\0" + echo_packet("fd00::2", "ff02::1", data=bytes(1232)),
    b"\0" + echo_packet("fd00::1", "fd00::2", data=bytes(1232), reply=True),
    b"\2grease",
    b"",
]


@st.composite
def damaged(draw: st.DrawFn, good: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(good)))
    if data and draw(st.booleans()):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=3))


capsule_bytes = st.sampled_from(GOOD_CAPSULES) | damaged(GOOD_CAPSULES) | st.binary(max_size=12)
datagrams = st.sampled_from(GOOD_DATAGRAMS) | damaged(GOOD_DATAGRAMS) | st.binary(max_size=60)


def drain(stream: ConnectIpStream) -> list[object]:
    events: list[object] = []
    while (event := stream.next_event()) is not None:
        events.append(event)
    return events


@given(
    data=st.lists(capsule_bytes, max_size=6).map(b"".join),
    cuts=st.lists(st.integers(1, 30)),
    fin=st.booleans(),
)
def test_capsule_streams_of_any_shape(data: bytes, cuts: list[int], *, fin: bool) -> None:
    """Only RemoteProtocolError, and how the bytes are cut makes no difference to a sound stream."""
    whole, pieces = (ConnectIpStream(CapsuleLimits()) for _ in range(2))
    codes: list[int | None] = [None, None]
    try:
        whole.receive_data(data, end_stream=fin)
    except RemoteProtocolError as error:
        codes[0] = error.error_code
    offset = 0
    try:
        for cut in cuts:
            pieces.receive_data(data[offset : offset + cut], end_stream=False)
            offset += cut
        pieces.receive_data(data[offset:], end_stream=fin)
    except RemoteProtocolError as error:
        codes[1] = error.error_code
    assert codes[0] == codes[1]
    assert codes[0] in {None, Http3ErrorCode.H3_MESSAGE_ERROR, Http3ErrorCode.H3_EXCESSIVE_LOAD}
    if codes[0] is None:
        assert drain(whole) == drain(pieces)
        assert (whole.assigned, whole.routes) == (pieces.assigned, pieces.routes)


def headers_events(
    sections: Sequence[tuple[tuple[bytes, bytes], ...]],
) -> st.SearchStrategy[Http3Event]:
    return st.builds(
        HeadersReceived,
        stream_id=st.sampled_from([StreamId(0), StreamId(4), StreamId(8)]),
        headers=st.sampled_from(sections),
        end_stream=st.booleans(),
    )


streams = st.sampled_from([StreamId(0), StreamId(0), StreamId(4), StreamId(8)])
codes = st.sampled_from([0, 0x33, 0x100, 0x10C, 0x10E, 2**62 - 1])
stream_events: st.SearchStrategy[Http3Event] = st.one_of(
    st.builds(
        DataReceived,
        stream_id=streams,
        data=capsule_bytes,
        end_stream=st.sampled_from([False, False, False, True]),
    ),
    st.builds(
        HttpDatagramsReceived,
        stream_id=streams,
        payloads=st.lists(datagrams, max_size=4).map(tuple),
    ),
    st.builds(RequestReset, stream_id=streams, error_code=codes),
    st.builds(RequestStopped, stream_id=streams, error_code=codes),
)
settings = st.builds(SettingsReceived, extended_connect=st.booleans(), h3_datagram=st.booleans())
responses = headers_events(
    [
        ((b":status", b"200"),),
        ((b":status", b"200"), (b"capsule-protocol", b"?1")),
        ((b":status", b"103"),),
        ((b":status", b"404"), (b"content-length", b"3")),
        ((b":status", b"204"),),
        ((b"trailer", b"x"),),
        (),
    ]
)


def request(path: bytes, key: bytes = KEY) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b":method", b"CONNECT"),
        (b":protocol", b"connect-ip"),
        (b":scheme", b"https"),
        (b":authority", b"vpn.example.org"),
        (b":path", path),
        (b"authorization", key),
        (b"mqvpn-instance", b"laptop"),
    )


requests = headers_events(
    [
        request(PATH),
        request(PATH),
        request(PATH, b"wrong"),
        request(b"/.well-known/masque/ip/www.example.com/17/"),
        request(b"/.well-known/masque/ip/10.0.0.0%2F8/6/"),
        request(b"/.well-known/masque/ip/10.0.0.1%2F8/6/"),
        (
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"vpn.example.org"),
            (b":path", b"/"),
        ),
        ((b"trailer", b"x"),),
        (),
    ]
)
gone = ConnectionTerminated(error_code=0, reason="gone", by_peer=True, is_application=False)
waits = st.sampled_from([0.0, 0.0, 0.1, 1.0, 10.0])


@given(
    st.lists(st.tuples(waits, settings | responses | stream_events), max_size=12),
    st.sampled_from([1200, 1400]),
)
def test_a_client_survives_any_server(script: list[tuple[float, Http3Event]], room: int) -> None:
    http3 = FakeHttp3(datagram_room=room)
    http3.receive_settings()
    session = ClientSession(config=config_of(), http3=http3)
    now = T0
    events = []
    for wait, event in script:
        now = Instant(now + wait)
        http3.receive(event)
        session.receive_events(now)
        session.send_ip_packets([ipv4_packet("10.0.0.2", "198.51.100.7"), b"junk"], now)
        session.take_ip_packets()
        deadline = session.next_timeout()
        if deadline is not None and deadline <= now:
            session.handle_timeout(now)
            later = session.next_timeout()
            assert later is None or later > now
        events += client_events(session)
    http3.receive(gone)
    session.receive_events(now)
    events += client_events(session)
    assert [isinstance(event, SessionEnded) for event in events].count(True) == 1
    assert isinstance(events[-1], SessionEnded)
    assert sum(isinstance(event, TunnelEstablished) for event in events) <= 1
    assert session.next_timeout() is None


@given(
    st.lists(st.tuples(waits, requests | stream_events), max_size=14),
    st.sampled_from([1200, 1400]),
)
def test_a_server_survives_any_client_and_leaks_nothing(
    script: list[tuple[float, Http3Event]], room: int
) -> None:
    policy = policy_of("10.0.0.0/24", "fd00::/64")
    http3 = FakeHttp3(datagram_room=room)
    http3.receive_settings(extended_connect=False)
    session = ServerSession(policy=policy, http3=http3, peer_host="192.0.2.9")
    now = T0
    open_streams: set[StreamId] = set()
    for number, (wait, event) in enumerate([*script, (0.0, gone)]):
        now = Instant(now + wait)
        http3.receive(event)
        session.receive_events(now)
        session.send_ip_packets([ipv4_packet("198.51.100.7", "10.0.0.2"), b"junk"], now)
        session.take_ip_packets()
        deadline = session.next_timeout()
        if deadline is not None and deadline <= now:
            session.handle_timeout(now)
            later = session.next_timeout()
            assert later is None or later > now
        for told in server_events(session):
            match told:
                case TunnelOpened():
                    assert told.stream_id not in open_streams
                    open_streams.add(told.stream_id)
                case TunnelClosed():
                    open_streams.remove(told.stream_id)
                case SiteRequested():
                    session.respond(told.stream_id, 200, (), end_stream=number % 2 == 0)
                    session.send_body(told.stream_id, b"x", end_stream=False)
                case NameResolutionWanted() if number % 3:
                    session.resolved(told.token, ResolutionFailure.NOT_FOUND, now)
                case NameResolutionWanted():
                    pass
                case _:
                    pass
        assert len(open_streams) == session.tunnel_count == policy.quota.open_count
    assert open_streams == set()
    assert [pool.leased_count for pool in policy.pools] == [0, 0]
    assert session.next_timeout() is None
    assert session.addresses == ()
    assert (session._unfinished, len(session._pending), len(session._table)) == (set(), 0, 0)
