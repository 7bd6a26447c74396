"""Header sections of requests and responses: well-formed or not.

Owns the rules that make a message malformed (RFC 9114 s4.1.2, s4.2, s4.3; RFC 8441 s4; RFC 9297
s3.2). Knows nothing of streams: a violation is a DecodeError, what it costs is the caller's affair.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from mqvpn_core.errors import DecodeError

FieldLines: TypeAlias = tuple[tuple[bytes, bytes], ...]

CAPSULE_PROTOCOL: Final = (b"capsule-protocol", b"?1")
"""Always sent with a CONNECT-IP request and its 2xx response (RFC 9297 s3.4)."""

INSTANCE_FIELD: Final = b"mqvpn-instance"
"""Request field that lets a server of ours give a client instance its old address back."""

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_RESPONSE_PSEUDO = frozenset({b":status"})
# RFC 9114 s4.2: connection-specific fields make a message malformed.
_CONNECTION_SPECIFIC = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
# RFC 9297 s3.2: "MUST NOT be used with messages that contain ..."
_CONTENT_FIELDS = frozenset({b"content-length", b"content-type", b"transfer-encoding"})
# RFC 9297 s3.2: 204, 205 and 206 MUST NOT be sent on responses that use the Capsule Protocol.
_STATUS_WITHOUT_CAPSULES = frozenset({204, 205, 206})
_SWITCHING_PROTOCOLS = 101
_FIRST_SUCCESS = 200
_FIRST_REDIRECTION = 300

# RFC 8941 s3.1.2 and s3.3: a Boolean item with any parameters.
_SF_KEY = rb"[a-z*][a-z0-9_\-.*]*"
_SF_BARE_ITEM = (
    rb"(?:-?[0-9]{1,15}(?:\.[0-9]{1,3})?"
    rb'|"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
    rb"|[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*"
    rb"|:[A-Za-z0-9+/=]*:"
    rb"|\?[01])"
)
_SF_BOOLEAN = re.compile(
    rb" *\?([01])(?:; *" + _SF_KEY + rb"(?:=" + _SF_BARE_ITEM + rb")?)* *",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A well-formed request header section."""

    method: bytes
    """``:method``."""
    scheme: bytes
    """``:scheme``; empty for a CONNECT without ``:protocol``."""
    authority: bytes
    """``:authority``, or the Host field when it is absent."""
    path: bytes
    """``:path``; empty for a CONNECT without ``:protocol``."""
    protocol: bytes | None
    """``:protocol`` of an extended CONNECT (RFC 8441 s4)."""
    fields: FieldLines
    """The regular fields in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A well-formed response header section."""

    status: int
    """``:status``."""
    fields: FieldLines
    """The regular fields in order."""

    @property
    def is_interim(self) -> bool:
        """A 1xx response: the final one is still to come."""
        return self.status < _FIRST_SUCCESS

    @property
    def is_success(self) -> bool:
        """A 2xx response, the only kind that opens a tunnel (RFC 9484 s4.5)."""
        return _FIRST_SUCCESS <= self.status < _FIRST_REDIRECTION


def decode_request(headers: Sequence[tuple[bytes, bytes]]) -> Request:
    """Read a request header section.

    Raises:
        DecodeError: the request is malformed (RFC 9114 s4.1.2, s4.3.1).
    """
    pseudo, fields = _split(headers, _REQUEST_PSEUDO)
    method = pseudo.get(b":method", b"")
    if not _NAME.fullmatch(method.lower()):
        raise DecodeError("request without a valid :method")
    hosts = {value for name, value in fields if name == b"host"}
    authority = pseudo.get(b":authority")
    if len(hosts) > 1 or (authority is not None and hosts - {authority}):
        # RFC 9114 s4.3.1: both fields, if present, MUST contain the same value.
        raise DecodeError(":authority and host differ")
    if authority is None:
        authority = next(iter(hosts), b"")
    protocol = pseudo.get(b":protocol")
    scheme, path = pseudo.get(b":scheme"), pseudo.get(b":path")
    if method == b"CONNECT" and protocol is None:
        # RFC 9114 s4.4: ":scheme" and ":path" are omitted, ":authority" is the target.
        if scheme is not None or path is not None or b":authority" not in pseudo:
            raise DecodeError("CONNECT with :scheme or :path, or without :authority")
    else:
        _check_target(scheme, authority, path)
    if protocol is not None and (method != b"CONNECT" or not _NAME.fullmatch(protocol.lower())):
        raise DecodeError(":protocol without CONNECT, or no token")
    return Request(
        method=method,
        scheme=scheme or b"",
        authority=authority,
        path=path or b"",
        protocol=protocol,
        fields=fields,
    )


def decode_response(headers: Sequence[tuple[bytes, bytes]]) -> Response:
    """Read a response header section.

    Raises:
        DecodeError: the response is malformed (RFC 9114 s4.1.2, s4.3.2).
    """
    pseudo, fields = _split(headers, _RESPONSE_PSEUDO)
    text = pseudo.get(b":status", b"")
    if not _STATUS.fullmatch(text):
        raise DecodeError("response without a valid :status")
    status = int(text)
    if status == _SWITCHING_PROTOCOLS:
        # RFC 9114 s4.5: an endpoint MUST treat a 101 response as malformed.
        raise DecodeError("status 101 in HTTP/3")
    return Response(status=status, fields=fields)


def check_capsule_message(fields: FieldLines, status: int | None = None) -> None:
    """Check the rules for a message that starts the Capsule Protocol (RFC 9297 s3.2).

    Args:
        fields: regular fields of the request or of the 2xx response.
        status: the response's status.

    Raises:
        DecodeError: the message is malformed.
    """
    if status in _STATUS_WITHOUT_CAPSULES:
        raise DecodeError(f"status {status} cannot start the capsule protocol")
    for name, _ in fields:
        if name in _CONTENT_FIELDS:
            raise DecodeError(f"{name.decode('ascii')} in a message that carries capsules")


def has_true_field(fields: FieldLines, name: bytes) -> bool:
    """Tell whether a structured field with a Boolean is present and true (RFC 8941 s3.3.6).

    A field that is no Boolean, or that comes more than once, counts as absent.
    """
    match = _SF_BOOLEAN.fullmatch(field_value(fields, name) or b"")
    return match is not None and match[1] == b"1"


def field_value(fields: FieldLines, name: bytes) -> bytes | None:
    """Return the value of a field that comes once; None when it is absent or repeated."""
    values = [value for key, value in fields if key == name]
    return values[0] if len(values) == 1 else None


def _split(
    headers: Sequence[tuple[bytes, bytes]], known: frozenset[bytes]
) -> tuple[dict[bytes, bytes], FieldLines]:
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if b"\0" in value or b"\r" in value or b"\n" in value or value != value.strip(b" \t"):
            # RFC 9110 s5.5, RFC 9114 s10.3: such values are invalid, the message malformed.
            raise DecodeError("field value with forbidden characters")
        if name[:1] == b":":
            # RFC 9114 s4.3: known ones only, each at most once, all before the regular fields.
            if name not in known or name in pseudo or fields:
                raise DecodeError("pseudo-header field unknown, repeated or out of place")
            pseudo[name] = value
        elif not _NAME.fullmatch(name):
            raise DecodeError("field name is no lower-case token")
        elif name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
            raise DecodeError("connection-specific field")
        else:
            fields.append((name, value))
    return pseudo, tuple(fields)


def _check_target(scheme: bytes | None, authority: bytes, path: bytes | None) -> None:
    # RFC 9114 s4.3.1, RFC 9484 s4.4: "SHALL NOT be empty".
    if not scheme or not path:
        raise DecodeError("request without :scheme or :path")
    if scheme in {b"http", b"https"} and (not authority or b"@" in authority):
        raise DecodeError("request with an empty authority or with user information in it")
