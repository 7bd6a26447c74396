"""URI templates: what a client expands, a server reads; what anyone else sends is harmless."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqvpn_core.errors import ConfigError, DecodeError
from mqvpn_core.wire.request_scopes import RequestScope, decode_protocol, decode_target
from mqvpn_core.wire.uri_templates import (
    compile_template_matcher,
    expand_uri_template,
    match_request_path,
    parse_uri_template,
)
from tests.properties.wire.strategies import damaged, scopes

pytestmark = pytest.mark.slow

TEMPLATES = [
    parse_uri_template(text)
    for text in (
        "https://example.org/.well-known/masque/ip/{target}/{ipproto}/",
        "https://example.org/masque/ip?t={target}&i={ipproto}",
        "https://example.org/masque/ip{?target,ipproto}",
        "https://example.org/{ipproto,target}",
        "https://example.org/x?a{&ipproto}{&target,more}",
    )
]
MATCHERS = [compile_template_matcher(template) for template in TEMPLATES]
indexes = st.integers(0, len(TEMPLATES) - 1)


def expand(index: int, scope: RequestScope) -> bytes:
    return expand_uri_template(TEMPLATES[index], scope).encode()


@given(indexes, scopes)
def test_round_trip(index: int, scope: RequestScope) -> None:
    assert match_request_path(MATCHERS[index], expand(index, scope)) == scope


@given(indexes, damaged(st.builds(expand, indexes, scopes)) | st.binary(max_size=80))
def test_any_path_is_malformed_or_a_scope_or_no_match(index: int, path: bytes) -> None:
    with suppress(DecodeError):
        scope = match_request_path(MATCHERS[index], path)
        if scope is not None:
            # What was understood can be said, and is understood again.
            assert match_request_path(MATCHERS[index], expand(index, scope)) == scope


@given(st.text(max_size=60))
@example("%2A")
def test_any_text_is_malformed_or_a_value(text: str) -> None:
    for decode in (decode_target, decode_protocol):
        with suppress(DecodeError):
            decode(text)


@given(st.text(max_size=40) | st.text("{}?&,/:@[].htps%2Atargetipproto", max_size=60))
def test_any_text_is_a_template_or_a_config_error(text: str) -> None:
    for candidate in (text, "https://h/" + text):
        with suppress(ConfigError):
            template = parse_uri_template(candidate)
            path = expand_uri_template(template, RequestScope())
            assert path.startswith("/")
            matcher = compile_template_matcher(template)
            assert match_request_path(matcher, path.encode()) == RequestScope()
