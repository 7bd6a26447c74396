"""Which of some descriptors have something to read: one system call instead of one for each.

For whoever looks at all of them at intervals, and mostly finds nothing at some or at all. Between
two looks nothing is left behind in the kernel; see `descriptor_wait`.
"""

import select
from collections.abc import Iterable
from typing import Protocol, runtime_checkable


@runtime_checkable
class HasDescriptor(Protocol):
    """A socket or a device that the kernel can be asked about."""

    def fileno(self) -> int:
        """Return the descriptor; negative when there is none."""


class Readiness:
    """Asks the kernel about sockets and devices.

    A: `is_ready`. B: `look`. C: `add`, `remove`.

    What has no descriptor, such as an in-memory twin, always counts as ready.
    """

    def __init__(self, ports: Iterable[object] = ()) -> None:
        """Ask about these from now on."""
        self._poll = select.poll()
        self._descriptors: dict[object, int | None] = {}
        self._ready: set[int | None] = set()
        # Somebody cannot be asked about.
        self._is_blind = False
        for port in ports:
            self.add(port)

    def add(self, port: object) -> None:
        """Ask about a socket or a device from now on."""
        descriptor = port.fileno() if isinstance(port, HasDescriptor) else -1
        if descriptor >= 0:
            self._poll.register(descriptor, select.POLLIN)
        self._descriptors[port] = descriptor if descriptor >= 0 else None
        self._is_blind = None in self._descriptors.values()

    def remove(self, port: object) -> None:
        """Forget one, before it is closed; harmless when done twice."""
        descriptor = self._descriptors.pop(port, None)
        if descriptor is not None:
            self._poll.unregister(descriptor)
        self._is_blind = None in self._descriptors.values()

    def look(self) -> bool:
        """Ask about all; tell whether any has something, be it an error."""
        ready = self._poll.poll(0)
        self._ready = {descriptor for descriptor, _ in ready}
        return bool(ready) or self._is_blind

    def is_ready(self, port: object) -> bool:
        """Tell what the last `look` has found."""
        descriptor = self._descriptors.get(port)
        return descriptor is None or descriptor in self._ready
