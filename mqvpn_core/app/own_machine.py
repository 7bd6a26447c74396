"""The machine for a process that changes it itself, with its journal where the service may write.

A service manager that gives a directory of its own says so in RUNTIME_DIRECTORY (systemd.exec(5)).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from mqvpn_core.runtime.local_host import LocalHost

_VARIABLE = "RUNTIME_DIRECTORY"


def own_machine(*, tun_queues: int = 1) -> LocalHost:
    """Return the machine this process runs on.

    Args:
        tun_queues: descriptors that its TUN device will have.
    """
    directory = runtime_directory(os.environ)
    if directory is None:
        return LocalHost(tun_queues=tun_queues)
    return LocalHost(directory, tun_queues=tun_queues)


def runtime_directory(environment: Mapping[str, str]) -> Path | None:
    """Return the directory that a service manager gave to this process, the first of several.

    Args:
        environment: variables of the process.
    """
    first = Path(environment.get(_VARIABLE, "").partition(":")[0])
    return first if first.is_absolute() else None
