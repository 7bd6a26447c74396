"""A worker gives up what the parent needs of root: everything it works with was opened before."""

import ctypes
import os
from typing import Final

from mqvpn_core.errors import HostError

_DAC_OVERRIDE: Final = 1  # capabilities(7)
_DAC_READ_SEARCH: Final = 2
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_VERSION_3: Final = 0x20080522


def give_up_capabilities(*, writes_files: bool) -> None:
    """Keep only what reads the operator's files again at a reload, as far as it is there.

    To be called before there are threads: the kernel knows capabilities by thread.

    Args:
        writes_files: keep also what writes where only others may.

    Raises:
        HostError: the kernel refuses.
    """
    wanted = 1 << _DAC_READ_SEARCH | (1 << _DAC_OVERRIDE if writes_files else 0)
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # Effective, permitted and inheritable, twice: for the first 32 capabilities and for the rest.
    sets = (ctypes.c_uint32 * 6)()
    _check(libc.capget(header, sets))
    kept = sets[1] & wanted
    _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    _check(libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept)))
    # Else a program that a worker starts as root would have all of them again.
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        reason = os.strerror(ctypes.get_errno())
        raise HostError(f"a worker cannot give up its capabilities: {reason}")
