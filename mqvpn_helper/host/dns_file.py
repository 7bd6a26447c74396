"""The last resort: /etc/resolv.conf itself, with the user's own file kept beside it.

Where the directory allows it the file is replaced by renaming, so that no reader finds half of
one; a container that mounts the file itself only lets its contents be changed.
"""

import errno
import os
import shutil
from pathlib import Path

from mqvpn_helper.host.failures import HostChangeError
from mqvpn_helper.interface.host_plan import IPAddress

_MARK = "# Written by mqvpn"
_BACKUP_NAME = "resolv.conf.before-mqvpn"
_DRAFT_NAME = "resolv.conf.mqvpn-draft"
_MAX_BYTES = 1 << 20
_NOT_HERE = frozenset({errno.EBUSY, errno.EXDEV, errno.EPERM})


class ResolvConf:
    """The file that tells programs whom to ask."""

    def __init__(self, etc: Path = Path("/etc")) -> None:
        """Name the directory.

        Args:
            etc: where resolv.conf is.
        """
        self.path = etc / "resolv.conf"
        """The file."""
        self._backup = etc / _BACKUP_NAME
        self._draft = etc / _DRAFT_NAME

    @property
    def text(self) -> str:
        """What it says; empty when there is none."""
        try:
            with self.path.open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    @property
    def is_ours(self) -> bool:
        """Whether we wrote it, or a process of ours that is gone."""
        return self.text.startswith(_MARK)

    @property
    def has_traces(self) -> bool:
        """Whether there is anything to restore."""
        return self.is_ours or os.path.lexists(self._backup)

    def write(self, servers: tuple[IPAddress, ...]) -> None:
        """Name these servers, keeping what the user had.

        Args:
            servers: name servers.

        Raises:
            HostChangeError: the file cannot be changed.
        """
        lines = [f"{_MARK}; what was here is kept as {self._backup}"]
        lines += [f"nameserver {server}" for server in servers]
        text = "\n".join([*lines, ""])
        if self.text == text:
            return
        try:
            # When somebody has written the file since, that is what the user has now.
            if not self.is_ours:
                self._keep_present()
            self._put(text)
        except OSError as error:
            raise HostChangeError(f"cannot change {self.path}: {error.strerror}") from error

    def restore(self) -> None:
        """Bring back what the user had; harmless when that is there already.

        Raises:
            HostChangeError: the file cannot be changed.
        """
        try:
            if not self.is_ours:
                self._backup.unlink(missing_ok=True)
            elif not os.path.lexists(self._backup):
                self.path.unlink(missing_ok=True)
            else:
                self._bring_back()
            self._draft.unlink(missing_ok=True)
        except OSError as error:
            raise HostChangeError(
                f"cannot restore {self.path} from {self._backup}: {error.strerror}"
            ) from error

    def _keep_present(self) -> None:
        self._draft.unlink(missing_ok=True)
        if not os.path.lexists(self.path):
            self._backup.unlink(missing_ok=True)
            return
        try:
            # A second name for the same file, or the same link: nothing of it can get lost.
            os.link(self.path, self._draft, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            shutil.copy2(self.path, self._draft)
        self._draft.replace(self._backup)

    def _put(self, text: str) -> None:
        self._draft.unlink(missing_ok=True)
        try:
            self._draft.write_text(text, encoding="ascii")
            self._draft.chmod(0o644)
            self._draft.replace(self.path)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            self._draft.unlink(missing_ok=True)
            # A mount; the backup is a copy then, and no second name of what is changed here.
            self.path.write_text(text, encoding="ascii")

    def _bring_back(self) -> None:
        try:
            self._backup.replace(self.path)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            self.path.write_bytes(self._backup.read_bytes())
            self._backup.unlink()
