"""TOML, JSON and INI texts: what is read, and from which line."""

import pytest

from mqvpn_core.app.config_formats import Format, ParsedText, detect_format, parse_text
from mqvpn_core.config.setting import Role
from mqvpn_core.config.table import TABLE
from mqvpn_core.errors import ConfigError


def read(text: str, form: Format) -> ParsedText:
    return parse_text(text, "f", form)


def values(parsed: ParsedText) -> dict[str, tuple[str, ...]]:
    return {raw.setting.name: raw.texts for raw in parsed.settings}


def origins(parsed: ParsedText) -> dict[str, str]:
    return {raw.setting.name: raw.origin for raw in parsed.settings}


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.toml", "", Format.TOML),
        ("a.toml", "[Interface]", Format.TOML),
        ("a.json", "", Format.JSON),
        ("a.conf", '  {"mtu": 1300}', Format.JSON),
        ("a.conf", "# hello\n[Interface]\nMTU = 1300", Format.INI),
        ("a.conf", " [ tls ] # comment\n", Format.INI),
        ("a.conf", "mtu = 1300", Format.TOML),
        ("a.conf", "[users]\nalice = 'x'", Format.TOML),
        ("a.ini", "", Format.INI),
    ],
)
def test_format_is_detected(name: str, text: str, form: Format) -> None:
    assert detect_format(text, name) is form


TOML_CLIENT = """\
mode = "client"
server = "vpn.example.org:443"   # a comment
mtu = 1400
reconnect = false
reconnect_interval = 2.5
"dns" = ["192.0.2.53", "2001:db8::53"]
paths = "wlan0, wwan0"
"""


def test_toml_of_a_client() -> None:
    parsed = read(TOML_CLIENT, Format.TOML)
    assert parsed.role is Role.CLIENT
    assert values(parsed) == {
        "server": ("vpn.example.org:443",),
        "mtu": ("1400",),
        "reconnect": ("false",),
        "reconnect_interval": ("2.5",),
        "dns": ("192.0.2.53", "2001:db8::53"),
        "paths": ("wlan0", "wwan0"),
    }
    assert origins(parsed)["mtu"] == "f:3"
    assert origins(parsed)["dns"] == "f:6"


def test_toml_users() -> None:
    parsed = read('nat = true\n[users]\nalice = "one"\n"b@c.de" = "sha256:1:2"\n', Format.TOML)
    assert parsed.role is Role.SERVER
    assert values(parsed)["users"] == ("alice:one", "b@c.de:sha256:1:2")
    assert origins(parsed)["users"] == "f:2"


def test_toml_tables_of_texts() -> None:
    text = (
        'caps = ["wwan0=5 GB"]\nrate_limits = "a=1 kbit/s, b=2 kbit/s"\n[roles]\n"w*" = "never"\n'
    )
    assert values(read(text, Format.TOML)) == {
        "caps": ("wwan0=5 GB",),
        "rate_limits": ("a=1 kbit/s", "b=2 kbit/s"),
        "roles": ("w*=never",),
    }


@pytest.mark.parametrize("text", ["roles = 5", "roles = { a = 5 }", "roles = [5]", "roles = true"])
def test_tables_of_texts_hold_texts(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        read(text, Format.TOML)


def test_toml_role_follows_from_keys_of_one_role_only() -> None:
    assert read("mtu = 1400", Format.TOML).role is None
    assert read("insecure = true", Format.TOML).role is Role.CLIENT
    assert read("insecure = true\nnat = true", Format.TOML).role is None


INI_SERVER = """\
# /etc/mqvpn/server.conf
[Interface]
Listen = 0.0.0.0:443
Subnet = 10.0.0.0/24
Subnet6 = 2001:db8:1::/112
LogLevel = info
; MTU = 1280

[TLS]
Cert = /etc/mqvpn/server.crt
Key = /etc/mqvpn/server.key

[Auth]
Key = mPyVpoQWcp/5gr404xvS19aRC03o0XS2mrb2tZJ1Ii4=
User = alice:ALICES-KEY=
User = bob:BOBS#KEY
MaxClients = 64

[Multipath]
Scheduler = wlb
CC = bbr2                     # Congestion control
[Control]
Listen = 127.0.0.1:9090
"""


def test_ini_of_a_server() -> None:
    parsed = read(INI_SERVER, Format.INI)
    assert parsed.role is Role.SERVER
    assert parsed.is_lenient
    assert values(parsed) == {
        "listen": ("0.0.0.0:443",),
        "subnet": ("10.0.0.0/24",),
        "subnet6": ("2001:db8:1::/112",),
        "log_level": ("info",),
        "cert_file": ("/etc/mqvpn/server.crt",),
        "key_file": ("/etc/mqvpn/server.key",),
        "auth_key": ("mPyVpoQWcp/5gr404xvS19aRC03o0XS2mrb2tZJ1Ii4=",),
        "users": ("alice:ALICES-KEY=", "bob:BOBS#KEY"),
        "max_clients": ("64",),
        "scheduler": ("wlb",),
        "congestion_control": ("bbr2",),
        "control_listen": ("127.0.0.1:9090",),
    }
    assert origins(parsed)["subnet"] == "f:4"


INI_CLIENT = """\
[Server]
Address = 203.0.113.1:443
ServerName = vpn.example.org
Insecure = false
[auth]
key = abc
[Interface]
TunName = mqvpn0
DNS = 1.1.1.1, 8.8.8.8
DNS = 9.9.9.9
LogLevel = info
KillSwitch = false
ManageRoutes = true
Reconnect = true
ReconnectInterval = 5
MTU = 1280
[Multipath]
Path = eth0
Path = wlan0
"""


def test_ini_of_a_client() -> None:
    parsed = read(INI_CLIENT.replace("\n", "\r\n"), Format.INI)
    assert parsed.role is Role.CLIENT
    assert values(parsed) == {
        "server": ("203.0.113.1:443",),
        "server_name": ("vpn.example.org",),
        "insecure": ("false",),
        "auth_key": ("abc",),
        "tun_name": ("mqvpn0",),
        "dns": ("1.1.1.1", "8.8.8.8", "9.9.9.9"),
        "log_level": ("info",),
        "kill_switch": ("false",),
        "manage_routes": ("true",),
        "reconnect": ("true",),
        "reconnect_interval": ("5",),
        "mtu": ("1280",),
        "paths": ("eth0", "wlan0"),
    }


JSON_SERVER = """\
{
  "mode": "server", "listen": "0.0.0.0:443", "tun_name": "mqvpn0", "log_level": "info",
  "subnet": "10.0.0.0/24", "subnet6": "2001:db8:1::/112",
  "cert_file": "s.crt", "key_file": "s.key", "auth_key": "abc",
  "users": [ { "name": "alice", "key": "one" }, "bob:two" ],
  "max_clients": 64,
  "scheduler": "wlb",
  "cc": "bbr2",
  "control_listen": "127.0.0.1:9090",
  "mtu": 1280
}
"""


def test_json_of_a_server() -> None:
    parsed = read(JSON_SERVER, Format.JSON)
    assert parsed.role is Role.SERVER
    assert values(parsed) == {
        "listen": ("0.0.0.0:443",),
        "tun_name": ("mqvpn0",),
        "log_level": ("info",),
        "subnet": ("10.0.0.0/24",),
        "subnet6": ("2001:db8:1::/112",),
        "cert_file": ("s.crt",),
        "key_file": ("s.key",),
        "auth_key": ("abc",),
        "users": ("alice:one", "bob:two"),
        "max_clients": ("64",),
        "scheduler": ("wlb",),
        "congestion_control": ("bbr2",),
        "control_listen": ("127.0.0.1:9090",),
        "mtu": ("1280",),
    }
    assert origins(parsed)["max_clients"] == "f:6"


JSON_CLIENT = """\
{ "mode": "client", "server_addr": "203.0.113.1:443", "tls_server_name": "vpn.example.org",
  "auth_key": "abc", "insecure": false, "dns": ["1.1.1.1", "8.8.8.8"], "kill_switch": false,
  "manage_routes": true, "reconnect": true, "reconnect_interval": 5, "scheduler": "wlb",
  "paths": ["eth0", "wlan0"], "mtu": null, "pins": [] }
"""


def test_json_of_a_client_with_our_names_beside_those_of_the_c_program() -> None:
    parsed = read(JSON_CLIENT, Format.JSON)
    assert values(parsed) == {
        "server": ("203.0.113.1:443",),
        "server_name": ("vpn.example.org",),
        "auth_key": ("abc",),
        "insecure": ("false",),
        "dns": ("1.1.1.1", "8.8.8.8"),
        "kill_switch": ("false",),
        "manage_routes": ("true",),
        "reconnect": ("true",),
        "reconnect_interval": ("5",),
        "scheduler": ("wlb",),
        "paths": ("eth0", "wlan0"),
        "pins": (),
    }


INI_NAMES = frozenset(
    {
        "Interface.TunName",
        "Interface.Listen",
        "Interface.Subnet",
        "Interface.Subnet6",
        "Interface.DNS",
        "Interface.LogLevel",
        "Interface.KillSwitch",
        "Interface.ManageRoutes",
        "Interface.Reconnect",
        "Interface.ReconnectInterval",
        "Interface.MTU",
        "Server.Address",
        "Server.ServerName",
        "Server.Insecure",
        "TLS.Cert",
        "TLS.Key",
        "Auth.Key",
        "Auth.User",
        "Auth.MaxClients",
        "Control.Listen",
        "Multipath.Scheduler",
        "Multipath.CC",
        "Multipath.Path",
    }
)


def test_all_ini_keys_of_the_c_program_are_known() -> None:
    assert {setting.ini for setting in TABLE if setting.ini} == INI_NAMES


JSON_NAMES = frozenset(
    {
        "listen",
        "subnet",
        "subnet6",
        "cert_file",
        "key_file",
        "auth_key",
        "users",
        "max_clients",
        "server_addr",
        "tls_server_name",
        "insecure",
        "dns",
        "paths",
        "reconnect",
        "reconnect_interval",
        "kill_switch",
        "manage_routes",
        "scheduler",
        "cc",
        "control_listen",
        "tun_name",
        "mtu",
        "log_level",
    }
)


def test_all_json_keys_of_the_c_program_are_known() -> None:
    assert {name for s in TABLE for name in (s.name, s.json)} >= JSON_NAMES


def test_hexadecimal_number_of_any_length_is_read() -> None:
    assert values(read("mtu = 0x" + "f" * 5000, Format.TOML))["mtu"] == (
        "a number with thousands of digits",
    )
