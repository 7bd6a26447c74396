"""The control language, line by line."""

import pytest

from mqvpn_core.errors import DecodeError
from mqvpn_core.runtime.control_codec import (
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    ControlCommand,
    ControlReply,
    JsonValue,
    decode_reply,
    decode_request,
    encode_error,
    encode_request,
    encode_status,
)


def test_request_survives_its_line() -> None:
    line = encode_request(ControlCommand.STATUS)
    assert line == b'{"version":1,"command":"status"}\n'
    assert decode_request(line) is ControlCommand.STATUS


@pytest.mark.parametrize("status", [None, True, 1, 1.5, "ü", [1, "a"], {"a": {"b": []}}])
def test_status_survives_its_line(status: JsonValue) -> None:
    line = encode_status(status)
    assert line.count(b"\n") == 1
    assert decode_reply(line) == ControlReply(status=status)


def test_error_survives_its_line() -> None:
    assert decode_reply(encode_error("no")) == ControlReply(error="no")


def test_line_breaks_inside_stay_inside() -> None:
    assert encode_status("a\nb\r").count(b"\n") == 1


def test_status_that_json_cannot_carry_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_status(float("nan"))
    with pytest.raises(ValueError, match="exceeds"):
        encode_status("x" * MAX_REPLY_BYTES)


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
    good = encode_request(ControlCommand.STATUS)
    padded = good[:-1] + b" " * (MAX_REQUEST_BYTES - len(good)) + b"\n"
    assert decode_request(padded) is ControlCommand.STATUS
    with pytest.raises(DecodeError, match="longer"):
        decode_request(b" " + padded)
    with pytest.raises(DecodeError, match="longer"):
        decode_reply(b" " * (MAX_REPLY_BYTES + 1))
    with pytest.raises(DecodeError, match="not JSON"):
        decode_reply(b"[" * 1_000_000)


def test_boolean_is_no_version() -> None:
    with pytest.raises(DecodeError, match="version"):
        decode_request(b'{"version":true,"command":"status"}\n')
