"""Each kind of value: what is read, what is refused, and what the refusal says."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from mqvpn_core.config import HostPort, LogLevel, Pin
from mqvpn_core.config import parsing as p
from mqvpn_core.errors import ConfigError

PIN = "sha256/" + "A" * 43 + "="

GOOD: list[tuple[Callable[[str], object], str, object]] = [
    (p.boolean, "true", True),
    (p.boolean, "YES", True),
    (p.boolean, "on", True),
    (p.boolean, "1", True),
    (p.boolean, "False", False),
    (p.boolean, "no", False),
    (p.integer(1, 10), "1", 1),
    (p.integer(1, 10), "10", 10),
    (p.seconds(0.1, 60), "0.1", 0.1),
    (p.seconds(1, 60, zero=True), "0", 0.0),
    (p.choice(LogLevel), "DEBUG", LogLevel.DEBUG),
    (p.optional(p.integer(1, 9), "auto"), "Auto", None),
    (p.optional(p.integer(1, 9), "auto"), "7", 7),
    (p.path, "a/b c", Path("a/b c")),
    (p.address, "192.0.2.1", ip_address("192.0.2.1")),
    (p.address, "2001:DB8::1", ip_address("2001:db8::1")),
    (p.network, "10.0.0.0/8", ip_network("10.0.0.0/8")),
    (p.network, "::/0", ip_network("::/0")),
    (p.network, "192.0.2.7", ip_network("192.0.2.7/32")),
    (p.pool_ipv4, "10.0.0.0/24", ip_network("10.0.0.0/24")),
    (p.pool_ipv6, "2001:db8:1::/112", ip_network("2001:db8:1::/112")),
    (p.host, "VPN.Example.org", "vpn.example.org"),
    (p.host, "vpn.example.org.", "vpn.example.org."),
    (p.host, "büro.example", "xn--bro-hoa.example"),
    (p.host, "192.0.2.1", "192.0.2.1"),
    (p.host, "2001:DB8:0::1", "2001:db8::1"),
    (p.server_address, "vpn.example.org", HostPort(host="vpn.example.org", port=443)),
    (p.server_address, "vpn.example.org:444", HostPort(host="vpn.example.org", port=444)),
    (p.server_address, "192.0.2.1:65535", HostPort(host="192.0.2.1", port=65535)),
    (p.server_address, "[2001:db8::1]:1", HostPort(host="2001:db8::1", port=1)),
    (p.server_address, "[2001:db8::1]", HostPort(host="2001:db8::1", port=443)),
    (p.server_address, "2001:db8::1", HostPort(host="2001:db8::1", port=443)),
    (p.listen_address, "0.0.0.0:443", HostPort(host="0.0.0.0", port=443)),  # noqa: S104 - a value under test
    (p.listen_address, "[::]:0", HostPort(host="::", port=0)),
    (p.listen_address, ":4433", HostPort(host="::", port=4433)),
    (p.listen_address, "*:4433", HostPort(host="::", port=4433)),
    (p.listen_address, "::1", HostPort(host="::1", port=443)),
    (p.link_name, "wlan0", "wlan0"),
    (p.link_name, "eth0.100", "eth0.100"),
    (p.link_name, "a" * 15, "a" * 15),
    (p.pin, PIN, Pin(sha256=bytes(32))),
    (p.pin, PIN.replace("/", "//"), Pin(sha256=bytes(32))),
    (p.template, "/vpn/{target}/{ipproto}", "/vpn/{target}/{ipproto}"),
    (p.template, "/vpn{?target,ipproto}", "/vpn{?target,ipproto}"),
    (p.template, "/vpn?x=1{&target}", "/vpn?x=1{&target}"),
    (p.template, "/vpn", "/vpn"),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_good_text_is_read(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


BAD: list[tuple[Callable[[str], object], str, str]] = [
    (p.boolean, "maybe", "neither true nor false"),
    (p.boolean, "", "neither true nor false"),
    (p.integer(1, 10), "0", "whole number from 1 to 10"),
    (p.integer(1, 10), "11", "whole number from 1 to 10"),
    (p.integer(1, 10), "1.0", "whole number"),
    (p.integer(1, 10), "1e0", "whole number"),
    (p.integer(1, 10), "0x1", "whole number"),
    (p.integer(1, 10), "\u0661", "whole number"),
    (p.integer(1, 10), "9" * 5000, "whole number"),
    (p.seconds(0.1, 60), "0", "0.1 to 60 seconds"),
    (p.seconds(0.1, 60), "-1", "0.1 to 60 seconds"),
    (p.seconds(0.1, 60), "nan", "0.1 to 60 seconds"),
    (p.seconds(0.1, 60), "inf", "0.1 to 60 seconds"),
    (p.seconds(1, 60, zero=True), "61", "1 to 60 seconds, or 0"),
    (p.choice(LogLevel), "loud", "error, warning, info, debug"),
    (p.path, "", "not a file name"),
    (p.path, "a\0b", "not a file name"),
    (p.address, "192.0.2.256", "not an IP address"),
    (p.address, "fe80::1%eth0", "zone"),
    (p.network, "10.0.0.1/24", "10.0.0.0/24 would be one"),
    (p.network, "ten", "such as 10.0.0.0/24"),
    (p.network, "fe80::%1/64", "network"),
    (p.pool_ipv4, "10.0.0.0/31", "/8 to /30"),
    (p.pool_ipv4, "10.0.0.0/7", "/8 to /30"),
    (p.pool_ipv4, "10.0.0.1/24", "10.0.0.0/24 would be one"),
    (p.pool_ipv4, "224.0.0.0/24", "unicast"),
    (p.pool_ipv4, "127.0.0.0/24", "unicast"),
    (p.pool_ipv4, "169.254.0.0/16", "unicast"),
    (p.pool_ipv4, "fd00::/64", "unicast IPv4"),
    (p.pool_ipv6, "10.0.0.0/24", "unicast IPv6"),
    (p.pool_ipv6, "fd00::", "/32 to /126"),
    (p.pool_ipv6, "fd00::1/64", "fd00::/64 would be one"),
    (p.pool_ipv6, "fd00::/16", "/32 to /126"),
    (p.pool_ipv6, "fe80::/64", "unicast"),
    (p.pool_ipv6, "ff02::/64", "unicast"),
    (p.host, "", "not a host name"),
    (p.host, "a b", "not a host name"),
    (p.host, "-a", "not a host name"),
    (p.host, "a" * 64, "not a host name"),
    (p.host, ".".join(["abcdefg"] * 40), "not a host name"),
    (p.host, "user@host", "not a host name"),
    (p.host, "ü" * 80, "not a host name"),
    (p.host, "1.2.3", "not an IP address"),
    (p.host, "fe80::1%eth0", "zone"),
    (p.server_address, "https://vpn.example.org", "not a port"),
    (p.server_address, "vpn.example.org:", "not a port"),
    (p.server_address, "vpn.example.org:0", "port from 1"),
    (p.server_address, "vpn.example.org:65536", "port from 1"),
    (p.server_address, "vpn.example.org:44a", "port from 1"),
    (p.server_address, "[vpn.example.org]:443", "no IPv6 address inside"),
    (p.server_address, "[::1]443", "not a"),
    (p.server_address, "", "not a host name"),
    (p.listen_address, "vpn.example.org:443", "not an IP address"),
    (p.listen_address, "0.0.0.0:70000", "port from 0"),
    (p.link_name, "", "interface name"),
    (p.link_name, "a" * 16, "interface name"),
    (p.link_name, "a/b", "interface name"),
    (p.link_name, "a:b", "interface name"),
    (p.link_name, "tun%d", "interface name"),
    (p.link_name, "a b", "interface name"),
    (p.link_name, "ünïx", "interface name"),
    (p.link_name, "..", "interface name"),
    (p.link_name, "all", "interface name"),
    (p.pin, "sha256/abc", "44 characters of Base64"),
    (p.pin, "sha1/" + "A" * 27 + "=", "44 characters of Base64"),
    (p.template, "vpn", "after a '/'"),
    (p.template, "https://host/{target}", "after a '/'"),
    (p.template, "/a b", "visible ASCII"),
    (p.template, "/{+target}", "not a template"),
    (p.template, "/{host}", "not a template"),
    (p.template, "/{target", "not a template"),
    (p.template, "/{}", "not a template"),
    (p.template, "/{target}#x", "not a template"),
    (p.template, "/{target}/{target}", "twice"),
]


@pytest.mark.parametrize(("parse", "text", "says"), BAD)
def test_bad_text_is_refused_with_a_reason(
    parse: Callable[[str], object], text: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (p.key, "has blanks in it, as said"),
        (p.key, "schlüssel-schlüssel"),
        (p.key, "k" * 513),
        (p.key_or_hash, "sha256:deadbeef"),
        (p.user, "no-colon-here-at-all"),
        (p.user, "bad name:0123456789abcdef"),
        (p.user, "alice:has blanks in it"),
        (p.user, "-x:0123456789abcdef"),
    ],
)
def test_refused_secret_is_not_quoted(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert text not in str(caught.value)
    assert text.partition(":")[2] == "" or text.partition(":")[2] not in str(caught.value)


def test_user_splits_at_the_first_colon() -> None:
    name, secret = p.user("alice@example.org:with:colons:in:it")
    assert name == "alice@example.org"
    assert secret == p.key("with:colons:in:it")


def test_list_drops_repetitions_and_keeps_the_order() -> None:
    assert p.sequence(p.link_name)(["b", "a", "b"]) == ("b", "a")


def test_quote_shortens_and_escapes() -> None:
    assert p.quote("a\nb") == r"'a\nb'"
    assert len(p.quote("x" * 10_000)) < 80


def test_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/somebody")
    assert p.path("~/ca.pem") == Path("/srv/somebody/ca.pem")
