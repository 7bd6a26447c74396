"""New files are whole, narrow and never over another."""

import os
import stat
from pathlib import Path

import pytest

from mqvpn_core.app.new_files import write_new_file
from mqvpn_core.errors import HostError


def test_mode_holds_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        write_new_file(tmp_path / "a", b"x", mode=0o640, overwrite=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert (tmp_path / "a").read_bytes() == b"x"


def test_file_that_is_there_stays_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(HostError, match="exists already"):
        write_new_file(tmp_path / "a", b"new", mode=0o600, overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_link_that_is_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "target")
    with pytest.raises(HostError, match="exists already"):
        write_new_file(tmp_path / "a", b"new", mode=0o600, overwrite=False)
    write_new_file(tmp_path / "a", b"new", mode=0o600, overwrite=True)
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "a").is_symlink()


def test_overwriting_replaces_content_and_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o666)
    write_new_file(tmp_path / "a", b"new", mode=0o600, overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
