"""Ending the processes that hold tunnels, when mqvpn itself is taken off a machine."""

import os
import select
import signal
from contextlib import closing, suppress

from mqvpn_helper.host.process_identity import ProcessIdentity

PATIENCE = 20.0
"""Seconds a process has to restore the machine by itself."""
_KILL_PATIENCE = 5.0


def end_process(owner: ProcessIdentity, patience: float = PATIENCE) -> bool:
    """Have a process end in order, by force if it must be; whether it is gone.

    Args:
        owner: the process.
        patience: seconds until force is used.
    """
    try:
        pidfd = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        return True
    with closing(os.fdopen(pidfd, "rb", buffering=0)):
        if not owner.is_alive():  # another one has the number now
            return True
        for how, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, _KILL_PATIENCE)):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, how)
            if select.select([pidfd], [], [], seconds)[0]:
                return True
    return False
