"""IP packets for tests, built field by field and independently of the code under test."""

from ipaddress import ip_address
from struct import pack
from typing import NamedTuple

UDP = bytes.fromhex("1f90 0035 000c 0000 61626364")


def checksum(data: bytes) -> int:
    """The Internet checksum as RFC 1071 s4.1 writes it: add words, fold carries, complement."""
    if len(data) % 2:
        data += b"\x00"
    total = 0
    for index in range(0, len(data), 2):
        total += data[index] << 8 | data[index + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Rare(NamedTuple):
    """IPv4 fields that few tests care about."""

    fragment_field: int = 0x4000
    traffic_class: int = 0
    options: bytes = b""


PLAIN = Rare()


def ipv4(
    source: str = "192.0.2.1",
    destination: str = "198.51.100.2",
    *,
    protocol: int = 17,
    ttl: int = 64,
    payload: bytes = UDP,
    rare: Rare = PLAIN,
) -> bytes:
    header = pack(
        "!BBHHHBBH4s4s",
        0x45 + len(rare.options) // 4,
        rare.traffic_class,
        20 + len(rare.options) + len(payload),
        0x1234,
        rare.fragment_field,
        ttl,
        protocol,
        0,
        ip_address(source).packed,
        ip_address(destination).packed,
    )
    header += rare.options
    return header[:10] + pack("!H", checksum(header)) + header[12:] + payload


def ipv6(
    source: str = "2001:db8::1",
    destination: str = "2001:db8::2",
    *,
    next_header: int = 17,
    hop_limit: int = 64,
    traffic_class: int = 0,
    payload: bytes = UDP,
) -> bytes:
    return (
        pack("!IHBB", 6 << 28 | traffic_class << 20 | 0xABCDE, len(payload), next_header, hop_limit)
        + ip_address(source).packed
        + ip_address(destination).packed
        + payload
    )


def extension_header(following: int, words: int = 0) -> bytes:
    """A hop-by-hop, routing or destination options header of 8 + 8 * words bytes."""
    return bytes((following, words)) + bytes(6 + 8 * words)


def fragment_header(following: int, offset: int = 0, *, more: bool = False) -> bytes:
    """Offset in units of 8 bytes."""
    return pack("!BBHI", following, 0, offset << 3 | more, 0x55AA55AA)
