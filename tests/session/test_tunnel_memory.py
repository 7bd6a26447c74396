"""The memory on disk: what one helper writes the next one reads, once too often never."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mqvpn_helper.host.process_identity import current_netns
from mqvpn_helper.host.wish_files import WishFiles
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.service_notices import kept_descriptors
from mqvpn_helper.interface.tunnel_settings import PathPolicy, PathRole
from mqvpn_helper.session.secret_copy import SecretCopy
from mqvpn_helper.session.secret_shelf import SECRET_NAME, FileShelf, ManagerShelf
from mqvpn_helper.session.tunnel_memory import (
    MAX_ATTEMPTS,
    TunnelMemory,
    WantedTunnel,
    Wish,
    memory_of,
    recall,
)
from tests.session.samples import FULL_PROFILE
from tests.session.stage import SECRET, secret_pipe

_POLICIES = (("lte0", PathPolicy(role=PathRole.BACKUP, rate_limit=5000)),)
_ALICE = 1001


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory in memory, as /run is."""
    with tempfile.TemporaryDirectory(prefix="mq-memory-", dir="/dev/shm") as name:
        yield Path(name)


def _wish(**members: object) -> Wish:
    return Wish(profile=Profile.from_mapping({**FULL_PROFILE, **members}), policies=_POLICIES)


def _remember(memory: TunnelMemory, wish: Wish, *, has_worked: bool = False) -> None:
    async def main() -> None:
        secret = await SecretCopy.take(secret_pipe())
        await memory.keep(wish, has_worked=has_worked)
        await memory.keep_secret(secret)
        secret.close()

    trio.run(main)


def _memory(directory: Path, wish: Wish, attempts: int = 0) -> TunnelMemory:
    wanted = WantedTunnel(wish=wish, owner=_ALICE, secret=None, attempts=attempts)
    return memory_of(wanted, directory, FileShelf())


def _read(fd: int | None) -> bytes:
    assert fd is not None
    data = os.pread(fd, 4096, 0)
    os.close(fd)
    return data


def test_the_next_helper_has_everything_again(directory: Path) -> None:
    wish = _wish(tied=False)
    _remember(_memory(directory, wish), wish)
    found = recall(directory, FileShelf())
    assert found is not None
    assert (found.wish, found.owner, found.attempts) == (wish, _ALICE, 1)
    assert _read(found.secret) == SECRET
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_what_is_forgotten_leaves_no_file(directory: Path) -> None:
    wish = _wish(tied=False)
    memory = _memory(directory, wish)
    _remember(memory, wish)
    trio.run(memory.forget)
    assert not list(directory.iterdir())
    assert recall(directory, FileShelf()) is None


def test_a_tied_tunnel_is_not_remembered(directory: Path) -> None:
    earlier = _wish(tied=False)
    _remember(_memory(directory, earlier), earlier)
    wish = _wish(tied=True)
    _remember(_memory(directory, wish), wish)
    assert not list(directory.iterdir())


def test_another_device_takes_the_place_of_the_first(directory: Path) -> None:
    for name in ("mqvpn1", "mqvpn0"):
        wish = _wish(tied=False, tun_name=name)
        _remember(_memory(directory, wish), wish)
    found = recall(directory, FileShelf())
    assert found is not None
    assert found.wish.profile.tun_name == "mqvpn0"
    assert _read(found.secret) == SECRET
    assert len(list(directory.iterdir())) == 2


@pytest.mark.parametrize(
    "dies_of_it",
    [False, True],
    ids=["each helper remembers it anew", "each helper dies before it can"],
)
def test_what_never_works_is_given_up(directory: Path, *, dies_of_it: bool) -> None:
    wish = _wish(tied=False)
    _remember(_memory(directory, wish), wish)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        found = recall(directory, FileShelf())
        assert found is not None
        assert found.attempts == attempt
        assert _read(found.secret) == SECRET
        if not dies_of_it:
            _remember(_memory(directory, wish, found.attempts), wish)
    assert recall(directory, FileShelf()) is None
    assert not list(directory.iterdir())


def test_what_has_worked_begins_anew(directory: Path) -> None:
    wish = _wish(tied=False)
    _remember(_memory(directory, wish, MAX_ATTEMPTS), wish, has_worked=True)
    found = recall(directory, FileShelf())
    assert found is not None
    assert found.attempts == 1
    _read(found.secret)


@pytest.mark.parametrize(("mode", "is_wanted"), [("standard", True), ("off", False)])
def test_without_its_secret_only_a_kill_switch_is_wanted(
    directory: Path, mode: str, is_wanted: bool
) -> None:
    wish = _wish(tied=False, kill_switch=mode)
    _remember(_memory(directory, wish), wish)
    (secret,) = directory.glob("*.secret")
    secret.unlink()
    assert (recall(directory, FileShelf()) is not None) is is_wanted
    assert bool(list(directory.iterdir())) is is_wanted


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"\xff", b'{"version": 2}'])
def test_a_damaged_wish_is_none(directory: Path, damage: bytes) -> None:
    wish = _wish(tied=False)
    _remember(_memory(directory, wish), wish)
    (path,) = directory.glob("*.wish")
    path.write_bytes(damage)
    assert recall(directory, FileShelf()) is None
    assert not list(directory.iterdir())


def test_systemd_keeps_the_secret_itself(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = str(directory / "notify")
        manager.bind(address)
        files = WishFiles(directory, "mqvpn0", current_netns())
        shelf = ManagerShelf(address, None)
        assert shelf.take(files) is None
        fd = secret_pipe()
        shelf.put(files, fd)
        os.close(fd)
        remove = f"FDSTOREREMOVE=1\nFDNAME={SECRET_NAME}".encode()
        assert manager.recv(100) == remove  # an earlier one
        notice, kept, _, _ = socket.recv_fds(manager, 100, 4)
        assert notice == f"FDSTORE=1\nFDNAME={SECRET_NAME}".encode()
        next_shelf = ManagerShelf(address, kept[0])
        taken = next_shelf.take(files)
        assert taken == kept[0]
        assert not os.get_inheritable(taken)
        assert os.read(taken, 100) == SECRET
        os.close(taken)
        next_shelf.clear(files)
        assert manager.recv(100) == remove
    assert [path.name for path in directory.iterdir()] == ["notify"]


def test_systemd_is_told_to_forget_what_nobody_wants(directory: Path) -> None:
    wish = _wish(tied=False)
    remove = f"FDSTOREREMOVE=1\nFDNAME={SECRET_NAME}".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(address := str(directory / "notify"))
        wanted = WantedTunnel(wish=wish, owner=_ALICE, secret=None)
        trio.run(memory_of(wanted, directory, ManagerShelf(address, None)).forget)
        assert manager.recv(100) == remove
        # A secret of systemd's without a wish on disk.
        kept = secret_pipe()
        assert recall(directory, ManagerShelf(address, kept)) is None
        assert manager.recv(100) == remove
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept)


def test_a_secret_never_lies_on_a_disk(tmp_path: Path) -> None:
    disks = [each for each in (tmp_path, Path("/var/tmp")) if not _is_in_memory(each)]  # noqa: S108 - to find a disk
    if not disks:
        pytest.skip("there is no disk here")
    with tempfile.TemporaryDirectory(prefix="mq-memory-", dir=disks[0]) as name:
        wish = _wish(tied=False)
        _remember(_memory(Path(name), wish), wish)
        assert [path.suffix for path in Path(name).iterdir()] == [".wish"]


def _is_in_memory(directory: Path) -> bool:
    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            fcntl.fcntl(file.fileno(), fcntl.F_GET_SEALS)
        except OSError:
            return False
        return True


def test_descriptors_of_systemd_have_names() -> None:
    given = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "other:mqvpn-secret"}
    assert kept_descriptors(given, 7) == {"other": 3, "mqvpn-secret": 4}
    assert kept_descriptors(given, 8) == {}
    assert kept_descriptors({**given, "LISTEN_FDS": "x"}, 7) == {}
    assert kept_descriptors({}, 7) == {}
