"""Links that carry a server and an invitation to it: ``mqvpn://USER@HOST:PORT/?pin=...#KEY``.

Made by a server (``mqvpn-core user add``) and by a device that shares a profile, read by whoever
adds a server. The format is written down in docs/links.md. The decoder is total: whatever the text
is, the result is a link that holds what it says, or an `InviteLinkError` that quotes none of it
that could be a key. Pure text; the helper itself never sees a link.
"""

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote

SCHEME = "mqvpn"
"""Scheme of the links."""
MAX_LINK_LENGTH = 2000
"""Longest link in characters: it has to fit a QR code."""

_DEFAULT_PORT = 443
_MAX_PORT = 65535
_MAX_PINS = 8
_MAX_NAME = 64
_MAX_HOST_NAME = 253
_PIN_BYTES = 32

_LINK = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):"
    r"(?://(?:(?P<user>[^@/?\#]*)@)?(?P<host>\[[^\]/?\#@]*\]|[^:@/?\#\[\]]*)(?::(?P<port>[^/?\#]*))?"
    r"(?P<path>/[^?\#]*)?(?:\?(?P<query>[^\#]*))?(?:\#(?P<key>.*))?)?",
    re.ASCII,
)
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_KEY = re.compile(r"[!-~]{1,512}", re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?", re.ASCII)
_TEMPLATE = re.compile(r"/[!-~]{0,255}", re.ASCII)
_PIN_PREFIX = "sha256/"

# RFC 3986 s3.3, s3.5: what may stand as it is, less what would confuse shells and messengers.
_SAFE = "-._~!*,:@/"


class InviteLinkError(ValueError):
    """A text is no link of ours, or not a usable one; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteLink:
    """What a link says; made only of values that are in range."""

    host: str
    """Host name, or IP address without brackets."""
    port: int = _DEFAULT_PORT
    """UDP port, 1 to 65535."""
    server_name: str = ""
    """Name for the TLS handshake; empty: `host`."""
    pins: tuple[str, ...] = ()
    """``sha256/BASE64`` of the server's public keys, in the form of RFC 7469 s2.4."""
    user: str = ""
    """Whom the server invited; only for people, the key alone tells who it is."""
    name: str = ""
    """What the server is called; a proposal for the profile's name."""
    template: str = ""
    """Path of the URI template; empty: the usual one."""
    key: str | None = field(default=None, repr=False)
    """The key; None: to be handed over otherwise."""

    def __post_init__(self) -> None:
        """Refuse values that a link cannot carry.

        Raises:
            InviteLinkError: a field is out of range.
        """
        object.__setattr__(self, "host", _host(self.host, "the server"))
        if not 1 <= self.port <= _MAX_PORT:
            raise InviteLinkError(f"the port is not from 1 to {_MAX_PORT}")
        if self.server_name:
            object.__setattr__(self, "server_name", _host(self.server_name, "sni"))
        if len(self.pins) > _MAX_PINS:
            raise InviteLinkError(f"there are more than {_MAX_PINS} pins")
        object.__setattr__(self, "pins", tuple(dict.fromkeys(_pin(each) for each in self.pins)))
        if self.user and _USER.fullmatch(self.user) is None:
            raise InviteLinkError("the user name has characters that it cannot have")
        if len(self.name) > _MAX_NAME or not self.name.isprintable():
            raise InviteLinkError(f"the name is not up to {_MAX_NAME} printable characters")
        if self.template and _TEMPLATE.fullmatch(self.template) is None:
            raise InviteLinkError("the template is not a path of visible ASCII characters")
        if self.key is not None and _KEY.fullmatch(self.key) is None:
            raise InviteLinkError("the key is not 1 to 512 visible ASCII characters")

    @property
    def server(self) -> str:
        """``HOST:PORT``, with brackets where an address needs them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def encode_invite_link(link: InviteLink) -> str:
    """Return the text of a link.

    Raises:
        InviteLinkError: it would be longer than `MAX_LINK_LENGTH`.
    """
    user = f"{_escaped(link.user).replace('@', '%40')}@" if link.user else ""
    host = f"[{link.host}]" if ":" in link.host else link.host
    port = "" if link.port == _DEFAULT_PORT else f":{link.port}"
    parameters = [("name", link.name), ("sni", link.server_name), ("template", link.template)]
    parameters += [("pin", _short_pin(pin)) for pin in link.pins]
    query = "&".join(f"{name}={_escaped(value)}" for name, value in parameters if value)
    text = f"{SCHEME}://{user}{host}{port}/"
    text += f"?{query}" if query else ""
    text += f"#{_escaped(link.key)}" if link.key is not None else ""
    if len(text) > MAX_LINK_LENGTH:
        raise InviteLinkError(f"the link would be longer than {MAX_LINK_LENGTH} characters")
    return text


def decode_invite_link(text: str) -> InviteLink:
    """Read a link; white space in it, as mail programs put there, does not matter.

    Raises:
        InviteLinkError: it is not a link of ours, or one part of it is not as it should be.
    """
    if len(text) > 2 * MAX_LINK_LENGTH:
        raise InviteLinkError(f"the link is longer than {MAX_LINK_LENGTH} characters")
    joined = "".join(text.split())
    if not joined:
        raise InviteLinkError("there is no link")
    if len(joined) > MAX_LINK_LENGTH:
        raise InviteLinkError(f"the link is longer than {MAX_LINK_LENGTH} characters")
    found = _LINK.fullmatch(joined)
    if found is None or found["scheme"].lower() != SCHEME:
        raise InviteLinkError(f"this is not a link that begins with {SCHEME}://")
    if _VISIBLE.fullmatch(joined) is None:
        raise InviteLinkError("the link has characters that links cannot have")
    if found["host"] is None:
        raise InviteLinkError(f"behind {SCHEME}: two slashes and a server have to follow")
    if (found["path"] or "/") != "/":
        raise InviteLinkError("only ?, # or the end may follow the server's / in the link")
    if ":" in (found["user"] or ""):
        raise InviteLinkError("in front of @ stands the user's name alone; the key comes behind #")
    parameters, pins = _parameters(found["query"] or "")
    return InviteLink(
        host=_bare_host(found["host"]),
        port=_port(found["port"]),
        user=_unescaped(found["user"] or "", "the user name"),
        server_name=parameters["sni"],
        name=parameters["name"],
        template=parameters["template"],
        pins=pins,
        key=_unescaped(found["key"], "the key") if found["key"] else None,
    )


def _parameters(query: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the parameters, and the pins, of which there may be several."""
    values = {"name": "", "sni": "", "template": ""}
    pins: list[str] = []
    seen: set[str] = set()
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        if name not in values and name != "pin":
            # Nothing is skipped: what a newer version means by it may be what makes it safe.
            raise InviteLinkError(
                "the link has a part that this version does not know; a newer mqvpn may have made"
                " it, or it was changed on the way"
            )
        if name == "pin":
            pins.append(_unescaped(value, "a pin"))
            continue
        if name in seen:
            raise InviteLinkError(f"{name} stands in the link twice")
        seen.add(name)
        values[name] = _unescaped(value, name)
    return values, tuple(pins)


def _escaped(text: str) -> str:
    return quote(text, safe=_SAFE)


def _unescaped(text: str, what: str) -> str:
    def byte_of(match: re.Match[str]) -> str:
        if match[1] is None:
            raise InviteLinkError(f"{what} has a % that two hexadecimal digits have to follow")
        return chr(int(match[1], 16))

    # One character for each byte, which is what latin-1 says.
    try:
        return _ESCAPE.sub(byte_of, text).encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise InviteLinkError(f"{what} is not UTF-8") from None


def _bare_host(text: str) -> str:
    if not text.startswith("["):
        return _unescaped(text, "the server")
    if ":" not in text:
        raise InviteLinkError("the server has brackets, but no IPv6 address inside")
    return text[1:-1]


def _host(text: str, what: str) -> str:
    """Return a host name or address in its canonical form."""
    if ":" in text or re.fullmatch(r"[0-9.]+", text, re.ASCII):
        try:
            if "%" not in text:
                return str(ip_address(text))
        except ValueError:
            pass
        raise InviteLinkError(f"{what} is not a host name or an IP address")
    name = text
    if not text.isascii():
        try:
            name = text.encode("idna").decode("ascii")
        except UnicodeError:
            name = ""
    if len(name) > _MAX_HOST_NAME or _HOST_NAME.fullmatch(name) is None:
        raise InviteLinkError(f"{what} is not a host name or an IP address")
    return name.lower()


def _port(text: str | None) -> int:
    if not text:
        return _DEFAULT_PORT
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) is None:
        raise InviteLinkError(f"the port is not from 1 to {_MAX_PORT}")
    return int(text)


def _pin(text: str) -> str:
    """Return a pin in the form that everything else uses, padded and of the usual alphabet."""
    digits = text.removeprefix(_PIN_PREFIX).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        digest = b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _PIN_BYTES or not text.startswith(_PIN_PREFIX):
        raise InviteLinkError("a pin is sha256/ and the Base64 of 32 bytes")
    return _PIN_PREFIX + b64encode(digest).decode("ascii")


def _short_pin(pin: str) -> str:
    # RFC 4648 s5, unpadded: nothing of it has to be escaped.
    digits = pin.removeprefix(_PIN_PREFIX).rstrip("=")
    return _PIN_PREFIX + digits.replace("+", "-").replace("/", "_")
