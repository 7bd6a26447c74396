"""How a path may be used: our own wish for sending, mirrored to the peer as its status."""

from enum import Enum


class PathUse(Enum):
    """What a path is for."""

    PRIMARY = "primary"
    """Carries traffic whenever it can."""
    SECONDARY = "secondary"
    """Carries traffic that no primary path has room for."""
    BACKUP = "backup"
    """Carries traffic only when no other path works; kept alive meanwhile."""
