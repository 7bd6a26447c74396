"""ICMP: codes, quotes, checksums, and when silence is the rule."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.icmp import (
    IcmpCause,
    IcmpEcho,
    compose_icmp_echo,
    compose_icmp_error,
    decode_icmp_echo,
    is_icmp_error,
)
from mqvpn_core.wire.ip_packets import decode_ip_header, has_valid_header_checksum
from tests.unit.wire.packets import (
    Rare,
    checksum,
    extension_header,
    fragment_header,
    ipv4,
    ipv6,
)

ROUTER4 = IPv4Address("203.0.113.1")
ROUTER6 = IPv6Address("2001:db8:ffff::1")
ICMP, ICMPV6, FRAGMENT = 1, 58, 44


def error(cause: IcmpCause, packet: bytes, mtu: int = 0) -> bytes | None:
    source = ROUTER4 if packet[0] >> 4 == 4 else ROUTER6
    return compose_icmp_error(cause, packet, source, mtu=mtu)


def icmpv6_checksum(packet: bytes) -> int:
    """Sum over pseudo-header and message; 0 when the checksum in it is right."""
    length = len(packet) - 40
    return checksum(packet[8:40] + length.to_bytes(4, "big") + b"\0\0\0\x3a" + packet[40:])


@pytest.mark.parametrize(
    ("cause", "mtu", "icmpv4", "icmpv6"),
    [
        (IcmpCause.HOP_LIMIT_EXCEEDED, 0, "0b00", "0300"),
        (IcmpCause.NO_ROUTE, 0, "0300", "0100"),
        (IcmpCause.PROHIBITED, 0, "030d", "0101"),
        (IcmpCause.BAD_SOURCE, 0, "030d", "0105"),
        (IcmpCause.ADDRESS_UNREACHABLE, 0, "0301", "0103"),
        (IcmpCause.PACKET_TOO_BIG, 1280, "0304", "0200"),
    ],
)
def test_checklist_55_types_and_codes(cause: IcmpCause, mtu: int, icmpv4: str, icmpv6: str) -> None:
    offending = ipv4()
    answer = error(cause, offending, mtu)
    assert answer is not None
    assert answer[20:22].hex() == icmpv4
    assert answer[24:] == mtu.to_bytes(4, "big") + offending
    offending = ipv6()
    answer = error(cause, offending, mtu)
    assert answer is not None
    assert answer[40:42].hex() == icmpv6
    assert answer[44:] == mtu.to_bytes(4, "big") + offending


def test_an_icmpv4_error_is_a_correct_packet() -> None:
    answer = error(IcmpCause.NO_ROUTE, ipv4())
    assert answer is not None
    header = decode_ip_header(answer)
    assert header.source == ROUTER4.packed
    assert header.destination == ip_address("192.0.2.1").packed
    assert (header.protocol, header.hop_limit, header.traffic_class) == (ICMP, 64, 0xC0)
    assert header.total_length == len(answer)
    assert has_valid_header_checksum(answer)
    assert checksum(answer[20:]) == 0


def test_an_icmpv6_error_is_a_correct_packet() -> None:
    answer = error(IcmpCause.NO_ROUTE, ipv6())
    assert answer is not None
    header = decode_ip_header(answer)
    assert header.source == ROUTER6.packed
    assert header.destination == ip_address("2001:db8::1").packed
    assert (header.protocol, header.hop_limit, header.total_length) == (ICMPV6, 64, len(answer))
    assert icmpv6_checksum(answer) == 0


@pytest.mark.parametrize("size", [0, 500, 527, 528, 529, 1191, 1192, 1193, 1400])
def test_quotes_are_as_long_as_the_rfcs_allow(size: int) -> None:
    for offending, header_bytes, limit in (
        (ipv4(payload=bytes(size)), 28, 576),
        (ipv6(payload=bytes(size)), 48, 1280),
    ):
        answer = error(IcmpCause.HOP_LIMIT_EXCEEDED, offending)
        assert answer is not None
        assert len(answer) == min(limit, header_bytes + len(offending))
        assert offending.startswith(answer[header_bytes:])


def test_bytes_behind_the_packet_are_not_quoted() -> None:
    answer = error(IcmpCause.NO_ROUTE, ipv4() + b"padding")
    assert answer is not None
    assert answer.endswith(ipv4())


SILENT_SOURCES = [
    ipv4(source="0.0.0.0"),  # noqa: S104 - an address, not a bind
    ipv4(source="127.0.0.1"),
    ipv4(source="224.0.0.1"),
    ipv4(source="255.255.255.255"),
    ipv4(source="240.0.0.1"),
    ipv6(source="::"),
    ipv6(source="::1"),
    ipv6(source="ff02::1"),
]


@pytest.mark.parametrize("cause", [IcmpCause.NO_ROUTE, IcmpCause.PACKET_TOO_BIG])
@pytest.mark.parametrize("packet", SILENT_SOURCES, ids=lambda packet: packet[:24].hex())
def test_no_error_to_a_source_that_is_no_single_host(packet: bytes, cause: IcmpCause) -> None:
    assert error(cause, packet, 1280 * (cause is IcmpCause.PACKET_TOO_BIG)) is None


def test_no_error_about_group_destinations() -> None:
    for destination in ("224.0.0.5", "239.1.1.1", "255.255.255.255"):
        packet = ipv4(destination=destination)
        assert error(IcmpCause.NO_ROUTE, packet) is None
        assert error(IcmpCause.PACKET_TOO_BIG, packet, 1280) is None
    assert error(IcmpCause.NO_ROUTE, ipv6(destination="ff05::2")) is None
    # RFC 4443 s2.4 e.3: path MTU discovery works for multicast.
    assert error(IcmpCause.PACKET_TOO_BIG, ipv6(destination="ff05::2"), 1280) is not None


@pytest.mark.parametrize("icmp_type", [3, 4, 5, 11, 12])
def test_no_error_about_icmpv4_errors(icmp_type: int) -> None:
    assert error(IcmpCause.NO_ROUTE, ipv4(protocol=ICMP, payload=bytes((icmp_type, 0)))) is None


@pytest.mark.parametrize("icmp_type", [0, 1, 2, 3, 4, 100, 127, 137])
def test_no_error_about_icmpv6_errors(icmp_type: int) -> None:
    message = bytes((icmp_type, 0))
    assert error(IcmpCause.NO_ROUTE, ipv6(next_header=ICMPV6, payload=message)) is None
    hidden = ipv6(next_header=60, payload=extension_header(ICMPV6) + message)
    assert error(IcmpCause.NO_ROUTE, hidden) is None


def test_other_icmp_gets_errors() -> None:
    assert error(IcmpCause.NO_ROUTE, ipv4(protocol=ICMP, payload=b"\x08\x00")) is not None
    assert error(IcmpCause.NO_ROUTE, ipv6(next_header=ICMPV6, payload=b"\x80\x00")) is not None
    # The number of one family's ICMP means nothing in the other.
    assert error(IcmpCause.NO_ROUTE, ipv4(protocol=ICMPV6, payload=b"\x01\x00")) is not None
    assert error(IcmpCause.NO_ROUTE, ipv6(next_header=ICMP, payload=b"\x03\x00")) is not None


def test_icmp_of_unseen_type_counts_as_an_error() -> None:
    empty4 = ipv4(protocol=ICMP, payload=b"")
    empty6 = ipv6(next_header=ICMPV6, payload=b"")
    later6 = ipv6(next_header=FRAGMENT, payload=fragment_header(ICMPV6, 5) + b"\x80\x00")
    for packet in (empty4, empty6, later6):
        assert is_icmp_error(packet, decode_ip_header(packet))


def test_fragments() -> None:
    later4 = ipv4(rare=Rare(fragment_field=0x0005))
    first4 = ipv4(rare=Rare(fragment_field=0x2000))
    later6 = ipv6(next_header=FRAGMENT, payload=fragment_header(17, 5) + bytes(8))
    assert error(IcmpCause.NO_ROUTE, later4) is None
    assert error(IcmpCause.NO_ROUTE, first4) is not None
    # RFC 4443 has no such rule: a sender of large datagrams has to learn the MTU.
    assert error(IcmpCause.PACKET_TOO_BIG, later6, 1280) is not None


def test_what_is_no_ip_packet_has_no_error() -> None:
    with pytest.raises(DecodeError):
        compose_icmp_error(IcmpCause.NO_ROUTE, b"\x45", ROUTER4)


@pytest.mark.parametrize(
    ("packet", "source", "cause", "mtu"),
    [
        (ipv4(), ROUTER6, IcmpCause.NO_ROUTE, 0),
        (ipv6(), ROUTER4, IcmpCause.NO_ROUTE, 0),
        (ipv4(), ROUTER4, IcmpCause.NO_ROUTE, 1280),
        (ipv4(), ROUTER4, IcmpCause.PACKET_TOO_BIG, 0),
        (ipv4(), ROUTER4, IcmpCause.PACKET_TOO_BIG, 65536),
        (ipv4(), ROUTER4, IcmpCause.PACKET_TOO_BIG, -1),
        (ipv6(), ROUTER6, IcmpCause.PACKET_TOO_BIG, 2**32),
    ],
)
def test_our_own_mistakes(
    packet: bytes, source: IPv4Address | IPv6Address, cause: IcmpCause, mtu: int
) -> None:
    with pytest.raises(LocalProtocolError):
        compose_icmp_error(cause, packet, source, mtu=mtu)


ECHO = IcmpEcho(is_reply=False, identifier=0xABCD, sequence_number=7, data=b"abcdefg")
REPLY = IcmpEcho(is_reply=True, identifier=0xFFFF, sequence_number=0, data=b"")
EDGES = IcmpEcho(is_reply=False, identifier=0, sequence_number=0xFFFF, data=b"\xff")
HOST4, HOST6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")


def test_layout_of_an_icmpv4_echo_request() -> None:
    packet = compose_icmp_echo(ECHO, HOST4, ROUTER4)
    # Words of the message: 0800 abcd 0007 6162 6364 6566 6700.
    total = 0x0800 + 0xABCD + 0x0007 + 0x6162 + 0x6364 + 0x6566 + 0x6700
    total = (total & 0xFFFF) + (total >> 16)
    assert packet[20:].hex() == f"0800{0xFFFF - total:04x}abcd000761626364656667"
    assert packet[12:20] == HOST4.packed + ROUTER4.packed
    assert has_valid_header_checksum(packet)


@pytest.mark.parametrize("echo", [ECHO, REPLY, EDGES])
def test_echo_survives_the_wire(echo: IcmpEcho) -> None:
    packet = compose_icmp_echo(echo, HOST4, ROUTER4)
    assert decode_icmp_echo(packet, decode_ip_header(packet)) == echo
    assert checksum(packet[20:]) == 0
    packet = compose_icmp_echo(echo, HOST6, ROUTER6)
    assert decode_icmp_echo(memoryview(packet), decode_ip_header(packet)) == echo
    assert icmpv6_checksum(packet) == 0


def test_checklist_52_echo_of_1232_bytes_makes_a_packet_of_1280() -> None:
    echo = IcmpEcho(is_reply=False, identifier=1, sequence_number=1, data=bytes(1232))
    packet = compose_icmp_echo(echo, HOST6, IPv6Address("ff02::1"))
    assert len(packet) == 1280
    assert decode_icmp_echo(packet, decode_ip_header(packet)) == echo


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(),
        ipv6(),
        ipv4(protocol=ICMP, payload=b""),
        ipv4(protocol=ICMP, payload=bytes((3, 0, 0, 0, 0, 0, 0, 0))),
        ipv6(next_header=ICMPV6, payload=bytes((1, 0, 0, 0, 0, 0, 0, 0))),
        ipv4(protocol=17, payload=bytes((8, 0, 0, 0, 0, 0, 0, 0))),
        ipv6(next_header=17, payload=bytes((128, 0, 0, 0, 0, 0, 0, 0))),
        ipv4(
            protocol=ICMP, payload=b"\x08\x00\xf7\xff" + bytes(4), rare=Rare(fragment_field=0x2000)
        ),
        ipv6(next_header=FRAGMENT, payload=fragment_header(ICMPV6, 1) + b"\x80" + bytes(7)),
    ],
    ids=lambda packet: packet.hex(),
)
def test_what_is_no_echo(packet: bytes) -> None:
    assert decode_icmp_echo(packet, decode_ip_header(packet)) is None


def test_damaged_echo_is_an_error() -> None:
    for packet in (
        compose_icmp_echo(ECHO, HOST4, ROUTER4),
        compose_icmp_echo(ECHO, HOST6, ROUTER6),
    ):
        damaged = packet[:-1] + b"\x00"
        with pytest.raises(DecodeError, match="checksum"):
            decode_icmp_echo(damaged, decode_ip_header(damaged))
    for truncated in (
        ipv4(protocol=ICMP, payload=b"\x08" + bytes(6)),
        ipv6(next_header=ICMPV6, payload=b"\x81" + bytes(6)),
    ):
        with pytest.raises(DecodeError, match="truncated"):
            decode_icmp_echo(truncated, decode_ip_header(truncated))


@pytest.mark.parametrize(
    "echo",
    [
        IcmpEcho(is_reply=False, identifier=0x10000, sequence_number=0, data=b""),
        IcmpEcho(is_reply=False, identifier=-1, sequence_number=0, data=b""),
        IcmpEcho(is_reply=False, identifier=0, sequence_number=0x10000, data=b""),
        IcmpEcho(is_reply=False, identifier=0, sequence_number=0, data=bytes(65508)),
    ],
)
def test_impossible_echoes_are_our_own_mistake(echo: IcmpEcho) -> None:
    with pytest.raises(LocalProtocolError):
        compose_icmp_echo(echo, HOST4, ROUTER4)


def test_an_echo_stays_in_one_family() -> None:
    with pytest.raises(LocalProtocolError):
        compose_icmp_echo(ECHO, HOST4, ROUTER6)
