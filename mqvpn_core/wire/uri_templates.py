"""The URI template of CONNECT-IP (RFC 9484 s3), a subset of RFC 6570 level 3.

Owns validating a template, expanding it to the ``:path`` of a request, and finding the variables in
the ``:path`` of a request that was made from it. A template is a setting of ours, so its faults are
ConfigErrors; what is in a request comes from the peer, so its faults are DecodeErrors: malformed
(RFC 9484 s4.1).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, TypeAlias

from mqvpn_core.errors import ConfigError, DecodeError, LocalProtocolError
from mqvpn_core.wire.request_scopes import (
    RequestScope,
    decode_protocol,
    decode_target,
    encode_protocol,
    encode_target,
)

_TARGET: Final = "target"
_PROTOCOL: Final = "ipproto"

_ALLOWED: Final = re.compile(r"[\x21-\x7e]*")
_SPLIT: Final = re.compile(r"([^:/?#]*)://([^/?#]*)(.*)")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_PART: Final = re.compile(r"\{([^{}]*)\}|([^{}]+)|[{}]")
_LITERAL: Final = re.compile(r"(?:[!$&-;=?-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})+")
_NAME_CHARACTER: Final = r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})"
_NAME: Final = re.compile(rf"{_NAME_CHARACTER}+(?:\.{_NAME_CHARACTER}+)*")
_VALUE_CHARACTER: Final = re.compile(r"[A-Za-z0-9._~%*-]")
_FORBIDDEN_OPERATORS: Final = "+#./;=,!@|"
_QUERY_OPERATORS: Final = "?&"
_DEFAULT_PORT: Final = 443
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expression:
    """One pair of braces."""

    operator: str
    """``?``, ``&`` or nothing."""
    names: tuple[str, ...]
    """The variables."""


_Part: TypeAlias = str | _Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class UriTemplate:
    """A template that meets the requirements of RFC 9484 s3."""

    text: str
    """The template as written."""
    authority: str
    """Host and port as written: the ``:authority`` of the request."""
    host: str
    """Host name or address of the proxy, without brackets."""
    port: int
    """UDP port of the proxy."""
    parts: tuple[_Part, ...]
    """Path and query: literal text and expressions in turn."""

    @property
    def variables(self) -> frozenset[str]:
        """Names of all variables."""
        return frozenset(
            name for part in self.parts if isinstance(part, _Expression) for name in part.names
        )


def parse_uri_template(text: str) -> UriTemplate:
    """Check a template against RFC 9484 s3.

    Raises:
        ConfigError: it breaks one of the rules; the message says which.
    """
    # RFC 9484 s3: "MUST only contain ASCII characters in the range 0x21-0x7E inclusive".
    if _ALLOWED.fullmatch(text) is None:
        raise ConfigError("a URI template has only visible ASCII characters")
    split = _SPLIT.fullmatch(text)
    if split is None:
        raise ConfigError("a URI template starts with https://HOST")
    scheme, authority, rest = split.groups()
    # RFC 9484 s3: "All template variables MUST be within the path or query components".
    if "{" in scheme or "{" in authority:
        raise ConfigError("variables of a URI template are only allowed behind the first slash")
    # RFC 9484 s4: "MUST be operated over TLS or QUIC encryption".
    if scheme.lower() != "https":
        raise ConfigError("a URI template has the scheme https")
    # RFC 9484 s3: "The path component of the URI Template MUST start with a slash".
    if not rest.startswith("/"):
        raise ConfigError("the path of a URI template starts with a slash")
    host, port = _parse_authority(authority)
    return UriTemplate(
        text=text, authority=authority, host=host, port=port, parts=tuple(_parse_parts(rest))
    )


def default_uri_template(host: str, port: int = _DEFAULT_PORT) -> UriTemplate:
    """Return the template for a proxy of which only host and port are known (RFC 9484 s3).

    Raises:
        ConfigError: host or port are impossible.
    """
    shown = f"[{host}]" if ":" in host else host
    template = parse_uri_template(
        f"https://{shown}:{port}/.well-known/masque/ip/{{{_TARGET}}}/{{{_PROTOCOL}}}/"
    )
    if template.host != host:
        raise ConfigError(f"{host!r} is no host")
    return template


def expand_uri_template(template: UriTemplate, scope: RequestScope) -> str:
    """Return the ``:path`` of a request; variables other than ours are undefined.

    Raises:
        LocalProtocolError: the scope has a restriction that the template has no variable for.
    """
    variables = template.variables
    if (scope.target is not None and _TARGET not in variables) or (
        scope.protocol is not None and _PROTOCOL not in variables
    ):
        raise LocalProtocolError("the URI template has no variable for this scope")
    values = {_TARGET: encode_target(scope.target), _PROTOCOL: encode_protocol(scope.protocol)}
    return "".join(
        part if isinstance(part, str) else _expand(part, values) for part in template.parts
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateMatcher:
    """Recognizes requests made from one template, in time linear in their length."""

    pattern: re.Pattern[str]
    """Matches a whole ``:path``."""
    groups: tuple[str, ...]
    """What each group of the pattern holds: a variable, or nothing for a list of ``name=value``."""


def compile_template_matcher(template: UriTemplate) -> TemplateMatcher:
    """Prepare a template for ``match_request_path``.

    Raises:
        ConfigError: requests made from the template could not be told apart.
    """
    pattern: list[str] = []
    groups: list[str] = []
    in_query = False
    for index, part in enumerate(template.parts):
        following = template.parts[index + 1] if index + 1 < len(template.parts) else None
        if isinstance(part, str):
            pattern.append(re.escape(part))
            in_query = in_query or "?" in part
        elif part.operator:
            pattern.append(_query_pattern(part, _end_of(part, following)))
            groups.append("")
            in_query = True
        else:
            pattern.append(_simple_pattern(part, _end_of(part, following), in_query=in_query))
            groups += part.names
    return TemplateMatcher(pattern=re.compile("".join(pattern)), groups=tuple(groups))


def match_request_path(matcher: TemplateMatcher, path: bytes) -> RequestScope | None:
    """Find the variables in the ``:path`` of a request.

    Returns:
        What the request asks for, or None when it was not made from this template.

    Raises:
        DecodeError: the template matches, but a variable is empty or invalid: malformed request.
    """
    try:
        match = matcher.pattern.fullmatch(path.decode("ascii"))
    except UnicodeDecodeError:
        return None
    if match is None:
        return None
    values: dict[str, str] = {}
    for name, value in _variables_of(matcher, match):
        if values.setdefault(name, value) != value:
            raise DecodeError(f"variable {name} has two values")
    # RFC 9484 s4.6: "if they are not included, they are considered to carry the wildcard value".
    return RequestScope(
        target=decode_target(values[_TARGET]) if _TARGET in values else None,
        protocol=decode_protocol(values[_PROTOCOL]) if _PROTOCOL in values else None,
    )


def _parse_authority(authority: str) -> tuple[str, int]:
    """Return host and port."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ConfigError("a URI template has a host, and perhaps a port, behind https://")
    host: str = match[1]
    port = int(match[2]) if match[2] else _DEFAULT_PORT
    if not 1 <= port <= _MAX_PORT:
        raise ConfigError(f"port {port} of a URI template does not exist")
    if host.startswith("["):
        host = host[1:-1]
        try:
            IPv6Address(host)
        except ValueError:
            raise ConfigError(f"[{host}] in a URI template is no IPv6 address") from None
    return host, port


def _parse_parts(text: str) -> Iterator[_Part]:
    """Split path and query into literals and expressions."""
    for match in _PART.finditer(text):
        inner, literal = match.groups()
        if inner is not None:
            yield _parse_expression(inner)
        elif literal is None:
            raise ConfigError("a brace of a URI template has no partner")
        elif _LITERAL.fullmatch(literal) is None:
            # RFC 6570 s2.1; a fragment could not be sent.
            raise ConfigError(f"{literal!r} in a URI template has a character no path may have")
        else:
            yield literal


def _parse_expression(inner: str) -> _Expression:
    """Parse what stands between two braces."""
    operator = inner[:1]
    # RFC 9484 s3: "MUST NOT use Reserved Expansion ... Path-Style Parameter Expansion"; the
    # others are kept for extensions (RFC 6570 s2.2).
    if operator and operator in _FORBIDDEN_OPERATORS:
        raise ConfigError(f"{{{inner}}}: operator {operator} is not allowed in a URI template")
    if operator not in _QUERY_OPERATORS:
        operator = ""
    names = tuple(inner.removeprefix(operator).split(","))
    for name in names:
        # RFC 9484 s3: "MUST be a level 3 template or lower": no modifiers.
        if _NAME.fullmatch(name) is None:
            raise ConfigError(f"{{{inner}}}: {name!r} is no variable of a level 3 URI template")
    return _Expression(operator=operator, names=names)


def _expand(expression: _Expression, values: dict[str, str]) -> str:
    """Expand one expression (RFC 6570 s3.2); the values are percent-encoded already."""
    defined = [name for name in expression.names if name in values]
    if not expression.operator:
        return ",".join(values[name] for name in defined)
    pairs = "&".join(f"{name}={values[name]}" for name in defined)
    return expression.operator + pairs if pairs else ""


def _end_of(expression: _Expression, following: _Part | None) -> str:
    """Return the character that ends the last value of an expression, nothing at the very end."""
    if following is None:
        return ""
    end = following[0] if isinstance(following, str) else following.operator
    # Proper values have unreserved characters only (RFC 6570 s3.2.1), or are the wildcard: any
    # other character ends them.
    if not end or _VALUE_CHARACTER.fullmatch(end) is not None:
        raise ConfigError(f"put a slash or an ampersand behind {{{expression.names[-1]}}}")
    return end


def _query_pattern(expression: _Expression, end: str) -> str:
    """Return a pattern for ``{?...}`` or ``{&...}``; names may come in any order or be missing."""
    names = "|".join(map(re.escape, expression.names))
    pair = f"(?:{names})=[^{re.escape('&#' + end)}]*"
    operator = re.escape(expression.operator)
    return f"(?:{operator}({pair}(?:&{pair})*))?"


def _simple_pattern(expression: _Expression, end: str, *, in_query: bool) -> str:
    """Return a pattern for ``{...}``."""
    separators = ("&#" if in_query else "/?#") + end
    if len(expression.names) > 1:
        separators += ","
    value = f"([^{re.escape(separators)}]*)"
    return value + "".join(f"(?:,{value})?" for _ in expression.names[1:])


def _variables_of(matcher: TemplateMatcher, match: re.Match[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each variable in a request, still percent-encoded."""
    for name, text in zip(matcher.groups, match.groups(), strict=True):
        if text is None:
            continue
        if name:
            yield name, text
        else:
            for pair in text.split("&"):
                key, _, value = pair.partition("=")
                yield key, value
