"""The one command that installs the helper on this machine."""

import shlex
import sys
from pathlib import Path

from mqvpn_gui.user.sandbox import is_sandboxed

PACKAGE = "mqvpn-core"
"""The package with helper, core and policy."""

_MAX_BYTES = 16384
# In a sandbox the first is the machine's own, the others the sandbox's.
_OS_RELEASE = (Path("/run/host/os-release"), Path("/etc/os-release"), Path("/usr/lib/os-release"))
_DEBIAN = f"sudo apt install ./{PACKAGE}_*.deb"
"""With the package of the release in this folder; no archive of packages has it."""
_ANYWHERE = "sudo ./mqvpn-install-helper"
"""In the unpacked archive mqvpn-helper of the release."""
_PROGRAM = "bin/mqvpn-install-helper"


def install_command(os_release: str | None = None, environment: Path | None = None) -> str:
    """Return the command.

    Args:
        os_release: content of ``os-release``; None reads that of this machine.
        environment: where pip or pipx has put mqvpn; None looks where this runs.
    """
    if environment is None and os_release is None and not is_sandboxed():
        environment = Path(sys.prefix)
    if environment is not None and (environment / _PROGRAM).exists():
        return f"sudo {shlex.quote(str(environment / _PROGRAM))}"
    text = _read() if os_release is None else os_release
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', " ").lower().split()
    return _DEBIAN if {"debian", "ubuntu"} & set(words) else _ANYWHERE


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
