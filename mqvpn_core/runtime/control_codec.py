"""The language of the control socket: one JSON object a line, bounded in both directions.

    {"version": 1, "command": "status"}
    {"version": 1, "status": {...}}

    {"version": 1, "command": "events", "after": 17, "follow": true, "debug": false}
    {"version": 1, "events": [{...}, ...], "missed": 0, "last": 21, "more": false}

    {"version": 1, "command": "path_set", "interface": "wlan0", "role": "backup", "cap": "5 GB",
     "rate_limit": "none"}
    {"version": 1, "done": true}

    {"version": 1, "command": "portal", "interface": "wlan0", "seconds": 300}
    {"version": 1, "done": true}

    {"version": 1, "command": "scheduler", "name": "minrtt"}
    {"version": 1, "done": true}

Or, instead of any reply, ``{"version": 1, "error": "..."}`` and the end of the connection. A status
may be asked for again and again; after ``follow`` there is nothing more to ask. Pure: no socket, no
clock. Everything malformed is a `DecodeError`.
"""

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
"""Longest reply line, newline included: a status with some thousand clients fits."""

_MAX_NUMBER = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """Send the whole status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsRequest:
    """Send events."""

    after: int = 0
    """Only those with a larger number."""
    follow: bool = False
    """Go on with new ones as they happen, until one side closes."""
    with_debug: bool = False
    """Also those that are meant for fault-finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLinkRequest:
    """Change what a client's link is for; what is None stays as it is."""

    link: str
    """Name or pattern of the link."""
    role: str | None = None
    """Its role, or ``default``."""
    cap: str | None = None
    """What it may carry in a month, such as ``5 GB``, or ``none``."""
    rate_limit: str | None = None
    """How fast it may be, such as ``10 Mbit/s``, or ``none``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalRequest:
    """Let a link past a client's kill switch for a while, to sign in to its network."""

    link: str
    """Name of the link."""
    seconds: int
    """How long; 0 ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSchedulerRequest:
    """Spread packets over paths in another way from now on."""

    name: str
    """Name of the scheduler, such as ``minrtt``."""


ChangeRequest: TypeAlias = SetLinkRequest | PortalRequest | SetSchedulerRequest
"""What is answered by `DoneReply`."""

ControlRequest: TypeAlias = StatusRequest | EventsRequest | ChangeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReply:
    """The answer to `StatusRequest`."""

    status: JsonValue
    """The status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsReply:
    """One of the answers to `EventsRequest`."""

    events: tuple[JsonValue, ...]
    """Events, the oldest first."""
    missed: int
    """How many before the first of them nobody can have any more."""
    last: int
    """Number to ask after the next time."""
    more: bool
    """Another reply follows at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneReply:
    """The answer to each `ChangeRequest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """There is no answer."""

    reason: str
    """Why not."""


ControlReply: TypeAlias = StatusReply | EventsReply | DoneReply | ErrorReply


def encode_request(request: ControlRequest) -> bytes:
    """Return the line that asks for this."""
    match request:
        case StatusRequest():
            return _line({"version": VERSION, "command": "status"})
        case EventsRequest():
            return _line(
                {
                    "version": VERSION,
                    "command": "events",
                    "after": request.after,
                    "follow": request.follow,
                    "debug": request.with_debug,
                }
            )
        case SetLinkRequest():
            return _line(
                {
                    "version": VERSION,
                    "command": "path_set",
                    "interface": request.link,
                    "role": request.role,
                    "cap": request.cap,
                    "rate_limit": request.rate_limit,
                }
            )
        case PortalRequest():
            return _line(
                {
                    "version": VERSION,
                    "command": "portal",
                    "interface": request.link,
                    "seconds": request.seconds,
                }
            )
        case SetSchedulerRequest():
            return _line({"version": VERSION, "command": "scheduler", "name": request.name})


def decode_request(line: bytes) -> ControlRequest:
    """Read a request line.

    Raises:
        DecodeError: too long, not JSON, another version, an unknown command or a wrong member.
    """
    message = _decode_object(line, MAX_REQUEST_BYTES)
    command = message.get("command")
    if command == "status":
        return StatusRequest()
    if command == "events":
        return EventsRequest(
            after=_number(message.get("after", 0), "after"),
            follow=_truth(message.get("follow", False), "follow"),
            with_debug=_truth(message.get("debug", False), "debug"),
        )
    if command == "path_set":
        return SetLinkRequest(
            link=_needed_text(message, "interface"),
            role=_text(message.get("role"), "role"),
            cap=_text(message.get("cap"), "cap"),
            rate_limit=_text(message.get("rate_limit"), "rate_limit"),
        )
    if command == "portal":
        return PortalRequest(
            link=_needed_text(message, "interface"),
            seconds=_number(message.get("seconds"), "seconds"),
        )
    if command == "scheduler":
        return SetSchedulerRequest(name=_needed_text(message, "name"))
    raise DecodeError(
        "unknown command; this version knows: status, events, path_set, portal, scheduler"
    )


def encode_reply(reply: ControlReply) -> bytes:
    """Return a reply line.

    Raises:
        ValueError: it has a value that JSON lacks (NaN) or is too large to send.
    """
    line = _line({"version": VERSION, **_members_of(reply)})
    if len(line) > MAX_REPLY_BYTES:
        raise ValueError(f"a reply of {len(line)} bytes exceeds {MAX_REPLY_BYTES}")
    return line


def _members_of(reply: ControlReply) -> dict[str, JsonValue]:
    match reply:
        case StatusReply():
            return {"status": reply.status}
        case EventsReply():
            return {
                "events": list(reply.events),
                "missed": reply.missed,
                "last": reply.last,
                "more": reply.more,
            }
        case DoneReply():
            return {"done": True}
        case ErrorReply():
            return {"error": reply.reason}


def decode_reply(line: bytes) -> ControlReply:
    """Read a reply line.

    Raises:
        DecodeError: too long, not JSON, another version, or no known reply.
    """
    message = _decode_object(line, MAX_REPLY_BYTES)
    error = message.get("error")
    if isinstance(error, str):
        return ErrorReply(reason=error)
    if "status" in message:
        return StatusReply(status=message["status"])
    if message.get("done") is True:
        return DoneReply()
    events = message.get("events")
    if not isinstance(events, list):
        raise DecodeError("the reply has neither status nor events nor error")
    return EventsReply(
        events=tuple(events),
        missed=_number(message.get("missed"), "missed"),
        last=_number(message.get("last"), "last"),
        more=_truth(message.get("more"), "more"),
    )


def _needed_text(message: dict[str, JsonValue], name: str) -> str:
    text = _text(message.get(name), name)
    if text is None:
        raise DecodeError(f"{name} is missing")
    return text


def _text(value: JsonValue, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise DecodeError(f"{name} is no text")
    return value


def _number(value: JsonValue, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_NUMBER:
        raise DecodeError(f"{name} is no whole number from 0 on")
    return value


def _truth(value: JsonValue, name: str) -> bool:
    if not isinstance(value, bool):
        raise DecodeError(f"{name} is neither true nor false")
    return value


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
