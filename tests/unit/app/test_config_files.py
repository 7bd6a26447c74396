"""Files, environment and options together."""

import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from mqvpn_core.app.config_files import (
    Config,
    Sources,
    load_config,
    load_file,
    with_descriptors_read,
)
from mqvpn_core.app.given_files import MAX_FILE_BYTES
from mqvpn_core.config import (
    ClientConfig,
    HashedKey,
    HostPort,
    KillSwitchSetting,
    Secret,
    ServerConfig,
)
from mqvpn_core.config.setting import Role
from mqvpn_core.errors import ConfigError
from tests.unit.app.test_config_formats import INI_CLIENT, INI_SERVER, JSON_CLIENT, JSON_SERVER
from tests.unit.config.samples import KEY, raw

INI_SERVER_LONG = INI_SERVER.replace("ALICES", "ALICES" * 3).replace("BOBS", "BOBS" * 4)
JSON_SERVER_LONG = (
    JSON_SERVER.replace('"abc"', f'"{KEY}"')
    .replace('"one"', f'"{KEY}1"')
    .replace(":two", f":{KEY}2")
)


def write(directory: Path, text: str | bytes, name: str = "f.toml") -> Path:
    path = directory / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return path


def client_of(sources: Sources) -> ClientConfig:
    config = load_config(sources).config
    assert isinstance(config, ClientConfig)
    return config


def is_key_of(config: ServerConfig, key: str) -> bool:
    assert config.shared_key is not None
    return config.shared_key == HashedKey.from_key(Secret(key), config.shared_key.salt)


def test_options_win_over_environment_over_file(tmp_path: Path) -> None:
    file = write(tmp_path, f'server = "a"\nmtu = 1300\nauth_key = "{KEY}-file"\n')
    sources = Sources(role=Role.CLIENT, file=file)
    assert client_of(sources).auth_key == Secret(f"{KEY}-file")
    environment = {"MQVPN_AUTH_KEY": f"{KEY}-environment", "HOME": "/"}
    sources = Sources(role=Role.CLIENT, file=file, environment=environment)
    assert client_of(sources).auth_key == Secret(f"{KEY}-environment")
    options = raw(auth_key=f"{KEY}-option", mtu="1400")
    sources = Sources(role=Role.CLIENT, file=file, environment=environment, options=options)
    config = client_of(sources)
    assert (config.auth_key, config.mtu) == (Secret(f"{KEY}-option"), 1400)
    assert config.server == HostPort(host="a")


def test_empty_environment_variable_is_none(tmp_path: Path) -> None:
    file = write(tmp_path, f'server = "a"\nauth_key = "{KEY}"\n')
    assert client_of(Sources(file=file, environment={"MQVPN_AUTH_KEY": ""})).auth_key == Secret(KEY)


def test_wrong_environment_is_named_but_not_quoted() -> None:
    sources = Sources(
        role=Role.CLIENT,
        environment={"MQVPN_AUTH_KEY": "with blanks in it"},
        options=raw(server="a"),
    )
    with pytest.raises(ConfigError, match="environment variable MQVPN_AUTH_KEY") as caught:
        load_config(sources)
    assert "with blanks" not in str(caught.value)


def test_file_names_are_relative_to_the_file(tmp_path: Path) -> None:
    write(tmp_path, KEY, "auth.key")
    file = write(
        tmp_path,
        'server = "a"\nca_file = "tls/ca.pem"\nauth_key_file = "auth.key"\ncontrol_socket = "s"\n',
    )
    config = client_of(Sources(file=file))
    assert config.ca_file == tmp_path / "tls/ca.pem"
    assert config.control_socket == tmp_path / "s"
    assert config.auth_key == Secret(KEY)


def test_words_and_absolute_names_stay(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        f'cert_file = "/x/c"\nkey_file = "k"\nlease_file = "off"\nsite = ""\nauth_key = "{KEY}"\n'
        'control_socket = "AUTO"\n',
    )
    config = load_config(Sources(file=file)).config
    assert isinstance(config, ServerConfig)
    assert config.cert_file == Path("/x/c")
    assert config.key_file == tmp_path / "k"
    assert (config.lease_file, config.site) == (None, None)
    assert config.control_socket == Path("/run/mqvpn/mqvpn0.sock")


def test_option_names_files_relative_to_the_working_directory(tmp_path: Path) -> None:
    file = write(tmp_path, 'server = "a"\nca_file = "x"\n')
    config = client_of(Sources(file=file, options=raw(ca_file="y")))
    assert config.ca_file == Path("y")


@pytest.mark.parametrize(
    ("text", "name", "role"),
    [
        (INI_SERVER_LONG, "server.conf", Role.SERVER),
        (INI_CLIENT, "client.conf", Role.CLIENT),
        (JSON_CLIENT, "client.json", Role.CLIENT),
        (JSON_SERVER_LONG, "server.json", Role.SERVER),
    ],
)
def test_files_of_the_c_program_load(tmp_path: Path, text: str, name: str, role: Role) -> None:
    loaded = load_config(Sources(file=write(tmp_path, text, name)))
    assert isinstance(loaded.config, ClientConfig if role is Role.CLIENT else ServerConfig)
    assert any("wlb" in warning for warning in loaded.warnings) == ("wlb" in text)


def test_values_of_an_ini_file_arrive(tmp_path: Path) -> None:
    config = client_of(Sources(file=write(tmp_path, INI_CLIENT, "c.conf")))
    assert config.server == HostPort(host="203.0.113.1")
    assert config.tls_name == "vpn.example.org"
    assert config.paths == ("eth0", "wlan0")
    assert config.dns[0] == ip_address("1.1.1.1")
    assert config.reconnect_interval == 5.0
    assert config.mtu == 1280


def test_kill_switch_of_an_ini_file(tmp_path: Path) -> None:
    file = write(tmp_path, INI_CLIENT.replace("KillSwitch = false", "KillSwitch = true"), "c.conf")
    assert client_of(Sources(file=file)).kill_switch is KillSwitchSetting.STANDARD


def test_key_of_the_other_role_is_skipped_in_files_of_the_c_program(tmp_path: Path) -> None:
    text = "[Server]\nAddress = a\n[Interface]\nSubnet = 10.0.0.0/24\n[Auth]\nKey = " + KEY
    loaded = load_config(Sources(file=write(tmp_path, text, "c.conf")))
    assert [w for w in loaded.warnings if "subnet has no meaning for a client; skipped" in w]


def test_key_of_the_other_role_is_an_error_in_our_files(tmp_path: Path) -> None:
    file = write(tmp_path, 'mode = "client"\nserver = "a"\nnat = true\n')
    with pytest.raises(ConfigError, match=r"f.toml:3: nat has no meaning for a client"):
        load_config(Sources(file=file))


def test_role_has_to_be_known_and_agreed_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"client or server\?"):
        load_config(Sources())
    file = write(tmp_path, 'mode = "server"\n')
    with pytest.raises(ConfigError, match="configuration of a server, and the command line asks"):
        load_config(Sources(role=Role.CLIENT, file=file))


def test_both_ways_to_a_key_exclude_each_other(tmp_path: Path) -> None:
    file = write(tmp_path, f'server = "a"\nauth_key = "{KEY}"\nauth_key_file = "x"\n')
    with pytest.raises(ConfigError, match="exclude each other"):
        load_config(Sources(file=file))


def test_missing_key_file_is_named_with_the_place_that_names_it(tmp_path: Path) -> None:
    file = write(tmp_path, 'server = "a"\nauth_key_file = "gone"\n')
    with pytest.raises(ConfigError, match=r"f.toml:2: auth_key_file: .*gone.*No such file"):
        load_config(Sources(file=file))


@pytest.mark.parametrize(
    ("text", "is_warned"),
    [
        (f'server = "a"\nauth_key = "{KEY}"\n', True),
        ('server = "a"\n', False),
        (f'cert_file="c"\nkey_file="k"\n[users]\nalice = "{KEY}"\n', True),
        (
            'cert_file="c"\nkey_file="k"\n[users]\nalice = "'
            + HashedKey.from_key(Secret(KEY), bytes(16)).to_text()
            + '"\n',
            False,
        ),
    ],
)
def test_readable_file_with_a_plain_key_earns_a_warning(
    tmp_path: Path, text: str, is_warned: bool
) -> None:
    file = write(tmp_path, text)
    file.chmod(0o644)
    warnings = load_config(Sources(file=file)).warnings
    assert any("other users can read" in warning for warning in warnings) == is_warned


def test_readable_key_file_earns_a_warning(tmp_path: Path) -> None:
    key = write(tmp_path, KEY, "auth.key")
    key.chmod(0o644)
    loaded = load_config(Sources(role=Role.CLIENT, options=raw(server="a", auth_key_file=str(key))))
    assert any("other users can read" in warning for warning in loaded.warnings)


def test_descriptors_among_options_are_read_once(tmp_path: Path) -> None:
    file = write(tmp_path, 'cert_file = "c"\nkey_file = "k"\n')
    reading, writing = os.pipe()
    os.write(writing, KEY.encode())
    os.close(writing)
    sources = with_descriptors_read(
        Sources(role=Role.SERVER, file=file, options=raw(auth_key_file=f"fd:{reading}"))
    )
    first, second = load_config(sources).config, load_config(sources).config
    assert isinstance(first, ServerConfig)
    assert isinstance(second, ServerConfig)
    assert is_key_of(first, KEY)
    assert is_key_of(second, KEY)
    assert first.shared_key != second.shared_key, "each load draws its own salt"


def test_sources_without_descriptors_stay_as_they_are() -> None:
    sources = Sources(options=raw(auth_key_file="/a/file"))
    assert with_descriptors_read(sources) is sources


HOSTILE: list[tuple[bytes, str]] = [
    (b"\x7fELF\x02\x01\x01\0\0", "binary data"),
    (b"\xff\xfe\xfd", "binary data"),
    (b"mtu = '\0'", "binary data"),
    (b"x" * (MAX_FILE_BYTES + 1), "larger than"),
    (b"mtu = 1" * 1000, "not valid TOML"),
    (b"a.b.c.d = 1", "unknown key 'a'"),
    (b"[[mtu]]\n", "expected number, found a list"),
]


@pytest.mark.parametrize(("content", "says"), HOSTILE, ids=[says for _, says in HOSTILE])
def test_hostile_file_is_one_clear_line(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_file(write(tmp_path, content))
    message = str(caught.value)
    assert says in message
    assert str(tmp_path / "f.toml") in message
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_file(tmp_path / "gone")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_file(tmp_path)
    with pytest.raises(ConfigError, match="no file name"):
        load_file(Path("a\0b"))


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    parsed = load_file(write(tmp_path, b"\xef\xbb\xbfmtu = 1400\n"))
    assert [setting.texts for setting in parsed.settings] == [("1400",)]


def test_many_users_load_quickly(tmp_path: Path) -> None:
    users = "".join(f'user{n} = "{n:032d}"\n' for n in range(2_000))
    file = write(tmp_path, 'cert_file = "c"\nkey_file = "k"\n[users]\n' + users)
    config: Config = load_config(Sources(file=file)).config
    assert isinstance(config, ServerConfig)
    assert len(config.users) == 2_000
