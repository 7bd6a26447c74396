"""The values of ADDRESS_ASSIGN, ADDRESS_REQUEST and ROUTE_ADVERTISEMENT (RFC 9484 s4.7).

Owns their fields and every rule that one capsule can break on its own. Knows nothing of earlier
capsules: whether a request ID is used a second time in a later capsule is for the caller.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Final, TypeAlias

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.varint import Buffer, decode_varint, encode_varint

IpAddress: TypeAlias = IPv4Address | IPv6Address
"""An address of either family."""

IpPrefix: TypeAlias = IPv4Network | IPv6Network
"""A prefix of either family; its host bits are zero by construction."""

_IPV4: Final = 4
_IPV6: Final = 6
_IPV4_BYTES: Final = 4
_IPV6_BYTES: Final = 16
_MAX_PROTOCOL: Final = 255


class UnacceptableCapsuleError(DecodeError):
    """A capsule that is not malformed, but whose request stream has to be aborted.

    RFC 9484 forbids what it says (s4.7.2, s4.7.3), or it is longer than we are ready to hold.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedAddress:
    """One entry of ADDRESS_ASSIGN."""

    request_id: int
    """ID of the request this answers, 0 when unprompted."""
    prefix: IpPrefix
    """Addresses the receiver may use as source."""

    @property
    def is_refusal(self) -> bool:
        """The entry says that nothing was assigned: 0.0.0.0/32 or ::/128 (RFC 9484 s4.7.2)."""
        prefix = self.prefix
        return prefix.prefixlen == prefix.max_prefixlen and prefix.network_address.is_unspecified


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedAddress:
    """One entry of ADDRESS_REQUEST."""

    request_id: int
    """ID of this request, never 0 and never used again."""
    prefix: IpPrefix
    """What the sender would like to get."""

    @property
    def has_preferred_address(self) -> bool:
        """The sender wants this address; otherwise only family and prefix length matter."""
        return not self.prefix.network_address.is_unspecified


@dataclass(frozen=True, slots=True, kw_only=True)
class IpAddressRange:
    """One entry of ROUTE_ADVERTISEMENT."""

    start: IpAddress
    """First address."""
    end: IpAddress
    """Last address, of the same family and not below ``start``."""
    protocol: int
    """IP protocol number that may be sent there; 0 for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressAssign:
    """ADDRESS_ASSIGN: all addresses that the receiver has from now on (RFC 9484 s4.7.1)."""

    addresses: tuple[AssignedAddress, ...]
    """The full list; empty when everything is withdrawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRequest:
    """ADDRESS_REQUEST: what the sender wants to be assigned (RFC 9484 s4.7.2)."""

    addresses: tuple[RequestedAddress, ...]
    """One entry at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAdvertisement:
    """ROUTE_ADVERTISEMENT: where the receiver may send packets from now on (RFC 9484 s4.7.3)."""

    ranges: tuple[IpAddressRange, ...]
    """The full list, ordered by family, protocol and address; disjoint."""


def decode_address_assign(data: Buffer, *, tolerate_host_bits: bool = False) -> AddressAssign:
    """Decode the value of ADDRESS_ASSIGN.

    Args:
        data: exactly the value.
        tolerate_host_bits: read a prefix with host bits set as its single address.

    Raises:
        DecodeError: it is malformed.
    """
    addresses: list[AssignedAddress] = []
    offset = 0
    while offset < len(data):
        request_id, offset = decode_varint(data, offset)
        prefix, offset = _decode_prefix(data, offset, tolerate_host_bits=tolerate_host_bits)
        addresses.append(AssignedAddress(request_id=request_id, prefix=prefix))
    return AddressAssign(addresses=tuple(addresses))


def encode_address_assign(capsule: AddressAssign) -> bytes:
    """Encode the value of ADDRESS_ASSIGN."""
    return b"".join(
        encode_varint(entry.request_id) + _encode_prefix(entry.prefix)
        for entry in capsule.addresses
    )


def decode_address_request(data: Buffer) -> AddressRequest:
    """Decode the value of ADDRESS_REQUEST.

    Raises:
        DecodeError: it is malformed; UnacceptableCapsuleError if it holds no request.
    """
    addresses: list[RequestedAddress] = []
    seen: set[int] = set()
    offset = 0
    while offset < len(data):
        request_id, offset = decode_varint(data, offset)
        prefix, offset = _decode_prefix(data, offset, tolerate_host_bits=False)
        # RFC 9484 s4.7.2: "Request IDs MUST NOT be reused by an endpoint and MUST NOT be zero."
        if request_id == 0 or request_id in seen:
            raise DecodeError(f"request ID {request_id} is zero or used twice")
        seen.add(request_id)
        addresses.append(RequestedAddress(request_id=request_id, prefix=prefix))
    # RFC 9484 s4.7.2: zero Requested Addresses: "it MUST abort the IP proxying request stream".
    if not addresses:
        raise UnacceptableCapsuleError("ADDRESS_REQUEST without any request")
    return AddressRequest(addresses=tuple(addresses))


def encode_address_request(capsule: AddressRequest) -> bytes:
    """Encode the value of ADDRESS_REQUEST.

    Raises:
        LocalProtocolError: there is no entry, or a request ID is zero or used twice.
    """
    request_ids = {entry.request_id for entry in capsule.addresses}
    if not request_ids or 0 in request_ids or len(request_ids) < len(capsule.addresses):
        raise LocalProtocolError("ADDRESS_REQUEST needs entries with distinct non-zero IDs")
    return b"".join(
        encode_varint(entry.request_id) + _encode_prefix(entry.prefix)
        for entry in capsule.addresses
    )


def decode_route_advertisement(data: Buffer) -> RouteAdvertisement:
    """Decode the value of ROUTE_ADVERTISEMENT.

    Raises:
        DecodeError: it is malformed; UnacceptableCapsuleError if the order is wrong or ranges
            overlap.
    """
    ranges: list[IpAddressRange] = []
    offset = 0
    while offset < len(data):
        version = data[offset]
        start, offset = _decode_address(version, data, offset + 1)
        end, offset = _decode_address(version, data, offset)
        if offset >= len(data):
            raise DecodeError("IP protocol of a route is missing")
        # RFC 9484 s4.7.3: "The Start IP Address MUST be less than or equal to the End IP Address."
        if int(start) > int(end):
            raise DecodeError("a route ends before it starts")
        ranges.append(IpAddressRange(start=start, end=end, protocol=data[offset]))
        offset += 1
    if (problem := _order_problem(ranges)) is not None:
        raise UnacceptableCapsuleError(problem)
    return RouteAdvertisement(ranges=tuple(ranges))


def encode_route_advertisement(capsule: RouteAdvertisement) -> bytes:
    """Encode the value of ROUTE_ADVERTISEMENT.

    Raises:
        LocalProtocolError: a range is impossible, the order is wrong or ranges overlap.
    """
    pieces: list[bytes] = []
    for entry in capsule.ranges:
        if entry.start.version != entry.end.version or int(entry.start) > int(entry.end):
            raise LocalProtocolError("a route needs two addresses of one family in order")
        if not 0 <= entry.protocol <= _MAX_PROTOCOL:
            raise LocalProtocolError(f"{entry.protocol} is no IP protocol number")
        addresses = entry.start.packed + entry.end.packed
        pieces.append(bytes((entry.start.version, *addresses, entry.protocol)))
    if (problem := _order_problem(capsule.ranges)) is not None:
        raise LocalProtocolError(problem)
    return b"".join(pieces)


def _order_problem(ranges: Sequence[IpAddressRange]) -> str | None:
    """Return what RFC 9484 s4.7.3 has against this list of ranges, if anything."""
    for a, b in pairwise(ranges):
        order_a = (a.start.version, a.protocol)
        order_b = (b.start.version, b.protocol)
        # "The IP Version of A MUST be less than or equal to the IP Version of B", then the same
        # of the IP Protocol.
        if order_a > order_b:
            return "routes are not ordered by IP version and protocol"
        # "... the End IP Address of A MUST be strictly less than the Start IP Address of B."
        if order_a == order_b and int(a.end) >= int(b.start):
            return "routes are not ordered by address or overlap"
    # Ranges of protocol 0 "overlap in such a way" with those of any other protocol. Both are in
    # order by now, so only the last protocol-0 range that starts before the end can overlap.
    for version in (_IPV4, _IPV6):
        of_version = [entry for entry in ranges if entry.start.version == version]
        for_all = [entry for entry in of_version if entry.protocol == 0]
        starts = [int(entry.start) for entry in for_all]
        for entry in of_version[len(for_all) :]:
            index = bisect_left(starts, int(entry.end) + 1)
            if index > 0 and int(for_all[index - 1].end) >= int(entry.start):
                return "a route for one protocol overlaps a route for all protocols"
    return None


def _decode_address(version: int, data: Buffer, offset: int) -> tuple[IpAddress, int]:
    """Decode an address whose version is known."""
    # RFC 9484 s4.7: "It MUST be either 4 or 6."
    if version == _IPV4:
        end = offset + _IPV4_BYTES
    elif version == _IPV6:
        end = offset + _IPV6_BYTES
    else:
        raise DecodeError(f"IP version {version}")
    if end > len(data):
        raise DecodeError("IP address is truncated")
    packed = bytes(data[offset:end])
    return (IPv4Address(packed) if version == _IPV4 else IPv6Address(packed)), end


def _decode_prefix(data: Buffer, offset: int, *, tolerate_host_bits: bool) -> tuple[IpPrefix, int]:
    """Decode IP Version, IP Address and IP Prefix Length."""
    if offset >= len(data):
        raise DecodeError("IP version is missing")
    address, offset = _decode_address(data[offset], data, offset + 1)
    if offset >= len(data):
        raise DecodeError("IP prefix length is missing")
    length = data[offset]
    # RFC 9484 s4.7: "This MUST be less than or equal to the length of the IP Address field".
    if length > address.max_prefixlen:
        raise DecodeError(f"IPv{address.version} prefix length {length}")
    host_bits = int(address) & ((1 << (address.max_prefixlen - length)) - 1)
    if host_bits:
        # RFC 9484 s4.7: "the lower bits of the IP Address field that are not covered by the
        # prefix length MUST all be set to 0".
        if not tolerate_host_bits:
            raise DecodeError("host bits of a prefix are set")
        length = address.max_prefixlen
    if isinstance(address, IPv4Address):
        return IPv4Network((int(address), length)), offset + 1
    return IPv6Network((int(address), length)), offset + 1


def _encode_prefix(prefix: IpPrefix) -> bytes:
    """Encode IP Version, IP Address and IP Prefix Length."""
    return bytes((prefix.version, *prefix.network_address.packed, prefix.prefixlen))
