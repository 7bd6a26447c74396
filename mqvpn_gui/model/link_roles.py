"""Default roles by kind of link, put into a profile as patterns of interface names.

The helper knows roles by name or pattern only. The patterns are those that the core itself guesses
a link's kind from, so both call a link the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from mqvpn_gui.model.helper_state import LinkKind
from mqvpn_gui.model.preferences import Preferences
from mqvpn_helper.interface.profile import Profile
from mqvpn_helper.interface.tunnel_settings import PathRole

PATTERNS: Mapping[LinkKind, tuple[str, ...]] = MappingProxyType(
    {
        LinkKind.WIRED: ("en*", "eth*"),
        LinkKind.WIRELESS: ("wl*", "wifi*", "ath*"),
        LinkKind.CELLULAR: ("wwan*", "wwp*", "rmnet*", "ppp*", "usb*"),
    }
)
"""How interfaces of each kind are called."""

MAX_ROLES = 64
"""Roles that a profile may have."""


def wanted_roles(preferences: Preferences) -> dict[LinkKind, PathRole]:
    """Return what the user wants of each kind; kinds that stay as usual are not in it."""
    wishes = {
        LinkKind.WIRED: preferences.role_wired,
        LinkKind.WIRELESS: preferences.role_wireless,
        LinkKind.CELLULAR: preferences.role_cellular,
    }
    known = {role.value: role for role in PathRole if role is not PathRole.DEFAULT}
    return {kind: known[wish] for kind, wish in wishes.items() if wish in known}


def with_default_roles(profile: Profile, preferences: Preferences) -> Profile:
    """Return a profile in which also links have a role that it does not name itself.

    Args:
        profile: what it says goes first: the first pattern that fits decides.
        preferences: what the user wants of each kind.
    """
    named = {name for name, _ in profile.roles}
    added = tuple(
        (pattern, role)
        for kind, role in wanted_roles(preferences).items()
        for pattern in PATTERNS[kind]
        if pattern not in named
    )
    return replace(profile, roles=(profile.roles + added)[:MAX_ROLES])
