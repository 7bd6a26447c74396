"""What the user wants of this program, not of the tunnel; read without trust."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "de": "Deutsch"})
"""The languages there are, each in its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Every wish, with its default."""

    theme: str = "system"
    """``system``, ``light`` or ``dark``."""
    is_mono_icon: bool = False
    """The tray icon has only the colour of text."""
    starts_hidden: bool = False
    """No window at the start, where there is a tray."""
    starts_with_session: bool = False
    """In a sandbox: the desktop was asked to start the program, and agreed; else files tell."""
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
    role_wired: str = ""
    """What cables are for where a server's settings do not say it; empty: as usual."""
    role_wireless: str = ""
    """The same for Wi-Fi."""
    role_cellular: str = ""
    """The same for mobile networks."""
    knows_no_tray: bool = False
    """The user was told that no panel shows the icon."""
    knows_quit_leaves_tunnel: bool = False
    """The user was told that the tunnel outlives the window."""


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
