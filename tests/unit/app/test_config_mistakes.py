"""A mistake in a configuration file, of whatever format, is one clear line without secrets."""

import pytest

from mqvpn_core.app.config_formats import Format, nearest, parse_text
from mqvpn_core.errors import ConfigError

BAD = [
    (Format.TOML, "mtuu = 5", "f:1: unknown key 'mtuu'; did you mean mtu?"),
    (Format.TOML, "\n\nserver_adress = ''", "f:3: unknown key 'server_adress'; did you mean ser"),
    (Format.TOML, "zzzzzzzz = 5", "docs/configuration.md lists the keys"),
    (Format.TOML, "mood = 'client'", "did you mean mode?"),
    (Format.TOML, "mode = 'both'", "f:1: mode must be client or server"),
    (Format.TOML, "mode = 5", "f:1: mode must be client or server"),
    (Format.TOML, "mtu = true", "f:1: mtu: expected number, found true or false"),
    (Format.TOML, "mtu = [1]", "f:1: mtu: expected number, found a list"),
    (Format.TOML, "insecure = 1", "f:1: insecure: expected true or false, found a number"),
    (Format.TOML, "dns = [1]", "f:1: dns: expected a list of texts, found a number in it"),
    (Format.TOML, "dns = 2026-01-01", "expected list of texts, found a date or time"),
    (Format.TOML, "server = 5", "expected text, found a number"),
    (Format.TOML, "users = 5", "expected table of users, found a number"),
    (Format.TOML, "[users]\na = 5", "f:1: users: a user is NAME ="),
    (Format.TOML, "[server]\nhost = 'x'", "f:1: server: expected text, found a table"),
    (Format.TOML, "mtu = 1\nmtu = 2", "not valid TOML: Cannot overwrite a value"),
    (Format.TOML, "mtu = ", "not valid TOML: Invalid value (at end of document)"),
    (Format.TOML, "mtu = '", "not valid TOML"),
    (Format.TOML, "mtu = " + "9" * 5000, "number too long"),
    (Format.TOML, "dns = [0x" + "f" * 5000 + "]", "found a number in it"),
    (Format.TOML, "dns = " + "[" * 100_000, "nested too deep"),
    (Format.TOML, "a" * 10_000 + " = 1\n" + "a" * 10_000 + " = 2", "not valid TOML"),
    (Format.JSON, '{"mtuu": 5}', "f:1: unknown key 'mtuu'; did you mean mtu?"),
    (Format.JSON, '{\n"server_add": ""}', "f:2: unknown key 'server_add'; did you mean server?"),
    (Format.JSON, '{"mtu": 1, "mtu": 2}', "f:1: the key 'mtu' stands there twice"),
    (Format.JSON, '{"cc": "cubic", "congestion_control": "cubic"}', "are the same key"),
    (Format.JSON, '{"users": [{"name": "a"}]}', "a user is NAME ="),
    (Format.JSON, '{"users": [{"name": "a", "key": 5}]}', "a user is NAME ="),
    (Format.JSON, '{"mtu": NaN}', "an odd number"),
    (Format.JSON, '{"mtu": ' + "9" * 5000 + "}", "an odd number"),
    (Format.JSON, "[]", "expected a JSON object, found a list"),
    (Format.JSON, "{", "f:1: not valid JSON"),
    (Format.JSON, "", "f:1: not valid JSON"),
    (Format.JSON, "[" * 100_000, "nested too deep"),
    (Format.JSON, '{"dns": ' * 50_000, "nested too deep"),
    (Format.INI, "[Interfaec]", "f:1: unknown section 'Interfaec'; did you mean [Interface]?"),
    (Format.INI, "[Zzzzzzz]", "known are: Server, "),
    (Format.INI, "[Interface]\nMUT = 5", "f:2: unknown key 'MUT' in [Interface]; did you mean MTU"),
    (
        Format.INI,
        "[Interface]\nCert = x",
        "f:2: unknown key 'Cert' in [Interface]; it belongs",
    ),
    (Format.INI, "[TLS]\nqqqqqq = x", "docs/configuration.md lists the keys"),
    (Format.INI, "[Interface]\nMTU = 1\nMTU = 2", "f:3: this key already stands in line 2"),
    (Format.INI, "MTU = 1", "f:1: the key 'MTU' stands before any [SECTION]"),
    (Format.INI, "[Interface]\nMTU", "f:2: expected KEY = VALUE"),
    (Format.INI, "[Interface]\n= 5", "f:2: expected KEY = VALUE"),
    (Format.INI, "[Interface", "f:1: expected KEY = VALUE"),
]


@pytest.mark.parametrize(("form", "text", "says"), BAD, ids=[says[:40] for _, _, says in BAD])
def test_mistake_is_one_clear_line(form: Format, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "f", form)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('auth_key = ["my-own-secret"]', Format.TOML),
        ('[users]\nalice = ["my-own-secret"]', Format.TOML),
        ('auth_key = "my-own-secret', Format.TOML),
        ('{"auth_key": ["my-own-secret"]}', Format.JSON),
        ('{"users": ["alice", {"my-own-secret": 1}]}', Format.JSON),
        ('{"auth_key": "my-own-secret', Format.JSON),
        ("[Auth]\nmy-own-secret", Format.INI),
        ("[Auth]\nKey = a\nKey = my-own-secret", Format.INI),
    ],
)
def test_mistake_near_a_secret_does_not_show_it(text: str, form: Format) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "f", form)
    assert "my-own-secret" not in str(caught.value)


def test_nearest_ignores_case_and_gives_up_on_nonsense() -> None:
    assert nearest("TUNNAME", ["tun_name", "mtu"]) == "tun_name"
    assert nearest("qqq", ["tun_name", "mtu"]) is None
    assert nearest("m" * 1_000_000, ["tun_name", "mtu"]) is None
