"""Which packets a tunnel lets through, by addresses and protocol. Decides; does not act.

One rule set serves both ends: a tunnel has a *near* side, the addresses assigned to the client, and
a *far* side, the ranges that the proxy advertised. What is a check of what we send at one end is a
check of what we receive at the other. RFC 9484 s4.6 to s4.8, s7.2, s11; BCP 38.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.route_ranges import RangeList, RouteTable
from mqvpn_core.wire.address_capsules import IpPrefix
from mqvpn_core.wire.code_points import IpProtocol
from mqvpn_core.wire.ip_addresses import (
    is_limited_broadcast,
    is_link_local,
    is_multicast,
    is_single_host,
)
from mqvpn_core.wire.ip_packets import IpHeader

_ICMP: Final = frozenset({int(IpProtocol.ICMP), int(IpProtocol.ICMPV6)})
_MAPPED_V6: Final = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRules:
    """What one tunnel may carry."""

    near: tuple[IpPrefix, ...]
    """Addresses assigned to the client."""
    far: RangeList
    """Ranges advertised by the proxy, already narrowed to the scope of the request."""
    prohibited: RangeList = ()
    """Parts of ``far`` that policy forbids, such as the addresses of other clients."""
    broadcasts: frozenset[bytes] = frozenset()
    """Directed broadcast addresses to treat like multicast, packed."""


class AddressSet:
    """Packed addresses of some prefixes; fast for single addresses."""

    def __init__(self, prefixes: Iterable[IpPrefix]) -> None:
        """Index ``prefixes``."""
        self._hosts: set[bytes] = set()
        # (bytes of an address, host bits to shift out, network part)
        self._prefixes: list[tuple[int, int, int]] = []
        for prefix in prefixes:
            packed = prefix.network_address.packed
            host_bits = prefix.max_prefixlen - prefix.prefixlen
            if host_bits:
                part = int.from_bytes(packed, "big") >> host_bits
                self._prefixes.append((len(packed), host_bits, part))
            else:
                self._hosts.add(packed)

    def __contains__(self, address: bytes) -> bool:
        """Tell whether a packed address lies in one of the prefixes."""
        if address in self._hosts:
            return True
        number = int.from_bytes(address, "big")
        return any(
            size == len(address) and number >> host_bits == part
            for size, host_bits, part in self._prefixes
        )


class PacketFilter:
    """The rules of one tunnel, indexed; built anew when an assignment or a route changes."""

    def __init__(self, rules: FilterRules) -> None:
        """Index ``rules``."""
        self.rules = rules
        self._near = AddressSet(rules.near)
        self._far = RouteTable(rules.far)
        self._prohibited = RouteTable(rules.prohibited)

    def is_near(self, address: bytes) -> bool:
        """Tell whether a packed address is assigned to the client."""
        return address in self._near

    def judge_towards_proxy(self, header: IpHeader) -> DropReason | None:
        """Return what speaks against a packet from the client, if anything."""
        problem = _source_problem(header.source)
        if problem is None and header.source not in self._near:
            problem = DropReason.SPOOFED_SOURCE
        problem = problem or self._destination_problem(header.destination)
        if problem is not None:
            return problem
        address = int.from_bytes(header.destination, "big")
        if self._prohibited.covers_address(header.version, address):
            return DropReason.PROHIBITED
        if self._far.covers(header.version, address, header.protocol):
            return None
        # RFC 9484 s4.8: matched "against the scoping rule" by the outermost non-extension number.
        if self._far.covers_address(header.version, address):
            return DropReason.OUT_OF_SCOPE
        return DropReason.NO_ROUTE

    def judge_towards_client(self, header: IpHeader) -> DropReason | None:
        """Return what speaks against a packet for the client, if anything."""
        problem = self._destination_problem(header.destination)
        if problem is None and header.destination not in self._near:
            problem = DropReason.NOT_ASSIGNED
        problem = problem or _source_problem(header.source)
        if problem is None and header.source in self._near:
            problem = DropReason.SPOOFED_SOURCE
        if problem is not None:
            return problem
        address = int.from_bytes(header.source, "big")
        if self._prohibited.covers_address(header.version, address):
            return DropReason.PROHIBITED
        # RFC 9484 s7.2.1: "ICMP messages can originate from a source address different from that
        # of the IP proxying peer and also from outside the target if scoping is in use".
        if header.protocol in _ICMP or self._far.covers(header.version, address, header.protocol):
            return None
        return DropReason.UNEXPECTED_SOURCE

    def _destination_problem(self, address: bytes) -> DropReason | None:
        if address in self.rules.broadcasts:
            return DropReason.MULTICAST
        return special_address(address)


def _source_problem(address: bytes) -> DropReason | None:
    problem = special_address(address)
    # RFC 1122 s3.2.1.3: a multicast or broadcast address must not be a source.
    return DropReason.SPECIAL_ADDRESS if problem is DropReason.MULTICAST else problem


def special_address(address: bytes) -> DropReason | None:
    """Return why no router forwards a packet with this packed address, or None."""
    if is_multicast(address) or is_limited_broadcast(address):
        return DropReason.MULTICAST
    if is_link_local(address):
        return DropReason.LINK_LOCAL
    # RFC 1122 s3.2.1.3: 0/8 and 127/8 never leave a host; RFC 1112 s4: 240/4 is reserved;
    # RFC 4291 s2.5: the same for :: and ::1. RFC 4942 s2.2: mapped addresses do not belong on
    # the wire.
    if not is_single_host(address) or address[:12] == _MAPPED_V6:
        return DropReason.SPECIAL_ADDRESS
    return None
