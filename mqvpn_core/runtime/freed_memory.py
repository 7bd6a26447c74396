"""What becomes of freed memory: kept for the next packets, given back after other work.

The C library gives freed memory back to the kernel as soon as it is a little more than usual. The
packets of one round are that much, so that under load every page would be given back and asked for
again several hundred times a second; the faults cost as much as the encryption.

Then nothing is given back at all, and what is no packet grows: each look at the network's tables
makes some thousand short-lived objects, and leaves the heap with holes that the next look does not
quite fit into. A link that comes and goes all day would cost megabytes.
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


def give_back_freed_memory() -> None:
    """Give free pages back to the kernel, those in the middle of the heap as well.

    Takes about a millisecond; meant for worker threads, after work that has nothing to do with
    packets.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
