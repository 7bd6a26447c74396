"""Users of the private machine, and the control groups of those who sit at it."""

import subprocess
from pathlib import Path

USERS = {"alice": 61001, "bob": 61002, "carol": 61003, "mqvpn": 61099}
SESSIONS = ("alice", "carol")


def scope_of(user: str, tag: str) -> str:
    """Return the control group of a user's session.

    Args:
        user: one of `SESSIONS`.
        tag: of the machine.
    """
    return f"user.slice/user-{USERS[user]}.slice/session-{user}{tag}.scope"


def remove_cgroups(tag: str) -> None:
    """Control groups outlive every namespace, and one can only be removed when it is empty."""
    scopes = " ".join(scope_of(user, tag) for user in SESSIONS)
    script = f"""
        mount -t cgroup2 cgroup2 /sys/fs/cgroup && cd /sys/fs/cgroup || exit 1
        for scope in {scopes}; do
            [ -d $scope ] || continue
            echo 1 >$scope/cgroup.kill 2>/dev/null
            for try in 1 2 3 4 5 6 7 8 9 10; do rmdir $scope 2>/dev/null && break; sleep 0.1; done
            rmdir --ignore-fail-on-non-empty -p ${{scope%/*}} 2>/dev/null
        done
        true
    """
    subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script], check=True
    )


def pid_namespace(pid: int) -> str:
    """Return what names the PID namespace of a process; empty when it is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""
