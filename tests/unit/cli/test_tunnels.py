"""``client``, ``server``, ``check-config`` and the options of the C program."""

import json
import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from mqvpn_core.cli.setting_options import GivenSettings, help_text, negations
from mqvpn_core.config import (
    ClientConfig,
    HostPort,
    LinkRole,
    LogLevel,
    RoutesMode,
    Secret,
    ServerConfig,
)
from mqvpn_core.config.reference import render_reference
from mqvpn_core.config.setting import Form, Role, Setting
from mqvpn_core.config.table import BY_NAME, TABLE
from mqvpn_core.errors import ConfigError
from tests.unit.cli.runs import CommandLine
from tests.unit.config.samples import KEY, PIN
from tests.unit.config.test_table import SAMPLES


@pytest.fixture
def files(mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a directory with a certificate, its key and an auth key."""
    monkeypatch.chdir(tmp_path)
    assert mqvpn("gencert").code == 0
    assert mqvpn("genkey", "--output", "auth.key").code == 0
    return tmp_path


SERVER = ("server", "--cert", "server.crt", "--key", "server.key")


def client_config(mqvpn: CommandLine, *arguments: str) -> ClientConfig:
    outcome = mqvpn(*arguments)
    assert outcome.code == 0, outcome.err
    assert isinstance(outcome.config, ClientConfig)
    return outcome.config


def server_config(mqvpn: CommandLine, *arguments: str) -> ServerConfig:
    outcome = mqvpn(*arguments)
    assert outcome.code == 0, outcome.err
    assert isinstance(outcome.config, ServerConfig)
    return outcome.config


def test_client_by_its_shortest_command(mqvpn: CommandLine) -> None:
    config = client_config(mqvpn, "client", "vpn.example.org")
    assert config == ClientConfig(server=HostPort(host="vpn.example.org"))


def test_exit_code_is_that_of_the_run(mqvpn: CommandLine) -> None:
    mqvpn.run_code = 3
    assert mqvpn("client", "vpn.example.org").code == 3


def test_missing_privilege_is_exit_code_5_before_anything_runs(mqvpn: CommandLine) -> None:
    mqvpn.missing_privilege = "a tunnel needs root"
    outcome = mqvpn("client", "vpn.example.org")
    assert (outcome.code, outcome.configs) == (5, [])
    assert "ERROR a tunnel needs root" in outcome.err


def test_server_from_files(mqvpn: CommandLine, files: Path) -> None:
    config = server_config(mqvpn, *SERVER, "--auth-key-file", "auth.key")
    assert config.shared_key is not None
    assert config.cert_file == Path("server.crt")
    assert (files / "auth.key").exists()


def test_server_can_read_its_configuration_again(
    mqvpn: CommandLine, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = files / "s.toml"
    reading, writing = os.pipe()
    os.write(writing, KEY.encode())
    os.close(writing)
    file.write_text('mode = "server"\ncert_file = "server.crt"\nkey_file = "server.key"\n')
    first = server_config(mqvpn, "--config", str(file), "--auth-key-file", f"fd:{reading}")
    assert mqvpn.reload is not None
    file.write_text(file.read_text() + 'subnet = "10.0.0.0/29"\n')
    second = mqvpn.reload()
    assert isinstance(second, ServerConfig)
    assert (first.max_clients, str(second.subnet)) == (64, "10.0.0.0/29")
    assert second.shared_key is not None, "the descriptor was read once"
    assert "room for 5 clients" in caplog.text
    file.write_text('mode = "client"\nserver = "a"\n')
    with pytest.raises(ConfigError):
        mqvpn.reload()


def test_values_by_link_may_be_repeated(mqvpn: CommandLine) -> None:
    config = client_config(
        mqvpn,
        *("client", "a", "--role", "wlan0=backup,lte0=primary", "--role", "wwan*=never"),
        *("--cap", "wwan0=5 GB", "--rate-limit", "wwan0=1 Mbit/s", "--ignore-interface", "eth*"),
    )
    assert dict(config.roles) == {
        "wlan0": LinkRole.BACKUP,
        "lte0": LinkRole.PRIMARY,
        "wwan*": LinkRole.NEVER,
    }
    assert config.caps == (("wwan0", 5 * 10**9),)
    assert config.rate_limits == (("wwan0", 125_000),)
    assert config.ignore_interfaces == ("eth*",)


OPTION_OF_THE_C_PROGRAM = [
    ("--server", "192.0.2.1:4433", "server", HostPort(host="192.0.2.1", port=4433)),
    ("--tls-server-name", "x.example", "server_name", "x.example"),
    ("--auth-key", KEY, "auth_key", Secret(KEY)),
    ("--path", "wlan0", "paths", ("wlan0",)),
    ("--dns", "192.0.2.53", "dns", (ip_address("192.0.2.53"),)),
    ("--insecure", None, "insecure", True),
    ("--tun-name", "tun7", "tun_name", "tun7"),
    ("--mtu", "1400", "mtu", 1400),
    ("--no-reconnect", None, "reconnect", False),
    ("--no-manage-routes", None, "manage_routes", False),
    ("--no-routes", None, "manage_routes", False),
    ("--log-level", "warn", "log_level", LogLevel.WARNING),
]


@pytest.mark.parametrize(
    ("option", "text", "field", "value"),
    OPTION_OF_THE_C_PROGRAM,
    ids=[option for option, _, _, _ in OPTION_OF_THE_C_PROGRAM],
)
def test_client_options_of_the_c_program(
    mqvpn: CommandLine, option: str, text: str | None, field: str, value: object
) -> None:
    given = [option] if text is None else [option, text]
    config = client_config(mqvpn, "--mode", "client", "--server", "a", *given)
    assert getattr(config, field) == value


@pytest.mark.usefixtures("files")
def test_server_options_of_the_c_program(mqvpn: CommandLine) -> None:
    config = server_config(
        mqvpn,
        *("--mode", "server", "--listen", "0.0.0.0:4433", "--subnet", "10.8.0.0/24"),
        *("--subnet6", "fd00::/64", "--cert", "server.crt", "--key", "server.key"),
        *("--auth-key", KEY, "--user", f"alice:{KEY}1", "--user", f"bob:{KEY}2"),
        *("--max-clients", "7", "--tun-name", "tun7", "--mtu", "1300", "--log-level", "debug"),
        *("--scheduler", "wlb", "--cc", "bbr2"),
    )
    assert config.listen == (HostPort(host="0.0.0.0", port=4433),)  # noqa: S104 - a value under test
    assert str(config.subnet) == "10.8.0.0/24"
    assert str(config.subnet6) == "fd00::/64"
    assert set(config.users) == {"alice", "bob"}
    assert (config.max_clients, config.tun_name, config.mtu) == (7, "tun7", 1300)
    assert config.log_level is LogLevel.DEBUG


def test_genkey_as_an_option(mqvpn: CommandLine) -> None:
    outcome = mqvpn("--genkey")
    assert (outcome.code, len(outcome.out)) == (0, 44)


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_every_setting_has_a_working_option(
    mqvpn: CommandLine, files: Path, setting: Setting[object]
) -> None:
    (files / "www").mkdir()
    (files / "ca.pem").write_bytes((files / "server.crt").read_bytes())
    (files / "other.crt").write_bytes((files / "server.crt").read_bytes())
    (files / "other.key").write_bytes((files / "server.key").read_bytes())
    texts = SAMPLES.get(setting.name, setting.default or ())
    if setting.name == "auth_key_file":
        texts = ("auth.key",)
    base = ["client", "a"] if Role.CLIENT in setting.roles else [*SERVER]
    if Role.CLIENT not in setting.roles and setting.name != "auth_key":
        base += ["--auth-key-file", "auth.key"]
    for option in (setting.option, *setting.options):
        given: list[str] = []
        for text in texts:
            if setting.form is Form.BOOLEAN:
                given.append(option if text == "true" else negations(setting)[0])
            else:
                given += [option, text]
        outcome = mqvpn(*base, *given)
        if setting.name == "ipv6":
            assert outcome.code == 0
        assert outcome.code == 0, outcome.err
        assert len(outcome.configs) == 1


def test_lists_may_be_repeated_or_separated_by_commas(mqvpn: CommandLine) -> None:
    config = client_config(mqvpn, "client", "a", "--path", "x,y", "--paths", "z", "--path", "x")
    assert config.paths == ("x", "y", "z")


def test_the_last_of_two_single_values_counts(mqvpn: CommandLine) -> None:
    config = client_config(mqvpn, "client", "a", "--mtu", "1300", "--mtu", "1400", "--no-ipv4")
    assert (config.mtu, config.ipv4) == (1400, False)


def test_options_win_over_the_file(mqvpn: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('server = "a"\nmtu = 1300\nroutes = "advertised"\npaths = ["x"]\n')
    config = client_config(mqvpn, "--config", str(file), "--mtu", "1400", "--path", "y")
    assert (config.mtu, config.routes, config.paths) == (1400, RoutesMode.ADVERTISED, ("y",))


def test_environment_key_is_taken_and_removed(
    mqvpn: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQVPN_AUTH_KEY", KEY)
    outcome = mqvpn("client", "a")
    assert isinstance(outcome.config, ClientConfig)
    assert outcome.config.auth_key == Secret(KEY)
    assert "MQVPN_AUTH_KEY" not in os.environ
    assert "WARNING" not in outcome.err


def test_key_from_a_descriptor(mqvpn: CommandLine) -> None:
    reading, writing = os.pipe()
    os.write(writing, KEY.encode())
    os.close(writing)
    config = client_config(mqvpn, "client", "a", "--auth-key-file", f"fd:{reading}")
    assert config.auth_key == Secret(KEY)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--auth-key", KEY], "a key on the command line can be seen by other users"),
        (["--insecure"], "INSECURE"),
        (["--scheduler", "wlb"], "wlb is not ours"),
        ([], "no auth_key is set"),
    ],
)
def test_warnings_are_logged(mqvpn: CommandLine, arguments: list[str], says: str) -> None:
    outcome = mqvpn("client", "a", *arguments)
    assert outcome.code == 0
    assert any("WARNING" in line and says in line for line in outcome.err.splitlines())
    assert KEY not in outcome.err
    assert "INFO running" in outcome.err


def test_log_level_holds(mqvpn: CommandLine) -> None:
    assert mqvpn("client", "a", "--log-level", "error").err == ""


@pytest.mark.usefixtures("files")
def test_bad_files_stop_before_anything_runs(mqvpn: CommandLine) -> None:
    Path("server.key").write_text("x", encoding="ascii")
    outcome = mqvpn(*SERVER, "--auth-key-file", "auth.key")
    assert (outcome.code, outcome.configs) == (2, [])
    assert "server.key: holds no usable private key" in outcome.err


def test_check_config_prints_what_is_in_effect(mqvpn: CommandLine) -> None:
    outcome = mqvpn(
        *("check-config", "--mode", "client", "--server", "a"),
        *("--auth-key", KEY, "--pin", PIN, "--scheduler", "wlb"),
    )
    assert (outcome.code, outcome.configs) == (0, [])
    assert 'server = "a:443"\n' in outcome.out
    assert f'pins = ["{PIN}"]\n' in outcome.out
    assert 'auth_key = "(hidden)"\n' in outcome.out
    assert KEY not in outcome.out + outcome.err
    assert "warning: option --scheduler: scheduler wlb is not ours" in outcome.err


def test_check_config_as_json(mqvpn: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "c.conf"
    file.write_text(f"[Server]\nAddress = a\n[Auth]\nKey = {KEY}\n[Multipath]\nScheduler = wlb\n")
    outcome = mqvpn("check-config", str(file), "--json", "--mtu", "1400")
    report = json.loads(outcome.out)
    assert report["mode"] == "client"
    assert report["settings"]["mtu"] == 1400
    assert len(report["warnings"]) == 2, "readable file, scheduler"
    assert KEY not in outcome.out + outcome.err


def test_check_config_finds_fault(mqvpn: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('server = "a"\n\nmtu = 5\n')
    outcome = mqvpn("check-config", str(file))
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{file}:3: mtu: '5' is not" in outcome.err


def test_check_config_prints_the_reference(mqvpn: CommandLine) -> None:
    assert mqvpn("check-config", "--reference").out == render_reference()


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_help_of_a_setting_holds_its_documentation(setting: Setting[object]) -> None:
    text = help_text(setting)
    assert text.replace("%%", "%").startswith(setting.doc)
    if setting.default not in {None, (), ("",)}:
        assert "default: " in text


def test_secrets_among_options_are_known() -> None:
    given = GivenSettings()
    given.add(BY_NAME["auth_key"], "one", "")
    given.add(BY_NAME["users"], "alice:two", "")
    given.add(BY_NAME["users"], "bob:three:four", "")
    given.add(BY_NAME["mtu"], "1300", "")
    assert given.secrets() == ("one", "two", "three:four")
