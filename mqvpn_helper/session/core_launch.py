"""Starts cores as their own user, by way of `mqvpn_helper.session.confinement`."""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio
from typing_extensions import override

from mqvpn_helper.session.core_process import CoreFiles, CoreLauncher, CoreProcess, LaunchError

CORE_USER = "mqvpn"
"""System user that cores run as, unless another one is given."""
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_EXECUTABLE_BY_OTHERS = stat.S_IXOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreIdentity:
    """The user that cores run as."""

    uid: int
    """User ID, not root's."""
    gid: int
    """Group ID, not root's."""


def system_identity(name: str = CORE_USER) -> CoreIdentity:
    """Return the system user for cores.

    Raises:
        LaunchError: there is none.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise LaunchError(
            f"the system user {name} is missing: 'systemd-sysusers' or"
            f" 'useradd --system --shell /usr/sbin/nologin {name}' makes it"
        ) from None
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise LaunchError(f"the system user {name} is root or in the group of root")
    return CoreIdentity(uid=entry.pw_uid, gid=entry.pw_gid)


class ProcessLauncher(CoreLauncher):
    """Starts processes of this machine."""

    def __init__(self, identity: CoreIdentity, *, program: Sequence[str] = ()) -> None:
        """Prepare.

        Args:
            identity: whom cores run as.
            program: what to start; the client of this installation by default. The numbers of the
                three descriptors are appended.
        """
        self._identity = identity
        self._program = program or (sys.executable, "-IB", "-m", "mqvpn_core.cli.under_helper")

    @property
    @override
    def uid(self) -> int:
        return self._identity.uid

    @override
    async def launch(self, files: CoreFiles) -> CoreProcess:
        _check_reachable(Path(self._program[0]))
        descriptors = (files.tun, files.control, files.secret)
        command = [
            *(sys.executable, "-IB", "-m", "mqvpn_helper.session.confinement"),
            *(str(self._identity.uid), str(self._identity.gid)),
            *self._program,
            *map(str, descriptors),
        ]
        try:
            process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"the core cannot be started: {error}") from error
        return _Running(process)


class _Running(CoreProcess):
    """A process of ours."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process

    @property
    @override
    def pid(self) -> int:
        return self._process.pid

    @override
    async def wait(self) -> int:
        return await self._process.wait()

    @override
    def kill(self) -> None:
        self._process.kill()


def _check_reachable(program: Path) -> None:
    """Say plainly what would otherwise be a core that dies again and again."""
    resolved = Path(os.path.realpath(program))
    for directory in resolved.parents:
        if not directory.stat().st_mode & _EXECUTABLE_BY_OTHERS:
            raise LaunchError(
                f"{resolved} cannot be executed by the core's user: {directory} is closed to others"
            )
