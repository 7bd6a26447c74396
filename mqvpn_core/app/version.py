"""What this program calls itself in ``--version`` and in its status."""

import platform
from importlib.metadata import PackageNotFoundError, version

from mqvpn_core.dataplane.kernel import KERNEL_CHOICE

_DISTRIBUTION = "mqvpn"


def program_version() -> str:
    """Return the version of mqvpn."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "0+uninstalled"


def version_line() -> str:
    """Return the line that ``--version`` prints."""
    return (
        f"mqvpn-core {program_version()} (kernel: {KERNEL_CHOICE.name};"
        f" Python {platform.python_version()}; aioquic {version('aioquic')})"
    )


def kernel_line() -> str:
    """Return the line of ``--version`` that says why this kernel, and how to get the faster one."""
    return f"kernel {KERNEL_CHOICE.name} because: {KERNEL_CHOICE.reason}"
