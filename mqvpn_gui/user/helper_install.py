"""The one command that installs the helper on this machine."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

PACKAGE = "mqvpn-core"
"""The package with helper, core and policy."""

_MAX_BYTES = 16384
# In a sandbox the first is the machine's own, the others the sandbox's.
_OS_RELEASE = (Path("/run/host/os-release"), Path("/etc/os-release"), Path("/usr/lib/os-release"))
_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "debian": f"sudo apt install {PACKAGE}",
        "ubuntu": f"sudo apt install {PACKAGE}",
        "fedora": f"sudo dnf install {PACKAGE}",
        "rhel": f"sudo dnf install {PACKAGE}",
        "suse": f"sudo zypper install {PACKAGE}",
        "opensuse": f"sudo zypper install {PACKAGE}",
        "arch": f"sudo pacman -S {PACKAGE}",
    }
)
_ANYWHERE = "sudo ./mqvpn-install-helper"
"""From the archive that every release has."""


def install_command(os_release: str | None = None) -> str:
    """Return the command.

    Args:
        os_release: content of ``os-release``; None reads that of this machine.
    """
    text = _read() if os_release is None else os_release
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', " ").lower().split()
    known = (
        _COMMANDS[word.partition("-")[0]] for word in words if word.partition("-")[0] in _COMMANDS
    )
    return next(known, _ANYWHERE)


def system_name() -> str:
    """Return what this machine's system is called."""
    for line in _read().splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip("\"'")
    return "unknown"


def _read() -> str:
    for path in _OS_RELEASE:
        try:
            with path.open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
    return ""
