"""Whether the program starts with the session: an entry in the user's autostart folder."""

import os
from pathlib import Path

from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.names import APPLICATION_ID

_ENTRY = """[Desktop Entry]
Type=Application
Name=mqvpn
Comment=VPN over several links
Exec=mqvpn-gui --hidden
Icon={icon}
X-GNOME-Autostart-enabled=true
"""


def entry_path() -> Path:
    """Where the entry is."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    directory = Path(base) if base.startswith("/") else Path.home() / ".config"
    return directory / "autostart" / f"{APPLICATION_ID}.desktop"


def is_on() -> bool:
    """Whether there is an entry that is not switched off."""
    try:
        text = entry_path().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "Hidden=true" not in text and "X-GNOME-Autostart-enabled=false" not in text


def switch(*, on: bool) -> None:
    """Write the entry, or remove it.

    Raises:
        UserError: the folder cannot be written.
    """
    path = entry_path()
    try:
        if on:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_ENTRY.format(icon=APPLICATION_ID), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be changed: {error.strerror or error}") from None
