"""Which packets belong to one flow."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqvpn_core.wire.ip_packets import flow_key
from tests.unit.wire.packets import Rare, extension_header, fragment_header, ipv4, ipv6

TCP, UDP, SCTP, ICMP, ESP = 6, 17, 132, 1, 50


def ports(source: int, destination: int, rest: bytes = bytes(16)) -> bytes:
    return source.to_bytes(2, "big") + destination.to_bytes(2, "big") + rest


BASE4 = ipv4(protocol=TCP, payload=ports(1000, 443))
BASE6 = ipv6(next_header=TCP, payload=ports(1000, 443))


@pytest.mark.parametrize(
    ("packet", "other"),
    [
        (BASE4, ipv4(protocol=TCP, payload=ports(1000, 443, b"other" * 200))),
        (BASE4, ipv4(protocol=TCP, ttl=9, payload=ports(1000, 443))),
        (BASE4, ipv4(protocol=TCP, payload=ports(1000, 443), rare=Rare(traffic_class=0xB8))),
        (BASE4, ipv4(protocol=TCP, payload=ports(1000, 443), rare=Rare(fragment_field=0))),
        (BASE6, ipv6(next_header=TCP, hop_limit=9, payload=ports(1000, 443, b"other"))),
        (BASE6, ipv6(next_header=TCP, traffic_class=0xB8, payload=ports(1000, 443))),
        (ipv4(protocol=ICMP, payload=b"\x08\0"), ipv4(protocol=ICMP, payload=b"\x00\0")),
        (ipv6(next_header=58, payload=b"\x80"), ipv6(next_header=58, payload=b"\x81")),
    ],
)
def test_packets_of_one_flow(packet: bytes, other: bytes) -> None:
    assert flow_key(packet) == flow_key(other)


def test_flows_are_told_apart() -> None:
    packets = [
        BASE4,
        ipv4(protocol=TCP, payload=ports(1001, 443)),
        ipv4(protocol=TCP, payload=ports(1000, 444)),
        ipv4(protocol=UDP, payload=ports(1000, 443)),
        ipv4(protocol=SCTP, payload=ports(1000, 443)),
        ipv4("192.0.2.9", protocol=TCP, payload=ports(1000, 443)),
        ipv4(destination="192.0.2.9", protocol=TCP, payload=ports(1000, 443)),
        ipv4(protocol=ESP),
        ipv4("192.0.2.9", protocol=ESP),
        BASE6,
        ipv6(next_header=TCP, payload=ports(1001, 443)),
        ipv6(next_header=UDP, payload=ports(1000, 443)),
        ipv6("2001:db8::9", next_header=TCP, payload=ports(1000, 443)),
        ipv6(next_header=ESP),
        ipv6("2001:db8::9", next_header=ESP),
    ]
    for one, other in combinations(packets, 2):
        assert flow_key(one) != flow_key(other)


def test_fragments_go_by_their_addresses() -> None:
    first = ipv4(payload=ports(1000, 53), rare=Rare(fragment_field=0x2000))
    middle = ipv4(payload=b"\xff" * 30, rare=Rare(fragment_field=0x2010))
    last = ipv4(payload=b"\xee" * 30, rare=Rare(fragment_field=0x0020))
    high = ipv4(payload=b"\xee" * 30, rare=Rare(fragment_field=0x0100))
    assert len({flow_key(packet) for packet in (first, middle, last, high)}) == 1
    assert flow_key(first) != flow_key(ipv4(payload=ports(1000, 53)))
    six = [
        ipv6(
            next_header=44,
            payload=fragment_header(17, offset, more=offset < 20) + ports(offset, offset),
        )
        for offset in (0, 10, 20)
    ]
    assert len(set(map(flow_key, six))) == 1


def test_behind_options_and_extension_headers_only_addresses_count() -> None:
    options = Rare(options=bytes(4))
    assert flow_key(ipv4(payload=ports(1, 2), rare=options)) == flow_key(
        ipv4(payload=ports(3, 4), rare=options)
    )
    one, other = (
        ipv6(next_header=0, payload=extension_header(17) + ports(number, 2)) for number in (1, 3)
    )
    assert flow_key(one) == flow_key(other)


@given(st.binary(max_size=60))
def test_any_bytes_have_a_key(data: bytes) -> None:
    assert flow_key(data) == flow_key(bytes(data))
