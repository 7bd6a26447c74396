"""Small files of the user: read with a bound, written whole or not at all, for nobody else."""

import os
import secrets
import stat
from pathlib import Path

from mqvpn_gui.user.errors import UserError

_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700


def config_directory() -> Path:
    """Return where the user's settings are, by the XDG base directory specification."""
    return _base("XDG_CONFIG_HOME", ".config") / "mqvpn"


def state_directory() -> Path:
    """Return where what is remembered between runs is."""
    return _base("XDG_STATE_HOME", ".local/state") / "mqvpn"


def _base(variable: str, fallback: str) -> Path:
    given = os.environ.get(variable, "")
    # The specification: a path that is not absolute is invalid and ignored.
    return Path(given) if given.startswith("/") else Path.home() / fallback


def read_text_file(path: Path, limit: int) -> str:
    """Return the content of a regular file.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read, is no text in UTF-8, or larger than ``limit`` bytes.
    """
    try:
        # Does not wait for the other end of a FIFO that somebody put there.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{path}: is not a regular file")
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no file name"
        raise UserError(f"{path}: {reason}") from None
    if len(data) > limit:
        raise UserError(f"{path}: larger than {limit} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text in UTF-8") from None


def write_private_file(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a whole file of mode 0600, and the directories above it where they are missing.

    Raises:
        FileExistsError: it is there, and ``overwrite`` is false.
        UserError: the system refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, _FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), _FILE_MODE)  # whatever the umask says
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # unlike a rename it fails when the name is taken
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
