"""What helps against an error of the tunnel: one thing, so that a banner can offer it."""

import enum
from collections.abc import Mapping
from types import MappingProxyType

from mqvpn_helper.interface.bus_names import BusError


class Remedy(enum.Enum):
    """What the user can do."""

    NONE = "none"
    """Nothing from here."""
    RETRY = "retry"
    """Try once more."""
    KEY = "key"
    """Give another key."""
    SETTINGS = "settings"
    """Look at the server's settings."""
    DIAGNOSTICS = "diagnostics"
    """Look at the checks."""


_REMEDIES: Mapping[BusError, Remedy] = MappingProxyType(
    {
        BusError.RESOLVER: Remedy.RETRY,
        BusError.UNREACHABLE: Remedy.RETRY,
        BusError.REFUSED: Remedy.RETRY,
        BusError.CREDENTIALS: Remedy.KEY,
        BusError.CERTIFICATE: Remedy.SETTINGS,
        BusError.BAD_PROFILE: Remedy.SETTINGS,
        BusError.CORE_DIED: Remedy.DIAGNOSTICS,
        BusError.NO_TUN: Remedy.DIAGNOSTICS,
        BusError.HOST: Remedy.DIAGNOSTICS,
        BusError.FAILED: Remedy.DIAGNOSTICS,
    }
)


def remedy_for(error: str) -> Remedy:
    """Return what helps.

    Args:
        error: name of the error as the helper gives it in ``LastError``.
    """
    try:
        return _REMEDIES.get(BusError(error), Remedy.NONE)
    except ValueError:
        return Remedy.NONE
