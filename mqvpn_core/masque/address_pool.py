"""Server: which inner address belongs to whom.

Owns the lease table of one network. An address stays with the user (and the client instance) that
had it last, so that a client finds its address again after a reconnect or a server restart; only
when the network is used up is the oldest unused lease given to somebody else. Nothing here walks
the network: a pool of a /8 or a /64 costs as much as the leases in it.

RFC 9484 s11 advises against persistent addresses where target hosts can see them. These are inner
addresses behind the server's NAT, and connections inside the tunnel have to survive a reconnect.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from mqvpn_core.errors import ConfigError

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

_DEFAULT_MAX_LEASES = 65_536
_MIN_HOST_BITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An address in use by one tunnel. Valid until released or taken over by the same client."""

    address: IPAddress
    """The inner address."""
    user: str
    """Who has it."""
    instance: str
    """Which client of the user; empty when it did not say."""
    generation: int
    """Tells this use of the address from earlier and later ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """One line of the lease table, as plain values for a file."""

    address: str
    """The inner address as text."""
    user: str
    """Who has or had it."""
    instance: str
    """Which client of the user; empty when it did not say."""


@dataclass(slots=True)
class _Entry:
    user: str
    instance: str
    generation: int
    in_use: bool


class AddressPool:
    """Leases of one network; the first host address is the server's own.

    A: ``network``, ``server_address``, ``leased_count``, ``is_current``, ``export_leases``
    C: ``acquire``, ``acquire_exactly``, ``release``, ``import_leases``
    """

    def __init__(self, network: IPNetwork, *, max_leases: int = _DEFAULT_MAX_LEASES) -> None:
        """Prepare an empty pool.

        Args:
            network: the network to lease from.
            max_leases: bound on remembered leases, used or not.

        Raises:
            ConfigError: the network has no room for a server and a client.
        """
        if network.max_prefixlen - network.prefixlen < _MIN_HOST_BITS:
            message = f"{network} is too small for a server and a client: use a shorter prefix"
            raise ConfigError(message)
        self._network = network
        self._base = int(network.network_address)
        # An IPv6 network has no broadcast address, its last address is an ordinary one.
        last = int(network.broadcast_address)
        self._last = last - 1 if isinstance(network, IPv4Network) else last
        self._next_unused = self._base + 2
        self._max_leases = max_leases
        self._generation = 0
        self._entries: dict[int, _Entry] = {}
        # Per user, in the order of use: the most recently used address is last.
        self._by_user: dict[str, dict[int, None]] = {}
        # Unused leases, longest unused first.
        self._idle: dict[int, None] = {}

    @property
    def network(self) -> IPNetwork:
        """The network leased from."""
        return self._network

    @property
    def server_address(self) -> IPAddress:
        """The server's own inner address."""
        return self._network[1]

    @property
    def leased_count(self) -> int:
        """Number of addresses in use."""
        return len(self._entries) - len(self._idle)

    def is_current(self, lease: Lease) -> bool:
        """Tell whether ``lease`` is still the valid use of its address."""
        entry = self._entries.get(int(lease.address))
        return entry is not None and entry.in_use and entry.generation == lease.generation

    def acquire(
        self, user: str, *, instance: str = "", requested: IPAddress | None = None
    ) -> Lease | None:
        """Lease an address to a client of ``user``.

        The requested address is given if nobody else has it. Otherwise an instance gets back what
        it had, even when its previous connection has not ended yet: that lease then stops being
        current. Otherwise the user's most recently used free address, then a new one.

        Returns:
            The lease, or None when the pool is used up.
        """
        address = self._choose(user, instance, requested)
        if address is None:
            return None
        self._forget(address)
        self._generation += 1
        self._remember(address, _Entry(user, instance, self._generation, in_use=True))
        return self._lease(address)

    def acquire_exactly(
        self, user: str, requested: IPAddress, *, instance: str = ""
    ) -> Lease | None:
        """Lease this address to a client of ``user``, or nothing.

        A client that tries one address after the other does not keep them all: what it had and
        does not use is anybody's again.
        """
        number = int(requested)
        if requested.version != self._network.version or not self._is_leasable(number):
            return None
        if not self._may_take(number, user, instance):
            return None
        own = self._by_user.get(user, {})
        if number not in own:
            for former in [n for n in own if n in self._idle]:
                if self._entries[former].instance == instance:
                    self._free(former)
        return self.acquire(user, instance=instance, requested=requested)

    def release(self, lease: Lease) -> None:
        """Give up ``lease``; its address stays reserved for the user while there is room."""
        if not self.is_current(lease):
            return
        address = int(lease.address)
        self._entries[address].in_use = False
        self._idle[address] = None
        own = self._by_user[lease.user]
        own[address] = own.pop(address)
        self._trim()

    def export_leases(self) -> tuple[LeaseRecord, ...]:
        """List every lease, longest unused first, those in use last."""
        in_use = [address for address, entry in self._entries.items() if entry.in_use]
        return tuple(
            LeaseRecord(
                address=str(self._address(address)),
                user=self._entries[address].user,
                instance=self._entries[address].instance,
            )
            for address in [*self._idle, *in_use]
        )

    def import_leases(self, records: Iterable[LeaseRecord]) -> int:
        """Remember leases of an earlier run as unused; what does not fit this pool is skipped.

        Returns:
            How many were taken.
        """
        taken = 0
        for record in records:
            try:
                address = type(self._network.network_address)(record.address)
            except ValueError:
                continue
            number = int(address)
            if not self._is_leasable(number) or number in self._entries:
                continue
            self._generation += 1
            self._remember(
                number, _Entry(record.user, record.instance, self._generation, in_use=False)
            )
            self._idle[number] = None
            taken += 1
        self._trim()
        return taken

    def _choose(self, user: str, instance: str, requested: IPAddress | None) -> int | None:
        if requested is not None and requested.version == self._network.version:
            number = int(requested)
            if self._is_leasable(number) and self._may_take(number, user, instance):
                return number
        own = self._by_user.get(user, {})
        for number in reversed(own):
            if instance and self._entries[number].instance == instance:
                return number
        for number in reversed(own):
            if not self._entries[number].in_use:
                return number
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        return next(iter(self._idle), None)

    def _may_take(self, number: int, user: str, instance: str) -> bool:
        entry = self._entries.get(number)
        if entry is None:
            # A new entry must fit the bound; unused leases make room for it.
            return len(self._entries) < self._max_leases or bool(self._idle)
        if entry.user != user:
            return False
        return not entry.in_use or (bool(instance) and entry.instance == instance)

    def _fresh(self) -> int | None:
        if len(self._entries) >= self._max_leases:
            return None
        while self._next_unused <= self._last and self._next_unused in self._entries:
            self._next_unused += 1
        return self._next_unused if self._next_unused <= self._last else None

    def _is_leasable(self, number: int) -> bool:
        return self._base + 1 < number <= self._last

    def _remember(self, number: int, entry: _Entry) -> None:
        self._entries[number] = entry
        self._by_user.setdefault(entry.user, {})[number] = None
        self._trim()

    def _forget(self, number: int) -> None:
        entry = self._entries.pop(number, None)
        if entry is None:
            return
        self._idle.pop(number, None)
        own = self._by_user[entry.user]
        del own[number]
        if not own:
            del self._by_user[entry.user]

    def _free(self, number: int) -> None:
        self._forget(number)
        # A forgotten address below the cursor would otherwise never be found again.
        self._next_unused = min(self._next_unused, number)

    def _trim(self) -> None:
        while len(self._entries) > self._max_leases and self._idle:
            self._free(next(iter(self._idle)))

    def _lease(self, number: int) -> Lease:
        entry = self._entries[number]
        return Lease(
            address=self._address(number),
            user=entry.user,
            instance=entry.instance,
            generation=entry.generation,
        )

    def _address(self, number: int) -> IPAddress:
        return self._network[number - self._base]
