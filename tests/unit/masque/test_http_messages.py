"""Header sections: which are malformed, and when the Capsule Protocol is announced."""

import pytest

from mqvpn_core.errors import DecodeError
from mqvpn_core.masque.http_messages import (
    check_capsule_message,
    decode_request,
    decode_response,
    field_value,
    has_true_field,
)
from tests.unit.masque.samples import Headers

CAPSULE = b"capsule-protocol"
GET: Headers = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"vpn.example.org"),
    (b":path", b"/"),
)
CONNECT_IP: Headers = (
    (b":method", b"CONNECT"),
    (b":protocol", b"connect-ip"),
    (b":scheme", b"https"),
    (b":authority", b"vpn.example.org"),
    (b":path", b"/tunnel"),
)


def without(headers: Headers, name: bytes) -> Headers:
    return tuple(field for field in headers if field[0] != name)


def replaced(headers: Headers, name: bytes, value: bytes) -> Headers:
    return tuple((key, value if key == name else old) for key, old in headers)


def test_checklist_29_the_request_of_a_tunnel() -> None:
    request = decode_request((*CONNECT_IP, (b"capsule-protocol", b"?1")))
    assert (request.method, request.protocol) == (b"CONNECT", b"connect-ip")
    assert (request.scheme, request.authority, request.path) == (
        b"https",
        b"vpn.example.org",
        b"/tunnel",
    )
    assert request.fields == ((b"capsule-protocol", b"?1"),)


@pytest.mark.parametrize("name", [b":method", b":scheme", b":authority", b":path"])
def test_checklist_29_missing_or_empty_pseudo_fields_are_malformed(name: bytes) -> None:
    for headers in (CONNECT_IP, GET):
        with pytest.raises(DecodeError):
            decode_request(without(headers, name))
        with pytest.raises(DecodeError):
            decode_request(replaced(headers, name, b""))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((*GET, (b":protocol", b"connect-ip")), id="get with protocol"),
        pytest.param(replaced(CONNECT_IP, b":protocol", b""), id="empty protocol"),
        pytest.param(replaced(CONNECT_IP, b":protocol", b"connect ip"), id="protocol no token"),
        pytest.param(without(CONNECT_IP, b":protocol"), id="plain connect with a path"),
        pytest.param(((b":method", b"CONNECT"),), id="plain connect to nowhere"),
        pytest.param(((b":method", b"CONNECT"), (b"host", b"x:1")), id="plain connect by host"),
    ],
)
def test_checklist_29_protocol_and_connect_belong_together(headers: Headers) -> None:
    with pytest.raises(DecodeError):
        decode_request(headers)


def test_plain_connect_has_an_authority_only() -> None:
    request = decode_request(((b":method", b"CONNECT"), (b":authority", b"example.org:80")))
    assert (request.protocol, request.authority, request.path) == (None, b"example.org:80", b"")


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param((b"Upper", b"x"), id="upper case"),
        pytest.param((b"", b"x"), id="no name"),
        pytest.param((b"na me", b"x"), id="space in name"),
        pytest.param((b":method", b"GET"), id="late pseudo"),
        pytest.param((b":status", b"200"), id="response pseudo"),
        pytest.param((b":unknown", b"x"), id="unknown pseudo"),
        pytest.param((b"x", b"a\0b"), id="nul"),
        pytest.param((b"x", b"a\rb"), id="cr"),
        pytest.param((b"x", b"a\nb"), id="lf"),
        pytest.param((b"x", b" a"), id="leading space"),
        pytest.param((b"x", b"a\t"), id="trailing tab"),
        pytest.param((b"connection", b"close"), id="connection"),
        pytest.param((b"keep-alive", b"1"), id="keep-alive"),
        pytest.param((b"upgrade", b"h2c"), id="upgrade"),
        pytest.param((b"transfer-encoding", b"chunked"), id="transfer-encoding"),
        pytest.param((b"proxy-connection", b"x"), id="proxy-connection"),
        pytest.param((b"te", b"gzip"), id="te"),
        pytest.param((b"host", b"other.example.org"), id="another host"),
    ],
)
def test_checklist_24_malformed_header_sections(extra: tuple[bytes, bytes]) -> None:
    with pytest.raises(DecodeError):
        decode_request((*GET, extra))


def test_checklist_24_pseudo_fields_come_once_and_first() -> None:
    with pytest.raises(DecodeError):
        decode_request((GET[0], *GET))
    with pytest.raises(DecodeError):
        decode_request((GET[0], (b"x", b"y"), *GET[1:]))
    with pytest.raises(DecodeError):
        decode_request((*GET, (b"host", b"vpn.example.org"), (b"host", b"other")))


def test_harmless_fields_pass() -> None:
    fields = ((b"te", b"trailers"), (b"host", b"vpn.example.org"), (b"connect-ip-version", b"3"))
    assert decode_request((*GET, *fields)).fields == fields
    by_host = decode_request((*without(GET, b":authority"), (b"host", b"vpn.example.org")))
    assert by_host.authority == b"vpn.example.org"


def test_user_information_in_the_authority_is_malformed() -> None:
    with pytest.raises(DecodeError):
        decode_request(replaced(GET, b":authority", b"me@vpn.example.org"))


@pytest.mark.parametrize("status", [b"", b"20", b"2000", b"099", b"abc", b"+20", b"101"])
def test_checklist_25_a_response_needs_a_valid_status(status: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_response(((b":status", status),))
    with pytest.raises(DecodeError):
        decode_response(())


@pytest.mark.parametrize(
    ("status", "is_interim", "is_success"),
    [
        (100, True, False),
        (103, True, False),
        (200, False, True),
        (299, False, True),
        (302, False, False),
        (503, False, False),
    ],
)
def test_kinds_of_responses(status: int, *, is_interim: bool, is_success: bool) -> None:
    response = decode_response(((b":status", str(status).encode()),))
    assert (response.status, response.is_interim, response.is_success) == (
        status,
        is_interim,
        is_success,
    )


@pytest.mark.parametrize("name", [b"content-length", b"content-type", b"transfer-encoding"])
def test_checklist_15_content_fields_are_malformed_with_capsules(name: bytes) -> None:
    with pytest.raises(DecodeError, match=name.decode()):
        check_capsule_message(((b"x", b"y"), (name, b"0")), 200)


@pytest.mark.parametrize("status", [204, 205, 206])
def test_checklist_15_these_statuses_cannot_start_capsules(status: int) -> None:
    with pytest.raises(DecodeError, match=str(status)):
        check_capsule_message((), status)
    check_capsule_message((), 200)
    check_capsule_message((), 299)
    check_capsule_message(())


@pytest.mark.parametrize(
    ("value", "announced"),
    [
        (b"?1", True),
        (b" ?1 ", True),
        (b"?1;a=b", True),
        (b'?1; a;b=1.5; c="x\\"y";d=:YQ==:;*e=?0', True),
        (b"?0", False),
        (b"?0;a", False),
        (b"1", False),
        (b'"1"', False),
        (b"?2", False),
        (b"?1, ?1", False),
        (b"?1;A=b", False),
        (b"?1;", False),
        (b"?1;a=", False),
        (b"?1 x", False),
        (b"true", False),
        (b"", False),
    ],
)
def test_checklist_19_capsule_protocol_is_a_structured_boolean(
    value: bytes, *, announced: bool
) -> None:
    assert has_true_field(((CAPSULE, value),), CAPSULE) is announced


def test_checklist_19_an_absent_or_repeated_field_is_no_announcement() -> None:
    assert not has_true_field((), CAPSULE)
    assert not has_true_field(((CAPSULE, b"?1"), (CAPSULE, b"?1")), CAPSULE)


def test_a_field_that_comes_twice_has_no_value() -> None:
    assert field_value(((b"a", b"1"),), b"a") == b"1"
    assert field_value(((b"a", b"1"), (b"a", b"2")), b"a") is None
    assert field_value((), b"a") is None
