"""Server: the rules of the ordinary web site that shares the port with the tunnel.

Owns which request means which file or built-in page: pure functions over method and path. Reading
files, and so symbolic links and the size of what is there, belongs to the runtime. RFC 9110.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

HeaderList: TypeAlias = tuple[tuple[bytes, bytes], ...]

_MAX_PATH_BYTES = 4096
_MAX_SEGMENTS = 64
_HEX = frozenset(b"0123456789abcdefABCDEF")
_INDEX = "index.html"
_HTML = "text/html; charset=utf-8"
_DEFAULT_TYPE = "application/octet-stream"
_FIRST_PRINTABLE = 0x20
_DELETE = 0x7F

# A fixed table: the host's own MIME configuration must not change what the site says.
_CONTENT_TYPES: Final = {
    "avif": "image/avif",
    "css": "text/css; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "gif": "image/gif",
    "gz": "application/gzip",
    "htm": _HTML,
    "html": _HTML,
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "application/xml",
    "zip": "application/zip",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePage:
    """A complete answer that needs no file."""

    status: int
    """HTTP status code."""
    headers: HeaderList
    """Header fields, the content length included."""
    body: bytes
    """The content; not sent in answer to HEAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFile:
    """An answer from the site's directory, if the file is there."""

    segments: tuple[str, ...]
    """Path below the directory; no segment is empty, ``.``, ``..`` or holds a separator."""
    content_type: str
    """Media type by the name of the file."""


SiteAnswer: TypeAlias = SitePage | SiteFile


def make_page(status: int, body: bytes, *, extra: HeaderList = ()) -> SitePage:
    """Build an HTML page with right type and length."""
    headers = (
        (b"content-type", _HTML.encode()),
        (b"content-length", str(len(body)).encode()),
        *extra,
    )
    return SitePage(status=status, headers=headers, body=body)


def _plain_page(status: int, title: str, text: str, *, extra: HeaderList = ()) -> SitePage:
    document = (
        "<!doctype html>\n"
        '<html lang="en">\n'
        f'<head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><h1>{title}</h1><p>{text}</p></body>\n"
        "</html>\n"
    )
    return make_page(status, document.encode(), extra=extra)


WELCOME_PAGE: Final = _plain_page(200, "Welcome", "This site is working.")
"""The front page when there is no directory."""
NOT_FOUND_PAGE: Final = _plain_page(404, "Not Found", "There is no such page here.")
"""What an unknown page gets when the site has no such page of its own."""
BAD_REQUEST_PAGE: Final = _plain_page(400, "Bad Request", "This request makes no sense here.")
"""For a path that is no path."""
NOT_ALLOWED_PAGE: Final = _plain_page(
    405,
    "Method Not Allowed",
    "This page can only be read.",
    # RFC 9110 s15.5.6: the origin server MUST generate an Allow header field in a 405 response.
    extra=((b"allow", b"GET, HEAD"),),
)
"""For any method but GET and HEAD."""


def resolve(
    method: bytes,
    path: bytes,
    *,
    has_directory: bool,
    not_found: SitePage = NOT_FOUND_PAGE,
) -> SiteAnswer:
    """Decide what a request gets.

    Args:
        method: the ``:method`` pseudo-header field.
        path: the ``:path`` pseudo-header field, percent-encoded, with its query.
        has_directory: the site is served from a directory rather than the built-in page.
        not_found: the answer to an unknown page.

    Returns:
        A file to look for below the directory, or a complete page.
    """
    if method not in {b"GET", b"HEAD"}:
        return NOT_ALLOWED_PAGE
    if not path.startswith(b"/") or not _is_well_formed(path):
        return BAD_REQUEST_PAGE
    segments = _segments(path)
    if segments is None:
        return not_found
    if has_directory:
        return SiteFile(segments=segments, content_type=content_type_of(segments[-1]))
    return WELCOME_PAGE if segments == (_INDEX,) else not_found


def content_type_of(name: str) -> str:
    """Return the media type for a file name, by its extension."""
    _, dot, extension = name.rpartition(".")
    return _CONTENT_TYPES.get(extension.lower(), _DEFAULT_TYPE) if dot else _DEFAULT_TYPE


def file_headers(content_type: str, size_bytes: int) -> HeaderList:
    """Return the header fields of a 200 answer that sends a file."""
    return (
        (b"content-type", content_type.encode("ascii")),
        (b"content-length", str(size_bytes).encode("ascii")),
        # The type above is the answer; a browser must not guess another one.
        (b"x-content-type-options", b"nosniff"),
    )


def _is_well_formed(path: bytes) -> bool:
    if len(path) > _MAX_PATH_BYTES:
        return False
    if any(byte <= _FIRST_PRINTABLE or byte >= _DELETE for byte in path):
        return False
    # RFC 3986 s2.1: pct-encoded = "%" HEXDIG HEXDIG
    pieces = path.split(b"%")[1:]
    return all(len(piece) > 1 and piece[0] in _HEX and piece[1] in _HEX for piece in pieces)


def _segments(path: bytes) -> tuple[str, ...] | None:
    """Decode the path; None when it can name no file of a site."""
    raw = path.partition(b"#")[0].partition(b"?")[0]
    parts = raw.split(b"/")[1:]
    segments = []
    for part in parts:
        try:
            # Decoding comes after splitting: an encoded slash never separates segments.
            segment = unquote_to_bytes(part).decode("utf-8")
        except UnicodeDecodeError:
            return None
        if segment == "":
            continue
        if not _is_plain_segment(segment):
            return None
        segments.append(segment)
    if len(segments) > _MAX_SEGMENTS:
        return None
    if parts[-1] == b"":
        segments.append(_INDEX)
    return tuple(segments)


def _is_plain_segment(segment: str) -> bool:
    if "/" in segment or "\\" in segment or not segment.isprintable():
        return False
    # Dot files are never published (``.git``, ``.env``), and so neither are "." and "..".
    return not segment.startswith(".") or segment == ".well-known"
