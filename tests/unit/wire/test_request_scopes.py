"""The variables target and ipproto: RFC 9484 s4.6, checklist items 27 and 32."""

from ipaddress import ip_network

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.request_scopes import (
    Target,
    decode_protocol,
    decode_target,
    encode_protocol,
    encode_target,
)

TARGETS: list[tuple[Target, str]] = [
    (None, "*"),
    ("vpn.example.org", "vpn.example.org"),
    ("a-b_c.xn--bcher-kva", "a-b_c.xn--bcher-kva"),
    ("example.org.", "example.org."),
    (ip_network("192.0.2.1"), "192.0.2.1"),
    (ip_network("192.0.2.0/24"), "192.0.2.0%2F24"),
    (ip_network("0.0.0.0/0"), "0.0.0.0%2F0"),
    (ip_network("2001:db8::42"), "2001%3Adb8%3A%3A42"),
    (ip_network("2001:db8::/32"), "2001%3Adb8%3A%3A%2F32"),
    (ip_network("::/0"), "%3A%3A%2F0"),
]


@pytest.mark.parametrize(("target", "text"), TARGETS)
def test_checklist_32_targets(target: Target, text: str) -> None:
    assert encode_target(target) == text
    assert decode_target(text) == target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("%2A", None),
        ("%2a", None),
        ("192.0.2.1%2F32", ip_network("192.0.2.1")),
        ("2001%3adb8%3A%3A42%2f128", ip_network("2001:db8::42")),
        ("%3A%3Affff%3A192.0.2.1", ip_network("::ffff:192.0.2.1")),
        ("2001%3ADB8%3A%3A%2F032", ip_network("2001:db8::/32")),
        ("EXAMPLE.org", "example.org"),
        ("ex%61mple.org", "example.org"),
        ("7.example", "7.example"),
        ("3com", "3com"),
        ("x" * 63 + ".org", "x" * 63 + ".org"),
    ],
)
def test_checklist_32_other_spellings_are_understood(text: str, target: Target) -> None:
    assert decode_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "**",
        "2001:db8::42",  # colon not encoded
        "192.0.2.0/24",  # slash not encoded
        "192.0.2.1%2F24",  # host bits
        "2001%3Adb8%3A%3A1%2F32",
        "192.0.2.0%2F33",
        "192.0.2.0%2F024",
        "192.0.2.0%2F",
        "192.0.2.0%2F-1",
        "192.0.2.0%2F8%2F8",
        "192.0.2.0%2F%D9%A8",
        "2001%3Adb8%3A%3A%2F129",
        "2001%3Adb8%3A%3A%2F",
        "2001%3Adb8%3A%3A%2F0032",
        "2001%3Adb8%3A%3A%2F+32",
        "2001%3Adb8",
        "fe80%3A%3A1%25eth0",  # zone identifier
        "fe80%3A%3A1%25eth0%2F128",
        "%5B2001%3Adb8%3A%3A42%5D",
        "256.0.0.1",
        "192.0.2",
        "192.0.2.01",
        "192.0.2.1.",
        "10",
        "0x7f000001",
        "127.0x1",
        "example.org%2F24",
        "-x.org",
        "x-.org",
        "a..b",
        ".",
        ".org",
        "x" * 64 + ".org",
        "x." * 127,
        "a b",
        "a%20b",
        "user@host",
        "a%00b",
        "b%C3%BCcher.de",
        "%",
        "%2",
        "%zz",
        "a%2",
    ],
)
def test_checklist_32_invalid_targets(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_target(text)


def test_checklist_32_the_longest_name() -> None:
    longest = "x." * 126 + "x"
    assert len(longest) == 253
    assert decode_target(longest) == longest
    with pytest.raises(DecodeError):
        decode_target("x" + longest)


@pytest.mark.parametrize("name", ["", "*", "a b", "192.0.2.1", "10", "::1", "x/24"])
def test_what_is_no_host_name_is_our_own_mistake(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        encode_target(name)


@pytest.mark.parametrize(
    ("text", "protocol"),
    [("*", None), ("%2A", None), ("0", 0), ("17", 17), ("017", 17), ("255", 255), ("%31", 1)],
)
def test_checklist_32_ipproto(text: str, protocol: int | None) -> None:
    assert decode_protocol(text) == protocol


@pytest.mark.parametrize(
    "text", ["", "256", "999", "0017", "-1", "+1", "1.0", "udp", "1 ", "**", "%", "%D9%A1", "1_0"]
)
def test_checklist_32_invalid_ipproto(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_protocol(text)


def test_encoded_protocols() -> None:
    assert [encode_protocol(protocol) for protocol in (None, 0, 255)] == ["*", "0", "255"]
    for protocol in (-1, 256):
        with pytest.raises(LocalProtocolError):
            encode_protocol(protocol)
