"""Journals survive a crash, and hostile ones do nothing."""

import errno
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_helper.host import journal as journal_module
from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.host.journal import DamagedJournalError, Journal, JournalRecord
from mqvpn_helper.host.process_identity import ProcessIdentity
from mqvpn_helper.host.sysctls import ForwardingGroup

OWNER = ProcessIdentity(pid=4321, start_time=99, boot_id="4f6c7aa0-0000-4000-8000-000000000000")
RECORD = JournalRecord(
    owner=OWNER,
    tun_name="mqvpn0",
    netns=7,
    bypass=(ip_address("203.0.113.7"), ip_address("2001:db8::7")),
    has_table=True,
    settings={
        ForwardingGroup.IPV4: {"net/ipv4/ip_forward": "0", "net/ipv4/conf/eth0.5/forwarding": "1"},
        ForwardingGroup.IPV6: {"net/ipv6/conf/all/forwarding": "0"},
    },
    instance="Zm9v-_42",
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "state")
    with made.locked():
        yield made


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "state" / "mqvpn0@7.journal"


def test_what_is_written_is_read(journal: Journal) -> None:
    journal.write(RECORD)
    assert journal.read("mqvpn0", 7) == RECORD
    journal.write(replace(RECORD, has_table=False))
    assert journal.read("mqvpn0", 7) == replace(RECORD, has_table=False)


def test_records_are_told_apart_by_device_and_namespace(journal: Journal) -> None:
    journal.write(RECORD)
    journal.write(replace(RECORD, netns=8))
    journal.write(replace(RECORD, tun_name="mqvpn1"))
    assert journal.read("mqvpn0", 9) is None
    assert journal.tun_names(7) == ("mqvpn0", "mqvpn1")
    assert journal.tun_names(8) == ("mqvpn0",)


NOTHING = replace(RECORD, bypass=(), has_table=False, settings={})


@pytest.mark.parametrize(
    "record",
    [
        replace(NOTHING, bypass=RECORD.bypass),
        replace(NOTHING, has_table=True),
        replace(NOTHING, settings=RECORD.settings),
    ],
)
def test_each_change_alone_is_one(record: JournalRecord) -> None:
    assert record.has_changes


def test_name_alone_is_no_change_but_kept(journal: Journal) -> None:
    assert not NOTHING.has_changes
    journal.write(NOTHING)
    assert journal.read("mqvpn0", 7) == NOTHING


def test_files_are_private(journal: Journal, tmp_path: Path) -> None:
    journal.write(RECORD)
    assert file_of(tmp_path).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_unfinished_draft_of_a_crash_is_in_nobodys_way(journal: Journal, tmp_path: Path) -> None:
    journal.write(RECORD)
    draft = file_of(tmp_path).with_suffix(".draft")
    draft.write_bytes(b'{"version"')
    assert journal.tun_names(7) == ("mqvpn0",)
    assert journal.read("mqvpn0", 7) == RECORD
    journal.write(replace(RECORD, bypass=()))
    assert journal.read("mqvpn0", 7) == replace(RECORD, bypass=())
    assert not draft.exists()


@pytest.mark.parametrize("length", [0, 1, 50, 200])
def test_truncated_journal(journal: Journal, tmp_path: Path, length: int) -> None:
    journal.write(RECORD)
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedJournalError):
        journal.read("mqvpn0", 7)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"pid": -1},
        {"pid": "1"},
        {"pid": True},
        {"start_time": 1 << 64},
        {"start_time": 1.5},
        {"boot_id": 3},
        {"tun_name": "../../etc"},
        {"tun_name": "mqvpn1"},
        {"tun_name": 'x" ; flush'},
        {"netns": 8},
        {"bypass": "203.0.113.7"},
        {"bypass": ["203.0.113.0/24"]},
        {"bypass": ["203.0.113.7; rm"]},
        {"bypass": [7]},
        {"bypass": ["203.0.113.7"] * 5000},
        {"settings": []},
        {"settings": {"kernel": {}}},
        {"settings": {"ipv4_forwarding": []}},
        {"settings": {"ipv4_forwarding": {"kernel/core_pattern": "1"}}},
        {"settings": {"ipv4_forwarding": {"net/ipv4/conf/../ip_forward": "1"}}},
        {"settings": {"ipv4_forwarding": {"net/ipv4/conf/../forwarding": "1"}}},
        {"settings": {"ipv4_forwarding": {"net/ipv4/ip_forward\n": "1"}}},
        {"settings": {"ipv4_forwarding": {"net/ipv4/ip_forward": "1\n1"}}},
        {"settings": {"ipv4_forwarding": {"net/ipv4/ip_forward": 1}}},
        {"instance": 7},
        {"instance": "a b"},
        {"instance": "a\r\nb"},
        {"instance": "x" * 65},
    ],
)
def test_field_that_does_not_follow_the_format(
    journal: Journal, tmp_path: Path, change: dict[str, object]
) -> None:
    journal.write(RECORD)
    path = file_of(tmp_path)
    content: dict[str, object] = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(DamagedJournalError):
        journal.read("mqvpn0", 7)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_damaged(data: bytes) -> None:
    try:
        journal_module._decode(data, Path("any"))
    except DamagedJournalError:
        return
    pytest.fail("random bytes were taken for a record")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(
            ["pid", "start_time", "tun_name", "netns", "bypass", "settings", "instance"]
        ),
        _JSON,
    )
)
def test_any_fields_are_a_record_or_damaged(fields: dict[str, object]) -> None:
    data = json.dumps({"version": 1, "boot_id": "x", "has_table": True, **fields}).encode()
    try:
        record = journal_module._decode(data, Path("any"))
    except DamagedJournalError:
        return
    assert journal_module._decode(journal_module._encode(record), Path("any")) == record


def test_deeply_nested_journal(journal: Journal, tmp_path: Path) -> None:
    file_of(tmp_path).write_bytes(b"[" * 100_000)
    file_of(tmp_path).chmod(0o600)
    with pytest.raises(DamagedJournalError):
        journal.read("mqvpn0", 7)


def test_endless_journal_is_not_read_to_its_end(journal: Journal, tmp_path: Path) -> None:
    with file_of(tmp_path).open("wb") as file:
        file.truncate(1 << 40)
    file_of(tmp_path).chmod(0o600)
    with pytest.raises(DamagedJournalError, match="too long"):
        journal.read("mqvpn0", 7)


def test_link_instead_of_a_journal_is_not_followed(journal: Journal, tmp_path: Path) -> None:
    journal.write(RECORD)
    real = file_of(tmp_path).rename(tmp_path / "elsewhere")
    file_of(tmp_path).symlink_to(real)
    with pytest.raises(DamagedJournalError):
        journal.read("mqvpn0", 7)
    journal.remove("mqvpn0", 7)
    assert real.exists()


def test_link_instead_of_a_draft_is_not_written_through(journal: Journal, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    file_of(tmp_path).with_suffix(".draft").symlink_to(target)
    journal.write(RECORD)
    assert target.read_text() == "kept"
    assert journal.read("mqvpn0", 7) == RECORD


def test_pipe_instead_of_a_journal_does_not_block(journal: Journal, tmp_path: Path) -> None:
    os.mkfifo(file_of(tmp_path), 0o600)
    with pytest.raises(DamagedJournalError, match="not a file of ours"):
        journal.read("mqvpn0", 7)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_journal_that_others_can_write_is_not_trusted(
    journal: Journal, tmp_path: Path, mode: int
) -> None:
    journal.write(RECORD)
    file_of(tmp_path).chmod(mode)
    with pytest.raises(DamagedJournalError, match="not a file of ours"):
        journal.read("mqvpn0", 7)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_journal_of_another_user_is_not_trusted(journal: Journal, tmp_path: Path) -> None:
    journal.write(RECORD)
    os.chown(file_of(tmp_path), 65534, 65534)
    with pytest.raises(DamagedJournalError, match="not a file of ours"):
        journal.read("mqvpn0", 7)


def test_state_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(HostChangeError, match="nobody else"), Journal(tmp_path / "state").locked():
        pytest.fail("entered")


def test_state_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "real")
    with pytest.raises(HostChangeError, match="nobody else"), Journal(tmp_path / "state").locked():
        pytest.fail("entered")


def test_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(HostChangeError, match="cannot make the state directory"),
        Journal(tmp_path / "file" / "state").locked(),
    ):
        pytest.fail("entered")


def test_lock_keeps_the_others_out(tmp_path: Path) -> None:
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.wait()
        with Journal(tmp_path).locked():
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with Journal(tmp_path).locked():
        entered.set()
        other.join(0.15)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_lock_that_is_never_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_LOCK_ATTEMPTS", 2)
    monkeypatch.setattr(journal_module, "_LOCK_PAUSE", 0.001)
    with (
        Journal(tmp_path).locked(),
        pytest.raises(HostChangeError, match="another mqvpn process"),
        Journal(tmp_path).locked(),
    ):
        pytest.fail("entered")


def test_full_disk_is_noticed_before_anything_is_changed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        del fd
        raise OSError(errno.ENOSPC, "No space left on device")

    journal.write(RECORD)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(HostChangeError, match="No space left"):
        journal.write(replace(RECORD, bypass=()))
    assert journal.read("mqvpn0", 7) == RECORD
