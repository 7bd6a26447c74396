"""What this side knows about itself, for a report: nothing that names a server or a person."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

from mqvpn_gui.user.errors import UserError
from mqvpn_gui.user.helper_install import system_name
from mqvpn_gui.user.profile_store import ProfileStore


def program_version() -> str:
    """Return the version of this program."""
    try:
        return version("mqvpn")
    except PackageNotFoundError:
        return "of an unknown version: the package is not installed"


def own_findings(profiles: ProfileStore) -> dict[str, object]:
    """Return facts about program, machine and session."""
    return {
        "version": program_version(),
        "python": platform.python_version(),
        "system": system_name(),
        "kernel": platform.release(),
        "session": os.environ.get("XDG_SESSION_TYPE", "none"),
        "profiles": _profile_count(profiles),
        "keyring": _keyring_name(),
        "polkit_agent": shutil.which("pkttyagent") is not None,
    }


def _profile_count(profiles: ProfileStore) -> int | str:
    try:
        return len(profiles.names())
    except UserError as error:
        return type(error).__name__


def _keyring_name() -> str:
    """Return which keyring would be asked; it is not asked, which could open a window."""
    import keyring  # noqa: PLC0415 - takes longer than all the rest

    found = type(keyring.get_keyring())
    return f"{found.__module__}.{found.__qualname__}"
