"""The file of users: read with care, written whole, one writer at a time."""

import os
import stat
import threading
from pathlib import Path

import pytest

from mqvpn_core.app.config_files import Sources, load_config
from mqvpn_core.app.keys import hash_of, new_key
from mqvpn_core.app.users_file import changing_users_file, read_users_file
from mqvpn_core.config import HashedKey, Secret, ServerConfig
from mqvpn_core.config.setting import Role
from mqvpn_core.errors import ConfigError, HostError

HASH = HashedKey.from_key(Secret("a-key-of-some-length"), b"s" * 16)
LINE = f"alice:{HASH.to_text()}\n"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert read_users_file(file) == {}
    with changing_users_file(file) as users:
        users["bob"] = HASH
        users["alice"] = HASH
    assert read_users_file(file) == {"alice": HASH, "bob": HASH}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["users"]
    assert file.read_text().splitlines()[1] == LINE.strip()


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# mine\n")
    file.chmod(0o640)
    owner = (12345, 12345) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(file, *owner)
    with changing_users_file(file) as users:
        users["alice"] = HASH
    status = file.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, *owner)


def test_an_error_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(LINE)

    def change() -> None:
        with changing_users_file(file) as users:
            users.clear()
            raise ConfigError("no")

    with pytest.raises(ConfigError):
        change()
    assert file.read_text() == LINE


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "users"

    def add(number: int) -> None:
        for step in range(5):
            with changing_users_file(file) as users:
                users[f"user{number}.{step}"] = HASH

    writers = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_users_file(file)) == 20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"alice", ":1: a user is NAME:KEY"),
        (b"\nalice:not-to-be-shown-16\n", ":2: a key in plain; only hashes"),
        (b"alice:sha256:00:00\n", ":1: this is not a key hash"),
        (LINE.encode() * 2, ":2: there are two users alice"),
        (b"\xff", "binary data"),
        (b"#" * (4 * 1024 * 1024 + 1), "larger than"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "users"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_users_file(file)
    assert "not-to-be" not in str(caught.value).replace(str(file), "")


def test_what_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        read_users_file(tmp_path)
    with (
        pytest.raises(HostError, match="No such file"),
        changing_users_file(tmp_path / "none" / "users"),
    ):
        pass


def _server(directory: Path, more: str = "") -> ServerConfig:
    file = directory / "server.toml"
    file.write_text(f'cert_file = "c"\nkey_file = "k"\nusers_file = "users"\n{more}')
    config = load_config(Sources(role=Role.SERVER, file=file)).config
    assert isinstance(config, ServerConfig)
    return config


def test_a_server_takes_users_from_both_places(tmp_path: Path) -> None:
    empty = _server(tmp_path)
    assert (empty.users, empty.users_file) == ({}, tmp_path / "users")
    (tmp_path / "users").write_text(LINE)
    key = hash_of(new_key())
    both = _server(tmp_path, f'[users]\nbob = "{key.to_text()}"\n')
    assert both.users == {"alice": HASH, "bob": key}
    with pytest.raises(ConfigError, match=r"users: .*there are two users alice"):
        _server(tmp_path, f'[users]\nalice = "{key.to_text()}"\n')
