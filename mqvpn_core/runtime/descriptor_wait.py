"""Waiting for a descriptor without staying among those whom its packets wake.

An event loop keeps in its epoll set whatever anybody has ever waited for, muted while nobody does.
Linux goes through the waiting of a socket for each packet that comes and for each that has left,
muted or not: a tenth of what sending costs where links do not split what leaves. So whoever reads
at intervals, or has somebody else read, must not be waiting.
"""

import os
import select

import trio

from mqvpn_core.errors import HostError


class DescriptorWait:
    """Waits for one kind of event of one descriptor.

    C: `close`. Tasks: `wait`, one at a time.
    """

    def __init__(self, events: int) -> None:
        """Prepare.

        Args:
            events: ``select.EPOLLIN`` or ``select.EPOLLOUT``.

        Raises:
            HostError: the process has too many descriptors.
        """
        self._events = events
        try:
            self._set = select.epoll(1)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise HostError(f"cannot wait for packets: {reason}") from error

    async def wait(self, descriptor: int) -> None:
        """Return when it has happened; nothing is left behind in the kernel.

        Raises:
            trio.ClosedResourceError: `close` was called, before or meanwhile.
        """
        if self._set.closed:
            raise trio.ClosedResourceError
        self._set.register(descriptor, self._events)
        try:
            # A set is readable when something in it is ready.
            await trio.lowlevel.wait_readable(self._set.fileno())
        finally:
            if not self._set.closed:
                self._set.unregister(descriptor)

    def close(self) -> None:
        """End, before the descriptor is closed; harmless when done twice."""
        if not self._set.closed:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(self._set.fileno())
            self._set.close()
