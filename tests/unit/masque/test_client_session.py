"""The client's request, the answers it may get, and every way it ends."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import StreamId
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.session_events import (
    EndCause,
    TunnelEstablished,
)
from mqvpn_core.quic.events import ConnectionTerminated, HandshakeConfirmed
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HttpDatagramsReceived,
    RequestReset,
    RequestStopped,
)
from mqvpn_core.wire.capsules import (
    encode_capsule_header,
)
from mqvpn_core.wire.code_points import CapsuleType, Http3ErrorCode
from mqvpn_core.wire.request_scopes import RequestScope
from tests.unit.masque.client_scene import ALL_V4, ALL_V6, ONLY_V4, STREAM, Scene
from tests.unit.masque.samples import (
    KEY,
    PATH,
    T0,
    Headers,
    advertise,
    assign,
    at,
    config_of,
    ipv4_packet,
)


def test_checklist_21_no_request_before_the_settings_of_the_server() -> None:
    scene = Scene(settings=False)
    scene.http3.receive(HandshakeConfirmed())
    scene.step(T0)
    assert scene.http3.streams == {}
    scene.http3.receive_settings()
    scene.step(T0)
    assert list(scene.http3.streams) == [STREAM]


def test_checklist_21_no_request_to_a_server_without_extended_connect() -> None:
    scene = Scene(settings=False)
    scene.http3.receive_settings(extended_connect=False)
    scene.step(T0)
    assert scene.http3.streams == {}
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.NO_EXTENDED_CONNECT, False)


def test_checklist_29_the_request() -> None:
    scene = Scene()
    assert scene.http3.sent().headers == [
        (
            (b":method", b"CONNECT"),
            (b":protocol", b"connect-ip"),
            (b":scheme", b"https"),
            (b":authority", b"vpn.example.org"),
            (b":path", PATH.replace(b"%2A", b"*")),
            (b"capsule-protocol", b"?1"),
            (b"authorization", KEY),
            (b"mqvpn-sequenced-ip", b"?1"),
        )
    ]
    # No content, and the stream stays open: it is the tunnel's life.
    assert scene.http3.sent().data == b""
    assert not scene.http3.sent().is_finished


def test_checklist_34_a_scope_stands_in_the_path() -> None:
    scope = RequestScope(target="example.com", protocol=17)
    scene = Scene(replace(ONLY_V4, scope=scope, authorization=None, instance="abc"))
    fields = scene.http3.sent().fields
    assert fields[b":path"] == b"/.well-known/masque/ip/example.com/17/"
    assert fields[b"mqvpn-instance"] == b"abc"
    assert b"authorization" not in fields


@pytest.mark.parametrize("status", [b"200", b"201", b"299"])
def test_checklist_30_any_2xx_opens_the_tunnel(status: bytes) -> None:
    scene = Scene()
    scene.answer((b":status", status))
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4))
    assert scene.events == [
        TunnelEstablished(addresses=(ip_interface("10.0.0.2/32"),), routes=(ALL_V4,), mtu=1399)
    ]
    assert scene.session.assigned == (ip_interface("10.0.0.2/32"),)
    assert scene.session.routes == (ALL_V4,)
    assert scene.session.mtu == 1399
    assert scene.session.next_timeout() is None


@pytest.mark.parametrize(
    ("status", "cause", "may_retry"),
    [
        (302, EndCause.REFUSED, False),
        (400, EndCause.REFUSED, False),
        (401, EndCause.REFUSED_AUTHENTICATION, False),
        (403, EndCause.REFUSED_AUTHENTICATION, False),
        (404, EndCause.REFUSED_AUTHENTICATION, False),
        (407, EndCause.REFUSED_AUTHENTICATION, False),
        (429, EndCause.REFUSED, True),
        (500, EndCause.REFUSED, True),
        (503, EndCause.REFUSED, True),
    ],
)
def test_checklist_30_31_anything_else_is_a_refusal(
    status: int, cause: EndCause, *, may_retry: bool
) -> None:
    scene = Scene()
    scene.answer((b":status", b"%d" % status), (b"proxy-status", b"x; error=e\x1b"))
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_REQUEST_CANCELLED
    ended = scene.end()
    assert (ended.cause, ended.status, ended.may_retry) == (cause, status, may_retry)
    assert str(status) in ended.message
    assert "x; error=e?" in ended.message


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(((b":status", b"204"),), id="204"),
        pytest.param(((b":status", b"205"),), id="205"),
        pytest.param(((b":status", b"206"),), id="206"),
        pytest.param(((b":status", b"200"), (b"content-type", b"text/html")), id="content-type"),
        pytest.param(((b":status", b"200"), (b"content-length", b"0")), id="content-length"),
        pytest.param(((b":status", b"200"), (b"transfer-encoding", b"x")), id="transfer-encoding"),
        pytest.param(((b":status", b"101"),), id="101"),
        pytest.param(((b"x", b"y"),), id="no status"),
        pytest.param(((b":status", b"200"), (b"X", b"y")), id="upper case"),
    ],
)
def test_checklist_15_25_malformed_responses(headers: Headers) -> None:
    scene = Scene()
    scene.answer(*headers)
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_MESSAGE_ERROR
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.MALFORMED_RESPONSE, False)


@pytest.mark.parametrize("value", [None, b"?0", b'"1"', b"?1;x=y"])
def test_checklist_19_capsule_protocol_is_never_required(value: bytes | None) -> None:
    scene = Scene()
    fields = () if value is None else ((b"capsule-protocol", value),)
    scene.answer((b":status", b"200"), *fields)
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4))
    assert isinstance(scene.events[0], TunnelEstablished)


def test_interim_responses_are_skipped() -> None:
    scene = Scene()
    scene.answer((b":status", b"103"), (b"link", b"x"))
    assert scene.events == []
    scene.establish()


def test_an_interim_response_is_not_the_end() -> None:
    scene = Scene()
    scene.answer((b":status", b"103"), fin=True)
    assert scene.end().cause is EndCause.MALFORMED_RESPONSE


def test_content_before_the_response_is_malformed() -> None:
    scene = Scene()
    scene.data(b"x")
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_MESSAGE_ERROR
    assert scene.end().cause is EndCause.MALFORMED_RESPONSE


def test_checklist_23_headers_inside_a_tunnel_close_the_connection() -> None:
    scene = Scene()
    scene.establish()
    scene.answer((b"trailer", b"x"))
    assert scene.http3.closed_with is not None
    assert scene.http3.closed_with[0] == Http3ErrorCode.H3_FRAME_UNEXPECTED
    assert scene.events[0] == scene.end()
    assert scene.end().cause is EndCause.MALFORMED_RESPONSE


def test_checklist_8_9_no_tunnel_without_datagrams() -> None:
    scene = Scene(settings=False)
    scene.http3.receive_settings(h3_datagram=False)
    scene.step(T0)
    assert scene.end().cause is EndCause.NO_DATAGRAM_SUPPORT
    assert scene.http3.streams == {}


def test_checklist_10_the_setting_without_the_transport_parameter_is_no_support() -> None:
    scene = Scene()
    scene.http3.has_datagram_frames = False
    scene.accept()
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_REQUEST_CANCELLED
    assert scene.end().cause is EndCause.NO_DATAGRAM_SUPPORT


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("settings", "the server sent no SETTINGS within 10 s"),
        ("response", "the server did not answer the tunnel request within 10 s"),
        ("address", "the server accepted the tunnel but assigned no address within 10 s"),
        ("route", "the server assigned an address but advertised no route for it within 10 s"),
    ],
)
def test_setup_ends_in_time_and_says_what_was_missing(stage: str, message: str) -> None:
    scene = Scene(settings=stage != "settings")
    if stage in {"address", "route"}:
        scene.accept()
    if stage == "route":
        # A route of a family without an address is none.
        scene.data(assign("10.0.0.2/32") + advertise(ALL_V6))
    scene.wait(9.9)
    assert scene.events == []
    scene.wait(10)
    assert (scene.http3.sent().aborted_with is None) is (stage == "settings")
    ended = scene.end()
    assert (ended.cause, ended.message, ended.may_retry) == (EndCause.TIMEOUT, message, True)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode_capsule_header(CapsuleType.ADDRESS_REQUEST, 0), id="empty request"),
        pytest.param(encode_capsule_header(CapsuleType.ADDRESS_ASSIGN, 1) + b"\0", id="cut"),
    ],
)
def test_checklist_17_42_a_broken_capsule_aborts_a_live_tunnel(data: bytes) -> None:
    scene = Scene()
    scene.establish()
    scene.data(data, at(5))
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_MESSAGE_ERROR
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.MALFORMED_RESPONSE, True)


def test_checklist_35_fin_ends_the_tunnel() -> None:
    scene = Scene()
    scene.establish()
    scene.data(b"", at(5), fin=True)
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.CLOSED_BY_PEER, True)
    scene.session.send_ip_packets([ipv4_packet("10.0.0.2", "198.51.100.7")], at(6))
    assert scene.http3.sent().datagrams == []


def test_fin_together_with_the_response() -> None:
    scene = Scene()
    scene.answer((b":status", b"200"), fin=True)
    assert scene.end().cause is EndCause.CLOSED_BY_PEER


def test_checklist_17_fin_inside_a_capsule() -> None:
    scene = Scene()
    scene.establish()
    scene.data(assign("10.0.0.2/32")[:-1], at(5), fin=True)
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_MESSAGE_ERROR
    assert scene.end().cause is EndCause.MALFORMED_RESPONSE


@pytest.mark.parametrize(
    ("code", "may_retry", "text"),
    [
        (0x10B, True, "H3_REQUEST_REJECTED"),
        (0x10E, False, "H3_MESSAGE_ERROR"),
        (0xBEEF, True, "0xbeef"),
    ],
)
def test_checklist_24_a_reset_ends_the_tunnel(code: int, *, may_retry: bool, text: str) -> None:
    scene = Scene()
    scene.http3.receive(RequestReset(stream_id=STREAM, error_code=code))
    scene.step(T0)
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.CLOSED_BY_PEER, may_retry)
    assert text in ended.message


def terminated(
    code: int, reason: str, *, by_peer: bool = True, is_application: bool = True
) -> ConnectionTerminated:
    return ConnectionTerminated(
        error_code=code, reason=reason, by_peer=by_peer, is_application=is_application
    )


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (terminated(0x10C, "HTTP 403"), EndCause.REFUSED_AUTHENTICATION),
        (terminated(403, ""), EndCause.REFUSED_AUTHENTICATION),
        (terminated(0x100, "Authentication failed"), EndCause.REFUSED_AUTHENTICATION),
        (terminated(0x100, "shutting down"), EndCause.CLOSED_BY_PEER),
        (terminated(0, "idle timeout", by_peer=False), EndCause.CONNECTION_LOST),
        (terminated(2, "auth", is_application=False), EndCause.CONNECTION_LOST),
    ],
)
def test_a_refusal_may_arrive_as_a_close_only(event: ConnectionTerminated, cause: EndCause) -> None:
    scene = Scene()
    scene.http3.receive(event)
    scene.step(T0)
    assert scene.end().cause is cause
    scene.session.close(T0)
    assert scene.http3.closed_with is None


def test_after_the_answer_a_close_is_no_refusal() -> None:
    scene = Scene()
    scene.establish()
    scene.http3.receive(terminated(403, "auth expired"))
    scene.step(at(5))
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.CLOSED_BY_PEER, True)


def test_closing_ends_session_and_connection_once() -> None:
    scene = Scene()
    scene.establish()
    scene.session.close(at(5))
    scene.session.close(at(6))
    scene.step(at(6))
    assert scene.end().cause is EndCause.CLOSED_LOCALLY
    assert scene.http3.closed_with == (Http3ErrorCode.H3_NO_ERROR, "")


def test_checklist_36_packets_before_the_tunnel_is_up_are_dropped() -> None:
    scene = Scene()
    scene.session.send_ip_packets([ipv4_packet("10.0.0.2", "198.51.100.7")] * 2, T0)
    assert scene.datagrams(b"\0x") == []
    scene.accept()
    scene.session.send_ip_packets([ipv4_packet("10.0.0.2", "198.51.100.7")], T0)
    assert scene.session.counters.drops == {DropReason.NO_TUNNEL: 1}
    assert scene.http3.sent().datagrams == []
    assert scene.events == []


def test_checklist_13_datagrams_of_other_streams_are_dropped() -> None:
    scene = Scene()
    scene.establish()
    packet = ipv4_packet("198.51.100.7", "10.0.0.2")
    scene.http3.receive(HttpDatagramsReceived(stream_id=StreamId(4), payloads=(b"\0" + packet,)))
    scene.http3.receive(DataReceived(stream_id=StreamId(4), data=b"x", end_stream=True))
    scene.step(T0)
    assert scene.session.take_ip_packets() == []
    assert scene.session.counters.drops == {DropReason.NO_TUNNEL: 1}


def test_secrets_do_not_show_in_messages_or_representations() -> None:
    config = config_of()
    assert KEY.decode() not in repr(config)


def test_sending_on_a_stream_the_server_stopped_is_harmless() -> None:
    scene = Scene()
    scene.accept()
    scene.http3.sent().is_stopped = True
    scene.wait(1)
    scene.http3.receive(RequestStopped(stream_id=STREAM, error_code=0x100))
    scene.step(at(1))
    assert scene.end().cause is EndCause.ADDRESS_REQUEST_REFUSED


def test_a_tunnel_without_any_family_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="IPv4 or IPv6"):
        Scene(replace(ONLY_V4, want_ipv4=False))
