"""What the user wants of this program (not of the tunnel): a small private file, never trusted.

A damaged or foreign file counts as none; a value of a wrong type as its default.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.private_files import config_directory, read_text_file, write_private_file

_FILE = "window.json"
_MAX_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Every wish, with its default."""

    theme: str = "system"
    """``system``, ``light`` or ``dark``."""
    is_mono_icon: bool = False
    """The tray icon has only the colour of text."""
    starts_hidden: bool = False
    """No window at the start, where there is a tray."""
    connects_at_start: bool = False
    """Bring the last server's tunnel up at the start."""
    language: str = ""
    """Language code; empty: that of the desktop."""
    profile: str = ""
    """The server that Connect uses."""
    notifies_failover: bool = True
    """Show a bubble when traffic moves."""
    notifies_connection: bool = True
    """Show a bubble when the connection is lost."""
    notifies_protection: bool = True
    """Show a bubble when the kill switch blocks, or the key is refused."""
    notifies_links: bool = False
    """Show a bubble when links come and go."""
    knows_quit_leaves_tunnel: bool = False
    """The user was told that the tunnel outlives the window."""


class PreferenceFile:
    """Reads and writes the file.

    A: `current`. C: `change`.
    """

    def __init__(self, directory: Path | None = None) -> None:
        """Read the file.

        Args:
            directory: where it is; None: the user's configuration directory.
        """
        self._path = (directory or config_directory()) / _FILE
        self.current = self._read()
        """The wishes now."""

    def change(self, wanted: Preferences) -> str:
        """Take other wishes; return why they could not be written, empty when they were."""
        if wanted == self.current:
            return ""
        self.current = wanted
        text = json.dumps(asdict(wanted), indent=1, sort_keys=True) + "\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_file(self._path, text, overwrite=True)
        except (UserError, OSError) as error:
            return str(error)
        return ""

    def _read(self) -> Preferences:
        try:
            found = json.loads(read_text_file(self._path, _MAX_BYTES))
        except (UserError, OSError, ValueError, RecursionError):
            return Preferences()
        return preferences_from(found)


def preferences_from(found: object) -> Preferences:
    """Read what a file held; what is not right counts as missing."""
    if not isinstance(found, Mapping):
        return Preferences()
    defaults = Preferences()
    taken: dict[str, bool | str] = {}
    for each in fields(Preferences):
        value = found.get(each.name)
        if isinstance(value, bool | str) and type(value) is type(getattr(defaults, each.name)):
            taken[each.name] = value
    return Preferences(**taken)  # type: ignore[arg-type]  # types were compared above
