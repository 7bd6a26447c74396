"""The table of keys agrees with itself, with the values it makes and with the documentation."""

from dataclasses import fields, replace

import pytest

from mqvpn_core.config import ClientConfig, QuicConfig, ServerConfig
from mqvpn_core.config.reference import render_reference
from mqvpn_core.config.setting import Form, Role, Setting
from mqvpn_core.config.table import BY_NAME, TABLE, settings_of
from tests.meta.checkout import ROOT
from tests.unit.config.samples import KEY, PIN, PLAIN_CLIENT, PLAIN_SERVER, SALT, client, server

_NO_FIELD = {
    Role.CLIENT: {"auth_key_file", "control_listen"},
    Role.SERVER: {"auth_key_file", "control_listen", "kill_switch"},
}
"""Keys that are used up before a configuration exists."""
_OTHER_NAME = {"shared_key": "auth_key"}


def _field_names(config: type[ClientConfig | ServerConfig]) -> set[str]:
    own = {field.name for field in fields(config)} - {"quic"}
    parts = {field.name for field in fields(QuicConfig)}
    if config is ServerConfig:
        parts.remove("keep_alive")  # a server sends no signs of life
    return {_OTHER_NAME.get(name, name) for name in own | parts}


@pytest.mark.parametrize(
    ("role", "config"), [(Role.CLIENT, ClientConfig), (Role.SERVER, ServerConfig)]
)
def test_every_key_has_a_field_and_every_field_a_key(
    role: Role, config: type[ClientConfig | ServerConfig]
) -> None:
    assert {setting.name for setting in settings_of(role)} - _NO_FIELD[role] == _field_names(config)


def test_defaults_of_the_client_are_those_of_the_table() -> None:
    built, _warnings = client()
    assert built == PLAIN_CLIENT


def test_defaults_of_the_server_are_those_of_the_table() -> None:
    built, _warnings = server()
    assert built.shared_key is not None
    assert built == replace(PLAIN_SERVER, shared_key=built.shared_key)
    assert built.shared_key.salt == SALT


def test_names_and_options_are_unique() -> None:
    assert len(BY_NAME) == len(TABLE)
    options = [option for setting in TABLE for option in (setting.option, *setting.options)]
    assert len(set(options)) == len(options)
    inis = [setting.ini for setting in TABLE if setting.ini]
    assert len(set(inis)) == len(inis)


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_every_key_is_documented(setting: Setting[object]) -> None:
    assert setting.doc.endswith(".")
    assert setting.doc[0].isupper()
    assert setting.allowed
    assert setting.placeholder or setting.form is Form.BOOLEAN


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_every_default_is_allowed(setting: Setting[object]) -> None:
    if setting.default is not None:
        setting.parse(setting.default)
        assert setting.advise(setting.default) is None


def test_documentation_is_in_step() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == render_reference(), (
        "run: mqvpn-core check-config --reference > docs/configuration.md"
    )


SAMPLES: dict[str, tuple[str, ...]] = {
    "server": ("192.0.2.1:4433",),
    "server_name": ("other.example.org",),
    "ca_file": ("ca.pem",),
    "pins": (PIN,),
    "insecure": ("true",),
    "auth_key": (KEY,),
    "template": ("/x/{target}",),
    "ipv4": ("false",),
    "ipv6": ("false",),
    "tun_name": ("tun7",),
    "mtu": ("1400",),
    "manage_routes": ("false",),
    "routes": ("advertised",),
    "kill_switch": ("always",),
    "allow_lan": ("true",),
    "split_exclude": ("192.0.2.0/24", "intranet.example.org"),
    "split_include": ("2001:db8::/32",),
    "split_cgroups": ("user.slice/games",),
    "dns": ("192.0.2.53", "2001:db8::53"),
    "reconnect": ("false",),
    "reconnect_interval": ("2.5",),
    "paths": ("wlan0", "wwan*"),
    "ignore_interfaces": ("vmnet*",),
    "roles": ("wlan0=secondary", "wwan*=never"),
    "caps": ("wwan0=5 GB", "ppp*=1500 MB"),
    "cap_warning": ("90",),
    "rate_limits": ("wwan0=10 Mbit/s",),
    "usage_file": ("off",),
    "keep_alive": ("7",),
    "idle_timeout": ("20",),
    "key_update_interval": ("0",),
    "control_socket": ("off",),
    "qlog": ("traces",),
    "log_level": ("warn",),
    "listen": ("192.0.2.1:443", "[2001:db8::1]:443"),
    "cert_file": ("other.crt",),
    "key_file": ("other.key",),
    "users": ("alice:another-key-of-hers",),
    "users_file": ("more-users",),
    "max_auth_failures": ("3",),
    "auth_challenge": ("true",),
    "subnet": ("192.168.7.0/24",),
    "subnet6": ("fd00:7::/64",),
    "lease_file": ("off",),
    "max_clients": ("5",),
    "max_clients_per_user": ("1",),
    "max_handshakes": ("10",),
    "workers": ("4",),
    "retry": ("always",),
    "client_to_client": ("true",),
    "nat": ("false",),
    "advertise": ("192.0.2.0/24",),
    "site": ("www",),
}
"""A value of each key that differs from its default."""

_ONE_VALUE = {"scheduler", "congestion_control"} | _NO_FIELD[Role.CLIENT]


@pytest.mark.parametrize("role", Role)
def test_samples_are_complete(role: Role) -> None:
    assert {setting.name for setting in settings_of(role)} - _ONE_VALUE <= set(SAMPLES)


@pytest.mark.parametrize("name", [n for n in SAMPLES if Role.CLIENT in BY_NAME[n].roles])
def test_every_key_of_a_client_changes_exactly_its_field(name: str) -> None:
    _assert_only_changed(name, client()[0], client(**{name: SAMPLES[name]})[0])


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in SAMPLES
        if Role.SERVER in BY_NAME[name].roles and name not in _NO_FIELD[Role.SERVER]
    ],
)
def test_every_key_of_a_server_changes_exactly_its_field(name: str) -> None:
    before = server(auth_key="a-first-key-of-some-length")[0]
    given = {"auth_key": ("a-first-key-of-some-length",)} | {name: SAMPLES[name]}
    _assert_only_changed(name, before, server(**given)[0])


def _assert_only_changed(
    name: str, before: ClientConfig | ServerConfig, after: ClientConfig | ServerConfig
) -> None:
    changed = {
        _OTHER_NAME.get(field.name, field.name)
        for owner_before, owner_after in ((before, after), (before.quic, after.quic))
        for field in fields(owner_before)
        if getattr(owner_before, field.name) != getattr(owner_after, field.name)
    }
    is_client = isinstance(before, ClientConfig)
    follows = {"tun_name": {"control_socket"} | ({"usage_file"} if is_client else set())}
    assert changed - {"quic"} == {name} | follows.get(name, set())
