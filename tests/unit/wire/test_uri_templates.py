"""URI templates: RFC 9484 s3, checklist items 26, 27 and 32, with the examples of the RFC."""

from ipaddress import ip_network

import pytest

from mqvpn_core.errors import ConfigError, DecodeError, LocalProtocolError
from mqvpn_core.wire.request_scopes import RequestScope
from mqvpn_core.wire.uri_templates import (
    compile_template_matcher,
    default_uri_template,
    expand_uri_template,
    match_request_path,
    parse_uri_template,
)

ANYTHING = RequestScope()
UDP_TO_NET = RequestScope(target=ip_network("2001:db8::/32"), protocol=17)
TO_HOST = RequestScope(target="host.example")

PATH_STYLE = "https://example.org/.well-known/masque/ip/{target}/{ipproto}/"
PARAMETERS = "https://proxy.example.org:4443/masque/ip?t={target}&i={ipproto}"
FORM_STYLE = "https://proxy.example.org:4443/masque/ip{?target,ipproto}"
CONSTANT = "https://masque.example.org/?user=bob"


def match(template: str, path: str) -> RequestScope | None:
    matcher = compile_template_matcher(parse_uri_template(template))
    return match_request_path(matcher, path.encode())


@pytest.mark.parametrize(
    ("template", "scope", "path"),
    [
        (PATH_STYLE, ANYTHING, "/.well-known/masque/ip/*/*/"),
        (PATH_STYLE, UDP_TO_NET, "/.well-known/masque/ip/2001%3Adb8%3A%3A%2F32/17/"),
        (PARAMETERS, ANYTHING, "/masque/ip?t=*&i=*"),
        (PARAMETERS, TO_HOST, "/masque/ip?t=host.example&i=*"),
        (FORM_STYLE, UDP_TO_NET, "/masque/ip?target=2001%3Adb8%3A%3A%2F32&ipproto=17"),
        (FORM_STYLE, ANYTHING, "/masque/ip?target=*&ipproto=*"),
        (CONSTANT, ANYTHING, "/?user=bob"),
        ("https://h/{target,ipproto}", UDP_TO_NET, "/2001%3Adb8%3A%3A%2F32,17"),
        (
            "https://h/{user}/x{?user,target}{&ipproto}",
            TO_HOST,
            "//x?target=host.example&ipproto=*",
        ),
        ("https://h/x{?user}", ANYTHING, "/x"),
        ("https://h/x?a=b{&target}", TO_HOST, "/x?a=b&target=host.example"),
        ("https://h/{target}?i={ipproto}&", TO_HOST, "/host.example?i=*&"),
    ],
)
def test_expansion_and_its_inverse(template: str, scope: RequestScope, path: str) -> None:
    assert expand_uri_template(parse_uri_template(template), scope) == path
    assert match(template, path) == scope


def test_parts_of_a_template() -> None:
    template = parse_uri_template("HTTPS://Proxy.Example.org:4443/ip/{target}{?ipproto,user}")
    assert template.authority == "Proxy.Example.org:4443"
    assert (template.host, template.port) == ("Proxy.Example.org", 4443)
    assert template.variables == {"target", "ipproto", "user"}
    assert parse_uri_template("https://192.0.2.1/").port == 443
    numeric = parse_uri_template("https://[2001:db8::1]:8443/")
    assert (numeric.authority, numeric.host) == ("[2001:db8::1]:8443", "2001:db8::1")


@pytest.mark.parametrize(
    "template",
    [
        "",
        "/relative/{target}",
        "//example.org/x",
        "https:/example.org/x",
        "https:///x",
        "://example.org/x",
        "http://example.org/x",  # RFC 9484 s4: over TLS or QUIC
        "https://example.org",  # no path
        "https://example.org?x={target}",
        "https://example.org{?target}",
        "https://{target}/x",
        "https://example.org:{ipproto}/x",
        "{ipproto}://example.org/x",
        "https://user@example.org/x",
        "https://example.org:/x",
        "https://example.org:0/x",
        "https://example.org:65536/x",
        "https://example.org:port/x",
        "https://[2001:db8]/x",
        "https://[192.0.2.1]/x",
        "https://2001:db8::1/x",
        "https://example.org/x y",
        "https://example.org/\x7f",
        "https://example.org/ü",
        "https://example.org/x\n",
        "https://example.org/<x>",
        "https://example.org/%zz",
        "https://example.org/x#fragment",
        "https://example.org/{+target}",
        "https://example.org/{#target}",
        "https://example.org/x{.target}",
        "https://example.org{/target}",
        "https://example.org/x{/target}",
        "https://example.org/x{;target}",
        "https://example.org/{=target}",
        "https://example.org/{|target}",
        "https://example.org/{target:3}",  # level 4
        "https://example.org/{target*}",
        "https://example.org/{?target*}",
        "https://example.org/{}",
        "https://example.org/{?}",
        "https://example.org/{target,}",
        "https://example.org/{tar get}",
        "https://example.org/{tar-get}",
        "https://example.org/{target",
        "https://example.org/target}",
        "https://example.org/{{target}}",
    ],
)
def test_checklist_26_invalid_templates_are_refused(template: str) -> None:
    with pytest.raises(ConfigError):
        parse_uri_template(template)


@pytest.mark.parametrize(
    "template",
    [
        "https://example.org/",
        "https://example.org/~x/%7Ex/!$&'()*+,;=:@[]?/?:@",
        "https://example.org/{target}/{a.b}/{%41_9}",
        "https://example.org/x{&target}",
        "https://example.org/{target}-{ipproto}",
    ],
)
def test_checklist_26_unusual_templates_are_accepted(template: str) -> None:
    assert parse_uri_template(template).text == template


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("vpn.example", 4443, "https://vpn.example:4443/.well-known/masque/ip/{target}/{ipproto}/"),
        ("192.0.2.1", 443, "https://192.0.2.1:443/.well-known/masque/ip/{target}/{ipproto}/"),
        ("2001:db8::1", 1, "https://[2001:db8::1]:1/.well-known/masque/ip/{target}/{ipproto}/"),
    ],
)
def test_checklist_27_default_template(host: str, port: int, text: str) -> None:
    template = default_uri_template(host, port)
    assert (template.text, template.host, template.port) == (text, host, port)


@pytest.mark.parametrize(
    ("host", "port"), [("", 443), ("a b", 443), ("x/y", 443), ("::zz", 443), ("x", 0), ("x", 65536)]
)
def test_checklist_27_default_template_of_an_impossible_host(host: str, port: int) -> None:
    with pytest.raises(ConfigError):
        default_uri_template(host, port)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (PATH_STYLE, "/.well-known/masque/ip//17/"),
        (PATH_STYLE, "/.well-known/masque/ip/*//"),
        (PATH_STYLE, "/.well-known/masque/ip///"),
        (FORM_STYLE, "/masque/ip?target="),
        (FORM_STYLE, "/masque/ip?target=*&ipproto="),
    ],
)
def test_checklist_27_variables_are_never_empty(template: str, path: str) -> None:
    with pytest.raises(DecodeError):
        match(template, path)


def test_a_scope_needs_its_variable() -> None:
    for scope in (TO_HOST, RequestScope(protocol=6)):
        with pytest.raises(LocalProtocolError):
            expand_uri_template(parse_uri_template(CONSTANT), scope)


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/.well-known/masque/ip/%2A/%2A/", ANYTHING),
        (
            "/.well-known/masque/ip/10.0.0.0%2F8/6/",
            RequestScope(target=ip_network("10.0.0.0/8"), protocol=6),
        ),
    ],
)
def test_checklist_32_scopes_of_requests(path: str, scope: RequestScope) -> None:
    assert match(PATH_STYLE, path) == scope


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "/.well-known/masque/ip/*/*",
        "/.well-known/masque/ip/*/*//",
        "/.well-known/masque/ip/*/",
        "/.well-known/masque/ip/10.0.0.0/8/6/",
        "/.well-known/masque/udp/*/*/",
        "/.well-known/masque/ip/*/*/?x",
        "/.well-known/masque/ip/*/*/#x",
        "/.well-known/masque/ip/*/*/\n",
        "/.well-known/masque/ip/\xfc/*/",
    ],
)
def test_other_paths_do_not_match(path: str) -> None:
    assert match(PATH_STYLE, path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/masque/ip/2001:db8::/17/",
        "/.well-known/masque/ip/10.0.0.1%2F8/6/",
        "/.well-known/masque/ip/*/256/",
        "/.well-known/masque/ip/*/udp/",
        "/.well-known/masque/ip/%/17/",
        "/.well-known/masque/ip/a,b/17/",
    ],
)
def test_checklist_32_invalid_values_are_malformed(path: str) -> None:
    with pytest.raises(DecodeError):
        match(PATH_STYLE, path)


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/masque/ip", ANYTHING),
        ("/masque/ip?ipproto=17", RequestScope(protocol=17)),
        (
            "/masque/ip?ipproto=17&target=host.example",
            RequestScope(target="host.example", protocol=17),
        ),
        ("/masque/ip?target=host.example&target=host.example", TO_HOST),
        ("/masque/ip?user=bob", None),
        ("/masque/ip?", None),
        ("/masque/ip?target=*&", None),
        ("/masque/ip?target", None),
        ("/masque/ip/", None),
    ],
)
def test_form_style_takes_variables_in_any_order(path: str, scope: RequestScope | None) -> None:
    assert match(FORM_STYLE, path) == scope


def test_two_different_values_are_malformed() -> None:
    with pytest.raises(DecodeError, match="two values"):
        match(FORM_STYLE, "/masque/ip?ipproto=6&ipproto=17")
    with pytest.raises(DecodeError, match="two values"):
        match("https://h/{target}/{target}", "/a.example/b.example")


@pytest.mark.parametrize("path", ["/masque/ip?t=10.0.0.0/8&i=*", "/masque/ip?t=a?b&i=*"])
def test_a_bare_slash_in_a_query_is_malformed(path: str) -> None:
    with pytest.raises(DecodeError):
        match(PARAMETERS, path)


def test_lists_may_lack_their_end() -> None:
    template = "https://h/{target,ipproto}"
    assert match(template, "/host.example") == TO_HOST
    assert match(template, "/host.example,6,7") is None


def test_other_variables_are_ignored() -> None:
    assert match("https://h/{user}/{target}", "//host.example") == TO_HOST
    assert match("https://h/{user}/{target}", "/b%zz/host.example") == TO_HOST


@pytest.mark.parametrize(
    "template",
    [
        "https://h/{target}{ipproto}",
        "https://h/{target}-{ipproto}",
        "https://h/{target}%2F{ipproto}",
        "https://h/{target}*{ipproto}",
        "https://h/{?target}x",
        "https://h/{?target}{ipproto}",
    ],
)
def test_templates_that_cannot_be_told_apart(template: str) -> None:
    with pytest.raises(ConfigError, match="put a slash"):
        compile_template_matcher(parse_uri_template(template))


def test_matching_takes_linear_time() -> None:
    for template, path in (
        (PATH_STYLE, "/.well-known/masque/ip/" + "*" * 50_000),
        (FORM_STYLE, "/masque/ip?" + "target=" * 10_000 + "#"),
        (FORM_STYLE, "/masque/ip?" + "target=&" * 10_000),
        ("https://h/{target};{a};{b};{c}/", "/" + ";" * 50_000),
    ):
        assert match(template, path) is None
