"""Network address translation on a simulated link, with rebindings at set times (RFC 9000 s9)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from typing_extensions import override

from mqvpn_core.ids import Instant, SocketAddress
from mqvpn_core.testing.link_elements import (
    SIMULATION_START,
    Departure,
    LinkElement,
    Stage,
    UdpDatagram,
)


class Rebinding(NamedTuple):
    """A moment at which a NAT forgets its mappings (RFC 9000 s9)."""

    at: float
    """Seconds after the start of the simulation."""
    host: str
    """Public address from then on: the same as before for a port change only."""


@dataclass(frozen=True, slots=True)
class Nat(LinkElement):
    """Address and port translation with endpoint-independent mappings (RFC 4787)."""

    host: str
    """First public address."""
    rebindings: tuple[Rebinding, ...] = ()
    """When mappings are lost, in order of time."""
    first_port: int = 40000
    """First public port handed out; each mapping takes the next one."""

    @override
    def new_stages(self) -> tuple[Stage, Stage]:
        """Open one translation table that both directions share."""
        table = _NatTable(self)
        return _NatUpStage(table), _NatDownStage(table)

    @property
    def public_hosts(self) -> frozenset[str]:
        """Every public address it ever uses; the network must route them all to this link."""
        return frozenset({self.host, *(rebinding.host for rebinding in self.rebindings)})


@dataclass(slots=True)
class _NatTable:
    """The mappings of one NAT."""

    nat: Nat
    host: str = field(init=False)
    next_port: int = field(init=False)
    rebindings_done: int = 0
    to_public: dict[SocketAddress, SocketAddress] = field(default_factory=dict)
    to_private: dict[SocketAddress, SocketAddress] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.host = self.nat.host
        self.next_port = self.nat.first_port

    def forget_old_mappings(self, now: Instant) -> None:
        """Carry out the rebindings that are due."""
        due = self.nat.rebindings[self.rebindings_done :]
        for rebinding in due:
            if now - SIMULATION_START < rebinding.at:
                return
            self.rebindings_done += 1
            self.host = rebinding.host
            self.to_public.clear()
            self.to_private.clear()

    def public_address(self, private: SocketAddress) -> SocketAddress:
        """Look up or make the mapping of a private address."""
        public = self.to_public.get(private)
        if public is None:
            public = SocketAddress(self.host, self.next_port)
            self.next_port += 1
            self.to_public[private] = public
            self.to_private[public] = private
        return public


class _NatUpStage(Stage):
    """Translates sources."""

    def __init__(self, table: _NatTable) -> None:
        self._table = table

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Replace the private source by its public address."""
        self._table.forget_old_mappings(now)
        public = self._table.public_address(datagram.source)
        return (Departure(now, datagram._replace(source=public)),)


class _NatDownStage(Stage):
    """Translates destinations back."""

    def __init__(self, table: _NatTable) -> None:
        self._table = table

    @override
    def pass_on(self, datagram: UdpDatagram, now: Instant, dice: Random) -> Sequence[Departure]:
        """Replace the public destination, or drop what no mapping knows."""
        self._table.forget_old_mappings(now)
        private = self._table.to_private.get(datagram.destination)
        if private is None:
            return ()
        return (Departure(now, datagram._replace(destination=private)),)
