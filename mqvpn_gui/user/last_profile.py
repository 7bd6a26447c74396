"""Which profile was used last, so that ``mqvpn up`` alone means the same again."""

from contextlib import suppress

from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.private_files import read_text_file, state_directory, write_private_file

_FILE = "last-profile"
_LIMIT = 64


def last_profile() -> str:
    """Return its name; empty when nothing is remembered."""
    try:
        return read_text_file(state_directory() / _FILE, _LIMIT).strip()
    except (FileNotFoundError, UserError):
        return ""


def remember_profile(name: str) -> None:
    """Remember its name; where that cannot be written, nothing is lost but convenience."""
    with suppress(UserError):
        write_private_file(state_directory() / _FILE, f"{name}\n", overwrite=True)
