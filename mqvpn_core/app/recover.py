"""``mqvpn-core recover``: takes back everything that no running process needs any more."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.errors import HostError
from mqvpn_core.runtime.local_host import recover_machine

STATE_DIRECTORIES = (Path("/run/mqvpn"), Path("/run/mqvpn-server"))
"""Where journals of changes are: of root's own processes, and of the server's unit."""
_AS_CHILD = "import sys; from mqvpn_core.cli.main import main; sys.exit(main(sys.argv[1:]))"
_ONLY_NETWORK = "-all,+net_admin"


def run(
    tell: Callable[[str], None],
    directories: Sequence[Path] = STATE_DIRECTORIES,
    *,
    stop: bool = False,
) -> int:
    """Open the network again, kill switches included; return the exit code.

    Args:
        tell: shows a line to the user.
        directories: journals of changes; all but the first may be missing.
        stop: end what still runs first.
    """
    lines: list[str] = []
    code = _recover(directories[0], lines.append, stop=stop)
    for directory in directories[1:]:
        if any(directory.glob("*.journal")):
            code = max(code, _recover_as_owner(directory, lines.append, stop=stop))
    for line in lines or ["nothing of mqvpn was left on this machine"]:
        tell(line)
    return code


def _recover(directory: Path, tell: Callable[[str], None], *, stop: bool) -> int:
    try:
        recovered = recover_machine(directory, ends_owners=stop)
    except HostError as error:
        advice = "; run it as root: sudo mqvpn-core recover" if os.geteuid() else ""
        tell(f"{error}{advice}")
        return ExitCode.PERMISSION
    for line in recovered.found:
        tell(line)
    for tun_name, pid in recovered.living:
        tell(f"{tun_name} belongs to the running process {pid}: stop that first (kill {pid})")
    return ExitCode.FAILURE if recovered.living else ExitCode.OK


def _recover_as_owner(directory: Path, tell: Callable[[str], None], *, stop: bool) -> int:
    """Do it as the user whose journal it is: root must not trust what another user writes."""
    owner = directory.stat()
    if owner.st_uid == os.geteuid():
        return _recover(directory, tell, stop=stop)
    setpriv = shutil.which("setpriv")
    if os.geteuid() or setpriv is None:
        tell(f"{directory} is of another user: run mqvpn-core recover as that user, or as root")
        return ExitCode.PERMISSION
    child = subprocess.run(  # noqa: S603 - no shell, and nothing of it comes from outside
        [
            *(setpriv, f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"),
            *(f"--inh-caps={_ONLY_NETWORK}", f"--ambient-caps={_ONLY_NETWORK}"),
            *(f"--bounding-set={_ONLY_NETWORK}", "--no-new-privs", "--"),
            *(
                sys.executable,
                "-I",
                "-c",
                _AS_CHILD,
                "recover",
                "--state-directory",
                str(directory),
            ),
            *(["--stop"] if stop else []),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    for line in (*child.stdout.splitlines(), *child.stderr.splitlines()):
        if line != "nothing of mqvpn was left on this machine":
            tell(line)
    return child.returncode
