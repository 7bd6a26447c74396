"""``mqvpn-core user``."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mqvpn_core.app import reload
from mqvpn_core.app.certificates import CertificateFiles, make_self_signed, write_certificate
from mqvpn_core.app.users_file import read_users_file
from mqvpn_core.cli import users
from mqvpn_core.config.secret_values import digest_of
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.control_codec import JsonValue
from mqvpn_helper.interface.invite_link import decode_invite_link
from tests.unit.app.test_invitations import NOW
from tests.unit.cli.runs import CommandLine


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a server that is not running."""
    made = make_self_signed(["vpn.example.org"], 10, NOW)
    write_certificate(
        made, CertificateFiles(cert_file=tmp_path / "c.pem", key_file=tmp_path / "k.pem")
    )
    file = tmp_path / "server.toml"
    file.write_text(
        'cert_file = "c.pem"\nkey_file = "k.pem"\nusers_file = "users"\nlisten = ["[::]:8443"]\n'
        'control_socket = "none.sock"\n[users]\ncarol = "a-key-of-carols-own"\n'
    )
    file.chmod(0o600)
    monkeypatch.setattr(users, "DEFAULT_CONFIG", file)
    return file


def test_a_user_is_added_with_a_link(mqvpn: CommandLine, config: Path) -> None:
    outcome = mqvpn("user", "add", "alice", "--title", "Office")
    assert outcome.code == 0
    link = decode_invite_link(outcome.out)
    assert (link.server, link.user, link.name) == ("vpn.example.org:8443", "alice", "Office")
    assert len(link.pins) == 1
    stored = read_users_file(config.parent / "users")["alice"]
    assert link.key is not None
    assert stored.digest == digest_of(link.key.encode(), stored.salt)
    assert link.key not in (config.parent / "users").read_text()
    assert link.key not in outcome.err
    assert "no running server was told" in outcome.err
    assert "the key is shown only now" in outcome.err


def test_as_json(mqvpn: CommandLine, config: Path) -> None:
    outcome = mqvpn("user", "add", "bob", "--json", "--server", "192.0.2.1", "--no-reload")
    report = json.loads(outcome.out)
    assert decode_invite_link(report["link"]).pins == tuple(report["pins"])
    assert {**report, "link": "", "pins": []} == {
        "user": "bob",
        "link": "",
        "server": "192.0.2.1:8443",
        "pins": [],
        "users_file": str(config.parent / "users"),
        "reloaded": False,
    }
    assert outcome.err == ""
    assert json.loads(mqvpn("user", "list", "--json").out) == ["bob", "carol"]
    assert json.loads(mqvpn("user", "rm", "bob", "--json", "--no-reload").out)["user"] == "bob"
    for given, server in (
        ("192.0.2.1:99", "192.0.2.1:99"),
        ("[2001:db8::1]", "[2001:db8::1]:8443"),
    ):
        out = mqvpn("user", "add", "bob", "--replace", "--json", "--server", given).out
        assert json.loads(out)["server"] == server


def test_users_are_listed_and_removed(mqvpn: CommandLine, config: Path) -> None:
    mqvpn("user", "add", "alice")
    assert mqvpn("user", "list").out == "alice\ncarol\n"
    assert mqvpn("user", "rm", "alice").out.startswith(f"alice is removed from {config.parent}")
    assert mqvpn("user", "list").out == "carol\n"
    gone = mqvpn("user", "rm", "alice")
    assert (gone.code, "alice is not in" in gone.err) == (2, True)
    assert "in the server's configuration, not in" in mqvpn("user", "rm", "carol").err


def test_a_user_who_is_there_gets_a_new_key_only_when_asked(
    mqvpn: CommandLine, config: Path
) -> None:
    first = decode_invite_link(mqvpn("user", "add", "alice").out)
    again = mqvpn("user", "add", "alice")
    assert (again.code, "--replace gives a new key" in again.err, again.out) == (2, True, "")
    second = decode_invite_link(mqvpn("user", "add", "alice", "--replace").out)
    assert first.key != second.key
    assert "stands in the server's configuration" in mqvpn("user", "add", "carol").err
    assert list(read_users_file(config.parent / "users")) == ["alice"]


def test_without_a_configuration(mqvpn: CommandLine, config: Path) -> None:
    config.rename(config.with_name("elsewhere.toml"))
    none = mqvpn("user", "list")
    assert (none.code, "which server?" in none.err) == (2, True)
    file = config.parent / "others"
    assert "give --cert FILE" in mqvpn("user", "add", "bob", "--users-file", str(file)).err
    options = ("--users-file", str(file), "--cert", str(config.parent / "c.pem"), "--no-reload")
    assert decode_invite_link(mqvpn("user", "add", "bob", *options).out).port == 443
    assert mqvpn("user", "list", "--users-file", str(file)).out == "bob\n"
    assert mqvpn("user", "rm", "bob", "--users-file", str(file), "--no-reload").code == 0


def test_a_server_that_would_not_read_the_file(mqvpn: CommandLine, config: Path) -> None:
    config.write_text(config.read_text().replace('users_file = "users"\n', ""))
    outcome = mqvpn("user", "add", "alice")
    assert (outcome.code, outcome.out) == (2, "")
    assert 'write users_file = "users" into its configuration' in outcome.err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("user", "required"),
        ("user add", "takes a name"),
        ("user list alice", "takes no name"),
        ("user invite alice", "expected one of: add, list, rm"),
        ("user add -x", "unknown option"),
        ("user add a/b", "a user is NAME:KEY"),
        ("user add alice --server h:x", "is not a port"),
        ("user add alice --pin --no-pin", "not allowed with"),
    ],
)
def test_wrong_command_lines(mqvpn: CommandLine, config: Path, line: str, reason: str) -> None:
    outcome = mqvpn(*line.split())
    assert outcome.code == 2
    assert reason in outcome.err
    assert not (config.parent / "users").exists()


@pytest.mark.slow
def test_a_running_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    child = (
        "import signal, sys, threading\nheard = threading.Event()\n"
        "signal.signal(signal.SIGHUP, lambda *_: heard.set())\nprint('ready', flush=True)\n"
        "sys.exit(0 if heard.wait(20) else 1)"
    )
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        status: JsonValue = {"role": "server", "pid": process.pid}
        monkeypatch.setattr(reload, "fetch_status", lambda _path: status)
        reload.reload_server(Path("x.sock"))
        assert process.wait(20) == 0


def test_nothing_but_a_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hang_ups: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: hang_ups.append(number))
    try:
        answers: list[JsonValue] = [
            {"role": "client", "pid": 1234},
            {"role": "server", "pid": 0},
            {"role": "server", "pid": "1"},
            [],
        ]
        for answer in answers:
            monkeypatch.setattr(reload, "fetch_status", lambda _path, answer=answer: answer)
            with pytest.raises(HostError, match="not a server"):
                reload.reload_server(Path("x.sock"))
    finally:
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(HostError, match="no control socket"):
        reload.reload_server(None)
    assert hang_ups == []
