"""What a CONNECT-IP request asks for: the variables ``target`` and ``ipproto`` (RFC 9484 s4.6).

Owns their text form, percent-encoding included. Knows nothing of URI templates, and resolves no
names.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.address_capsules import IpPrefix

WILDCARD: Final = "*"
"""Value of a variable that restricts nothing."""

Target: TypeAlias = IpPrefix | str | None
"""A prefix, a host name in lower case, or None for any destination."""

_PERCENT_ENCODED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})+")
_PROTOCOL: Final = re.compile(r"[0-9]{1,3}")
_IPV4_PREFIX_LENGTH: Final = re.compile(r"[0-9]{1,2}")
_IPV6_PREFIX_LENGTH: Final = re.compile(r"[0-9]{1,3}")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_NAME_CHARACTERS: Final = 253
_MAX_PROTOCOL: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestScope:
    """Which packets a request is for. ICMP is always included."""

    target: Target = None
    """Where packets may go."""
    protocol: int | None = None
    """The only IP protocol number, or None for all."""


def decode_target(text: str) -> Target:
    """Decode the variable ``target`` as it stands in a request.

    Raises:
        DecodeError: it breaks the rules of RFC 9484 s4.6.
    """
    if text == WILDCARD:
        return None
    # RFC 9484 s4.6: "the colons (":") MUST be percent-encoded"; the prefix length "SHALL be
    # preceded by a percent-encoded slash".
    if ":" in text or "/" in text:
        raise DecodeError("colon or slash of a target is not percent-encoded")
    decoded = _percent_decode(text)
    if decoded == WILDCARD:
        return None
    address, slash, length = decoded.partition("/")
    if ":" in address:
        return _decode_ipv6_prefix(address, length if slash else None)
    try:
        ipv4 = IPv4Address(address)
    except ValueError:
        if slash:
            raise DecodeError("prefix length behind something that is no IP address") from None
        return _decode_name(address)
    return _decode_ipv4_prefix(ipv4, length if slash else None)


def encode_target(target: Target) -> str:
    """Encode the variable ``target``, percent-encoding included.

    The wildcard stays a bare ``*``, as in every example of RFC 9484, although expansion by the book
    (RFC 6570 s3.2.2) gives ``%2A``: a server that decodes accepts both, one that compares does not.

    Raises:
        LocalProtocolError: it is a name that cannot be a host name.
    """
    match target:
        case None:
            return WILDCARD
        case str():
            try:
                return quote(_decode_name(target), safe="")
            except DecodeError as error:
                raise LocalProtocolError(str(error)) from error
        case _:
            text = str(target.network_address)
            if target.prefixlen < target.max_prefixlen:
                text = f"{text}/{target.prefixlen}"
            return quote(text, safe="")


def decode_protocol(text: str) -> int | None:
    """Decode the variable ``ipproto`` as it stands in a request.

    Raises:
        DecodeError: it is neither a number from 0 to 255 nor the wildcard.
    """
    decoded = _percent_decode(text)
    if decoded == WILDCARD:
        return None
    # RFC 9484 s4.6: "a decimal integer between 0 and 255 inclusive or the wildcard value".
    if _PROTOCOL.fullmatch(decoded) is None or int(decoded) > _MAX_PROTOCOL:
        raise DecodeError("ipproto is no IP protocol number")
    return int(decoded)


def encode_protocol(protocol: int | None) -> str:
    """Encode the variable ``ipproto``.

    Raises:
        LocalProtocolError: it is no IP protocol number.
    """
    if protocol is None:
        return WILDCARD
    if not 0 <= protocol <= _MAX_PROTOCOL:
        raise LocalProtocolError(f"{protocol} is no IP protocol number")
    return str(protocol)


def _percent_decode(text: str) -> str:
    # RFC 9484 s3: "their values MUST NOT be empty".
    if _PERCENT_ENCODED.fullmatch(text) is None:
        raise DecodeError("variable is empty or has a broken percent-encoding")
    try:
        return unquote_to_bytes(text).decode("ascii")
    except UnicodeDecodeError:
        raise DecodeError("variable is not ASCII") from None


def _decode_ipv4_prefix(address: IPv4Address, length: str | None) -> IPv4Network:
    if length is None:
        return IPv4Network(address)
    # RFC 9484 s4.6: IPv4prefix = IPv4address ["%2F" 1*2DIGIT].
    if _IPV4_PREFIX_LENGTH.fullmatch(length) is None:
        raise DecodeError("prefix length of a target is no number")
    try:
        return IPv4Network((int(address), int(length)))
    except ValueError:
        # "the lower bits of the IP address that are not covered by the prefix length MUST all be
        # set to 0"
        raise DecodeError("prefix length of a target is too large or host bits are set") from None


def _decode_ipv6_prefix(address: str, length: str | None) -> IPv6Network:
    # RFC 9484 s4.6: zone identifiers "are not supported".
    if "%" in address:
        raise DecodeError("target with a zone identifier")
    # IPv6prefix = IPv6address ["%2F" 1*3DIGIT]
    if length is not None and _IPV6_PREFIX_LENGTH.fullmatch(length) is None:
        raise DecodeError("prefix length of a target is no number")
    try:
        number = int(IPv6Address(address))
        return IPv6Network(number if length is None else (number, int(length)))
    except ValueError:
        raise DecodeError("target is no IPv6 prefix") from None


def _decode_name(text: str) -> str:
    """Return a host name in lower case.

    RFC 3986 allows more characters than any host name has; the rest could only fail later.
    """
    name = text.lower()
    labels = name.removesuffix(".").split(".")
    if len(name) > _MAX_NAME_CHARACTERS or not all(map(_LABEL.fullmatch, labels)):
        raise DecodeError("target is no host name")
    # Resolvers take "10.1" and "0x7f.1" for addresses; a name must not become one behind our back.
    if _NUMERIC_LABEL.fullmatch(labels[-1]) is not None:
        raise DecodeError("target is a misspelt IPv4 address")
    return name
