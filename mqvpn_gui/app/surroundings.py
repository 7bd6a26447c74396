"""What the program finds around it, in one value."""

from dataclasses import dataclass

from mqvpn_gui.app.clocks import Clocks
from mqvpn_gui.app.preference_file import PreferenceFile
from mqvpn_gui.bus.qt_bus import QtBus
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.secret_store import SecretStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the program finds around it; tests bring their own."""

    system_bus: QtBus
    """Where the helper is."""
    session_bus: QtBus
    """Where panel and notifications are."""
    clocks: Clocks
    """What time it is."""
    preferences: PreferenceFile
    """What the user wants of this program."""
    profiles: ProfileStore
    """The user's servers."""
    secrets: SecretStore
    """Their keys."""
    is_sandboxed: bool = False
    """This program runs in a Flatpak."""
