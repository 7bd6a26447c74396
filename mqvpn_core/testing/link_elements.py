"""What a simulated link does to UDP datagrams: delay, loss, rate, NAT and the other faults.

Owns: the elements a link is a chain of, and their state in each direction. An element is a frozen
value that can be printed and compared; ``new_stages`` opens its mutable twin, once a simulation.
Must not know: QUIC, nodes, or the order in which the simulator runs things.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from typing_extensions import override

from mqvpn_core.ids import Instant, SocketAddress

SIMULATION_START = Instant(1000.0)
"""The clock of every simulation starts here; not at zero, which would hide ``if now`` mistakes."""

_CONGESTION_EXPERIENCED = 0b11
_IPV4_UDP_OVERHEAD_BYTES = 28
_IPV6_UDP_OVERHEAD_BYTES = 48


class UdpDatagram(NamedTuple):
    """One UDP datagram on its way."""

    source: SocketAddress
    """The sender, as the next hop sees it."""
    destination: SocketAddress
    """The receiver."""
    payload: bytes
    """The UDP payload."""
    ecn: int
    """ECN codepoint of the IP header, 0 to 3."""

    @property
    def ip_packet_bytes(self) -> int:
        """Size with the IP and UDP headers."""
        is_ipv6 = ":" in self.destination.host
        return len(self.payload) + (
            _IPV6_UDP_OVERHEAD_BYTES if is_ipv6 else _IPV4_UDP_OVERHEAD_BYTES
        )


class Direction(enum.Enum):
    """Which way a datagram crosses a link."""

    UP = "up"
    """From the host into the network."""
    DOWN = "down"
    """From the network to the host."""


class Departure(NamedTuple):
    """A datagram leaving a stage."""

    at: Instant
    """When it leaves; never before it came in."""
    datagram: UdpDatagram
    """The datagram."""


class Stage(Protocol):
    """The running half of an element, for one direction of one link."""

    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Say when copies of the datagram leave; nothing when it is lost here."""


class LinkElement(Protocol):
    """One fault or property of a link; frozen, so that a link prints as its description."""

    def new_stages(self) -> tuple[Stage, Stage]:
        """Open the running halves: host to network, network to host."""


class _StatelessElement(LinkElement, Stage):
    """An element whose two halves keep nothing: it is its own stage."""

    @override
    def new_stages(self) -> tuple[Stage, Stage]:
        """Return the element itself, twice."""
        return self, self


@dataclass(frozen=True, slots=True)
class Delay(_StatelessElement):
    """Propagation time: the same for every datagram."""

    seconds: float
    """One-way delay."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Let it out after the delay."""
        return (Departure(Instant(now + self.seconds), datagram),)


@dataclass(frozen=True, slots=True)
class Jitter(_StatelessElement):
    """Extra delay, uniform between nothing and a maximum; datagrams may overtake one another."""

    seconds: float
    """Largest extra delay."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Let it out after a random part of the maximum."""
        return (Departure(Instant(now + dice.random() * self.seconds), datagram),)


@dataclass(frozen=True, slots=True)
class Wander(LinkElement):
    """Extra delay that moves slowly between nothing and a maximum: radio links; keeps the order."""

    seconds: float
    """Largest extra delay."""
    period: float = 0.02
    """Seconds in which the delay moves on to another value."""

    @override
    def new_stages(self) -> tuple[Stage, Stage]:
        """Let each direction wander by itself."""
        return _WanderStage(self), _WanderStage(self)


class _WanderStage(Stage):
    """Where the delay of one direction comes from and where it goes."""

    def __init__(self, wander: Wander) -> None:
        self._wander = wander
        self._turn = -1
        self._from = self._to = 0.0
        self._last_departure = Instant(0.0)

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Let it out after the delay of the moment, behind everything before it."""
        turn, part = divmod(now - SIMULATION_START, self._wander.period)
        if turn > self._turn:
            self._turn = int(turn)
            self._from, self._to = self._to, dice.random()
        share = self._from + (self._to - self._from) * part / self._wander.period
        at = Instant(now + share * self._wander.seconds)
        self._last_departure = max(at, self._last_departure)
        return (Departure(self._last_departure, datagram),)


@dataclass(frozen=True, slots=True)
class Loss(_StatelessElement):
    """Independent random loss."""

    probability: float
    """Chance of each datagram to vanish."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Throw the dice."""
        return () if dice.random() < self.probability else (Departure(now, datagram),)


@dataclass(frozen=True, slots=True)
class Reorder(_StatelessElement):
    """Holds back a random part of the datagrams so that later ones overtake them."""

    probability: float
    """Chance of each datagram to be held."""
    seconds: float
    """How long a held datagram waits."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Hold it, or let it through at once."""
        is_held = dice.random() < self.probability
        return (Departure(Instant(now + self.seconds) if is_held else now, datagram),)


@dataclass(frozen=True, slots=True)
class Duplicate(_StatelessElement):
    """Delivers a random part of the datagrams twice."""

    probability: float
    """Chance of each datagram to be doubled."""
    seconds: float = 0.0
    """How much later the copy leaves."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Let it through, and perhaps a copy after it."""
        first = Departure(now, datagram)
        if dice.random() < self.probability:
            return first, Departure(Instant(now + self.seconds), datagram)
        return (first,)


@dataclass(frozen=True, slots=True)
class Mtu(_StatelessElement):
    """Drops what is too big, silently: a path without ICMP, which is what PMTUD must survive."""

    ip_packet_bytes: int
    """Largest IP packet that passes, headers included."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Compare the size."""
        return (
            (Departure(now, datagram),) if datagram.ip_packet_bytes <= self.ip_packet_bytes else ()
        )


@dataclass(frozen=True, slots=True)
class Blackhole(_StatelessElement):
    """Loses everything for a while."""

    start: float
    """First second, counted from the start of the simulation."""
    end: float
    """First second in which datagrams pass again."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Look at the clock."""
        is_lost = self.start <= now - SIMULATION_START < self.end
        return () if is_lost else (Departure(now, datagram),)


@dataclass(frozen=True, slots=True)
class EcnMark(_StatelessElement):
    """Marks a random part of the ECN-capable datagrams as having met congestion (RFC 3168)."""

    probability: float
    """Chance of each ECT datagram to leave as CE."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Mark ECT(0) and ECT(1), never Not-ECT."""
        if datagram.ecn and dice.random() < self.probability:
            datagram = datagram._replace(ecn=_CONGESTION_EXPERIENCED)
        return (Departure(now, datagram),)


@dataclass(frozen=True, slots=True)
class EcnBleach(_StatelessElement):
    """Clears the ECN field, as some old routers do; ECN validation must notice."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Clear it."""
        return (Departure(now, datagram._replace(ecn=0)),)


@dataclass(frozen=True, slots=True)
class Aggregate(_StatelessElement):
    """Delivers in bursts, as Wi-Fi and interrupt coalescing do; this is what feeds GRO."""

    seconds: float
    """Distance of the instants at which datagrams come out."""

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Round the time up to the next burst."""
        bursts = -(-(now - SIMULATION_START) // self.seconds)
        return (Departure(max(now, Instant(SIMULATION_START + bursts * self.seconds)), datagram),)


@dataclass(frozen=True, slots=True)
class RateLimit(LinkElement):
    """A bottleneck: a byte rate behind a tail-drop queue."""

    bytes_per_second: float
    """Rate, counted in bytes of IP packets."""
    queue_bytes: int
    """What may wait, in bytes of IP packets; more is dropped."""

    @override
    def new_stages(self) -> tuple[Stage, Stage]:
        """Open a queue for each direction."""
        return _RateLimitStage(self), _RateLimitStage(self)


class _RateLimitStage(Stage):
    """The queue of one direction, kept as the instant at which the line falls idle."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._idle_at = Instant(0.0)

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Queue it behind what is waiting, or drop it at the tail."""
        start = max(self._idle_at, now)
        size = datagram.ip_packet_bytes
        waiting_bytes = (start - now) * self._limit.bytes_per_second
        if waiting_bytes + size > self._limit.queue_bytes:
            return ()
        self._idle_at = Instant(start + size / self._limit.bytes_per_second)
        return (Departure(self._idle_at, datagram),)


@dataclass(frozen=True, slots=True)
class DropNth(LinkElement):
    """Loses chosen datagrams: for scenarios that need one certain loss."""

    indices: frozenset[int]
    """Which datagrams of a direction to lose, counted from 0."""
    direction: Direction
    """Which direction; the other one is untouched."""

    @override
    def new_stages(self) -> tuple[Stage, Stage]:
        """Open a counter for the chosen direction."""
        counting = _DropNthStage(self.indices)
        idle = _DropNthStage(frozenset())
        return (counting, idle) if self.direction is Direction.UP else (idle, counting)


class _DropNthStage(Stage):
    """Counts datagrams."""

    def __init__(self, indices: frozenset[int]) -> None:
        self._indices = indices
        self._seen_count = 0

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Drop it if its number is on the list."""
        index = self._seen_count
        self._seen_count += 1
        return () if index in self._indices else (Departure(now, datagram),)


@dataclass(frozen=True, slots=True)
class OneWay(LinkElement):
    """Applies an element to one direction only: asymmetric rates, loss of acknowledgements."""

    direction: Direction
    """The direction in which the element works."""
    element: LinkElement
    """What happens there."""

    @override
    def new_stages(self) -> tuple[Stage, Stage]:
        """Open the element and replace its other half by a plain wire."""
        up, down = self.element.new_stages()
        wire = Delay(0.0)
        return (up, wire) if self.direction is Direction.UP else (wire, down)
