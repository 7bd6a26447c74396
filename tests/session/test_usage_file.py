"""Usage between tunnels: the file of ``mqvpn-core client``, whatever state it is in."""

import json
from pathlib import Path

import pytest

from mqvpn_core.runtime.rule_board import RuleBoard
from mqvpn_core.runtime.usage_keeper import UsageKeeper, UsageSettings
from mqvpn_core.tunnel.link_rules import LinkRules
from mqvpn_helper.interface.control_messages import LinkUsage
from mqvpn_helper.session.usage_file import UsageFile

USAGE = LinkUsage(month="2026-11", bytes_by_link=(("wlan0", 5), ("wwan0", 1 << 40)))


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    file = UsageFile(directory, "mqvpn0")
    assert file.load() == LinkUsage()
    file.save(LinkUsage())
    file.save(USAGE)
    assert file.load() == USAGE
    assert [path.name for path in directory.iterdir()] == ["usage-mqvpn0.json"]
    assert (directory / "usage-mqvpn0.json").stat().st_mode & 0o777 == 0o600


def test_a_client_without_helper_reads_it(tmp_path: Path) -> None:
    UsageFile(tmp_path, "mqvpn0").save(USAGE)
    settings = UsageSettings(file=tmp_path / "usage-mqvpn0.json", month=lambda: "2026-11")
    keeper = UsageKeeper(settings, RuleBoard(LinkRules()))
    keeper.load()
    assert keeper.usage.month == USAGE.month
    assert dict(keeper.usage.bytes_by_link) == dict(USAGE.bytes_by_link)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{" * 100_000,
        json.dumps({"version": 0, "month": "2026-11", "bytes": {}}),
        json.dumps({"version": 1, "month": "yesterday", "bytes": {}}),
        json.dumps({"version": 1, "month": "2026-11", "bytes": {"wlan0": -1}}),
        json.dumps({"version": 1, "month": "2026-11", "bytes": {}, "more": 1}),
    ],
)
def test_a_damaged_file_counts_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "usage-mqvpn0.json").write_text(content)
    assert UsageFile(tmp_path, "mqvpn0").load() == LinkUsage()


def test_a_file_of_a_newer_version_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = json.dumps({"version": 2, "bytes": "otherwise"})
    (tmp_path / "usage-mqvpn0.json").write_text(newer)
    file = UsageFile(tmp_path, "mqvpn0")
    assert file.load() == LinkUsage()
    assert f"written by a newer mqvpn, kept as {tmp_path}/usage-mqvpn0.json.newer" in caplog.text
    file.save(USAGE)
    assert (tmp_path / "usage-mqvpn0.json.newer").read_text() == newer
    assert file.load() == USAGE


def test_links_are_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    target.write_text(json.dumps({"version": 1, "month": "2026-11", "bytes": {"wlan0": 5}}))
    (tmp_path / "usage-mqvpn0.json").symlink_to(target)
    file = UsageFile(tmp_path, "mqvpn0")
    assert file.load() == LinkUsage()
    file.save(USAGE)
    assert json.loads(target.read_text())["bytes"] == {"wlan0": 5}


def test_a_directory_that_cannot_be_made_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    UsageFile(tmp_path / "file" / "below", "mqvpn0").save(USAGE)
