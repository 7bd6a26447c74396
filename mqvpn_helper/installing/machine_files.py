"""Which files of ours go where on a machine; the packages put them there as well."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mqvpn_helper.installing.errors import InstallError

_UNITS = "usr/lib/systemd/system"

MACHINE_FILES: Mapping[str, str] = MappingProxyType(
    {
        "mqvpn-client@.service": f"{_UNITS}/mqvpn-client@.service",
        "mqvpn-helper.service": f"{_UNITS}/mqvpn-helper.service",
        "mqvpn-killswitch.service": f"{_UNITS}/mqvpn-killswitch.service",
        "mqvpn-server.service": f"{_UNITS}/mqvpn-server.service",
        "mqvpn.sysusers.conf": "usr/lib/sysusers.d/mqvpn.conf",
        "org.mqvpn.Helper1.conf": "usr/share/dbus-1/system.d/org.mqvpn.Helper1.conf",
        "org.mqvpn.Helper1.service": ("usr/share/dbus-1/system-services/org.mqvpn.Helper1.service"),
        "org.mqvpn.policy": "usr/share/polkit-1/actions/org.mqvpn.policy",
    }
)
"""Files of ours by name, and their places below the root of the file system."""

PROGRAMS: Mapping[str, str] = MappingProxyType(
    {
        "mqvpn-core": "from mqvpn_core.cli import main",
        "mqvpn-helper": "from mqvpn_helper.service.main import main",
        "mqvpn-install-helper": "from mqvpn_helper.installing.main import main",
    }
)
"""Programs for everybody, and how each gets at its function."""

ENVIRONMENT = "usr/lib/mqvpn"
"""Where mqvpn and what it needs live, for these programs alone."""

_IN_A_WHEEL = "share/mqvpn"


def source_of(name: str) -> Path:
    """Return where a file of ours is before it is installed.

    Raises:
        InstallError: it is nowhere.
    """
    for folder in (Path(sys.prefix) / _IN_A_WHEEL, Path(__file__).parents[2] / "resources"):
        if (folder / name).is_file():
            return folder / name
    raise InstallError(f"{name} is missing in {sys.prefix}/{_IN_A_WHEEL}: install mqvpn anew")
