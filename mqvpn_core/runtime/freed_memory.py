"""What becomes of freed memory: kept for the next packets, given back after other work.

The C library gives freed memory back to the kernel as soon as it is a little more than usual. The
packets of one round are that much, so that under load every page would be given back and asked for
again several hundred times a second; the faults cost as much as the encryption.

Then nothing is given back at all, and what is no packet grows: each look at the network's tables
makes some thousand short-lived objects, and leaves the heap with holes that the next look does not
quite fit into. A link that comes and goes all day would cost megabytes. And each thread has a heap
of its own, of which the C library gives back only what is free at its end.
"""

import ctypes
from typing import Final

import trio

KEPT_BYTES: Final = 16 << 20
"""Freed memory that stays with the process, at most for long."""
TIDY_SECONDS: Final = 30.0
"""Seconds between two looks whether it is more."""

_LARGEST_BUFFER: Final = 4 << 20
_M_TRIM_THRESHOLD: Final = -1  # malloc.h of glibc
_M_MMAP_THRESHOLD: Final = -3


class _HeapState(ctypes.Structure):
    """``struct mallinfo2``, mallinfo(3)."""

    _fields_ = [  # type: ignore[mutable-override] # as ctypes wants it
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


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


def freed_bytes() -> int:
    """Return how much is free in the heaps of all threads; 0 where the C library does not tell."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return 0
    mallinfo2.restype = _HeapState
    return int(mallinfo2().fordblks)


async def give_back_what_is_too_much() -> None:
    """Give back, now and then, what a load has left behind; runs until it is cancelled.

    What was given back counts as free for as long as nobody uses it, so that a heap that once was
    large is looked through each time; that is the millisecond of `give_back_freed_memory`.
    """
    while True:
        await trio.sleep(TIDY_SECONDS)
        if freed_bytes() > KEPT_BYTES:
            await trio.to_thread.run_sync(give_back_freed_memory)
