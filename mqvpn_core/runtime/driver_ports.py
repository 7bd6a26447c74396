"""The connection and the session, as the drivers see them."""

from collections.abc import Sequence
from typing import Protocol

from mqvpn_core.dataplane.packets import Parcel
from mqvpn_core.ids import Instant
from mqvpn_core.masque.tunnel_bypass import TunnelBypass
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, RefusedDatagram, Transmit


class PathReading(Protocol):
    """What the driver wants to know of a path."""

    @property
    def is_in_use(self) -> bool:
        """Packets are sent on it."""

    @property
    def probe_timeouts(self) -> int:
        """Probe time-outs in a row: above 0 the peer is silent."""


class TransportNumbers(Protocol):
    """What the driver wants to know of a connection."""

    @property
    def paths(self) -> Sequence[PathReading]:
        """Every path that exists."""


class Transport(Protocol):
    """What the driver needs of a QUIC connection."""

    @property
    def handshake_complete(self) -> bool:
        """TLS is finished."""

    @property
    def shortest_round_trip(self) -> float:
        """The shortest ever of the paths that there are, in seconds; 0 while none is known."""

    @property
    def is_ending(self) -> bool:
        """The connection is closing, draining or closed."""

    @property
    def is_behind(self) -> bool:
        """`transmits` has to be called once more, for what no packet had to wait for."""

    @property
    def has_events(self) -> bool:
        """There is something for the session."""

    def receive_datagrams(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Take what a socket gave."""

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""

    def transmits(self, now: Instant) -> list[Transmit]:
        """Return what may be sent now."""

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` wants to be called."""

    def on_send_refused(self, refused: RefusedDatagram, now: Instant) -> bool:
        """Learn that a datagram was too large for its link."""

    def statistics(self) -> TransportNumbers:
        """Take a snapshot of the numbers."""


class PacketSession(Protocol):
    """What the driver needs of a MASQUE session."""

    def receive_events(self, now: Instant) -> None:
        """Take what the connection has for it."""

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""

    def next_timeout(self) -> Instant | None:
        """Return when `handle_timeout` wants to be called."""

    def send_ip_packets(self, packets: Sequence[Parcel], now: Instant) -> None:
        """Take IP packets for the peer."""

    def take_ip_packets(self) -> Sequence[Parcel]:
        """Return IP packets from the peer."""

    @property
    def bypass(self) -> TunnelBypass | None:
        """What of its packets may go past the driver."""


class SessionObserver(Protocol):
    """Told after each round that the session may have news; must not block."""

    def look(self, now: Instant) -> None:
        """Take the session's events."""
