"""Lets an unprivileged user run this interpreter although the home of root is closed to him.

In a mount namespace of its own a process puts an open directory in place of each closed one above
the interpreter and the checkout, and shows below it only what is needed. Nothing outside changes.
MQVPN_TEST_RESOLV_CONF names a file to be seen in place of /etc/resolv.conf.
"""

import ctypes
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

_LIBRARY = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_MS_REC_PRIVATE = 0x44000
_MS_REC_BIND = 0x5000
_ROOT = Path(__file__).resolve().parents[2]


def open_interpreter() -> None:
    """Enter a mount namespace in which everybody may execute `sys.executable` and read the code."""
    wanted = {Path(sys.prefix), Path(sys.base_prefix), _ROOT, Path(sys.executable).resolve()}
    wanted.add(Path(os.path.realpath(sys.base_prefix)))
    closed = {directory for path in wanted if (directory := _closed_above(path)) is not None}
    _check(_LIBRARY.unshare(_CLONE_NEWNS))
    _check(_LIBRARY.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    for directory in sorted(closed):
        _replace(directory, [path for path in wanted if directory in path.parents])
    _open_tun()
    resolver_file = os.environ.get("MQVPN_TEST_RESOLV_CONF")
    if resolver_file is not None:
        target = os.path.realpath("/etc/resolv.conf")
        _check(
            _LIBRARY.mount(
                os.fsencode(resolver_file), os.fsencode(target), None, _MS_REC_BIND, None
            )
        )


def _open_tun() -> None:
    """Have /dev/net/tun as udev makes it, open to all: a capability decides who may use it."""
    device = Path("/dev/net/tun")
    if device.stat().st_mode & stat.S_IWOTH:
        return
    number = device.stat().st_rdev
    _check(_LIBRARY.mount(b"none", b"/dev/net", b"tmpfs", 0, b"mode=755"))
    os.mknod(device, stat.S_IFCHR | 0o666, number)
    device.chmod(0o666)


def _closed_above(path: Path) -> Path | None:
    for directory in reversed(path.parents):
        if not directory.stat().st_mode & stat.S_IXOTH:
            return directory
    return None


def _replace(directory: Path, needed: Iterable[Path]) -> None:
    opened = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in needed if path.is_dir()]
    _check(_LIBRARY.mount(b"none", os.fsencode(directory), b"tmpfs", 0, b"mode=755"))
    for path, fd in opened:
        path.mkdir(parents=True, exist_ok=True)
        for parent in path.parents:
            if directory in parent.parents:
                parent.chmod(0o755)
        source = os.fsencode(f"/proc/self/fd/{fd}")
        _check(_LIBRARY.mount(source, os.fsencode(path), None, _MS_REC_BIND, None))
        os.close(fd)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    open_interpreter()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - that is its use
