"""What counts as a leak."""

import struct
from ipaddress import ip_address

import pytest

from benchmarks.leak_capture import MARK, asks_for_names, objection

SERVERS = frozenset({"203.0.113.2", "2001:db8:3::2"})


def packet(protocol: int, destination: str, payload: bytes) -> bytes:
    address = ip_address(destination)
    if address.version == 4:
        start = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
        return start + bytes(4) + address.packed + payload
    return (
        struct.pack(">IHBB", 6 << 28, len(payload), protocol, 255)
        + bytes(16)
        + (address.packed + payload)
    )


def udp(source: int, port: int, data: bytes = b"x") -> bytes:
    return struct.pack(">4H", source, port, 8 + len(data), 0) + data


@pytest.mark.parametrize(
    "allowed",
    [
        packet(17, "203.0.113.2", udp(4000, 443)),
        packet(17, "2001:db8:3::2", udp(4000, 443)),
        packet(17, "255.255.255.255", udp(68, 67)),
        packet(17, "ff02::1:2", udp(546, 547)),
        packet(58, "ff02::2", bytes([133, 0, 0, 0])),
        packet(58, "fe80::1", bytes([136, 0, 0, 0])),
        packet(0, "ff02::16", bytes([58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0])),
    ],
)
def test_what_may_leave(allowed: bytes) -> None:
    assert objection(allowed, SERVERS, 443) is None


@pytest.mark.parametrize(
    ("leaked", "what"),
    [
        (packet(17, "203.0.113.2", udp(4000, 443, b"x" + MARK)), "UDP to 203.0.113.2 port 443"),
        (packet(17, "203.0.113.2", udp(4000, 53)), "UDP to 203.0.113.2 port 53"),
        (packet(17, "203.0.113.9", udp(4000, 443)), "UDP to 203.0.113.9 port 443"),
        (packet(6, "203.0.113.2", udp(4000, 443)), "TCP to 203.0.113.2 port 443"),
        (packet(6, "2001:db8::9", udp(4000, 80)), "TCP to 2001:db8::9 port 80"),
        (packet(1, "203.0.113.2", bytes([8, 0, 0, 0])), "ICMP to 203.0.113.2 port 0"),
        (packet(58, "2001:db8::9", bytes([128, 0, 0, 0])), "ICMPv6 to 2001:db8::9 port 0"),
        (packet(2, "224.0.0.22", bytes(8)), "IGMP to 224.0.0.22 port 0"),
        (packet(47, "203.0.113.2", bytes(4)), "protocol 47 to 203.0.113.2 port 0"),
    ],
)
def test_what_may_not(leaked: bytes, what: str) -> None:
    assert objection(leaked, SERVERS, 443) == what


def test_questions_for_names() -> None:
    assert asks_for_names(packet(17, "192.0.2.1", udp(4000, 53)))
    assert asks_for_names(packet(6, "2001:db8::1", udp(4000, 53)))
    assert asks_for_names(packet(17, "224.0.0.251", udp(5353, 5353)))
    assert not asks_for_names(packet(17, "192.0.2.1", udp(53, 4000)))
    assert not asks_for_names(packet(1, "192.0.2.1", udp(4000, 53)))
