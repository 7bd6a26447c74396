"""Files that a person names, read whole: bounded, and with a word about what is wrong with them."""

from pathlib import Path

from mqvpn_core.errors import ConfigError

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Tens of thousands of users fit; longer ones are something else, as a device that never ends."""


def read_given_file(path: Path, what: str, *, missing: bytes | None = None) -> bytes:
    """Return what a file holds.

    Args:
        path: the file.
        what: what it is to be, as in ``a file of users``.
        missing: what counts where there is no such file; None makes that a mistake.

    Raises:
        ConfigError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and missing is not None:
            return missing
        reason = error.strerror if isinstance(error, OSError) else "no file name"
        raise ConfigError(f"{path}: {reason}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes; not {what}")
    return data
