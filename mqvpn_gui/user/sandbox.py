"""Whether the program runs in a sandbox."""

from pathlib import Path

_MARK = Path("/.flatpak-info")  # Flatpak puts it into every sandbox


def is_sandboxed() -> bool:
    """Whether this is a Flatpak."""
    return _MARK.exists()
