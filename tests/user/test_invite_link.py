"""Links: what they say, what they refuse, and that nothing in them can do harm."""

import re
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_helper.interface.invite_link import (
    MAX_LINK_LENGTH,
    InviteLink,
    InviteLinkError,
    decode_invite_link,
    encode_invite_link,
)

PIN = "sha256/" + "+/8A" * 10 + "AAA="
"""A pin that has both characters of which Base64 has two alphabets."""


def test_a_whole_link() -> None:
    link = InviteLink(
        host="vpn.example.org",
        port=8443,
        server_name="www.example.org",
        pins=(PIN,),
        user="alice@example",
        name="Büro 2",
        template="/masque/{target}/",
        key="k3y#with/odd?parts&=%",
    )
    text = encode_invite_link(link)
    assert text == (
        "mqvpn://alice%40example@vpn.example.org:8443/?name=B%C3%BCro%202&sni=www.example.org"
        "&template=/masque/%7Btarget%7D/&pin=sha256/-_8A" + "-_8A" * 9 + "AAA"
        "#k3y%23with/odd%3Fparts%26%3D%25"
    )
    assert decode_invite_link(text) == link


def test_a_short_link() -> None:
    assert decode_invite_link("mqvpn://vpn.example.org") == InviteLink(host="vpn.example.org")
    assert encode_invite_link(InviteLink(host="vpn.example.org")) == "mqvpn://vpn.example.org/"


def test_addresses_stand_in_brackets() -> None:
    link = decode_invite_link("mqvpn://[2001:DB8::1]:8443/#k")
    assert (link.host, link.port, link.server) == ("2001:db8::1", 8443, "[2001:db8::1]:8443")
    assert encode_invite_link(link) == "mqvpn://[2001:db8::1]:8443/#k"
    assert decode_invite_link("mqvpn://192.0.2.1/").server == "192.0.2.1:443"


def test_a_host_of_another_script_is_sent_in_ascii() -> None:
    assert decode_invite_link("mqvpn://b%C3%BCcher.example/").host == "xn--bcher-kva.example"


def test_scheme_and_host_ignore_case_and_line_ends_of_mail_do_not_matter() -> None:
    assert decode_invite_link("  MQVPN://VPN.Example.org\r\n /#a\nb ") == InviteLink(
        host="vpn.example.org", key="ab"
    )


def test_both_alphabets_of_base64_and_missing_padding_are_one_pin() -> None:
    texts = [PIN, PIN.rstrip("="), PIN.replace("+", "-").replace("/8", "_8")]
    links = [decode_invite_link(f"mqvpn://h/?pin={text}") for text in texts]
    assert [link.pins for link in links] == [(PIN,)] * 3
    assert decode_invite_link(f"mqvpn://h/?pin={PIN}&pin={texts[2]}").pins == (PIN,)


def test_the_key_is_shown_by_no_repr() -> None:
    assert "hidden" not in repr(InviteLink(host="h", key="hidden"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no link"),
        (" \n", "no link"),
        ("https://vpn.example.org/", "begins with mqvpn://"),
        ("vpn.example.org", "begins with mqvpn://"),
        ("mqvpn:", "two slashes and a server"),
        ("mqvpn://", "not a host name"),
        ("mqvpn:///", "not a host name"),
        ("mqvpn://-x/", "not a host name"),
        ("mqvpn://1.2.3/", "not a host name or an IP"),
        ("mqvpn://[::1%25eth0]/", "not a host name or an IP"),
        ("mqvpn://[vpn]/", "no IPv6 address inside"),
        ("mqvpn://::1/", "port|server"),
        ("mqvpn://h:0/", "from 1 to 65535"),
        ("mqvpn://h:65536/", "from 1 to 65535"),
        ("mqvpn://h:+443/", "from 1 to 65535"),
        ("mqvpn://h:4_4/", "from 1 to 65535"),
        ("mqvpn://user:key@h/", "the key comes behind #"),
        ("mqvpn://-user@h/", "user name"),
        ("mqvpn://a%0Ab@h/", "user name"),
        ("mqvpn://h/path", "may follow the server's /"),
        ("mqvpn://h/?insecure=1", "does not know"),
        ("mqvpn://h/?sni=a&sni=a", "sni stands in the link twice"),
        ("mqvpn://h/?sni=a%zz", "two hexadecimal digits"),
        ("mqvpn://h/?sni=%ff", "not UTF-8"),
        ("mqvpn://h/?sni=..", "sni is not"),
        ("mqvpn://h/?name=%1b%5b2J", "printable"),
        ("mqvpn://h/?name=%e2%80%ae", "printable"),
        ("mqvpn://h/?name=" + "x" * 65, "64 printable"),
        ("mqvpn://h/?template=x", "template"),
        ("mqvpn://h/?pin=" + PIN.removeprefix("sha256/"), "a pin is"),
        ("mqvpn://h/?pin=sha256/AAAA", "a pin is"),
        (f"mqvpn://h/?pin={PIN}%20{PIN}", "a pin is"),
        ("mqvpn://h/" + "&pin=".join(["?x", *[PIN] * 9]), "does not know|more than 8"),
        ("mqvpn://h/#" + "k" * 513, "the key is not"),
        ("mqvpn://h/#a%20b", "the key is not"),
        ("mqvpn://h/?name=ü", "characters that links cannot have"),
        ("mqvpn://h/#" + "k" * MAX_LINK_LENGTH, "longer than"),
        ("m" * 100_000, "longer than"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(InviteLinkError, match=reason):
        decode_invite_link(text)


def test_no_refusal_quotes_a_key() -> None:
    for text in ("mqvpn://h/?nonsense=1#SECRET", "mqvpn://u:SECRET@h/", "mqvpn://h/#SECRET%0a"):
        with pytest.raises(InviteLinkError) as caught:
            decode_invite_link(text)
        assert "SECRET" not in str(caught.value)


def test_a_link_that_would_be_too_long_is_not_made() -> None:
    link = InviteLink(host="h", pins=(PIN,) * 1, template="/" + "{" * 255, key="%" * 512)
    with pytest.raises(InviteLinkError, match="would be longer"):
        encode_invite_link(link)


def _pin_text(digest: bytes) -> str:
    return "sha256/" + b64encode(digest).decode("ascii")


_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
_HOSTS = st.one_of(
    st.builds(
        lambda labels: ".".join(labels) + ".example", st.lists(_LABELS, min_size=1, max_size=4)
    ),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
_LINKS = st.builds(
    InviteLink,
    host=_HOSTS,
    port=st.integers(1, 65535),
    server_name=st.just("") | _HOSTS,
    pins=st.lists(st.binary(min_size=32, max_size=32).map(_pin_text), max_size=2).map(tuple),
    user=st.just("")
    | st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,20}", re.ASCII), fullmatch=True),
    name=st.text(max_size=20).filter(str.isprintable),
    template=st.just("") | st.just("/x/{target}/{ipproto}/"),
    key=st.none()
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64),
)


@given(_LINKS)
def test_what_is_encoded_is_decoded(link: InviteLink) -> None:
    text = encode_invite_link(link)
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text
    assert decode_invite_link(text) == link


_PARTS = st.sampled_from(
    [
        *("mqvpn://", "mqvpn:", "//", "h", "@", ":", "443", "/", "?", "&", "pin=", PIN, "sni="),
        *("name=", "%", "%00", "%41", "%ff", "#", "[", "]", "::1", "=", ".", "-", "\n", "ü"),
        *("\ud800", "\0", "xn--a", "\uff11"),
    ]
)


@given(st.text() | st.lists(_PARTS, max_size=20).map("".join))
def test_any_text_is_a_link_or_is_refused(text: str) -> None:
    try:
        link = decode_invite_link(text)
    except InviteLinkError:
        return
    assert decode_invite_link(encode_invite_link(link)) == link
