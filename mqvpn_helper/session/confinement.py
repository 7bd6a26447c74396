"""The step between helper and core: gives away every privilege, then becomes the core.

    python -I -m mqvpn_helper.session.confinement UID GID PROGRAM ARGUMENTS...

Started by the helper with its privileges and with the descriptors that the core inherits. It stops
before the core's first instruction when a privilege is left. Standard library only, and no thread:
the privileges of a thread are its own.
"""

import ctypes
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mqvpn_helper.session.landlock import LandlockError, restrict
from mqvpn_helper.session.seccomp import install_filter

EXIT_NOT_CONFINED = 71
"""Exit code when a privilege could not be given away; the core was not started."""

_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_EINVAL = 22
_CAPABILITY_VERSION = 0x20080522
_MAX_CAPABILITY = 63
# Locked: root is nobody special (NOROOT), nothing becomes ambient, KEEP_CAPS stays off.
_SECURE_BITS = 0b1110_0011
_CLONE_NEWNS = 0x00020000
_MS_PRIVATE_EVERYWHERE = 0x44000  # MS_REC | MS_PRIVATE
_MS_TMPFS = 0x0E  # MS_NOSUID | MS_NODEV | MS_NOEXEC

_MAX_OPEN_FILES = 1024
_MAX_PROCESSES = 256

_ZERO_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


class NotConfinedError(Exception):
    """A privilege is left; the message says which."""


def main(arguments: Sequence[str]) -> NoReturn:
    """Give away every privilege and become the core, or exit."""
    uid, gid, *command = arguments
    try:
        confine(int(uid), int(gid))
    except (NotConfinedError, OSError) as error:
        sys.stderr.write(f"the core is not started: {error}\n")
        sys.exit(EXIT_NOT_CONFINED)
    os.execv(command[0], command)  # noqa: S606 - the command is the helper's own


def confine(uid: int, gid: int) -> None:
    """Take everything from this process that a core does not need.

    Args:
        uid: user to become, not root.
        gid: group to become.

    Raises:
        NotConfinedError: something is left.
        OSError: the kernel refuses.
    """
    if uid == 0 or gid == 0:
        raise NotConfinedError("it would run as root")
    _hide_tmp()
    _limit_resources()
    library = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MAX_CAPABILITY + 1):
        if library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) and ctypes.get_errno() == _EINVAL:
            break
    library.prctl(_PR_SET_SECUREBITS, _SECURE_BITS, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    library.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    library.capset(header, (ctypes.c_uint32 * 6)())
    library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(0o077)
    os.chdir("/")
    _check(uid, gid)
    try:
        restrict(_readable(), _executable())
    except LandlockError as error:
        raise NotConfinedError(f"landlock refuses its rules: {error}") from error
    install_filter()


def _hide_tmp() -> None:
    """Put an empty /tmp in place of the real one, where we may; landlock forbids it elsewhere."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWNS) != 0:
        return
    library.mount(b"none", b"/", None, _MS_PRIVATE_EVERYWHERE, None)
    needed = [Path(__file__), Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable)]
    for directory in ("/tmp", "/var/tmp"):  # noqa: S108 - to be hidden, not to be used
        # Somebody who tries the program out may have put it there.
        if not any(path.resolve().is_relative_to(directory) for path in needed):
            place = directory.encode()
            library.mount(b"none", place, b"tmpfs", _MS_TMPFS, b"size=64k,mode=1777")


def _limit_resources() -> None:
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),  # keys would lie on disk
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
        (resource.RLIMIT_NPROC, _MAX_PROCESSES),
    ):
        _, hard = resource.getrlimit(kind)
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (bound, bound))


def _check(uid: int, gid: int) -> None:
    """Believe only what the kernel says about us."""
    # As bytes: the libraries that know encodings may be closed to the user we are now.
    lines = Path("/proc/self/status").read_bytes().decode("ascii").splitlines()
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    for name in _ZERO_SETS:
        if int(fields[name][0], 16):
            raise NotConfinedError(f"{name} is {fields[name][0]}")
    if fields["NoNewPrivs"] != ["1"]:
        raise NotConfinedError("no_new_privs is not set")
    if set(fields["Uid"]) != {str(uid)} or set(fields["Gid"]) != {str(gid)}:
        raise NotConfinedError("user or group is not the core's")
    if fields["Groups"]:
        raise NotConfinedError("it is in further groups")


def _readable() -> list[Path]:
    """The interpreter with its libraries, our own code, and what name resolution looks at."""
    own = Path(__file__).resolve().parents[2]
    return [
        *(Path(entry) for entry in sys.path if entry),
        Path(sys.prefix),
        Path(sys.base_prefix),
        own / "mqvpn_helper",
        own / "mqvpn_core",
        *map(Path, ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys")),
        *map(Path, ("/dev/urandom", "/dev/random", "/dev/zero")),
        *map(Path, ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager")),
    ]


def _executable() -> list[Path]:
    """The interpreter, and what loads it."""
    loaders = [path for directory in ("/lib", "/lib64", "/usr/lib") for path in _loaders(directory)]
    return [Path(sys.executable).resolve(), *loaders]


def _loaders(directory: str) -> list[Path]:
    # Debian puts it into a directory for the architecture, others directly.
    found = [*Path(directory).glob("ld-*.so*"), *Path(directory).glob("*/ld-*.so*")]
    return [path.resolve() for path in found]


if __name__ == "__main__":
    main(sys.argv[1:])
