"""IP packets as the tunnel sees them: one look at the header, hop limit, checksums.

Owns decoding of the fixed IPv4 header (RFC 791), the IPv6 header with its extension headers
(RFC 8200) and the arithmetic of the Internet checksum (RFC 1071). Knows nothing of policy. Runs for
every packet, hence a NamedTuple of bytes and integers instead of address objects.
"""

from struct import Struct
from typing import Final, NamedTuple

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.code_points import IpProtocol
from mqvpn_core.wire.varint import Buffer

IPV4_HEADER_BYTES: Final = 20
"""Length of an IPv4 header without options."""

IPV6_HEADER_BYTES: Final = 40
"""Length of the fixed IPv6 header."""

MAX_EXTENSION_HEADERS: Final = 16
"""IPv6 extension headers we walk past; more make a packet undecodable, to bound the work."""

_IPV4: Final = 4
_IPV6: Final = 6
_IPV4_HEADER: Final = Struct("!xBHxxHBBxx4s4s")
_IPV6_HEADER: Final = Struct("!IHBB16s16s")
_IPV4_TTL_FIELDS: Final = Struct("!BBH")
_TTL_OFFSET: Final = 8
_ECN: Final = 0b11
_IPV6_ECN: Final = 0b11 << 4
_MIN_IHL: Final = 0x45  # version 4, five words

_DONT_FRAGMENT: Final = 0x4000
_MORE_FRAGMENTS: Final = 0x2000
_FRAGMENT_OFFSET_MASK: Final = 0x1FFF
_EXTENSION_HEADER_MIN_BYTES: Final = 8
_CHECKSUM_MODULUS: Final = 0xFFFF
_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(256))
_TTL_STEP: Final = 0x0100  # TTL is the high byte of its 16-bit word

# Plain integers: comparing with members of an IntEnum is several times slower.
_FRAGMENT: Final = int(IpProtocol.IPV6_FRAGMENT)
_AUTHENTICATION: Final = int(IpProtocol.AUTHENTICATION_HEADER)
_EXTENSION_HEADERS: Final = frozenset(
    {
        # RFC 8200 s4 and the IANA list of IPv6 extension header types. ESP is missing on purpose:
        # nothing behind it can be read, so it is what a scope or route has to name.
        int(IpProtocol.HOP_BY_HOP_OPTIONS),
        int(IpProtocol.IPV6_ROUTING),
        _FRAGMENT,
        _AUTHENTICATION,
        int(IpProtocol.DESTINATION_OPTIONS),
        int(IpProtocol.MOBILITY),
        int(IpProtocol.HOST_IDENTITY),
        int(IpProtocol.SHIM6),
    }
)


# TCP, UDP, DCCP (RFC 4340), SCTP (RFC 9260), UDP-Lite (RFC 3828).
_PROTOCOLS_WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
_FRAGMENT_HIGH_BYTE: Final = (_MORE_FRAGMENTS | _FRAGMENT_OFFSET_MASK) >> 8


class IpHeader(NamedTuple):
    """What the tunnel needs to know of a packet."""

    version: int
    """4 or 6."""
    traffic_class: int
    """DSCP and ECN: the second byte of IPv4, Traffic Class of IPv6."""
    total_length: int
    """Bytes of the packet; never more than there are, but trailing bytes may follow it."""
    hop_limit: int
    """TTL or Hop Limit."""
    protocol: int
    """IPv4 Protocol, or the outermost IPv6 next header that is no extension header."""
    source: bytes
    """Source address, 4 or 16 bytes; bytes of one family compare like addresses."""
    destination: bytes
    """Destination address, likewise."""
    payload_offset: int
    """Where the upper layer starts: behind IPv4 options and IPv6 extension headers."""
    fragment_field: int
    """Flags and offset as IPv4 has them; for IPv6 put into the same form, "don't fragment" set."""

    @property
    def dscp(self) -> int:
        """Differentiated services code point."""
        return self.traffic_class >> 2

    @property
    def ecn(self) -> int:
        """ECN codepoint, 0 to 3."""
        return self.traffic_class & 0b11

    @property
    def may_be_fragmented(self) -> bool:
        """A router may split this packet: IPv4 without "don't fragment"."""
        return not self.fragment_field & _DONT_FRAGMENT

    @property
    def is_fragment(self) -> bool:
        """The packet is one of several fragments."""
        return bool(self.fragment_field & (_MORE_FRAGMENTS | _FRAGMENT_OFFSET_MASK))

    @property
    def is_later_fragment(self) -> bool:
        """The packet is a fragment without the upper-layer header."""
        return bool(self.fragment_field & _FRAGMENT_OFFSET_MASK)


def decode_ip_header(packet: Buffer) -> IpHeader:
    """Decode the header of an IP packet.

    The IPv4 header checksum is not verified, see ``has_valid_header_checksum``.

    Raises:
        DecodeError: it is no complete IPv4 or IPv6 packet.
    """
    available = len(packet)
    if not available:
        raise DecodeError("IP packet is empty")
    first = packet[0]
    if first >> 4 == _IPV6:
        return _decode_ipv6(packet, available)
    if first >> 4 != _IPV4:
        raise DecodeError(f"IP version {first >> 4}")
    if available < IPV4_HEADER_BYTES:
        raise DecodeError("IPv4 header is truncated")
    traffic_class, total_length, fragment_field, hop_limit, protocol, source, destination = (
        _IPV4_HEADER.unpack_from(packet)
    )
    header_length = (first & 0x0F) * 4
    # RFC 1812 s5.2.2: the header is at least 20 bytes, the total length covers it, and the link
    # delivered that much.
    if first < _MIN_IHL or header_length > total_length or total_length > available:
        raise DecodeError("IPv4 header length or total length is impossible")
    return IpHeader(
        _IPV4,
        traffic_class,
        total_length,
        hop_limit,
        protocol,
        source,
        destination,
        header_length,
        fragment_field,
    )


def _decode_ipv6(packet: Buffer, available: int) -> IpHeader:
    if available < IPV6_HEADER_BYTES:
        raise DecodeError("IPv6 header is truncated")
    word, payload_length, protocol, hop_limit, source, destination = _IPV6_HEADER.unpack_from(
        packet
    )
    total_length = payload_length + IPV6_HEADER_BYTES
    if total_length > available:
        raise DecodeError("IPv6 payload length is impossible")
    offset = IPV6_HEADER_BYTES
    fragment_field = _DONT_FRAGMENT
    if protocol in _EXTENSION_HEADERS:
        protocol, offset, fragment_field = _walk_extension_headers(packet, protocol, total_length)
    return IpHeader(
        _IPV6,
        word >> 20 & 0xFF,
        total_length,
        hop_limit,
        protocol,
        source,
        destination,
        offset,
        fragment_field,
    )


def _walk_extension_headers(packet: Buffer, header: int, end: int) -> tuple[int, int, int]:
    """Find the outermost header that is no extension header (RFC 9484 s4.8).

    Args:
        packet: an IPv6 packet.
        header: its first Next Header.
        end: total length of the packet.

    Returns:
        Protocol, offset of what it names, and the fragment field.
    """
    offset = IPV6_HEADER_BYTES
    fragment_field = _DONT_FRAGMENT
    for _ in range(MAX_EXTENSION_HEADERS):
        if offset + _EXTENSION_HEADER_MIN_BYTES > end:
            raise DecodeError("IPv6 extension header is truncated")
        following = packet[offset]
        if header == _FRAGMENT:
            word = packet[offset + 2] << 8 | packet[offset + 3]
            fragment_field = _DONT_FRAGMENT | (word & 1) * _MORE_FRAGMENTS | word >> 3
            length = _EXTENSION_HEADER_MIN_BYTES
        elif header == _AUTHENTICATION:
            # RFC 4302 s2.2: in 4-byte words, minus 2.
            length = (packet[offset + 1] + 2) * 4
        else:
            # RFC 8200 s4: in 8-byte words, not counting the first.
            length = (packet[offset + 1] + 1) * 8
        offset += length
        if offset > end:
            raise DecodeError("IPv6 extension header is truncated")
        header = following
        # A later fragment holds no headers, only the number of the first that was cut off.
        if header not in _EXTENSION_HEADERS or fragment_field & _FRAGMENT_OFFSET_MASK:
            return header, offset, fragment_field
    raise DecodeError("too many IPv6 extension headers")


def flow_key(packet: bytes) -> int:
    """Hash what tells one flow from others: addresses, protocol and ports.

    Fragments have no ports to look at, so that all of them go by their addresses alone; so does
    what lies behind IPv4 options or IPv6 extension headers. Never raises, whatever the bytes.
    """
    if len(packet) < IPV4_HEADER_BYTES:
        return 0
    first = packet[0]
    if first == _MIN_IHL:
        protocol = packet[9]
        if protocol in _PROTOCOLS_WITH_PORTS and not (packet[6] & _FRAGMENT_HIGH_BYTE or packet[7]):
            return hash(packet[12:24]) + protocol
        return hash(packet[12:20])
    if first >> 4 == _IPV6:
        protocol = packet[6]
        if protocol in _PROTOCOLS_WITH_PORTS:
            return hash(packet[8:44]) + protocol
        return hash(packet[8:40])
    return hash(packet[12:20])


def with_congestion_mark(packet: bytes) -> bytes | None:
    """Return the packet with "congestion experienced" (RFC 3168 s5), IPv4 checksum updated.

    None when its sender does not understand the mark, or it is no IP packet. Never raises,
    whatever the bytes.
    """
    if len(packet) < IPV4_HEADER_BYTES:
        return None
    version = packet[0] >> 4
    if version == _IPV6:
        traffic_class = packet[1]
        if not traffic_class & _IPV6_ECN:
            return None
        return b"".join((packet[:1], _ONE_BYTE[traffic_class | _IPV6_ECN], packet[2:]))
    tos = packet[1]
    if version != _IPV4 or not tos & _ECN:
        return None
    if tos & _ECN == _ECN:
        return packet
    # RFC 1624: HC' = ~(~HC + ~m + m'), and m' - m is the change of the last two bits.
    checksum = 0xFFFF - int.from_bytes(packet[10:12], "big") + (tos | _ECN) - tos
    checksum = 0xFFFF - (checksum % 0xFFFF or 0xFFFF)
    return b"".join(
        (
            packet[:1],
            _ONE_BYTE[tos | _ECN],
            packet[2:10],
            checksum.to_bytes(2, "big"),
            packet[12:],
        )
    )


def with_decremented_hop_limit(packet: Buffer) -> bytes:
    """Return the packet with TTL or Hop Limit one lower and its IPv4 checksum updated.

    The packet must have passed ``decode_ip_header``.

    Raises:
        LocalProtocolError: the hop limit is 0 already.
    """
    if packet[0] >> 4 == _IPV6:
        hop_limit = packet[7]
        if not hop_limit:
            raise LocalProtocolError("hop limit is 0")
        return b"".join((packet[:7], _ONE_BYTE[hop_limit - 1], packet[8:]))
    fields = _decremented_ttl_fields(packet)
    return b"".join((packet[:_TTL_OFFSET], fields, packet[_TTL_OFFSET + len(fields) :]))


def decrement_hop_limit(packet: bytearray | memoryview) -> None:
    """Do in place what ``with_decremented_hop_limit`` does with a copy; same conditions."""
    if packet[0] >> 4 == _IPV6:
        if not packet[7]:
            raise LocalProtocolError("hop limit is 0")
        packet[7] -= 1
        return
    fields = _decremented_ttl_fields(packet)
    packet[_TTL_OFFSET : _TTL_OFFSET + len(fields)] = fields


def _decremented_ttl_fields(packet: Buffer) -> bytes:
    """Return TTL, Protocol and Header Checksum as they are to be, one hop on."""
    hop_limit, protocol, checksum = _IPV4_TTL_FIELDS.unpack_from(packet, _TTL_OFFSET)
    if not hop_limit:
        raise LocalProtocolError("TTL is 0")
    # RFC 1624: the word with the TTL falls by 0x0100, so the complement of the sum grows by it.
    checksum += _TTL_STEP
    if checksum >= _CHECKSUM_MODULUS:
        checksum -= _CHECKSUM_MODULUS
    return _IPV4_TTL_FIELDS.pack(hop_limit - 1, protocol, checksum)


def internet_checksum(data: Buffer) -> int:
    """Return the Internet checksum of the data (RFC 1071); 0 when it contains a correct one."""
    # 2**16 is 1 modulo 0xffff, so the one's complement sum of all words is the number that the
    # bytes spell, modulo 0xffff.
    number = int.from_bytes(data, "big")
    if len(data) % 2:
        number <<= 8
    # A sum of 0xffff and a sum of 0 have the same remainder; only all-zero data sum up to 0.
    return _CHECKSUM_MODULUS - (number % _CHECKSUM_MODULUS or (_CHECKSUM_MODULUS if number else 0))


def has_valid_header_checksum(packet: Buffer) -> bool:
    """Tell whether the header checksum is right; always for IPv6, which has none.

    The packet must have passed ``decode_ip_header``.
    """
    first = packet[0]
    if first >> 4 == _IPV6:
        return True
    # A header is never all zero, so remainder 0 means that the words sum up to 0xffff.
    return not int.from_bytes(packet[: (first & 0x0F) * 4], "big") % _CHECKSUM_MODULUS
