"""Server: which tunnel a packet from the TUN device goes to.

Owns the table from inner destination addresses to their owners. Single addresses are found by one
dictionary look-up of the raw address bytes; longer prefixes by length, longest first. It does not
judge packets: what it cannot place is handed back.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeAlias, TypeVar

from mqvpn_core.dataplane.packets import Parcel

IPNetwork: TypeAlias = IPv4Network | IPv6Network
Owner = TypeVar("Owner")

_IPV4_HEADER = 20
_IPV6_HEADER = 40
_IPV4_BITS = 32
_IPV6_BITS = 128


class ClientTable(Generic[Owner]):
    """Destination prefixes and their owners; an owner must be hashable.

    A: ``owner_of``, ``len()``
    C: ``assign``, ``remove``
    D: ``dispatch``
    """

    def __init__(self) -> None:
        """Start empty."""
        # Keyed by 4 or 16 address bytes: the two families cannot collide.
        self._hosts: dict[bytes, Owner] = {}
        # (address size, prefix length) -> network part as a number -> owner, longest first.
        self._prefixes: dict[tuple[int, int], dict[int, Owner]] = {}
        self._owned: dict[Owner, tuple[IPNetwork, ...]] = {}

    def __len__(self) -> int:
        """Return the number of prefixes in the table."""
        return len(self._hosts) + sum(len(level) for level in self._prefixes.values())

    def assign(self, owner: Owner, networks: Iterable[IPNetwork]) -> None:
        """Make ``networks`` the complete list of prefixes of ``owner``.

        A prefix that another owner had moves over: a client that reconnects is reachable at once,
        while the server still waits for its old connection to time out.
        """
        self.remove(owner)
        kept = tuple(dict.fromkeys(networks))
        for network in kept:
            if network.prefixlen == network.max_prefixlen:
                self._hosts[network.network_address.packed] = owner
            else:
                size = network.max_prefixlen // 8
                level = self._prefixes.setdefault((size, network.prefixlen), {})
                level[_network_part(int(network.network_address), size, network.prefixlen)] = owner
        if kept:
            self._owned[owner] = kept
        self._prefixes = dict(sorted(self._prefixes.items(), key=lambda item: -item[0][1]))

    def remove(self, owner: Owner) -> None:
        """Take out ``owner``; prefixes that moved to somebody else stay with them."""
        for network in self._owned.pop(owner, ()):
            if network.prefixlen == network.max_prefixlen:
                key = network.network_address.packed
                if self._hosts.get(key) == owner:
                    del self._hosts[key]
                continue
            size = network.max_prefixlen // 8
            level = self._prefixes.get((size, network.prefixlen), {})
            part = _network_part(int(network.network_address), size, network.prefixlen)
            if level.get(part) == owner:
                del level[part]
            if not level:
                self._prefixes.pop((size, network.prefixlen), None)

    def owner_of(self, address: bytes) -> Owner | None:
        """Return the owner of a packed address, or None."""
        owner = self._hosts.get(address)
        if owner is not None or not self._prefixes:
            return owner
        number = int.from_bytes(address, "big")
        for (size, length), level in self._prefixes.items():
            if size == len(address):
                owner = level.get(_network_part(number, size, length))
                if owner is not None:
                    return owner
        return None

    def dispatch(self, packets: Sequence[Parcel]) -> tuple[dict[Owner, list[Parcel]], list[Parcel]]:
        """Sort a batch of IP packets by owner of their destination.

        Args:
            packets: packets, and trains of packets of one flow each.

        Returns:
            The packets of each owner in order, and those that belong to nobody.
        """
        hosts = self._hosts
        has_prefixes = bool(self._prefixes)
        batches: dict[Owner, list[Parcel]] = {}
        strays: list[Parcel] = []
        for packet in packets:
            head = packet if isinstance(packet, bytes) else packet.head
            size = len(head)
            # The version is the upper half of the first byte: 0x4? or 0x6?.
            if size >= _IPV4_HEADER and head[0] >> 4 == 4:  # noqa: PLR2004 - IP version
                destination = head[16:20]
            elif size >= _IPV6_HEADER and head[0] >> 4 == 6:  # noqa: PLR2004 - IP version
                destination = head[24:40]
            else:
                strays.append(packet)
                continue
            owner = hosts.get(destination)
            if owner is None and has_prefixes:
                owner = self.owner_of(destination)
            if owner is None:
                strays.append(packet)
            elif owner in batches:
                batches[owner].append(packet)
            else:
                batches[owner] = [packet]
        return batches, strays


def _network_part(number: int, size: int, length: int) -> int:
    return number >> ((_IPV4_BITS if size == _IPV4_BITS // 8 else _IPV6_BITS) - length)
