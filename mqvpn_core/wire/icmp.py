"""ICMP for both families: errors about a packet, and echo (RFC 792, RFC 1812 s4.3, RFC 4443).

Owns composing these messages as whole IP packets and the rules when an error must not be sent.
Knows nothing of rate limits (RFC 4443 s2.4 f), which need a clock,
nor of which address to send from.
"""

from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Final

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.address_capsules import IpAddress
from mqvpn_core.wire.code_points import (
    Icmpv4Type,
    Icmpv4UnreachableCode,
    Icmpv6Type,
    Icmpv6UnreachableCode,
    IpProtocol,
)
from mqvpn_core.wire.ip_addresses import is_multicast, is_reserved, is_single_host
from mqvpn_core.wire.ip_packets import (
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    IpHeader,
    decode_ip_header,
    internet_checksum,
)
from mqvpn_core.wire.varint import Buffer

ICMP_HEADER_BYTES: Final = 8
"""Length of an ICMP header, for errors and echo alike."""

MAX_ICMPV4_ERROR_BYTES: Final = 576
"""RFC 1812 s4.3.2.3: an ICMPv4 error quotes as much as fits a packet of 576 bytes."""

MAX_ICMPV6_ERROR_BYTES: Final = 1280
"""RFC 4443 s2.4 c: an ICMPv6 error quotes as much as fits the minimum IPv6 MTU."""

DEFAULT_HOP_LIMIT: Final = 64
"""Hop limit of packets of our own (RFC 1700)."""

_IPV4: Final = 4
_IPV4_HEADER: Final = Struct("!BBHHHBBH4s4s")
_IPV6_HEADER: Final = Struct("!IHBB16s16s")
_ICMP_HEADER: Final = Struct("!BBHI")
_ECHO_HEADER: Final = Struct("!BBHHH")
_IPV4_CHECKSUM_OFFSET: Final = 10
_ICMP_CHECKSUM_OFFSET: Final = 2
_IPV4_VERSION_AND_IHL: Final = 0x45
_IPV6_VERSION_WORD: Final = 6 << 28
# Identification 0 is fine as long as the packet may not be fragmented (RFC 6864 s4.1).
_IPV4_DONT_FRAGMENT: Final = 0x4000
# RFC 1812 s4.3.2.5: errors should have precedence 6, INTERNETWORK CONTROL.
_PRECEDENCE_INTERNETWORK_CONTROL: Final = 0xC0
_MAX_UINT16: Final = 0xFFFF
_MAX_UINT32: Final = 0xFFFFFFFF

_ICMPV4_ERRORS: Final = frozenset(
    {
        int(Icmpv4Type.DESTINATION_UNREACHABLE),
        int(Icmpv4Type.SOURCE_QUENCH),
        int(Icmpv4Type.REDIRECT),
        int(Icmpv4Type.TIME_EXCEEDED),
        int(Icmpv4Type.PARAMETER_PROBLEM),
    }
)
_ICMPV6_FIRST_INFORMATIONAL: Final = 128


class IcmpCause(Enum):
    """Why a packet was not forwarded; the value is type and code of ICMPv4, then of ICMPv6."""

    HOP_LIMIT_EXCEEDED = (Icmpv4Type.TIME_EXCEEDED, 0, Icmpv6Type.TIME_EXCEEDED, 0)
    """TTL or Hop Limit reached 0 in transit."""
    NO_ROUTE = (
        Icmpv4Type.DESTINATION_UNREACHABLE,
        Icmpv4UnreachableCode.NETWORK,
        Icmpv6Type.DESTINATION_UNREACHABLE,
        Icmpv6UnreachableCode.NO_ROUTE,
    )
    """No route to the destination."""
    PROHIBITED = (
        Icmpv4Type.DESTINATION_UNREACHABLE,
        Icmpv4UnreachableCode.COMMUNICATION_ADMINISTRATIVELY_PROHIBITED,
        Icmpv6Type.DESTINATION_UNREACHABLE,
        Icmpv6UnreachableCode.ADMINISTRATIVELY_PROHIBITED,
    )
    """Policy forbids the destination or protocol."""
    BAD_SOURCE = (
        Icmpv4Type.DESTINATION_UNREACHABLE,
        Icmpv4UnreachableCode.COMMUNICATION_ADMINISTRATIVELY_PROHIBITED,
        Icmpv6Type.DESTINATION_UNREACHABLE,
        Icmpv6UnreachableCode.SOURCE_ADDRESS_FAILED_POLICY,
    )
    """The sender may not use this source address."""
    ADDRESS_UNREACHABLE = (
        Icmpv4Type.DESTINATION_UNREACHABLE,
        Icmpv4UnreachableCode.HOST,
        Icmpv6Type.DESTINATION_UNREACHABLE,
        Icmpv6UnreachableCode.ADDRESS,
    )
    """There is a route, but nobody at the address."""
    PACKET_TOO_BIG = (
        Icmpv4Type.DESTINATION_UNREACHABLE,
        Icmpv4UnreachableCode.FRAGMENTATION_NEEDED,
        Icmpv6Type.PACKET_TOO_BIG,
        0,
    )
    """The packet exceeds the MTU of the next link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpEcho:
    """An echo request or reply of either family."""

    is_reply: bool
    """A reply rather than a request."""
    identifier: int
    """Chosen by the requester, 16 bits."""
    sequence_number: int
    """Chosen by the requester, 16 bits."""
    data: bytes
    """Whatever the requester sent; comes back unchanged."""


def may_send_icmp_error(packet: Buffer, header: IpHeader, cause: IcmpCause) -> bool:
    """Tell whether the RFCs allow an ICMP error about this packet.

    Args:
        packet: the packet.
        header: its decoded header.
        cause: what is to be reported.
    """
    # RFC 1812 s4.3.2.7 and RFC 4443 s2.4 e.6: not when the source "does not uniquely identify a
    # single node".
    if not is_single_host(header.source):
        return False
    if is_icmp_error(packet, header):
        return False
    if header.version == _IPV4:
        # RFC 1812 s4.3.2.7: nor for broadcast and multicast destinations, nor about any fragment
        # but the first.
        return not (
            is_multicast(header.destination)
            or is_reserved(header.destination)
            or header.is_later_fragment
        )
    # RFC 4443 s2.4 e.3: nor for multicast destinations, but for Packet Too Big.
    return cause is IcmpCause.PACKET_TOO_BIG or not is_multicast(header.destination)


def is_icmp_error(packet: Buffer, header: IpHeader) -> bool:
    """Tell whether a packet is an ICMP error or redirect, or may be one for all we can see."""
    if header.version == _IPV4:
        if header.protocol != IpProtocol.ICMP:
            return False
    elif header.protocol != IpProtocol.ICMPV6:
        return False
    if header.is_later_fragment or header.payload_offset >= header.total_length:
        return True
    icmp_type = packet[header.payload_offset]
    if header.version == _IPV4:
        return icmp_type in _ICMPV4_ERRORS
    # RFC 4443 s2.1: error messages have a zero in the high-order bit; s2.4 e.2 adds redirects.
    return icmp_type < _ICMPV6_FIRST_INFORMATIONAL or icmp_type == Icmpv6Type.REDIRECT


def compose_icmp_error(
    cause: IcmpCause, packet: Buffer, source: IpAddress, *, mtu: int = 0
) -> bytes | None:
    """Compose the ICMP error that tells the sender of a packet why it was not forwarded.

    Args:
        cause: what went wrong.
        packet: the packet; its start is quoted.
        source: our own address, of the packet's family.
        mtu: largest packet that would have passed, for PACKET_TOO_BIG; 0 for the others.

    Returns:
        A whole IP packet, or None where the RFCs forbid to send an error.

    Raises:
        DecodeError: the packet is not an IP packet.
        LocalProtocolError: the source is of the other family or the MTU does not fit.
    """
    header = decode_ip_header(packet)
    if header.version != source.version:
        raise LocalProtocolError("an ICMP error needs a source of the packet's family")
    if (mtu != 0) != (cause is IcmpCause.PACKET_TOO_BIG):
        raise LocalProtocolError("an MTU belongs to PACKET_TOO_BIG, and to nothing else")
    if not may_send_icmp_error(packet, header, cause):
        return None
    v4_type, v4_code, v6_type, v6_code = cause.value
    whole = packet[: header.total_length]
    if header.version == _IPV4:
        quoted = whole[: MAX_ICMPV4_ERROR_BYTES - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES]
        # RFC 1191 s4: the next-hop MTU is the low half of a word that is otherwise unused.
        if not 0 <= mtu <= _MAX_UINT16:
            raise LocalProtocolError(f"MTU {mtu} does not fit ICMPv4")
        message = _ICMP_HEADER.pack(v4_type, v4_code, 0, mtu) + quoted
        return _wrap_icmpv4(
            message, source.packed, header.source, traffic_class=_PRECEDENCE_INTERNETWORK_CONTROL
        )
    quoted = whole[: MAX_ICMPV6_ERROR_BYTES - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES]
    if not 0 <= mtu <= _MAX_UINT32:
        raise LocalProtocolError(f"MTU {mtu} does not fit ICMPv6")
    message = _ICMP_HEADER.pack(v6_type, v6_code, 0, mtu) + quoted
    return _wrap_icmpv6(message, source.packed, header.source)


def decode_icmp_echo(packet: Buffer, header: IpHeader) -> IcmpEcho | None:
    """Decode an echo request or reply.

    Returns:
        The message, or None when the packet is anything else, a fragment included.

    Raises:
        DecodeError: it says echo, but is truncated or has a wrong checksum.
    """
    offset, end = header.payload_offset, header.total_length
    if header.is_fragment or offset >= end:
        return None
    icmp_type = packet[offset]
    if header.version == _IPV4:
        types = (int(Icmpv4Type.ECHO_REQUEST), int(Icmpv4Type.ECHO_REPLY))
        is_icmp, pseudo_header = header.protocol == IpProtocol.ICMP, b""
    else:
        types = (int(Icmpv6Type.ECHO_REQUEST), int(Icmpv6Type.ECHO_REPLY))
        is_icmp = header.protocol == IpProtocol.ICMPV6
        pseudo_header = _pseudo_header(header.source, header.destination, end - offset)
    if not is_icmp or icmp_type not in types:
        return None
    if end - offset < ICMP_HEADER_BYTES:
        raise DecodeError("ICMP echo is truncated")
    message = bytes(packet[offset:end])
    if internet_checksum(pseudo_header + message):
        raise DecodeError("ICMP echo has a wrong checksum")
    _, _, _, identifier, sequence_number = _ECHO_HEADER.unpack_from(message)
    return IcmpEcho(
        is_reply=icmp_type == types[1],
        identifier=identifier,
        sequence_number=sequence_number,
        data=message[ICMP_HEADER_BYTES:],
    )


def compose_icmp_echo(echo: IcmpEcho, source: IpAddress, destination: IpAddress) -> bytes:
    """Compose an echo request or reply as a whole IP packet.

    Raises:
        LocalProtocolError: the addresses are of different families, or a number or the data are too
            large.
    """
    if source.version != destination.version:
        raise LocalProtocolError("an echo needs two addresses of one family")
    if not 0 <= echo.identifier <= _MAX_UINT16 or not 0 <= echo.sequence_number <= _MAX_UINT16:
        raise LocalProtocolError("identifier and sequence number of an echo have 16 bits")
    if len(echo.data) > _MAX_UINT16 - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES:
        raise LocalProtocolError(f"{len(echo.data)} bytes do not fit an echo")
    if source.version == _IPV4:
        icmp_type = int(Icmpv4Type.ECHO_REPLY if echo.is_reply else Icmpv4Type.ECHO_REQUEST)
    else:
        icmp_type = int(Icmpv6Type.ECHO_REPLY if echo.is_reply else Icmpv6Type.ECHO_REQUEST)
    head = _ECHO_HEADER.pack(icmp_type, 0, 0, echo.identifier, echo.sequence_number)
    if source.version == _IPV4:
        return _wrap_icmpv4(head + echo.data, source.packed, destination.packed, traffic_class=0)
    return _wrap_icmpv6(head + echo.data, source.packed, destination.packed)


def _wrap_icmpv4(message: bytes, source: bytes, destination: bytes, *, traffic_class: int) -> bytes:
    """Put checksum and IPv4 header to a message whose checksum field is 0."""
    header = _IPV4_HEADER.pack(
        _IPV4_VERSION_AND_IHL,
        traffic_class,
        IPV4_HEADER_BYTES + len(message),
        0,
        _IPV4_DONT_FRAGMENT,
        DEFAULT_HOP_LIMIT,
        IpProtocol.ICMP,
        0,
        source,
        destination,
    )
    header = _with_checksum(header, _IPV4_CHECKSUM_OFFSET, internet_checksum(header))
    return header + _with_checksum(message, _ICMP_CHECKSUM_OFFSET, internet_checksum(message))


def _wrap_icmpv6(message: bytes, source: bytes, destination: bytes) -> bytes:
    """Put checksum and IPv6 header to a message whose checksum field is 0."""
    pseudo_header = _pseudo_header(source, destination, len(message))
    header = _IPV6_HEADER.pack(
        _IPV6_VERSION_WORD,
        len(message),
        IpProtocol.ICMPV6,
        DEFAULT_HOP_LIMIT,
        source,
        destination,
    )
    checksum = internet_checksum(pseudo_header + message)
    return header + _with_checksum(message, _ICMP_CHECKSUM_OFFSET, checksum)


def _pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    """Return what an ICMPv6 checksum covers besides the message (RFC 8200 s8.1)."""
    return source + destination + length.to_bytes(4, "big") + bytes((0, 0, 0, IpProtocol.ICMPV6))


def _with_checksum(data: bytes, offset: int, checksum: int) -> bytes:
    return data[:offset] + checksum.to_bytes(2, "big") + data[offset + 2 :]
