"""What a server does with ordinary web requests beside its tunnels."""

import pytest

from mqvpn_core.ids import StreamId
from mqvpn_core.masque.server_events import (
    SiteRequestCancelled,
    SiteRequested,
)
from mqvpn_core.quic.http3_events import (
    HttpDatagramsReceived,
    RequestStopped,
)
from mqvpn_core.wire.code_points import Http3ErrorCode
from tests.unit.masque.server_scene import (
    Scene,
    get,
)


def test_checklist_14_datagrams_of_a_web_request_abort_it() -> None:
    scene = Scene()
    scene.ask(get(), fin=True)
    scene.http3.receive(HttpDatagramsReceived(stream_id=StreamId(0), payloads=(b"\x00x",)))
    assert scene.step() == [SiteRequestCancelled(stream_id=StreamId(0))]
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_DATAGRAM_ERROR


def test_web_requests_are_handed_on_and_answered() -> None:
    scene = Scene()
    assert scene.ask(get(b"/a?b"), fin=True) == [
        SiteRequested(
            stream_id=StreamId(0), method=b"GET", path=b"/a?b", authority=b"vpn.example.org"
        )
    ]
    session = scene.session
    assert session.body_room(StreamId(0)) == 256 * 1024
    session.respond(StreamId(0), 200, [(b"content-length", b"4")], end_stream=False)
    session.send_body(StreamId(0), b"ab", end_stream=False)
    scene.http3.unacknowledged[StreamId(0)] = 300_000
    assert session.body_room(StreamId(0)) == 0
    scene.http3.unacknowledged[StreamId(0)] = 100_000
    assert session.body_room(StreamId(0)) == 256 * 1024 - 100_000
    session.send_body(StreamId(0), b"cd", end_stream=True)
    sent = scene.http3.sent()
    assert sent.headers == [((b":status", b"200"), (b"content-length", b"4"))]
    assert (sent.data, sent.is_finished) == (b"abcd", True)
    # What comes too late goes nowhere.
    session.respond(StreamId(0), 200, [], end_stream=True)
    session.send_body(StreamId(0), b"x", end_stream=True)
    session.cancel_answer(StreamId(0))
    assert session.body_room(StreamId(0)) == 0
    assert (sent.data, sent.aborted_with) == (b"abcd", None)


def test_an_answer_without_content() -> None:
    scene = Scene()
    scene.ask(get(method=b"HEAD"), fin=True)
    scene.session.respond(StreamId(0), 200, [], end_stream=True)
    assert scene.http3.sent().is_finished
    assert scene.session.body_room(StreamId(0)) == 0


def test_an_answer_may_be_broken_off() -> None:
    scene = Scene()
    scene.ask(get(), fin=True)
    scene.session.cancel_answer(StreamId(0))
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_INTERNAL_ERROR


@pytest.mark.parametrize("call", ["respond", "send_body"])
def test_answers_to_a_stream_the_client_stopped_are_ignored(call: str) -> None:
    scene = Scene()
    scene.ask(get(), fin=True)
    scene.http3.sent().is_stopped = True
    if call == "respond":
        scene.session.respond(StreamId(0), 200, [], end_stream=False)
    else:
        scene.session.send_body(StreamId(0), b"x", end_stream=False)
    assert scene.session.body_room(StreamId(0)) == 0


def test_a_client_may_give_up_a_web_request() -> None:
    scene = Scene()
    scene.ask(get(), fin=True)
    scene.http3.receive(RequestStopped(stream_id=StreamId(0), error_code=0x10C))
    assert scene.step() == [SiteRequestCancelled(stream_id=StreamId(0))]
    scene.session.respond(StreamId(0), 200, [], end_stream=True)
    assert scene.http3.sent().headers == []


def test_content_and_trailers_of_web_requests_are_ignored() -> None:
    scene = Scene()
    assert len(scene.ask(get(method=b"POST"))) == 1
    assert scene.data(b"content") == []
    assert scene.ask(((b"trailer", b"x"),), fin=True) == []
    assert scene.http3.sent().aborted_with is None


def test_plain_connect_is_a_web_request() -> None:
    scene = Scene()
    assert scene.ask(((b":method", b"CONNECT"), (b":authority", b"example.org:80"))) == [
        SiteRequested(
            stream_id=StreamId(0), method=b"CONNECT", path=b"", authority=b"example.org:80"
        )
    ]
