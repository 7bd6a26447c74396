"""A UDP socket that is read no faster than the user can afford.

What comes too fast waits in the kernel's buffer, which is kept small, and what does not fit is lost
there: to the sender it looks like a slow link, and its congestion control finds the rate. Sending
is limited by the connection's own pacing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import trio
from typing_extensions import override

from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit
from mqvpn_core.runtime.packet_ports import DatagramSocket, LimitableSocket
from mqvpn_core.runtime.readiness import HasDescriptor

QUEUE_SECONDS = 0.1
"""Time that a full buffer takes to be read."""
SMALLEST_QUEUE = 32 * 1024
"""Bytes that may always wait: some full batches."""
BURST_SECONDS = 0.02
"""Time whose worth may be read at once after a pause."""
SMALLEST_BURST = 3000
"""Bytes that may always be read at once: two packets."""
SHORTEST_PAUSE = 0.001
"""Seconds to wait at least: rounding must not make us spin."""


class BufferedSocket(DatagramSocket, Protocol):
    """A socket whose buffer can be kept small: `mqvpn_core.runtime.udp_sockets.UdpSocket`."""

    def set_receive_buffer(self, wanted_bytes: int | None) -> None:
        """Change the buffer for what arrives; None gives back the usual one."""


class LimitedSocket(LimitableSocket):
    """Reads a socket at a limited rate.

    A: `inner`, `is_limited`. C: what a `DatagramSocket` has, and `limit`.
    """

    def __init__(
        self, inner: BufferedSocket, clock: Callable[[], float] = trio.current_time
    ) -> None:
        """Take over a socket; there is no limit before `limit`.

        Args:
            inner: the socket.
            clock: tells the time.
        """
        self._inner = inner
        self._clock = clock
        self._rate = math.inf
        self._tokens = 0.0
        self._refilled_at = clock()

    @property
    def inner(self) -> BufferedSocket:
        """The socket below."""
        return self._inner

    @property
    def is_limited(self) -> bool:
        """There is a limit at the moment."""
        return self._rate != math.inf

    @property
    @override
    def local_address(self) -> SocketAddress:
        return self._inner.local_address

    def fileno(self) -> int:
        """Return the descriptor of the socket; negative when it has none."""
        return self._inner.fileno() if isinstance(self._inner, HasDescriptor) else -1

    @override
    def limit(self, bytes_per_second: float | None) -> None:
        """Read no faster than this from now on; None takes the limit away."""
        rate = math.inf if bytes_per_second is None else bytes_per_second
        if rate == self._rate:
            return
        self._rate = rate
        self._tokens = 0.0
        self._refilled_at = self._clock()
        if bytes_per_second is None:
            self._inner.set_receive_buffer(None)
        else:
            queue = max(SMALLEST_QUEUE, int(bytes_per_second * QUEUE_SECONDS))
            self._inner.set_receive_buffer(queue)

    @override
    async def wait_readable(self) -> None:
        if self._rate != math.inf:
            self._refill()
            if self._tokens < 0:
                await trio.sleep(max(-self._tokens / self._rate, SHORTEST_PAUSE))
        await self._inner.wait_readable()

    @override
    async def wait_writable(self) -> None:
        await self._inner.wait_writable()

    @override
    def receive(self, max_reads: int) -> list[ReceivedDatagrams]:
        if self._rate == math.inf:
            return self._inner.receive(max_reads)
        self._refill()
        batches: list[ReceivedDatagrams] = []
        while self._tokens >= 0 and len(batches) < max_reads:
            read = self._inner.receive(1)
            if not read:
                break
            batches += read
            self._tokens -= sum(len(batch.data) for batch in read)
        return batches

    @override
    def send(self, transmits: Sequence[Transmit]) -> list[Transmit]:
        return self._inner.send(transmits)

    @override
    def take_refused(self) -> list[RefusedDatagram]:
        return self._inner.take_refused()

    @override
    def close(self) -> None:
        self._inner.close()

    def _refill(self) -> None:
        now = self._clock()
        burst = max(SMALLEST_BURST, self._rate * BURST_SECONDS)
        self._tokens = min(self._tokens + (now - self._refilled_at) * self._rate, burst)
        self._refilled_at = now
