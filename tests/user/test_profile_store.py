"""Profiles as files: private, whole, and never outside their directory."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_gui.user import private_files
from mqvpn_gui.user.errors import ProfileError, UserError
from mqvpn_gui.user.profile_store import ProfileStore, check_name, name_from
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_helper.interface.profile import Profile

OFFICE = StoredProfile(settings=Profile(host="vpn.example.org"), user="alice")


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "config" / "profiles")


def test_profiles_come_and_go(store: ProfileStore) -> None:
    assert store.names() == ()
    store.write("office", OFFICE, overwrite=False)
    store.write("Home.2", OFFICE, overwrite=False)
    assert store.names() == ("Home.2", "office")
    assert store.read("office") == OFFICE
    store.remove("office")
    assert store.names() == ("Home.2",)
    with pytest.raises(ProfileError, match=r"no profile office; there are: Home\.2"):
        store.read("office")
    with pytest.raises(ProfileError, match="there is no profile office"):
        store.remove("office")


def test_without_any_the_advice_is_to_import_one(store: ProfileStore) -> None:
    with pytest.raises(ProfileError, match="mqvpn profile import"):
        store.read("office")


def test_files_are_private_whatever_the_umask(store: ProfileStore) -> None:
    before = os.umask(0)
    try:
        store.write("office", OFFICE, overwrite=False)
    finally:
        os.umask(before)
    path = store.path_of("office")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_is_overwritten_unasked_and_nothing_is_left_behind(store: ProfileStore) -> None:
    store.write("office", OFFICE, overwrite=False)
    other = StoredProfile(settings=Profile(host="other.example"))
    with pytest.raises(ProfileError, match="there is a profile office already"):
        store.write("office", other, overwrite=False)
    assert store.read("office") == OFFICE
    store.write("office", other, overwrite=True)
    assert store.read("office") == other
    assert [each.name for each in store.path_of("office").parent.iterdir()] == ["office.toml"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc/passwd", "-x", ".hidden", "a\0b", "a\n", "ä", "x" * 41],
)
def test_hostile_names(store: ProfileStore, name: str) -> None:
    for call in (store.read, store.remove, store.path_of):
        with pytest.raises(ProfileError, match="cannot be the name of a profile"):
            call(name)
    with pytest.raises(ProfileError, match="cannot be the name of a profile"):
        store.write(name, OFFICE, overwrite=True)


def test_what_is_no_profile_is_not_listed(store: ProfileStore) -> None:
    store.write("office", OFFICE, overwrite=False)
    directory = store.path_of("office").parent
    for name in ("notes.txt", ".x.toml", "a b.toml", "x" * 50 + ".toml", "..toml"):
        (directory / name).write_text("x")
    assert store.names() == ("office",)


def test_odd_files_are_refused_not_waited_for(store: ProfileStore) -> None:
    store.write("office", OFFICE, overwrite=False)
    directory = store.path_of("office").parent
    os.mkfifo(directory / "fifo.toml")
    (directory / "folder.toml").mkdir()
    (directory / "large.toml").write_bytes(b"#" * 70000)
    (directory / "binary.toml").write_bytes(b"\xff\xfe")
    (directory / "device.toml").symlink_to("/dev/zero")
    for name, reason in {
        "fifo": "not a regular file",
        "folder": "not a regular file|directory",
        "large": "larger than 65536",
        "binary": "not a text in UTF-8",
        "device": "not a regular file",
    }.items():
        with pytest.raises(UserError, match=reason):
            store.read(name)


def test_a_broken_profile_names_its_file(store: ProfileStore) -> None:
    store.write("office", OFFICE, overwrite=False)
    store.path_of("office").write_text("sevrer = 1")
    with pytest.raises(ProfileError, match=r"office\.toml: profile: "):
        store.read("office")


def test_there_is_an_end_of_profiles(store: ProfileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqvpn_gui.user.profile_store.MAX_PROFILES", 2)
    store.write("a", OFFICE, overwrite=False)
    store.write("b", OFFICE, overwrite=False)
    store.write("b", OFFICE, overwrite=True)
    with pytest.raises(ProfileError, match="2 profiles already"):
        store.write("c", OFFICE, overwrite=False)


def test_names_are_made_of_titles(store: ProfileStore) -> None:
    assert name_from("Büro in Köln, 2. Stock") == "buro-in-koln-2.-stock"
    assert name_from("../../etc/passwd") == "etc-passwd"
    assert name_from("\u202e\0") == ""
    store.write("vpn.example.org", OFFICE, overwrite=False)
    assert store.free_name("vpn.example.org") == "vpn.example.org-2"
    assert store.free_name("???") == "server"


@given(st.text(max_size=300))
def test_a_made_name_can_be_a_name(text: str) -> None:
    name = name_from(text)
    assert not name or check_name(name) == name


def test_directories_follow_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert private_files.config_directory() == Path("/somewhere/mqvpn")
    assert private_files.state_directory() == Path("/nonexistent/.local/state/mqvpn")
    assert ProfileStore().path_of("a") == Path("/somewhere/mqvpn/profiles/a.toml")


def test_a_disk_that_refuses_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = ProfileStore(tmp_path / "file")
    with pytest.raises(UserError, match="Not a directory"):
        store.names()
    with pytest.raises(UserError, match=r"File exists|Not a directory"):
        private_files.write_private_file(tmp_path / "file" / "x" / "y", "", overwrite=True)
