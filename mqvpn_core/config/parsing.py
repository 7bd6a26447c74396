"""Text to values: one function a kind of setting; each refuses with a sentence on what is allowed.

The messages name neither key nor file (the caller knows them) and quote the wrong text, except for
secrets, which are never quoted.
"""

import enum
import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import TypeVar

from mqvpn_core.config.secret_values import (
    MAX_KEY_LENGTH,
    HashedKey,
    Secret,
    is_hashed_key,
    parse_hashed_key,
)
from mqvpn_core.config.values import DEFAULT_PORT, HostPort, IPAddress, IPNetwork, Pin
from mqvpn_core.errors import ConfigError

_T = TypeVar("_T")
_E = TypeVar("_E", bound=enum.Enum)

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_MAX_HOST_NAME = 253
_USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_LINK_NAME = re.compile(r"[!-$&-.0-9;-~]{1,15}", re.ASCII)  # visible, no slash, colon or percent
_RESERVED_LINK_NAMES = frozenset({".", "..", "all", "default"})
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_LENGTH}}}", re.ASCII)
_PIN = re.compile(r"sha256//?([A-Za-z0-9+/]{43}=)", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_TEMPLATE_TEXT = re.compile(r"[!-~]+", re.ASCII)
_TEMPLATE_EXPRESSION = re.compile(r"\{([?&]?)([a-z,]+)\}")
_MAX_PORT = 65535
_QUOTE_LIMIT = 60


def quote(text: str) -> str:
    """Return ``text`` for an error message: shortened, and without control characters."""
    short = text if len(text) <= _QUOTE_LIMIT else text[:_QUOTE_LIMIT] + "..."
    return repr(short)


def boolean(text: str) -> bool:
    """Read a yes or no."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ConfigError(f"{quote(text)} is neither true nor false")


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if _NUMBER.fullmatch(text) is None or "." in text or not low <= int(text) <= high:
            raise ConfigError(f"{quote(text)} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def seconds(low: float, high: float, *, zero: bool = False) -> Callable[[str], float]:
    """Return a reader of durations from ``low`` to ``high``; with ``zero`` also 0."""

    def parse(text: str) -> float:
        value = float(text) if _NUMBER.fullmatch(text) else -1.0
        if not (low <= value <= high or (zero and value == 0)):
            allowed = f"{low:g} to {high:g} seconds" + (", or 0" if zero else "")
            raise ConfigError(f"{quote(text)} is not a duration of {allowed}")
        return value

    return parse


def choice(kind: type[_E]) -> Callable[[str], _E]:
    """Return a reader of the values of an enumeration."""

    def parse(text: str) -> _E:
        for member in kind:
            if member.value == text.lower():
                return member
        allowed = ", ".join(str(member.value) for member in kind)
        raise ConfigError(f"{quote(text)} is not one of: {allowed}")

    return parse


def optional(parse: Callable[[str], _T], word: str = "") -> Callable[[str], _T | None]:
    """Return a reader that turns ``word`` into ``None`` and leaves the rest to ``parse``."""

    def parse_optional(text: str) -> _T | None:
        return None if text.lower() == word else parse(text)

    return parse_optional


def sequence(parse: Callable[[str], _T]) -> Callable[[Sequence[str]], tuple[_T, ...]]:
    """Return a reader of lists that drops repetitions and keeps the order."""

    def parse_all(texts: Sequence[str]) -> tuple[_T, ...]:
        return tuple(dict.fromkeys(parse(text) for text in texts))

    return parse_all


def path(text: str) -> Path:
    """Read the name of a file or directory."""
    if not text or "\0" in text:
        raise ConfigError(f"{quote(text)} is not a file name")
    return Path(text).expanduser() if text.startswith("~/") else Path(text)


def address(text: str) -> IPAddress:
    """Read an IP address without zone."""
    try:
        value = ip_address(text)
    except ValueError:
        raise ConfigError(f"{quote(text)} is not an IP address") from None
    if "%" in text:
        raise ConfigError(f"{quote(text)} has a zone; write an address without %")
    return value


def network(text: str) -> IPNetwork:
    """Read an IP network in CIDR form."""
    value = _network(text)
    if value is None:
        raise ConfigError(f"{quote(text)} is not {_network_advice(text)}")
    return value


def pool_ipv4(text: str) -> IPv4Network:
    """Read the network of inner IPv4 addresses."""
    value = network(text)
    if (
        not isinstance(value, IPv4Network)
        or not 8 <= value.prefixlen <= 30  # noqa: PLR2004 - stated in the message
        or _is_special(value.network_address)
    ):
        raise ConfigError(f"{quote(text)} is not a unicast IPv4 network from /8 to /30")
    return value


def pool_ipv6(text: str) -> IPv6Network:
    """Read the network of inner IPv6 addresses."""
    value = network(text)
    if (
        not isinstance(value, IPv6Network)
        or not 32 <= value.prefixlen <= 126  # noqa: PLR2004 - stated in the message
        or _is_special(value.network_address)
    ):
        raise ConfigError(f"{quote(text)} is not a unicast IPv6 network from /32 to /126")
    return value


def _network(text: str, *, strict: bool = True) -> IPNetwork | None:
    if "%" in text:  # a zone, which means nothing to the other end
        return None
    try:
        return ip_network(text, strict=strict)
    except ValueError:
        return None


def _network_advice(text: str) -> str:
    near = _network(text, strict=False)
    if near is None:
        return "a network such as 10.0.0.0/24 or fd00::/64"
    return f"a network: it has bits set behind the prefix; {near} would be one"


def _is_special(value: IPv4Address | IPv6Address) -> bool:
    return value.is_loopback or value.is_multicast or value.is_link_local or value.is_unspecified


def host(text: str) -> str:
    """Read a DNS name, or an IP address without brackets and zone, in canonical form."""
    if ":" in text or re.fullmatch(r"[0-9.]+", text, re.ASCII):
        return str(address(text))
    name = text
    if not text.isascii():
        try:
            name = text.encode("idna").decode("ascii")
        except UnicodeError:
            name = ""
    if len(name) > _MAX_HOST_NAME or _HOST_NAME.fullmatch(name) is None:
        raise ConfigError(f"{quote(text)} is not a host name or an IP address")
    return name.lower()


def server_address(text: str) -> HostPort:
    """Read ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``; the port defaults to 443."""
    name, port = _split_port(text)
    return HostPort(host=host(name), port=DEFAULT_PORT if port is None else _port(port, 1))


def listen_address(text: str) -> HostPort:
    """Read ``ADDRESS:PORT`` to listen on; an empty address or ``*`` means all, of both families."""
    name, port = _split_port(text)
    number = DEFAULT_PORT if port is None else _port(port, 0)
    if name in {"", "*"}:
        return HostPort(host="::", port=number)
    return HostPort(host=str(address(name)), port=number)


def _split_port(text: str) -> tuple[str, str | None]:
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text)
    if bracketed is not None:
        if ":" not in bracketed[1]:
            raise ConfigError(f"{quote(text)} has brackets, but no IPv6 address inside")
        return bracketed[1], bracketed[2]
    if text.count(":") > 1:  # an IPv6 address as it stands
        return text, None
    name, colon, port = text.partition(":")
    return name, port if colon else None


def _port(text: str, low: int) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) is None or not low <= int(text) <= _MAX_PORT:
        raise ConfigError(f"{quote(text)} is not a port from {low} to {_MAX_PORT}")
    return int(text)


def link_name(text: str) -> str:
    """Read the name of a network interface."""
    if _LINK_NAME.fullmatch(text) is None or text in _RESERVED_LINK_NAMES:
        raise ConfigError(
            f"{quote(text)} is not an interface name: 1 to 15 visible ASCII characters"
            " without / : %, and not 'all' or 'default'"
        )
    return text


def pin(text: str) -> Pin:
    """Read a pin; the form with two slashes, which other programs print, is the same."""
    match = _PIN.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{quote(text)} is not a pin: sha256/ and 44 characters of Base64, as 'mqvpn-core"
            " gencert' prints it"
        )
    return Pin(sha256=b64decode(match[1]))


def template(text: str) -> str:
    """Read the path of a connect-ip URI template (RFC 9484 s3)."""
    if not text.startswith("/") or _TEMPLATE_TEXT.fullmatch(text) is None:
        raise ConfigError(f"{quote(text)} is not a path of visible ASCII characters after a '/'")
    names: list[str] = []
    for expression in _TEMPLATE_EXPRESSION.finditer(text):
        names += expression[2].split(",")
    rest = _TEMPLATE_EXPRESSION.sub("", text)
    if "{" in rest or "}" in rest or "#" in rest or not set(names) <= {"target", "ipproto"}:
        raise ConfigError(
            f"{quote(text)} is not a template: only {{target}} and {{ipproto}}, each simple or"
            " behind ? or &, may stand in braces"
        )
    if len(set(names)) != len(names):
        raise ConfigError(f"{quote(text)} uses a variable twice")
    return text


def key(text: str) -> Secret:
    """Read a key; never quotes it."""
    if _KEY.fullmatch(text) is None:
        raise ConfigError(
            f"the key is not 1 to {MAX_KEY_LENGTH} visible ASCII characters without blanks;"
            " 'mqvpn-core genkey' makes a good one"
        )
    return Secret(text)


def key_or_hash(text: str) -> Secret | HashedKey:
    """Read a key, or the hash of one; never quotes it."""
    return parse_hashed_key(text) if is_hashed_key(text) else key(text)


def user(text: str) -> tuple[str, Secret | HashedKey]:
    """Read ``NAME:KEY`` or ``NAME:HASH``; never quotes it."""
    name, colon, rest = text.partition(":")
    if not colon or _USER_NAME.fullmatch(name) is None:
        raise ConfigError(
            "a user is NAME:KEY, with a name of 1 to 64 letters, digits and . _ @ - that begins"
            " with a letter or digit"
        )
    return name, key_or_hash(rest)
