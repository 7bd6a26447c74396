"""Files of the server's web site: found safely, read in chunks, never loaded whole.

Every path segment is opened relative to the directory before it and no symbolic link is followed,
so no name leads outside, whatever is renamed meanwhile. What a request means is decided in
`mqvpn_core.masque.site`.
"""

import errno
import os
import stat
from pathlib import Path

from mqvpn_core.errors import ConfigError
from mqvpn_core.masque.site import NOT_FOUND_PAGE, SiteFile, SitePage, make_page

CHUNK_BYTES = 64 * 1024
"""Most bytes read at once."""
MAX_PAGE_BYTES = 64 * 1024
"""Longest ``404.html`` that is used."""

_NOT_FOUND_FILE = SiteFile(segments=("404.html",), content_type="text/html; charset=utf-8")
_HTTP_NOT_FOUND = 404
# O_NONBLOCK: opening a FIFO somebody left in the directory must not hang the server.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_ABSENT = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
        errno.ENXIO,
        errno.EISDIR,
    }
)


class OpenedFile:
    """A regular file of the site; close it."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        """Own ``fd``."""
        self._fd = fd
        self.size_bytes = size_bytes
        """Length at opening; a file that grows is cut there."""

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Return the next bytes, at most `CHUNK_BYTES`; empty at the end (or when it shrank)."""
        wanted = min(max_bytes, CHUNK_BYTES, self.size_bytes - offset)
        return os.pread(self._fd, wanted, offset) if wanted > 0 else b""

    def close(self) -> None:
        """Release the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SiteFiles:
    """A directory whose files are served; ``None`` stands for a site without files."""

    def __init__(self, directory: Path | None) -> None:
        """Open the directory.

        Raises:
            ConfigError: it cannot be read.
        """
        self._root = -1
        if directory is not None:
            try:
                self._root = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
            except OSError as error:
                raise ConfigError(
                    f"site {directory}: {error.strerror}; name a directory that can be read"
                ) from error

    @property
    def has_directory(self) -> bool:
        """The site has files of its own."""
        return self._root >= 0

    def open(self, wanted: SiteFile) -> OpenedFile | None:
        """Return the file, or None when the site has no such file.

        Raises:
            OSError: the disk failed, or the process has too many files open.
        """
        if self._root < 0:
            return None
        try:
            return self._open(wanted.segments)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        except ValueError:  # a NUL in the name
            return None

    def not_found_page(self) -> SitePage:
        """Return what unknown pages get: the site's ``404.html``, else a small neutral page."""
        opened = self.open(_NOT_FOUND_FILE)
        if opened is None:
            return NOT_FOUND_PAGE
        try:
            body = opened.read(0, MAX_PAGE_BYTES)
            complete = len(body) == opened.size_bytes
        finally:
            opened.close()
        return make_page(_HTTP_NOT_FOUND, body) if complete else NOT_FOUND_PAGE

    def close(self) -> None:
        """Release the directory; files that are open stay readable."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _open(self, segments: tuple[str, ...]) -> OpenedFile | None:
        folder = os.dup(self._root)
        try:
            for segment in segments[:-1]:
                deeper = os.open(segment, _DIRECTORY_FLAGS, dir_fd=folder)
                os.close(folder)
                folder = deeper
            fd = os.open(segments[-1], _FILE_FLAGS, dir_fd=folder)
        finally:
            os.close(folder)
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            os.close(fd)
            return None
        return OpenedFile(fd, facts.st_size)
