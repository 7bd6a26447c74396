"""``mqvpn-core server init`` and ``server check``."""

import datetime as dt
import io
import json
import os
import pwd
import socket
import stat
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from typing_extensions import override

from mqvpn_core.app import server_check, server_init
from mqvpn_core.app.certificates import load_certificates
from mqvpn_core.app.config_files import Sources, load_config
from mqvpn_core.app.invitations import qr_code
from mqvpn_core.app.port_probe import Answer, Probe
from mqvpn_core.app.server_check import Machine, Verdict
from mqvpn_core.app.server_init import WayOut
from mqvpn_core.config import ServerConfig
from mqvpn_core.config.setting import Role
from mqvpn_helper.interface.invite_link import decode_invite_link
from tests.unit.cli.runs import CommandLine, Outcome

ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth1\t00000000\t0100A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
    "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    "eth0\t0000560A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
)
NOW = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def made(mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """What ``server init`` says about a new server in a folder."""
    monkeypatch.setattr(server_init, "find_way_out", lambda: None)
    return mqvpn(
        *("server", "init", "--yes", "--name", "vpn.example.org", "--port", "8443"),
        *("--user", "alice", "--directory", str(tmp_path / "etc")),
    )


def test_a_server_from_nothing(made: Outcome, tmp_path: Path) -> None:
    assert made.code == 0, made.err
    link = decode_invite_link(made.out)
    assert (link.server, link.user, len(link.pins)) == ("vpn.example.org:8443", "alice", 1)
    config = load_config(Sources(role=Role.SERVER, file=tmp_path / "etc/server.toml")).config
    assert isinstance(config, ServerConfig)
    assert list(config.users) == ["alice"]
    assert config.listen[0].port == 8443
    assert config.subnet6 is not None
    assert config.subnet6.is_private
    assert stat.S_IMODE((tmp_path / "etc/server.key").stat().st_mode) & 0o007 == 0
    assert f"mqvpn-core server --config {tmp_path}" in made.err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who alone gives files away")
def test_files_of_an_installed_server(
    mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_init, "SERVER_USER", "nobody")
    monkeypatch.setattr(server_init, "find_way_out", lambda: None)
    line = ("server", "init", "--yes", "--name", "vpn.example.org", "--directory", str(tmp_path))
    assert mqvpn(*line).code == 0
    nobody = pwd.getpwnam("nobody")
    seen = {
        path.name: (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode))
        for path in tmp_path.iterdir()
    }
    shared = (0, nobody.pw_gid, 0o640)
    assert seen == {
        "server.toml": shared,
        "server.crt": shared,
        "users": shared,  # also after a user was added
        "server.key": (nobody.pw_uid, nobody.pw_gid, 0o600),
    }


def test_a_server_that_is_there_stays(made: Outcome, mqvpn: CommandLine, tmp_path: Path) -> None:
    del made
    line = ["server", "init", "--yes", "--name", "a.example.org", "--directory"]
    before = (tmp_path / "etc/server.toml").read_text()
    again = mqvpn(*line, str(tmp_path / "etc"))
    assert (again.code, "exists already; --force" in again.err) == (2, True)
    assert (tmp_path / "etc/server.toml").read_text() == before
    assert mqvpn(*line, str(tmp_path / "etc"), "--force", "--user", "bob").code == 0
    assert mqvpn("user", "list", "--config", str(tmp_path / "etc/server.toml")).out == (
        "alice\nbob\n"
    )


def test_a_certificate_that_is_there(mqvpn: CommandLine, made: Outcome, tmp_path: Path) -> None:
    del made
    given = ("--cert", str(tmp_path / "etc/server.crt"), "--key", str(tmp_path / "etc/server.key"))
    line = ("server", "init", "--yes", "--name", "vpn.example.org", "--subnet6", "off")
    outcome = mqvpn(*line, *given, "--directory", str(tmp_path / "other"))
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "other/server.key").exists()
    text = (tmp_path / "other/server.toml").read_text()
    assert str(tmp_path / "etc/server.crt") in text
    assert "subnet6" not in text


def test_questions(mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        @override
        def isatty(self) -> bool:
            return True

    way = WayOut(interface="eth0", address="192.168.0.2")
    monkeypatch.setattr(server_init, "find_way_out", lambda: way)
    monkeypatch.setattr("sys.stdin", Terminal("not a host\nvpn.example.org\n\n\noff\ncarol\n"))
    outcome = mqvpn("server", "init", "--directory", str(tmp_path))
    assert outcome.code == 0, outcome.err
    assert decode_invite_link(outcome.out).user == "carol"
    assert "is not a host name" in outcome.err
    assert "UDP port [443]" in outcome.err
    assert "packets of clients leave by eth0" in outcome.err


@pytest.mark.parametrize("more", [(), ("--no-qr",)], ids=["code", "link alone"])
def test_a_code_for_a_camera_stands_above_the_link_on_a_terminal(
    mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    monkeypatch.setattr(server_init, "find_way_out", lambda: None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    line = ("server", "init", "--yes", "--name", "vpn.example.org", "--directory", str(tmp_path))
    *code, link = mqvpn(*line, *more).out.splitlines()
    assert decode_invite_link(link).user == "me"
    assert code == ([] if more else (qr_code(link) or "").splitlines())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("server init", "add --yes"),
        ("server init --yes --name h --cert c.pem", "belong together"),
        ("server init --yes --name h --port 0", "1 to 65535"),
        ("server init --yes", "--name HOST"),
        ("server init --yes --name h --user a/b", "a user is NAME:KEY"),
    ],
)
def test_wrong_command_lines(
    mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr(server_init, "find_way_out", lambda: None)
    outcome = mqvpn(*line.split(), "--directory", str(tmp_path / "new"))
    assert (outcome.code, reason in outcome.err) == (2, True), outcome.err
    assert not (tmp_path / "new").exists()


def test_networks_that_are_used_are_not_offered(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    routes.write_text(ROUTES)
    assert server_init.free_subnet(routes) == IPv4Network("10.99.0.0/24")
    way = server_init.find_way_out(routes)
    assert way is None or way.interface == "eth0"


def _machine(
    tmp_path: Path, chains: str, forward: int = 1, answer: Answer = Answer.VERSIONS
) -> Machine:
    for name, text in (
        ("net/ipv4/ip_forward", str(forward)),
        ("net/core/rmem_max", "212992"),
        ("net/core/wmem_max", "9000000"),
        ("eth0/mtu", "1300"),
    ):
        path = tmp_path / "machine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Machine(
        proc=tmp_path / "machine",
        net=tmp_path / "machine",
        way_out=lambda: WayOut(interface="eth0", address="192.168.0.2"),
        privilege=lambda: None,
        chains=lambda: chains,
        ask=lambda address, _port: Probe(address=address, answer=answer),
    )


def test_what_the_doctor_finds(
    made: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del made
    file = tmp_path / "etc/server.toml"
    chain = {"family": "inet", "table": "filter", "name": "fwd", "hook": "forward"}
    chains = json.dumps({"nftables": [{"chain": {**chain, "policy": "drop"}}]})
    monkeypatch.setattr(server_check, "fetch_status", lambda _path: {})
    findings = server_check.examine(file, _machine(tmp_path, chains, forward=0), NOW)
    seen = {(each.subject, each.verdict): each.text for each in findings}
    assert "days ago" in seen["certificate", Verdict.WRONG]
    assert "off although the server runs" in seen["forwarding", Verdict.WRONG]
    assert "is gone" in seen["NAT", Verdict.WRONG]
    assert "inet filter fwd drops by default" in seen["firewall", Verdict.DOUBTFUL]
    assert "rmem_max is 212992" in seen["UDP buffers", Verdict.DOUBTFUL]
    assert seen["UDP buffers", Verdict.GOOD] == "wmem_max is enough"
    assert "router" in seen["way out", Verdict.DOUBTFUL]
    assert seen["MTU", Verdict.DOUBTFUL] == "1300 bytes on eth0"
    assert "open in every firewall" in seen["port", Verdict.GOOD]
    early = server_check.examine(
        file,
        _machine(tmp_path, chains, answer=Answer.SILENCE),
        dt.datetime(2001, 1, 1, tzinfo=dt.UTC),
    )
    wrong = {each.subject: each.text for each in early if each.verdict is Verdict.WRONG}
    assert "clock" in wrong
    assert "does not answer at UDP port 8443" in wrong["port"]


@pytest.mark.parametrize(
    ("days", "verdict", "text"),
    [(40, Verdict.GOOD, "valid for 40 more days"), (3, Verdict.DOUBTFUL, "valid for 3 more days")],
)
def test_the_days_that_a_certificate_has_left(
    made: Outcome, tmp_path: Path, days: int, verdict: Verdict, text: str
) -> None:
    del made
    end = load_certificates(tmp_path / "etc/server.crt")[0].not_valid_after_utc
    now = end - dt.timedelta(days=days, hours=1)
    found = server_check.examine(
        tmp_path / "etc/server.toml", _machine(tmp_path, '{"nftables": []}'), now
    )
    said = {each.subject: each for each in found}
    assert (said["certificate"].verdict, said["certificate"].text) == (verdict, text)


def test_a_port_that_somebody_has(made: Outcome, tmp_path: Path) -> None:
    del made
    file = tmp_path / "etc/server.toml"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        listen = f'listen = ["127.0.0.1:{other.getsockname()[1]}"]'
        file.write_text(file.read_text().replace('listen = ["[::]:8443"]', listen))
        findings = server_check.examine(file, _machine(tmp_path, '{"nftables": []}'), NOW)
    (port,) = (each for each in findings if each.subject == "port")
    assert port.verdict is Verdict.WRONG
    assert "ss -ulpn" in port.text


def test_the_doctor_asks_another_machine(mqvpn: CommandLine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    outcome = mqvpn("server", "check", "--reach", f"127.0.0.1:{port}")
    assert outcome.code == 1
    assert outcome.out.startswith(f"wrong    port         127.0.0.1, UDP port {port}: ")
    assert "no server listens" in outcome.out


def test_the_doctor_as_a_command(mqvpn: CommandLine, tmp_path: Path) -> None:
    outcome = mqvpn("server", "check", "--config", str(tmp_path / "none.toml"), "--json")
    (finding,) = json.loads(outcome.out)
    assert (outcome.code, finding["subject"], finding["verdict"]) == (1, "settings", "wrong")
    plain = mqvpn("server", "check", "--config", str(tmp_path / "none.toml"))
    assert plain.out.startswith("wrong    settings     ")
    assert "server init makes a server" in plain.out
