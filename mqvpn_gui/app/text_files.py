"""Files that the user asks for: private, and an error in words when that fails. For workers."""

from pathlib import Path

from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.private_files import write_private_file


def write_text(path: str, text: str) -> None:
    """Write a file that only the user can read.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_private_file(Path(path), text, overwrite=True)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror or error}") from None
