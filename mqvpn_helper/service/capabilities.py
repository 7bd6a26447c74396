"""The helper gives up every capability of root but those it needs, for itself and what it starts.

A systemd unit does the same from outside; without systemd this is all there is.
"""

import ctypes
import enum
import os

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_POSSIBLE = 64
_EINVAL = 22


class Capability(enum.IntEnum):
    """Capabilities that the helper keeps, by their numbers in the kernel."""

    KILL = 5
    """End a core, which runs as another user."""
    SETGID = 6
    """Give a core its group."""
    SETUID = 7
    """Give a core its user."""
    SETPCAP = 8
    """Empty a core's bounding set."""
    NET_ADMIN = 12
    """TUN device, addresses, routes, rules, nftables."""


def keep_only_needed() -> None:
    """Give up all others, and the way to get them back by starting a program.

    To be called before there are threads: the kernel knows capabilities by thread.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kept = {int(each) for each in Capability}
    for number in range(_LAST_POSSIBLE):
        if number not in kept and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            if ctypes.get_errno() != _EINVAL:  # beyond the last capability of this kernel
                _raise_errno()
            break
    _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    mask = sum(1 << number for number in kept)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable, twice: for the first 32 capabilities and for the rest.
    sets = (ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)
    _check(libc.capset(header, sets))
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        _raise_errno()


def _raise_errno() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
