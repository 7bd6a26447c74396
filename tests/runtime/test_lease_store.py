"""The lease table survives restarts, damage and full disks."""

import stat
from pathlib import Path

import pytest

from mqvpn_core.errors import HostError
from mqvpn_core.masque.address_pool import LeaseRecord
from mqvpn_core.runtime.lease_store import load_leases, save_leases

TABLE = (
    LeaseRecord(address="10.0.0.2", user="alice", instance="phone"),
    LeaseRecord(address="fd00::2", user="bob \u00fc", instance=""),
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state" / "leases.json"
    save_leases(path, TABLE)
    assert load_leases(path) == TABLE
    save_leases(path, TABLE[:1])
    assert load_leases(path) == TABLE[:1]
    assert [each.name for each in path.parent.iterdir()] == ["leases.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_file_is_an_empty_table(tmp_path: Path) -> None:
    assert load_leases(tmp_path / "none") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "\xff",
        '{"version": 0, "leases": []}',
        '{"version": true, "leases": []}',
        '{"version": 1}',
        '{"version": 1, "leases": {}}',
        '{"version": 1, "leases": [3]}',
        '{"version": 1, "leases": [{"address": "10.0.0.2", "user": "a"}]}',
        '{"version": 1, "leases": [{"address": 1, "user": "a", "instance": ""}]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_reported_and_ignored(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "leases.json"
    path.write_bytes(text.encode("latin-1"))
    assert load_leases(path) == ()
    assert "cannot be used" in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["leases.json"]


def test_a_file_of_a_newer_version_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "leases.json"
    newer = '{"version": 2, "leases": "otherwise"}'
    path.write_text(newer)
    assert load_leases(path) == ()
    assert f"written by a newer mqvpn, kept as {path}.newer" in caplog.text
    save_leases(path, TABLE)
    assert load_leases(path) == TABLE
    assert (tmp_path / "leases.json.newer").read_text() == newer


def test_unreadable_places_are_host_errors(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="directory"):
        load_leases(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="lease file"):
        save_leases(tmp_path / "file" / "leases.json", TABLE)


def test_a_failed_replacement_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "leases.json"
    path.mkdir()
    (path / "occupied").touch()
    with pytest.raises(HostError):
        save_leases(path, TABLE)
    assert [each.name for each in tmp_path.iterdir()] == ["leases.json"]
