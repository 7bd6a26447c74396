"""Files of a client: both forms of the C program and our own, friendly or hostile."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.app.config_files import Sources, load_config
from mqvpn_core.config import ClientConfig
from mqvpn_core.config.client_keys import SERVER_ADDRESS
from mqvpn_core.config.setting import Role
from mqvpn_core.config.table import TABLE
from mqvpn_gui.user.client_files import (
    INI_NAMES,
    JSON_NAMES,
    OF_SERVERS,
    WITHOUT_MEANING,
    FileForm,
    ImportedProfile,
    form_of,
    read_client_file,
)
from mqvpn_gui.user.errors import ProfileError, UserError
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_helper.interface.host_plan import KillSwitchMode
from mqvpn_helper.interface.profile import MEMBER_TYPES
from mqvpn_helper.interface.tunnel_settings import PathRole, TunnelRoutes

KEY = "a-key-of-43-characters"
PIN = "sha256/" + "A" * 43 + "="
PEM = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----"

TOML = f"""
mode = "client"
server = "vpn.example.org:8443"
server_name = "www.example.org"
pins = ["{PIN}"]
auth_key = "{KEY}"
tun_name = "mqvpn3"
mtu = 1400
paths = ["wlan0", "wwan*"]
scheduler = "minrtt"
keep_alive = 5
log_level = "debug"
[roles]
"wwan*" = "backup"
[caps]
"wwan*" = "5 GB"
[rate_limits]
"wwan*" = "10 Mbit/s"
"""
INI = f"""
# of the C program
[Server]
Address = vpn.example.org:8443
ServerName = www.example.org ; SNI
Insecure = no
[Interface]
TunName = mqvpn3
MTU = 1400
LogLevel = debug
Reconnect = yes
[Auth]
Key = {KEY}
[Multipath]
Scheduler = minrtt
Path = wlan0
Path = wwan*
"""
JSON = json.dumps(
    {
        "server_addr": "vpn.example.org:8443",
        "tls_server_name": "www.example.org",
        "insecure": False,
        "auth_key": KEY,
        "tun_name": "mqvpn3",
        "mtu": 1400,
        "log_level": "debug",
        "paths": ["wlan0", "wwan*"],
        "scheduler": "minrtt",
        "reconnect": True,
        "subnet": None,
    }
)


def read(text: str, name: str = "client.toml") -> ImportedProfile:
    return read_client_file(text, name, lambda file: pytest.fail(f"{file} was opened"))


@pytest.mark.parametrize(("text", "name"), [(TOML, "c.toml"), (INI, "c.conf"), (JSON, "c.conf")])
def test_both_readers_agree(text: str, name: str, tmp_path: Path) -> None:
    found = read(text, name)
    file = tmp_path / name
    file.write_text(text)
    config = load_config(Sources(role=Role.CLIENT, file=file)).config
    assert isinstance(config, ClientConfig)
    assert config.auth_key is not None
    settings = found.stored.settings
    assert found.secret == SecretText(config.auth_key.reveal())
    assert (settings.host, settings.port) == (config.server.host, config.server.port)
    assert settings.server_name == config.server_name
    assert settings.pins == tuple(map(str, config.pins))
    assert (settings.tun_name, settings.mtu) == (config.tun_name, config.mtu)
    assert settings.paths == config.paths
    assert settings.scheduler.value == config.quic.scheduler.value
    assert settings.keep_alive == config.quic.keep_alive
    assert settings.reconnect == config.reconnect
    assert [(link, role.value) for link, role in settings.roles] == [
        (link, role.value) for link, role in config.roles
    ]
    assert settings.caps == config.caps
    assert settings.rate_limits == config.rate_limits
    assert found.notes == ("log_level is decided by the helper; left out",)


def test_every_key_of_the_core_is_known() -> None:
    special = {"auth_key", "auth_key_file", "ca_file", "manage_routes"}
    known = {*MEMBER_TYPES, *OF_SERVERS, *WITHOUT_MEANING, *special}
    assert {setting.name for setting in TABLE} - known == set()
    assert {setting.name for setting in TABLE if setting.roles == {Role.SERVER}} <= OF_SERVERS
    clients = {setting.name for setting in TABLE if Role.CLIENT in setting.roles}
    assert clients & OF_SERVERS == set()


def test_names_of_the_c_program_are_those_of_the_core() -> None:
    assert {setting.ini.lower(): setting.name for setting in TABLE if setting.ini} == INI_NAMES
    assert {setting.json: setting.name for setting in TABLE if setting.json} == JSON_NAMES
    assert SERVER_ADDRESS.name == "server"


def test_odd_spellings_are_understood() -> None:
    found = read(
        'server = "h"\nmtu = "auto"\nkill_switch = true\nmanage_routes = false\n'
        'scheduler = "wlb"\ndns = "10.0.0.1, 10.0.0.2"\nroles = ["eth0=never"]\nuser = "alice"\n'
    )
    settings = found.stored.settings
    assert settings.mtu == 0
    assert settings.kill_switch is KillSwitchMode.STANDARD
    assert settings.routes is TunnelRoutes.NONE
    assert settings.roles == (("eth0", PathRole.NEVER),)
    assert [str(each) for each in settings.dns.servers] == ["10.0.0.1", "10.0.0.2"]
    assert found.stored.user == "alice"
    assert found.notes == ("the scheduler in the file does not exist here; weighted is used",)
    assert found.secret is None


def test_split_tunnelling_of_the_core() -> None:
    found = read(
        'server = "h"\nsplit_exclude = ["192.0.2.0/24", "intranet.example"]\n'
        'split_include = "198.51.100.1"\nsplit_cgroups = ["user.slice"]\n'
    )
    split = found.stored.settings.split
    assert [str(each) for each in split.exclude] == ["192.0.2.0/24"]
    assert split.exclude_names == ("intranet.example",)
    assert [str(each) for each in split.include] == ["198.51.100.1/32"]
    assert split.cgroups == ("user.slice",)
    assert found.notes == ()


def test_a_key_file_is_named_but_never_opened() -> None:
    found = read('server = "h"\nauth_key_file = "~/.config/other/token"\n')
    assert found.secret is None
    assert any("was not opened" in note and "set-key" in note for note in found.notes)


def test_certificates_come_along_and_nothing_else_of_their_file() -> None:
    text = f"private notes\n{PEM}\nmore\n{PEM}\n"
    found = read_client_file('server = "h"\nca_file = "ca.pem"\n', "c.toml", lambda _name: text)
    assert found.stored.settings.ca_certificates == f"{PEM}\n{PEM}\n"
    with pytest.raises(ProfileError, match="no certificate in PEM"):
        read_client_file('server = "h"\nca_file = "x"\n', "c.toml", lambda _name: "token")


def test_an_unchecked_certificate_is_a_loud_note() -> None:
    found = read('server = "h"\ninsecure = true\n')
    assert found.stored.settings.insecure
    assert any(note.startswith("INSECURE") for note in found.notes)


def test_keys_of_servers_are_left_out_where_the_c_program_has_both() -> None:
    found = read("[Server]\nAddress = h\n[Interface]\nSubnet = 10.0.0.0/24\n", "x.ini")
    assert found.notes == ("subnet is for servers; left out",)


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("", "c.toml", "names no server"),
        ('mode = "server"', "c.toml", "configuration of a server; on the server"),
        ('listen = ["[::]:443"]', "c.toml", "configuration of a server"),
        ('server = "h"\nsevrer = 1', "c.toml", "unknown key 'sevrer'"),
        ('server = "h"\nauth_key = "sha256:ab:cd"', "c.toml", "the hash that a server keeps"),
        ('server = "h"\nauth_key = 7', "c.toml", "not a key"),
        ('server = "h"\nauth_key = "SECRET KEY"', "c.toml", "visible ASCII characters"),
        ('server = "h"\nca_file = 7', "c.toml", "not the name of a file"),
        ('server = "h"\nipv4 = "perhaps"', "c.toml", "ipv4 is neither true nor false"),
        ('server = "h"\nmtu = "1e3"', "c.toml", "mtu is not a number"),
        ('server = "h"\nmtu = "1.5"', "c.toml", "mtu is not a whole number"),
        ("server = ", "c.toml", "not valid TOML"),
        ("x = " + "[" * 9999, "c.toml", "TOML"),
        ("{", "c.json", "not valid JSON in line 1"),
        ("[1]", "c.json", "expected a JSON object"),
        ("[" * 99999, "c.json", "nested too deep"),
        ('{"server": "a", "server_addr": "b"}', "c.json", "twice"),
        ("[Server]\nAddress = h\nAddress = h\n", "c.ini", "line 3: Address stands there twice"),
        ("[Server]\nSECRET\n", "c.ini", "line 2 is not a known KEY = VALUE"),
        ("Address = h\n", "c.ini", "line 1 is not a known"),
        ("[Auth]\nKye = SECRET\n", "c.ini", "line 2 is not a known"),
    ],
)
def test_refused(text: str, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        read(text, name)
    assert "SECRET" not in str(caught.value)


def test_the_form_is_told_by_name_or_content() -> None:
    assert form_of("", "x.toml") is FileForm.TOML
    assert form_of(' {"a": 1}', "x.conf") is FileForm.JSON
    assert form_of("", "x.json") is FileForm.JSON
    assert form_of("# c\n [Server] ; c\n", "x.conf") is FileForm.INI
    assert form_of("", "x.ini") is FileForm.INI
    assert form_of("[roles]\n", "x.conf") is FileForm.TOML


_WORDS = st.sampled_from(
    [
        *("server", "=", '"h"', "[", "]", "{", "}", "\n", ",", "true", "1", "roles", "caps"),
        *("[Server]", "Address", "mtu", '"', "auth_key", "'", ":", "[Interface]", "MTU", "\0"),
        *("ü", "pins", "#"),
    ]
)


@given(st.text() | st.lists(_WORDS, max_size=30).map(" ".join), st.sampled_from(FileForm))
def test_any_text_is_a_profile_or_is_refused(text: str, form: FileForm) -> None:
    try:
        found = read_client_file(text, f"x.{form.value.lower()}", lambda _name: "")
    except UserError as error:
        assert len(str(error)) < 1000  # noqa: PT017 - either way is right
    else:
        assert found.stored.settings.host
