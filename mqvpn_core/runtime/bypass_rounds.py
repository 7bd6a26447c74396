"""Rounds of a driver, with a bypass that stands still during each of them.

Whatever a driver does with connections or sessions is inside a round. Without a bypass a round is
nothing but the work in it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import ConnectionHandle, Instant
from mqvpn_core.runtime.bypass_desk import BypassDesk, Returned
from mqvpn_core.runtime.clock import read_clock
from mqvpn_core.runtime.load_watch import LoadWatch
from mqvpn_core.runtime.packet_ports import DatagramSocket


class BypassRounds:
    """Holds and releases the bypass of one driver.

    A: `reads`, `reads_device`, `has_news`, `packet_count`. C: `open`, `add_socket`,
    `remove_socket`, `offer`, `close`. Tasks: `watch`, `wait_for_change`. Work goes into
    ``with self.round()``.
    """

    def __init__(
        self,
        take: Callable[[Returned, Instant], None],
        finish: Callable[[Instant], None],
        touched: Callable[[], Iterable[ConnectionHandle]],
    ) -> None:
        """Start without a bypass.

        Args:
            take: goes on with what the bypass has left to the driver.
            finish: drains and sends.
            touched: returns the connections that a round may have changed something for.
        """
        self.has_news = False
        """The driver has to drain and send because of the bypass; cleared by whoever does."""
        self.packet_count = 0
        """Packets that went past the driver."""
        self._take = take
        self._finish = finish
        self._touched = touched
        self._desk: BypassDesk | None = None
        self._is_inside = False

    @property
    def reads_device(self) -> bool:
        """Between rounds the bypass reads the TUN device."""
        return self._desk is not None and self._desk.device_is_armed

    def reads(self, socket: DatagramSocket) -> bool:
        """Tell whether the bypass reads a socket between rounds."""
        return self._desk is not None and self._desk.is_armed(socket)

    def open(self, desk: BypassDesk | None) -> None:
        """Use a bypass from now on, if there is one."""
        self._desk = desk

    def add_socket(self, socket: DatagramSocket) -> None:
        """Send and receive over one more socket."""
        if self._desk is not None:
            with self.round():
                self._desk.add_socket(socket)

    def remove_socket(self, socket: DatagramSocket) -> None:
        """Forget a socket before it is closed; harmless when done twice."""
        if self._desk is not None:
            with self.round():
                self._desk.remove_socket(socket)

    def offer(self, handle: ConnectionHandle, packets: Sequence[Parcel]) -> None:
        """Packets of the device went to a connection; the next ones like them may go past."""
        if self._desk is not None:
            self._desk.offer(handle, packets)

    @contextmanager
    def round(self) -> Iterator[None]:
        """Keep the bypass still, and act on what it brings; a round inside one is part of it."""
        desk = self._desk
        if desk is None or self._is_inside:
            yield
            return
        self._is_inside = True
        try:
            returned = desk.hold()
            if returned is not None:
                self.has_news = True
                self.packet_count += returned.bypassed_count
                self._take(returned, read_clock())
            yield
            now = read_clock()
            if self.has_news:
                self._finish(now)
            # Only now: after an exception nothing goes past somebody whose state is in doubt.
            desk.release(self._touched(), now)
        finally:
            self._is_inside = False

    async def watch(self, load: LoadWatch) -> None:
        """Have a round whenever the bypass wants one, unless somebody looks at intervals."""
        while self._desk is not None:
            await self._desk.wait_for_news()
            if load.is_high:
                await load.wait_low()
            else:
                with self.round():
                    pass

    async def wait_for_change(self) -> None:
        """Wait until the bypass reads something else than before."""
        if self._desk is not None:
            await self._desk.wait_for_change()

    def close(self) -> None:
        """End the bypass, before sockets and device are closed; harmless when done twice."""
        if self._desk is not None:
            self._desk.close()
            self._desk = None
