"""The two holes that packets pass through, as the drivers see them.

The real ones are `mqvpn_core.runtime.udp_sockets` and `mqvpn_core.runtime.tun_device`; tests put
in-memory twins in their place.
"""

from collections.abc import Sequence
from typing import Protocol

from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit

MAX_READ_BYTES = 3 << 18
"""Bytes of one batch after which no further read is made: other work has to get its turn."""


class DatagramSocket(Protocol):
    """A UDP socket that never blocks."""

    @property
    def local_address(self) -> SocketAddress:
        """Address it is bound to; the unspecified address when it takes any."""

    async def wait_readable(self) -> None:
        """Wait until `receive` has something."""

    async def wait_writable(self) -> None:
        """Wait until `send` can take more."""

    def receive(self, max_reads: int) -> list[ReceivedDatagrams]:
        """Return what up to this many reads give, possibly nothing."""

    def send(self, transmits: Sequence[Transmit]) -> list[Transmit]:
        """Send in order; return the rest that did not fit the socket's buffer, sealed."""

    def take_refused(self) -> list[RefusedDatagram]:
        """Return what was too large for the link since the last call, a size once."""

    def close(self) -> None:
        """Close the socket; what is waiting in it is lost."""


class LimitableSocket(DatagramSocket, Protocol):
    """A UDP socket that can be told to be slow."""

    def limit(self, bytes_per_second: float | None) -> None:
        """Receive no faster than this; None takes the limit away."""
