"""The file of the user's preferences: small, private, never trusted.

A damaged or foreign file counts as none.
"""

import json
import threading
from dataclasses import asdict
from pathlib import Path

from mqvpn_gui.model.preferences import Preferences, preferences_from
from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.private_files import config_directory, read_text_file, write_private_file

_FILE = "window.json"
_MAX_BYTES = 65536


class PreferenceFile:
    """Reads and writes the file.

    A: `current`. C: `write`.
    """

    def __init__(self, directory: Path | None = None) -> None:
        """Read the file.

        Args:
            directory: where it is; None: the user's configuration directory.
        """
        self._path = (directory or config_directory()) / _FILE
        self._lock = threading.Lock()
        self.current = self._read()
        """The wishes now."""

    def write(self) -> None:
        """Write down what is wished now; for workers.

        Raises:
            UserError: they could not be written.
        """
        with self._lock:  # the last one to write knows the latest wish
            text = json.dumps(asdict(self.current), indent=1, sort_keys=True) + "\n"
            write_private_file(self._path, text, overwrite=True)

    def _read(self) -> Preferences:
        try:
            found = json.loads(read_text_file(self._path, _MAX_BYTES))
        except (UserError, OSError, ValueError, RecursionError):
            return Preferences()
        return preferences_from(found)
