"""The site's directory: nothing outside it can be named, nothing is loaded whole."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqvpn_core.errors import ConfigError
from mqvpn_core.masque.site import NOT_FOUND_PAGE, SiteFile
from mqvpn_core.runtime.site_files import CHUNK_BYTES, MAX_PAGE_BYTES, SiteFiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside")
    site = tmp_path / "site"
    (site / "deep").mkdir(parents=True)
    (site / "index.html").write_text("front")
    (site / "deep" / "page.txt").write_text("page")
    return site


@pytest.fixture
def files(root: Path) -> Iterator[SiteFiles]:
    site = SiteFiles(root)
    yield site
    site.close()


def wanted(*segments: str) -> SiteFile:
    return SiteFile(segments=segments, content_type="text/plain")


def content(files: SiteFiles, *segments: str) -> bytes | None:
    opened = files.open(wanted(*segments))
    if opened is None:
        return None
    try:
        return opened.read(0, CHUNK_BYTES)
    finally:
        opened.close()


def test_files_are_found(files: SiteFiles) -> None:
    assert content(files, "index.html") == b"front"
    assert content(files, "deep", "page.txt") == b"page"
    assert files.has_directory


@pytest.mark.parametrize(
    "segments",
    [
        ("missing",),
        ("deep", "missing"),
        ("index.html", "below"),
        ("deep",),
        ("x" * 300,),
        ("nul\0byte",),
    ],
)
def test_what_is_not_there_is_absent(files: SiteFiles, segments: tuple[str, ...]) -> None:
    assert files.open(wanted(*segments)) is None


def test_symbolic_links_are_not_followed(files: SiteFiles, root: Path) -> None:
    (root / "file-link").symlink_to(root.parent / "secret")
    (root / "folder-link").symlink_to(root.parent)
    assert content(files, "file-link") is None
    assert content(files, "folder-link", "secret") is None


def test_a_fifo_neither_hangs_nor_is_served(files: SiteFiles, root: Path) -> None:
    os.mkfifo(root / "fifo")
    assert files.open(wanted("fifo")) is None


def test_an_unreadable_folder_is_absent(files: SiteFiles, root: Path) -> None:
    locked = root / "locked"
    locked.mkdir(mode=0o000)
    assert files.open(wanted("locked", "x")) is None
    locked.chmod(0o700)


def test_large_files_come_in_chunks(files: SiteFiles, root: Path) -> None:
    data = os.urandom(2 * CHUNK_BYTES + 17)  # noqa: TID251 - content, not protocol randomness
    (root / "large").write_bytes(data)
    opened = files.open(wanted("large"))
    assert opened is not None
    try:
        assert opened.size_bytes == len(data)
        pieces = [opened.read(0, 10**9)]
        while piece := opened.read(sum(map(len, pieces)), 10**9):
            pieces.append(piece)
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) == CHUNK_BYTES
        assert opened.read(5, 3) == data[5:8]
    finally:
        opened.close()


def test_growth_after_opening_is_cut_and_shrinking_ends_early(files: SiteFiles, root: Path) -> None:
    opened = files.open(wanted("deep", "page.txt"))
    assert opened is not None
    (root / "deep" / "page.txt").write_text("page and more")
    assert opened.read(0, 100) == b"page"
    (root / "deep" / "page.txt").write_text("pa")
    assert opened.read(2, 100) == b""
    opened.close()


def test_own_not_found_page(files: SiteFiles, root: Path) -> None:
    assert files.not_found_page() == NOT_FOUND_PAGE
    (root / "404.html").write_text("<p>gone</p>")
    page = files.not_found_page()
    assert page.status == 404
    assert page.body == b"<p>gone</p>"
    assert (b"content-length", b"11") in page.headers
    (root / "404.html").write_bytes(b"x" * (MAX_PAGE_BYTES + 1))
    assert files.not_found_page() == NOT_FOUND_PAGE


def test_site_without_directory() -> None:
    files = SiteFiles(None)
    assert not files.has_directory
    assert files.open(wanted("index.html")) is None
    assert files.not_found_page() == NOT_FOUND_PAGE
    files.close()


def test_missing_directory_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        SiteFiles(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        SiteFiles(tmp_path / "file")


def test_nothing_stays_open(root: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    files = SiteFiles(root)
    for segments in (("index.html",), ("missing",), ("deep",), ("deep", "page.txt")):
        content(files, *segments)
    files.not_found_page()
    files.close()
    files.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
