"""Lets the process keep the memory that its packets were in, for the packets that come next.

The C library gives freed memory back to the kernel as soon as it is a little more than usual. The
packets of one round are that much, so that under load every page would be given back and asked for
again several hundred times a second; the faults cost as much as the encryption.
"""

import ctypes
from typing import Final

KEPT_BYTES: Final = 16 << 20
"""Freed memory that stays with the process, at most."""

_LARGEST_BUFFER: Final = 4 << 20
_M_TRIM_THRESHOLD: Final = -1  # malloc.h of glibc
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> None:
    """Change how the C library works, if it is one that can be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BUFFER)
