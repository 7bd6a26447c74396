"""Takes the file system away from a process, but for what it has to read (landlock(7))."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION_FLAG = 1
_RULE_PATH = 1
_RULE_PORT = 2

_EXECUTE = 1 << 0
_READ_FILE = 1 << 2
_READ_DIRECTORY = 1 << 3
_WRITE_FILE = 1 << 1
_ALL_OF_VERSION_1 = (1 << 13) - 1
_REFER = 1 << 13
_TRUNCATE = 1 << 14
_DEVICE_CONTROL = 1 << 15
_BIND_TCP = 1 << 0
_CONNECT_TCP = 1 << 1
_ABSTRACT_SOCKETS = 1 << 0
_SIGNALS = 1 << 1
_NAME_SERVICE = 53

_VERSION_REFER = 2
_VERSION_TRUNCATE = 3
_VERSION_TCP = 4
_VERSION_DEVICES = 5
_VERSION_SCOPES = 6

_FILE_RIGHTS = _EXECUTE | _READ_FILE | _WRITE_FILE


class LandlockError(OSError):
    """The kernel knows landlock and refuses the rules."""


def landlock_version() -> int:
    """Return the version of landlock that the kernel has; 0 for none."""
    return max(0, _call(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def restrict(readable: Iterable[Path], executable: Iterable[Path]) -> int:
    """Leave this process, and all that come from it, only these files; it cannot be taken back.

    Nothing can be written or made any more, and no TCP is spoken but with name servers. Descriptors
    that are open stay usable. No-new-privileges must be on.

    Args:
        readable: files and directories that may be read; what does not exist is left out.
        executable: files that may be executed as well.

    Returns:
        The version of landlock in force; 0 when this machine has none.

    Raises:
        LandlockError: the kernel refuses.
    """
    version = landlock_version()
    if version == 0:
        return 0
    ruleset = _checked(
        _call(_CREATE_RULESET, attributes := _attributes(version), len(attributes), 0)
    )
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | _READ_DIRECTORY)
        for path in executable:
            _allow(ruleset, path, _READ_FILE | _EXECUTE)
        for path in (Path("/dev/null"),):
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        if version >= _VERSION_TCP:
            rule = struct.pack("=QQ", _CONNECT_TCP, _NAME_SERVICE)
            _checked(_call(_ADD_RULE, ruleset, _RULE_PORT, rule, 0))
        _checked(_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return version


def _attributes(version: int) -> bytes:
    files = _ALL_OF_VERSION_1
    for since, right in (
        (_VERSION_REFER, _REFER),
        (_VERSION_TRUNCATE, _TRUNCATE),
        (_VERSION_DEVICES, _DEVICE_CONTROL),
    ):
        files |= right if version >= since else 0
    attributes = struct.pack("=Q", files)
    if version >= _VERSION_TCP:
        attributes += struct.pack("=Q", _BIND_TCP | _CONNECT_TCP)
    if version >= _VERSION_SCOPES:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS | _SIGNALS)
    return attributes


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # nothing there to be read
    try:
        if not path.is_dir():
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, fd)
        _checked(_call(_ADD_RULE, ruleset, _RULE_PATH, rule, 0))
    finally:
        os.close(fd)


def _call(number: int, *arguments: int | bytes | None) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result: int = library.syscall(ctypes.c_long(number), *arguments)
    return result


def _checked(result: int) -> int:
    if result < 0:
        raise LandlockError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
