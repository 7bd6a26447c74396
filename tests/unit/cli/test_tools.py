"""``genkey``, ``gencert`` and ``demo``."""

import json
import stat
from pathlib import Path

import pytest

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.config import HashedKey, Secret
from mqvpn_core.config.parsing import pin
from mqvpn_core.config.secret_values import parse_hashed_key
from mqvpn_core.demo import main as demo_main
from mqvpn_core.demo.main import DemoOptions
from tests.unit.cli.runs import CommandLine


def test_genkey_prints_the_key_alone(mqvpn: CommandLine) -> None:
    first, second = mqvpn("genkey"), mqvpn("genkey")
    assert (first.code, first.err, len(first.out.strip())) == (0, "", 43)
    assert first.out != second.out


def test_genkey_as_json_has_the_hash(mqvpn: CommandLine) -> None:
    report = json.loads(mqvpn("genkey", "--json").out)
    hashed = parse_hashed_key(report["hash"])
    assert hashed == HashedKey.from_key(Secret(report["key"]), hashed.salt)


def test_genkey_into_a_file(mqvpn: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "auth.key"
    outcome = mqvpn("genkey", "--output", str(path))
    key = path.read_text(encoding="ascii").strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key not in outcome.out
    hashed = parse_hashed_key(outcome.out.strip())
    assert hashed == HashedKey.from_key(Secret(key), hashed.salt)
    again = mqvpn("genkey", "--output", str(path))
    assert again.code == 1
    assert "exists already; --force overwrites it" in again.err
    assert path.read_text(encoding="ascii").strip() == key
    assert mqvpn("genkey", "--output", str(path), "--force").code == 0
    assert path.read_text(encoding="ascii").strip() != key


def test_genkey_hashes_a_key_that_is_there(mqvpn: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "auth.key"
    path.write_text("an-old-key-of-mine-01\n")
    hashed = parse_hashed_key(mqvpn("genkey", "--hash-of", str(path)).out.strip())
    assert hashed == HashedKey.from_key(Secret("an-old-key-of-mine-01"), hashed.salt)
    report = json.loads(mqvpn("genkey", "--hash-of", str(path), "--json").out)
    assert set(report) == {"hash"}


def test_gencert_writes_and_prints_the_pin(
    mqvpn: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = mqvpn("gencert", "--name", "VPN.example.org", "--name", "192.0.2.1", "--days", "9")
    assert outcome.code == 0
    assert "for vpn.example.org, 192.0.2.1, until 20" in outcome.out
    pin(outcome.out.split()[-1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.crt", "server.key"]


def test_gencert_as_json(mqvpn: CommandLine, tmp_path: Path) -> None:
    files = ("--cert", str(tmp_path / "c"), "--key", str(tmp_path / "k"))
    report = json.loads(mqvpn("gencert", *files, "--json").out)
    assert set(report) == {"cert", "key", "pin", "names", "not_after"}
    assert report["names"] == ["localhost"]
    pin(report["pin"])
    assert mqvpn("gencert", *files).code == 1
    again = json.loads(mqvpn("gencert", *files, "--json", "--force").out)
    assert again["pin"] != report["pin"]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], DemoOptions()),
        (
            ["--keep", "--json", "--download-bytes", "5000"],
            DemoOptions(download_bytes=5000, as_json=True, keep=True),
        ),
    ],
)
def test_demo_gets_its_options(
    mqvpn: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    options: DemoOptions,
) -> None:
    seen: list[DemoOptions] = []

    def run_demo(given: DemoOptions) -> ExitCode:
        seen.append(given)
        return ExitCode.PERMISSION

    monkeypatch.setattr(demo_main, "run_demo", run_demo)
    assert mqvpn("demo", *arguments).code == 5
    assert seen == [options]
