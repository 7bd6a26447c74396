"""Advertised address ranges: from and to networks, set arithmetic, and lookup by protocol.

Owns the order that ROUTE_ADVERTISEMENT demands (RFC 9484 s4.7.3). Range lists here are always in
that order and disjoint within one family and protocol. Knows nothing of tunnels.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
    summarize_address_range,
)
from typing import Final, TypeAlias

from mqvpn_core.errors import LocalProtocolError
from mqvpn_core.wire.address_capsules import IpAddress, IpAddressRange, IpPrefix
from mqvpn_core.wire.code_points import IpProtocol

RangeList: TypeAlias = tuple[IpAddressRange, ...]

ALL_PROTOCOLS: Final = 0
"""Protocol number that stands for every protocol in a route (RFC 9484 s4.7.3)."""

ALL_DESTINATIONS: Final[tuple[IpPrefix, ...]] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
"""Networks of a proxy that takes its clients everywhere."""

_IPV4: Final = 4
_ICMP: Final = frozenset({int(IpProtocol.ICMP), int(IpProtocol.ICMPV6)})
_Span: TypeAlias = tuple[int, int]


def ranges_of_networks(networks: Iterable[IpPrefix], protocol: int = ALL_PROTOCOLS) -> RangeList:
    """Return the shortest ordered list of ranges that covers exactly these networks."""
    spans: dict[int, list[_Span]] = {}
    for network in networks:
        span = (int(network.network_address), int(network.broadcast_address))
        spans.setdefault(network.version, []).append(span)
    return tuple(
        _range(version, span, protocol)
        for version in sorted(spans)
        for span in _merge(spans[version])
    )


def networks_of_ranges(ranges: Iterable[IpAddressRange], *, limit: int) -> tuple[IpPrefix, ...]:
    """Return the fewest networks that cover exactly these ranges, whatever their protocol.

    Args:
        ranges: ranges in any order; they may overlap.
        limit: most networks to return; one range of IPv6 alone may need 254.

    Raises:
        LocalProtocolError: more networks than ``limit`` would be needed.
    """
    spans: dict[int, list[_Span]] = {}
    for entry in ranges:
        spans.setdefault(entry.start.version, []).append((int(entry.start), int(entry.end)))
    networks: list[IpPrefix] = []
    for version in sorted(spans):
        for span in _merge(spans[version]):
            networks.extend(_networks_of_span(version, span))
            if len(networks) > limit:
                raise LocalProtocolError(f"the ranges need more than {limit} networks")
    return tuple(networks)


def subtract_networks(ranges: Iterable[IpAddressRange], holes: Iterable[IpPrefix]) -> RangeList:
    """Return ``ranges`` without the addresses of ``holes``."""
    pieces = []
    cuts = ranges_of_networks(holes)
    for entry in ranges:
        left = int(entry.start)
        last = int(entry.end)
        for cut in cuts:
            if cut.start.version != entry.start.version:
                continue
            start, end = int(cut.start), int(cut.end)
            if end < left or start > last:
                continue
            if start > left:
                pieces.append(_range(entry.start.version, (left, start - 1), entry.protocol))
            left = end + 1
        if left <= last:
            pieces.append(_range(entry.start.version, (left, last), entry.protocol))
    return tuple(pieces)


def intersect_networks(ranges: Iterable[IpAddressRange], scope: Iterable[IpPrefix]) -> RangeList:
    """Return the part of ``ranges`` that lies in ``scope``."""
    windows = ranges_of_networks(scope)
    pieces = []
    for entry in ranges:
        for window in windows:
            if window.start.version != entry.start.version:
                continue
            left = max(int(entry.start), int(window.start))
            last = min(int(entry.end), int(window.end))
            if left <= last:
                pieces.append(_range(entry.start.version, (left, last), entry.protocol))
    return tuple(pieces)


def with_protocol(ranges: Iterable[IpAddressRange], protocol: int) -> RangeList:
    """Return ranges for all protocols narrowed to one."""
    return tuple(
        IpAddressRange(start=entry.start, end=entry.end, protocol=protocol) for entry in ranges
    )


class RouteTable:
    """Look-up of addresses in a range list; built once, never changed."""

    def __init__(self, ranges: Iterable[IpAddressRange]) -> None:
        """Index ``ranges``."""
        self._ranges = tuple(ranges)
        # (family, protocol) -> starts and ends of the disjoint ranges, in order.
        by_protocol: dict[tuple[int, int], list[_Span]] = {}
        by_family: dict[int, list[_Span]] = {}
        for entry in self._ranges:
            span = (int(entry.start), int(entry.end))
            by_protocol.setdefault((entry.start.version, entry.protocol), []).append(span)
            by_family.setdefault(entry.start.version, []).append(span)
        self._by_protocol = {key: _Spans(_merge(spans)) for key, spans in by_protocol.items()}
        self._by_family = {key: _Spans(_merge(spans)) for key, spans in by_family.items()}

    @property
    def ranges(self) -> RangeList:
        """The ranges this table was built from."""
        return self._ranges

    def covers_address(self, version: int, address: int) -> bool:
        """Tell whether any protocol may be sent to ``address``."""
        spans = self._by_family.get(version)
        return spans is not None and spans.contains(address)

    def covers(self, version: int, address: int, protocol: int) -> bool:
        """Tell whether packets of ``protocol`` may be sent to ``address``.

        Args:
            version: 4 or 6.
            address: the address as a number.
            protocol: the outermost protocol that is no IPv6 extension header (RFC 9484 s4.8).
        """
        # RFC 9484 s4.7.3: "ICMP traffic is always allowed, regardless of the value of this field."
        if protocol in _ICMP:
            return self.covers_address(version, address)
        for key in ((version, ALL_PROTOCOLS), (version, protocol)):
            spans = self._by_protocol.get(key)
            if spans is not None and spans.contains(address):
                return True
        return False


class _Spans:
    """Disjoint, ordered spans of numbers."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, spans: list[_Span]) -> None:
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def contains(self, number: int) -> bool:
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number <= self._ends[index]


def _merge(spans: Iterable[_Span]) -> list[_Span]:
    """Order spans and join those that touch or overlap."""
    merged: list[_Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _address(version: int, number: int) -> IpAddress:
    return IPv4Address(number) if version == _IPV4 else IPv6Address(number)


def _range(version: int, span: _Span, protocol: int) -> IpAddressRange:
    return IpAddressRange(
        start=_address(version, span[0]), end=_address(version, span[1]), protocol=protocol
    )


def _networks_of_span(version: int, span: _Span) -> Iterator[IPv4Network] | Iterator[IPv6Network]:
    if version == _IPV4:
        return summarize_address_range(IPv4Address(span[0]), IPv4Address(span[1]))
    return summarize_address_range(IPv6Address(span[0]), IPv6Address(span[1]))
