"""``mqvpn-core recover``: takes back everything that no running process needs any more."""

import os
from collections.abc import Callable

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.local_host import Recovered, recover_machine


def run(tell: Callable[[str], None]) -> int:
    """Open the network again, kill switches included; return the exit code.

    Args:
        tell: shows a line to the user.
    """
    try:
        recovered: Recovered = recover_machine()
    except HostError as error:
        advice = "; run it as root: sudo mqvpn-core recover" if os.geteuid() else ""
        tell(f"{error}{advice}")
        return ExitCode.PERMISSION
    for line in recovered.found:
        tell(line)
    for tun_name, pid in recovered.living:
        tell(f"{tun_name} belongs to the running process {pid}: stop that first (kill {pid})")
    if recovered.living:
        return ExitCode.FAILURE
    if not recovered.found:
        tell("nothing of mqvpn was left on this machine")
    return ExitCode.OK
