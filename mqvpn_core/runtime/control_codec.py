"""The language of the control socket: one JSON object a line, bounded in both directions.

A request is ``{"version": 1, "command": "status"}``; the reply is ``{"version": 1, "status": ...}``
or ``{"version": 1, "error": "..."}``. Pure: no socket, no clock. Everything malformed is a
`DecodeError`.
"""

import enum
import json
from dataclasses import dataclass
from typing import TypeAlias, cast

from mqvpn_core.errors import DecodeError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""What `json` can write."""

VERSION = 1
"""Version of this language."""

MAX_REQUEST_BYTES = 4096
"""Longest request line, newline included."""

MAX_REPLY_BYTES = 8 * 1024 * 1024
"""Longest reply line, newline included: a status with ten thousand clients fits."""


class ControlCommand(enum.Enum):
    """What may be asked."""

    STATUS = "status"
    """Send the whole status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlReply:
    """A decoded reply: exactly one of the two is set."""

    status: JsonValue = None
    """The status."""
    error: str | None = None
    """Why there is none."""


def encode_request(command: ControlCommand) -> bytes:
    """Return the line that asks for ``command``."""
    return _line({"version": VERSION, "command": command.value})


def decode_request(line: bytes) -> ControlCommand:
    """Read a request line.

    Raises:
        DecodeError: too long, not JSON, another version or an unknown command.
    """
    message = _decode_object(line, MAX_REQUEST_BYTES)
    command = message.get("command")
    for known in ControlCommand:
        if command == known.value:
            return known
    raise DecodeError("unknown command; this version knows: status")


def encode_status(status: JsonValue) -> bytes:
    """Return the reply line that carries ``status``.

    Raises:
        ValueError: ``status`` has a value that JSON lacks (NaN) or is too large to send.
    """
    line = _line({"version": VERSION, "status": status})
    if len(line) > MAX_REPLY_BYTES:
        raise ValueError(f"status of {len(line)} bytes exceeds {MAX_REPLY_BYTES}")
    return line


def encode_error(reason: str) -> bytes:
    """Return the reply line that says why there is no answer."""
    return _line({"version": VERSION, "error": reason})


def decode_reply(line: bytes) -> ControlReply:
    """Read a reply line.

    Raises:
        DecodeError: too long, not JSON, another version, or neither status nor error.
    """
    message = _decode_object(line, MAX_REPLY_BYTES)
    error = message.get("error")
    if isinstance(error, str):
        return ControlReply(error=error)
    if "status" not in message:
        raise DecodeError("the reply has neither status nor error")
    return ControlReply(status=message["status"])


def _line(message: dict[str, JsonValue]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _decode_object(line: bytes, limit: int) -> dict[str, JsonValue]:
    if len(line) > limit:
        raise DecodeError(f"line longer than {limit} bytes")
    try:
        message = cast("JsonValue", json.loads(line, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        raise DecodeError("the line is not JSON") from error
    if not isinstance(message, dict):
        raise DecodeError("the line is not a JSON object")
    version = message.get("version")
    if isinstance(version, bool) or version != VERSION:
        raise DecodeError(f"not version {VERSION} of the control language")
    return message


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")
