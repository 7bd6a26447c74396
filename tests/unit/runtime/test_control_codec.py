"""The control language, line by line."""

import pytest

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import (
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    ControlReply,
    ControlRequest,
    DoneReply,
    ErrorReply,
    EventsReply,
    EventsRequest,
    JsonValue,
    PortalRequest,
    SetLinkRequest,
    SetSchedulerRequest,
    StatusReply,
    StatusRequest,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)

REQUESTS: list[ControlRequest] = [
    StatusRequest(),
    EventsRequest(),
    EventsRequest(after=(1 << 63) - 1, follow=True, with_debug=True),
    SetLinkRequest(link="wlan0", role="backup"),
    SetLinkRequest(link="w*", cap="5 GB", rate_limit="none"),
    PortalRequest(link="wlan0", seconds=300),
    SetSchedulerRequest(name="minrtt"),
]


def test_the_line_of_the_first_version_still_asks_for_the_status() -> None:
    assert encode_request(StatusRequest()) == b'{"version":1,"command":"status"}\n'


@pytest.mark.parametrize("request_", REQUESTS)
def test_request_survives_its_line(request_: ControlRequest) -> None:
    line = encode_request(request_)
    assert line.count(b"\n") == 1
    assert decode_request(line) == request_


def test_members_of_an_events_request_may_be_left_out() -> None:
    assert decode_request(b'{"version":1,"command":"events"}\n') == EventsRequest()


@pytest.mark.parametrize("member", ['"after":-1', '"after":true', '"after":1.5', '"follow":1'])
def test_wrong_member_of_an_events_request_is_refused(member: str) -> None:
    with pytest.raises(DecodeError, match=r"after|follow"):
        decode_request(b'{"version":1,"command":"events",' + member.encode() + b"}\n")


@pytest.mark.parametrize("members", ['"seconds":5', '"interface":"a"', '"seconds":-1'])
def test_wrong_member_of_a_portal_is_refused(members: str) -> None:
    with pytest.raises(DecodeError, match=r"interface|seconds"):
        decode_request(b'{"version":1,"command":"portal",' + members.encode() + b"}\n")


@pytest.mark.parametrize("members", ['"role":"never"', '"interface":5', '"interface":"a","cap":5'])
def test_wrong_member_of_a_change_is_refused(members: str) -> None:
    with pytest.raises(DecodeError, match=r"interface|cap"):
        decode_request(b'{"version":1,"command":"path_set",' + members.encode() + b"}\n")


@pytest.mark.parametrize("members", ['"nam":"minrtt"', '"name":5', '"name":null'])
def test_wrong_member_of_a_scheduler_is_refused(members: str) -> None:
    with pytest.raises(DecodeError, match="name"):
        decode_request(b'{"version":1,"command":"scheduler",' + members.encode() + b"}\n")


@pytest.mark.parametrize("status", [None, True, 1, 1.5, "ü", [1, "a"], {"a": {"b": []}}])
def test_status_survives_its_line(status: JsonValue) -> None:
    line = encode_reply(StatusReply(status=status))
    assert line.count(b"\n") == 1
    assert decode_reply(line) == StatusReply(status=status)


OTHER_REPLIES: list[ControlReply] = [
    ErrorReply(reason="no"),
    DoneReply(),
    EventsReply(events=(), missed=0, last=0, more=False),
    EventsReply(events=({"number": 7},), missed=3, last=7, more=True),
]


@pytest.mark.parametrize("reply", OTHER_REPLIES)
def test_reply_survives_its_line(reply: ControlReply) -> None:
    assert decode_reply(encode_reply(reply)) == reply


def test_line_breaks_inside_stay_inside() -> None:
    assert encode_reply(StatusReply(status="a\nb\r")).count(b"\n") == 1


def test_status_that_json_cannot_carry_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_reply(StatusReply(status=float("nan")))
    with pytest.raises(ValueError, match="exceeds"):
        encode_reply(StatusReply(status="x" * MAX_REPLY_BYTES))


MALFORMED = [
    b"",
    b"\n",
    b"status\n",
    b"[]\n",
    b"null\n",
    b"1\n",
    b"{}\n",
    b'{"version":2,"command":"status","status":1}\n',
    b'{"version":"1","command":"status","status":1}\n',
    b'{"version":1}\n',
    b'{"version":1,"command":"status","status":NaN}\n',
    b'{"version":1,"command":"status","status":1e9999',
    b"\xff\xfe\n",
    b"[" * 4000,
    b'{"version":1,"x":' + b"9" * 4000,
    b'{"version":1,"command":"events","after":"1","events":1}\n',
    b'{"version":1,"command":"events","debug":null,"events":[],"missed":0,"last":0}\n',
    b'{"version":1,"command":"events","after":9223372036854775808,"events":[],"missed":-1}\n',
]


@pytest.mark.parametrize("line", MALFORMED)
def test_malformed_line_is_refused_both_ways(line: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_request(line)
    with pytest.raises(DecodeError):
        decode_reply(line)


def test_unknown_command_is_refused() -> None:
    with pytest.raises(DecodeError, match="unknown command"):
        decode_request(b'{"version":1,"command":"reboot"}\n')
    with pytest.raises(DecodeError, match="unknown command"):
        decode_request(b'{"version":1,"command":["status"]}\n')


def test_lines_are_bounded() -> None:
    good = encode_request(StatusRequest())
    padded = good[:-1] + b" " * (MAX_REQUEST_BYTES - len(good)) + b"\n"
    assert decode_request(padded) == StatusRequest()
    with pytest.raises(DecodeError, match="longer"):
        decode_request(b" " + padded)
    with pytest.raises(DecodeError, match="longer"):
        decode_reply(b" " * (MAX_REPLY_BYTES + 1))
    with pytest.raises(DecodeError, match="not JSON"):
        decode_reply(b"[" * 1_000_000)


def test_boolean_is_no_version() -> None:
    with pytest.raises(DecodeError, match="version"):
        decode_request(b'{"version":true,"command":"status"}\n')
