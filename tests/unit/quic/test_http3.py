"""HTTP/3 rules that aioquic leaves to us (checklist 8 to 14 and 21 to 25)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from aioquic.h3.connection import FrameType as H3FrameType
from aioquic.h3.connection import encode_frame

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.ids import StreamId
from mqvpn_core.quic.events import ConnectionTerminated
from mqvpn_core.quic.http3 import Http3Connection
from mqvpn_core.quic.http3_events import (
    DataReceived,
    HeadersReceived,
    Http3Event,
    HttpDatagramsReceived,
    RequestReset,
    RequestStopped,
    SettingsReceived,
)
from mqvpn_core.testing.pair import Pair
from mqvpn_core.wire.code_points import Http3ErrorCode, Http3Setting
from mqvpn_core.wire.varint import encode_varint

CONNECT = (
    (b":method", b"CONNECT"),
    (b":protocol", b"connect-ip"),
    (b":scheme", b"https"),
    (b":authority", b"vpn.example"),
    (b":path", b"/.well-known/masque/ip/*/*/"),
    (b"capsule-protocol", b"?1"),
)
GET = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"vpn.example"),
    (b":path", b"/"),
)
OK = ((b":status", b"200"), (b"capsule-protocol", b"?1"))

_E = TypeVar("_E")


@dataclass
class Side:
    """One end and all it has told."""

    http3: Http3Connection
    events: list[Http3Event] = field(default_factory=list)

    def of(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]


class Stage:
    """A client and a server that speak HTTP/3 with one another."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        pair.handshake()
        self.client = Side(Http3Connection(pair.client.connection))
        self.server = Side(Http3Connection(pair.server.connection))
        self.run()

    def run(self, seconds: float = 0.3) -> None:
        """Let time pass; events go to the HTTP/3 rooms, not to the pair's own lists."""
        steps = max(1, int(seconds / 0.05))
        for _ in range(steps):
            for peer, side in ((self.pair.client, self.client), (self.pair.server, self.server)):
                # The pair collects QUIC events; hand them on to HTTP/3.
                peer.connection._events.extend(peer.events)
                peer.events.clear()
                while (event := side.http3.next_event()) is not None:
                    side.events.append(event)
            for handle in self.pair.server_node.endpoint.connections:
                self.pair.server_node.endpoint.wake(handle)
            self.pair.simulator.run_for(0.05)

    def open_tunnel(self) -> StreamId:
        stream_id = self.client.http3.open_request(CONNECT)
        self.run()
        self.server.http3.send_headers(stream_id, OK)
        self.run()
        return stream_id

    def inject(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> None:
        """Write raw bytes on a stream of the client."""
        self.pair.client.send_stream(stream_id, data, end_stream=end_stream)
        self.run()

    def server_end(self) -> ConnectionTerminated | None:
        self.run()
        ends = self.server.of(ConnectionTerminated)
        return ends[0] if ends else None


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Pair(11) as pair:
        yield Stage(pair)


def test_checklist_08_21_settings_offer_datagrams_and_extended_connect(stage: Stage) -> None:
    expected = SettingsReceived(extended_connect=True, h3_datagram=True)
    assert stage.client.http3.peer_settings == expected
    assert stage.server.http3.peer_settings == expected
    assert stage.client.http3.may_send_datagrams


def test_checklist_09_21_nothing_is_sent_before_the_peers_settings() -> None:
    with Pair(3) as pair:
        pair.handshake()
        http3 = Http3Connection(pair.client.connection)
        assert not http3.may_send_datagrams
        with pytest.raises(LocalProtocolError, match="extended CONNECT"):
            http3.open_request(CONNECT)
        stream_id = http3.open_request(GET)
        http3.send_http_datagrams(stream_id, b"\0", [b"early"], pair.simulator.now)
        assert pair.client.connection.statistics().datagrams_waiting == 0


@pytest.mark.parametrize(
    "fields",
    [
        (*GET, (b":protocol", b"connect-ip")),
        tuple(item for item in CONNECT if item[0] != b":path"),
        tuple(item for item in CONNECT if item[0] != b":authority"),
        ((b":method", b"CONNECT"), (b":authority", b"x"), (b":path", b"/")),
    ],
    ids=["GET with :protocol", "no :path", "no :authority", "plain CONNECT with :path"],
)
def test_checklist_29_requests_against_the_rules_are_not_sent(
    stage: Stage, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    with pytest.raises(LocalProtocolError):
        stage.client.http3.open_request(fields)


def test_datagrams_cross_both_ways_with_their_context_id(stage: Stage) -> None:
    stream_id = stage.open_tunnel()
    now = stage.pair.simulator.now
    stage.client.http3.send_http_datagrams(stream_id, b"\0", [b"up1", b"up2"], now)
    stage.server.http3.send_http_datagrams(stream_id, b"\0", [b"down"], now)
    stage.run()
    up = [data for event in stage.server.of(HttpDatagramsReceived) for data in event.payloads]
    down = [data for event in stage.client.of(HttpDatagramsReceived) for data in event.payloads]
    assert up == [b"\0up1", b"\0up2"]
    assert down == [b"\0down"]


def test_the_largest_datagram_passes_and_one_byte_more_is_dropped(stage: Stage) -> None:
    stream_id = stage.open_tunnel()
    size = stage.client.http3.max_datagram_payload(stream_id)
    now = stage.pair.simulator.now
    stage.client.http3.send_http_datagrams(stream_id, b"\0", [bytes(size), bytes(size - 1)], now)
    stage.run()
    received = [d for event in stage.server.of(HttpDatagramsReceived) for d in event.payloads]
    assert [len(data) for data in received] == [size]
    assert stage.pair.client.connection.statistics().datagrams_dropped == 1


def test_checklist_02_07_no_datagram_is_larger_than_the_peer_takes(stage: Stage) -> None:
    """RFC 9221 s3: its limit counts type, length and payload of the frame."""
    stream_id = stage.open_tunnel()
    stage.pair.client.connection.engine._remote_max_datagram_frame_size = 500
    room = stage.client.http3.max_datagram_payload(stream_id)
    quarter_stream_id = 1
    assert 1 + 2 + quarter_stream_id + room == 500


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", Http3ErrorCode.H3_DATAGRAM_ERROR),
        (b"\x40", Http3ErrorCode.H3_DATAGRAM_ERROR),
        (encode_varint(2**60) + b"x", Http3ErrorCode.H3_DATAGRAM_ERROR),
        (encode_varint(2**40) + b"x", Http3ErrorCode.H3_ID_ERROR),
    ],
    ids=["empty", "cut varint", "above 2^60-1", "beyond the stream limit"],
)
def test_checklist_11_13_bad_quarter_stream_ids_close_the_connection(
    stage: Stage, payload: bytes, code: int
) -> None:
    stage.pair.client.send_datagrams([payload], stage.pair.simulator.now)
    end = stage.server_end()
    assert end is not None
    assert end.error_code == code
    assert end.is_application


def test_checklist_12_13_datagrams_of_closed_and_unopened_streams_are_dropped(
    stage: Stage,
) -> None:
    stage.pair.client.send_datagrams([encode_varint(7) + b"x"], stage.pair.simulator.now)
    stage.run()
    assert stage.server.of(HttpDatagramsReceived) == []
    assert stage.server_end() is None


@pytest.mark.parametrize("setting", [Http3Setting.H3_DATAGRAM, 0x08])
def test_checklist_08_21_settings_other_than_0_and_1_are_an_error(setting: int) -> None:
    with Pair(5) as pair:
        pair.handshake()
        server = Side(Http3Connection(pair.server.connection))
        body = encode_varint(setting) + encode_varint(2)
        pair.client.send_stream(2, b"\x00" + encode_frame(H3FrameType.SETTINGS, body))
        pair.simulator.run_for(0.2)
        pair.server.connection._events.extend(pair.server.events)
        while (event := server.http3.next_event()) is not None:
            server.events.append(event)
        cause = pair.server.connection.engine.close_cause
        assert cause is not None
        assert cause.error_code == Http3ErrorCode.H3_SETTINGS_ERROR


def test_checklist_23_headers_after_connect_are_unexpected(stage: Stage) -> None:
    stream_id = stage.client.http3.open_request(CONNECT)
    stage.run()
    stage.client.http3.send_headers(stream_id, [(b"x-trailer", b"1")])
    end = stage.server_end()
    assert end is not None
    assert end.error_code == Http3ErrorCode.H3_FRAME_UNEXPECTED


def test_checklist_23_unknown_frames_and_streams_are_ignored(stage: Stage) -> None:
    stream_id = stage.open_tunnel()
    stage.inject(stream_id, encode_varint(0x21 + 0x1F * 7) + b"\x03abc")
    grease_stream = stage.pair.client.connection.engine.get_next_available_stream_id(
        is_unidirectional=True
    )
    stage.inject(grease_stream, encode_varint(0x21 + 0x1F * 9) + b"noise")
    stage.client.http3.send_data(stream_id, b"capsule")
    stage.run()
    assert [event.data for event in stage.server.of(DataReceived)] == [b"capsule"]
    assert stage.server_end() is None


@pytest.mark.parametrize(
    "fields",
    [
        ((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")),
        (*GET, (b"UPPER", b"x")),
        ((b"x", b"y"), *GET),
        (*GET, (b":strange", b"x")),
    ],
    ids=["no :authority", "upper case", "pseudo-header last", "unknown pseudo-header"],
)
def test_checklist_24_malformed_requests_are_stream_errors(
    stage: Stage, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    stream_id = stage.client.http3.open_request(fields)
    stage.run()
    assert not stage.server.of(HeadersReceived)
    # Our own side hears of it as well, or it would wait for a message that never comes.
    (told,) = stage.server.of(RequestReset)
    assert (told.stream_id, told.error_code) == (stream_id, Http3ErrorCode.H3_MESSAGE_ERROR)
    (reset,) = stage.client.of(RequestReset)
    assert (reset.stream_id, reset.error_code) == (stream_id, Http3ErrorCode.H3_MESSAGE_ERROR)
    # The connection goes on: another request is served.
    stage.client.http3.open_request(GET, end_stream=True)
    stage.run()
    assert len(stage.server.of(HeadersReceived)) == 1
    assert stage.server_end() is None


def test_checklist_24_resetting_a_critical_stream_closes_the_connection(stage: Stage) -> None:
    control = 2
    stage.pair.client.connection.engine.reset_stream(control, 0)
    stage.pair.client.connection.note_stream_activity()
    end = stage.server_end()
    assert end is not None
    assert end.error_code == Http3ErrorCode.H3_CLOSED_CRITICAL_STREAM


def test_an_aborted_stream_is_reset_and_stopped_and_late_data_is_ignored(stage: Stage) -> None:
    stream_id = stage.open_tunnel()
    stage.server.http3.abort_stream(stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
    stage.client.http3.send_data(stream_id, b"crossing")
    stage.run()
    (reset,) = stage.client.of(RequestReset)
    (stopped,) = stage.client.of(RequestStopped)
    assert reset.error_code == stopped.error_code == Http3ErrorCode.H3_REQUEST_CANCELLED
    assert not stage.server.of(DataReceived)
    assert stage.server_end() is None


def test_requests_that_are_over_leave_nothing_behind(stage: Stage) -> None:
    """Strangers may send as many requests as they like, malformed or given up."""
    malformed = tuple(line for line in GET if line[0] != b":authority")
    rounds, each = 30, 20
    for _ in range(rounds):
        given_up = []
        for _ in range(each):
            stage.client.http3.open_request(malformed, end_stream=True)
            given_up.append(stage.client.http3.open_request(CONNECT))
        stage.run()
        for stream_id in given_up:
            stage.client.http3.abort_stream(stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
        stage.run()
    assert stage.server_end() is None
    assert len(stage.server.of(RequestReset)) == 2 * rounds * each
    adapter = stage.server.http3._h3
    assert adapter is not None
    assert len(adapter._stream) < 10
    assert len(adapter._aborted) <= 512
    assert not stage.server.http3._data_only


def test_a_request_that_waits_for_its_field_section_can_be_aborted(stage: Stage) -> None:
    """Its section was held back until the table had what it names; that comes afterwards."""
    adapter = stage.client.http3._adapter()
    encoder_stream = adapter._local_encoder_stream_id
    assert encoder_stream is not None
    engine = stage.pair.client.connection.engine
    sound = engine.send_stream_data
    held = bytearray()

    def hold_back(stream_id: int, data: bytes, end_stream: bool = False) -> None:
        if stream_id == encoder_stream:
            held.extend(data)
        else:
            sound(stream_id, data, end_stream)

    engine.send_stream_data = hold_back  # type: ignore[method-assign] # a peer that reorders
    fields = (*GET, (b"x-new", b"a value that no table has"))
    waiting = []
    for _ in range(3):  # a field that comes again is put into the table
        waiting.append(stage.client.http3.open_request(fields))
        stage.run()
    assert held, "the table was not used"
    heard = len(stage.server.of(HeadersReceived))
    assert heard < 3
    for stream_id in waiting:
        stage.server.http3.abort_stream(stream_id, Http3ErrorCode.H3_REQUEST_CANCELLED)
    stage.run()
    sound(encoder_stream, bytes(held))
    stage.pair.client.connection.note_stream_activity()
    stage.run()
    engine.send_stream_data = sound  # type: ignore[method-assign] # as it was
    stage.client.http3.open_request(GET, end_stream=True)
    stage.run()
    assert stage.server_end() is None
    assert len(stage.server.of(HeadersReceived)) == heard + 1


def test_a_header_section_that_never_ends_is_refused(stage: Stage) -> None:
    stream_id = stage.pair.client.connection.engine.get_next_available_stream_id()
    stage.inject(stream_id, encode_varint(1) + encode_varint(2**30) + bytes(200_000))
    end = stage.server_end()
    assert end is not None
    assert end.error_code == Http3ErrorCode.H3_EXCESSIVE_LOAD


def test_flow_control_credit_does_not_grow_behind_a_gap(stage: Stage) -> None:
    """A peer that skips the first byte must not make us buffer more than a window."""
    engine = stage.pair.server.connection.engine
    stream_id = stage.client.http3.open_request(GET)
    stage.run()
    sender = stage.pair.client.connection.engine._streams[stream_id].sender
    stage.pair.client.send_stream(stream_id, bytes(3_000_000))
    first = sender._pending[0].start
    sender._pending.subtract(first, first + 1)
    for _ in range(20):
        stage.run(1.0)
    stream = engine._streams[stream_id]
    assert stream.receiver.highest_offset <= stream.receiver.starting_offset() + 1024 * 1024


def test_content_crosses_in_order_under_flow_control(stage: Stage) -> None:
    stream_id = stage.client.http3.open_request(GET, end_stream=True)
    stage.run()
    body = bytes(range(256)) * 12_000
    stage.server.http3.send_headers(stream_id, [(b":status", b"200")])
    stage.server.http3.send_data(stream_id, body, end_stream=True)
    assert stage.server.http3.unsent_bytes(stream_id) >= len(body)
    for _ in range(40):
        stage.run(0.5)
        if stage.server.http3.unsent_bytes(stream_id) == 0:
            break
    assert b"".join(event.data for event in stage.client.of(DataReceived)) == body
    assert stage.server.http3.unsent_bytes(stream_id) == 0
