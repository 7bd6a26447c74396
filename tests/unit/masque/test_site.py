"""The rules of the web site: what a path may name, and what everything else gets."""

import pytest

from mqvpn_core.masque.site import (
    BAD_REQUEST_PAGE,
    NOT_ALLOWED_PAGE,
    NOT_FOUND_PAGE,
    WELCOME_PAGE,
    SiteFile,
    content_type_of,
    file_headers,
    make_page,
    resolve,
)


@pytest.mark.parametrize(
    ("path", "segments", "content_type"),
    [
        (b"/", ("index.html",), "text/html; charset=utf-8"),
        (b"/?q=1", ("index.html",), "text/html; charset=utf-8"),
        (b"/a/b.css?v=2#top", ("a", "b.css"), "text/css; charset=utf-8"),
        (b"/a//b.PNG", ("a", "b.PNG"), "image/png"),
        (b"/docs/", ("docs", "index.html"), "text/html; charset=utf-8"),
        (b"/a%20b.txt", ("a b.txt",), "text/plain; charset=utf-8"),
        (b"/%C3%A9.txt", ("\u00e9.txt",), "text/plain; charset=utf-8"),
        (
            b"/.well-known/security.txt",
            (".well-known", "security.txt"),
            "text/plain; charset=utf-8",
        ),
        (b"/data", ("data",), "application/octet-stream"),
        (b"/archive.tar.xyz", ("archive.tar.xyz",), "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_path_names_a_file(
    method: bytes, path: bytes, segments: tuple[str, ...], content_type: str
) -> None:
    expected = SiteFile(segments=segments, content_type=content_type)
    assert resolve(method, path, has_directory=True) == expected


@pytest.mark.parametrize(
    "path",
    [
        b"/../etc/passwd",
        b"/a/../../etc/passwd",
        b"/%2e%2e/etc/passwd",
        b"/%2E%2E%2Fetc%2Fpasswd",
        b"/a%2Fb",
        b"/a%5Cb",
        b"/a\\b",
        b"/.",
        b"/a/./b",
        b"/.git/config",
        b"/.env",
        b"/a%00.txt",
        b"/a%0Ab",
        b"/%ff%fe",
        b"/a%E2%80%AEb",
        b"/" + b"a/" * 70,
    ],
)
def test_a_path_that_can_name_no_file_is_an_unknown_page(path: bytes) -> None:
    assert resolve(b"GET", path, has_directory=True) == NOT_FOUND_PAGE


def test_the_site_may_have_an_unknown_page_of_its_own() -> None:
    own = make_page(404, b"<p>gone</p>")
    assert resolve(b"GET", b"/..", has_directory=True, not_found=own) is own
    assert resolve(b"GET", b"/x", has_directory=False, not_found=own) is own


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"index.html",
        b"http://x/",
        b"/%",
        b"/%2",
        b"/%zz",
        b"/a b",
        b"/\x80",
        b"/" + b"a" * 5000,
    ],
)
def test_what_is_no_path_is_a_bad_request(path: bytes) -> None:
    assert resolve(b"GET", path, has_directory=True) == BAD_REQUEST_PAGE


@pytest.mark.parametrize(
    "method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"get", b""]
)
def test_the_site_can_only_be_read(method: bytes) -> None:
    page = resolve(method, b"/", has_directory=True)
    assert page == NOT_ALLOWED_PAGE
    assert (b"allow", b"GET, HEAD") in NOT_ALLOWED_PAGE.headers


def test_without_a_directory_there_is_one_page() -> None:
    assert resolve(b"GET", b"/", has_directory=False) == WELCOME_PAGE
    assert resolve(b"HEAD", b"/index.html", has_directory=False) == WELCOME_PAGE
    assert resolve(b"GET", b"/index.htm", has_directory=False) == NOT_FOUND_PAGE
    assert resolve(b"GET", b"/favicon.ico", has_directory=False) == NOT_FOUND_PAGE


def test_pages_state_their_length_and_type() -> None:
    for page in (WELCOME_PAGE, NOT_FOUND_PAGE, BAD_REQUEST_PAGE, NOT_ALLOWED_PAGE):
        fields = dict(page.headers)
        assert fields[b"content-length"] == str(len(page.body)).encode()
        assert fields[b"content-type"] == b"text/html; charset=utf-8"
    assert [page.status for page in (WELCOME_PAGE, NOT_FOUND_PAGE, NOT_ALLOWED_PAGE)] == [
        200,
        404,
        405,
    ]


def test_the_pages_do_not_speak_of_a_tunnel() -> None:
    for page in (WELCOME_PAGE, NOT_FOUND_PAGE, BAD_REQUEST_PAGE, NOT_ALLOWED_PAGE):
        text = page.body.lower()
        assert not any(word in text for word in (b"vpn", b"tunnel", b"masque", b"proxy"))


def test_file_headers_state_type_and_length() -> None:
    assert dict(file_headers("image/png", 12345)) == {
        b"content-type": b"image/png",
        b"content-length": b"12345",
        b"x-content-type-options": b"nosniff",
    }


def test_a_name_without_a_dot_has_no_known_type() -> None:
    assert content_type_of("png") == "application/octet-stream"
