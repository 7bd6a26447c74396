"""What kind of address a packet names: predicates over packed addresses.

Owns the special address blocks that matter to a tunnel (RFC 6890, RFC 4291, RFC 1112). Works on the
4 or 16 bytes of the header, because it runs for every packet; the length tells the family.
"""

from typing import Final

_IPV4_BYTES: Final = 4
_IPV4_MULTICAST: Final = range(0xE0, 0xF0)
_IPV4_LOOPBACK: Final = 127
_IPV4_LIMITED_BROADCAST: Final = b"\xff\xff\xff\xff"
_IPV4_RESERVED_FROM: Final = 0xF0
_IPV4_LINK_LOCAL: Final = b"\xa9\xfe"
_IPV6_MULTICAST: Final = 0xFF
_IPV6_LOOPBACK: Final = bytes(15) + b"\x01"
_IPV6_LINK_LOCAL: Final = 0xFE80
_IPV6_LINK_LOCAL_MASK: Final = 0xFFC0


def is_unspecified(address: bytes) -> bool:
    """0.0.0.0/8 ("this network", RFC 6890) or ``::``."""
    if len(address) == _IPV4_BYTES:
        return address[0] == 0
    return not any(address)


def is_loopback(address: bytes) -> bool:
    """127.0.0.0/8 or ``::1``."""
    if len(address) == _IPV4_BYTES:
        return address[0] == _IPV4_LOOPBACK
    return address == _IPV6_LOOPBACK


def is_multicast(address: bytes) -> bool:
    """224.0.0.0/4 or ff00::/8."""
    if len(address) == _IPV4_BYTES:
        return address[0] in _IPV4_MULTICAST
    return address[0] == _IPV6_MULTICAST


def is_reserved(address: bytes) -> bool:
    """240.0.0.0/4, which includes the limited broadcast address; nothing in IPv6."""
    return len(address) == _IPV4_BYTES and address[0] >= _IPV4_RESERVED_FROM


def is_limited_broadcast(address: bytes) -> bool:
    """255.255.255.255; nothing in IPv6."""
    return address == _IPV4_LIMITED_BROADCAST


def is_link_local(address: bytes) -> bool:
    """Unicast that no router forwards: 169.254.0.0/16 or fe80::/10."""
    if len(address) == _IPV4_BYTES:
        return address.startswith(_IPV4_LINK_LOCAL)
    return (address[0] << 8 | address[1]) & _IPV6_LINK_LOCAL_MASK == _IPV6_LINK_LOCAL


def is_single_host(address: bytes) -> bool:
    """The address names one node that a reply may be sent to."""
    return not (
        is_unspecified(address)
        or is_loopback(address)
        or is_multicast(address)
        or is_reserved(address)
    )
