"""IP headers: fields, impossible lengths, extension headers, hop limit and checksums."""

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.ip_packets import (
    MAX_EXTENSION_HEADERS,
    IpHeader,
    decode_ip_header,
    decrement_hop_limit,
    has_valid_header_checksum,
    internet_checksum,
    with_decremented_hop_limit,
)
from tests.unit.wire.packets import (
    UDP,
    Rare,
    checksum,
    extension_header,
    fragment_header,
    ipv4,
    ipv6,
)

HOP_BY_HOP, TCP, UDP_NUMBER, ROUTING, FRAGMENT, ESP, AH = 0, 6, 17, 43, 44, 50, 51
NO_NEXT_HEADER, DESTINATION, MOBILITY, HIP, SHIM6 = 59, 60, 135, 139, 140


def test_ipv4_fields() -> None:
    packet = ipv4(rare=Rare(traffic_class=0xB9), ttl=7, protocol=6)
    assert decode_ip_header(packet) == IpHeader(
        version=4,
        traffic_class=0xB9,
        total_length=32,
        hop_limit=7,
        protocol=6,
        source=bytes((192, 0, 2, 1)),
        destination=bytes((198, 51, 100, 2)),
        payload_offset=20,
        fragment_field=0x4000,
    )
    assert (decode_ip_header(packet).dscp, decode_ip_header(packet).ecn) == (46, 1)


def test_ipv6_fields() -> None:
    packet = ipv6(traffic_class=0xB9, hop_limit=7, next_header=6)
    assert decode_ip_header(packet) == IpHeader(
        version=6,
        traffic_class=0xB9,
        total_length=52,
        hop_limit=7,
        protocol=6,
        source=bytes.fromhex("20010db8000000000000000000000001"),
        destination=bytes.fromhex("20010db8000000000000000000000002"),
        payload_offset=40,
        fragment_field=0x4000,
    )
    assert (decode_ip_header(packet).dscp, decode_ip_header(packet).ecn) == (46, 1)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize(
    "packet", [ipv4(), ipv6(), ipv6(next_header=0, payload=extension_header(17))]
)
def test_any_buffer_will_do(
    kind: type[bytes] | type[bytearray] | type[memoryview], packet: bytes
) -> None:
    assert decode_ip_header(kind(packet)) == decode_ip_header(packet)
    assert with_decremented_hop_limit(kind(packet)) == with_decremented_hop_limit(packet)
    assert has_valid_header_checksum(kind(packet))


def test_bytes_behind_the_packet_are_not_part_of_it() -> None:
    assert decode_ip_header(ipv4() + b"padding").total_length == len(ipv4())
    assert decode_ip_header(ipv6() + b"padding").total_length == len(ipv6())


@pytest.mark.parametrize("first", [0x00, 0x05, 0x54, 0x35, 0x74, 0xF6, 0x16])
def test_other_versions_are_an_error(first: int) -> None:
    with pytest.raises(DecodeError, match=f"IP version {first >> 4}"):
        decode_ip_header(bytes((first,)) + ipv4()[1:])


def test_an_empty_packet_is_an_error() -> None:
    for empty in (b"", bytearray(), memoryview(b"")):
        with pytest.raises(DecodeError, match="empty"):
            decode_ip_header(empty)


@pytest.mark.parametrize("packet", [ipv4(), ipv6(), ipv4(rare=Rare(options=bytes(40)))])
def test_every_truncation_is_an_error(packet: bytes) -> None:
    for length in range(len(packet)):
        with pytest.raises(DecodeError):
            decode_ip_header(packet[:length])


@pytest.mark.parametrize("ihl", range(5))
def test_ipv4_header_shorter_than_20_bytes(ihl: int) -> None:
    with pytest.raises(DecodeError, match="impossible"):
        decode_ip_header(bytes((0x40 + ihl,)) + ipv4()[1:])


def test_ipv4_header_longer_than_the_packet() -> None:
    packet = bytearray(ipv4(payload=b""))
    packet[0] = 0x46
    with pytest.raises(DecodeError, match="impossible"):
        decode_ip_header(packet + bytes(100))


@pytest.mark.parametrize("total_length", [0, 19, 33, 65535])
def test_ipv4_total_length(total_length: int) -> None:
    packet = ipv4()
    with pytest.raises(DecodeError, match="impossible"):
        decode_ip_header(packet[:2] + total_length.to_bytes(2, "big") + packet[4:])


def test_ipv6_payload_length() -> None:
    packet = ipv6()
    with pytest.raises(DecodeError, match="impossible"):
        decode_ip_header(packet[:4] + (13).to_bytes(2, "big") + packet[6:])


def test_ipv4_options_are_skipped() -> None:
    header = decode_ip_header(ipv4(rare=Rare(options=bytes(40))))
    assert header.payload_offset == 60
    assert has_valid_header_checksum(ipv4(rare=Rare(options=bytes(40))))


@pytest.mark.parametrize(
    ("fragment_field", "may_split", "is_fragment", "is_later"),
    [
        (0x0000, True, False, False),
        (0x4000, False, False, False),
        (0x2000, True, True, False),
        (0x0001, True, True, True),
        (0x3FFF, True, True, True),
    ],
)
def test_ipv4_fragments(
    fragment_field: int, may_split: bool, is_fragment: bool, is_later: bool
) -> None:
    header = decode_ip_header(ipv4(rare=Rare(fragment_field=fragment_field)))
    assert header.may_be_fragmented is may_split
    assert header.is_fragment is is_fragment
    assert header.is_later_fragment is is_later


@pytest.mark.parametrize(
    "extension", [HOP_BY_HOP, ROUTING, DESTINATION, MOBILITY, HIP, SHIM6, FRAGMENT]
)
def test_checklist_47_each_extension_header_is_walked_past(extension: int) -> None:
    header = decode_ip_header(
        ipv6(next_header=extension, payload=extension_header(UDP_NUMBER) + UDP)
    )
    assert (header.protocol, header.payload_offset) == (UDP_NUMBER, 48)


def test_checklist_47_a_whole_chain_is_walked() -> None:
    chain = (
        extension_header(DESTINATION, 2)
        + extension_header(ROUTING)
        + extension_header(FRAGMENT, 1)
        + fragment_header(AH)
        + bytes((DESTINATION, 4))
        + bytes(22)
        + extension_header(TCP)
    )
    header = decode_ip_header(ipv6(next_header=HOP_BY_HOP, payload=chain + bytes(20)))
    assert (header.protocol, header.payload_offset) == (TCP, 40 + len(chain))
    assert not header.is_fragment


@pytest.mark.parametrize("protocol", [TCP, UDP_NUMBER, ESP, 58, NO_NEXT_HEADER, 253, 255])
def test_checklist_47_everything_else_ends_the_chain(protocol: int) -> None:
    assert decode_ip_header(ipv6(next_header=protocol)).protocol == protocol
    behind = ipv6(next_header=HOP_BY_HOP, payload=extension_header(protocol))
    assert decode_ip_header(behind).protocol == protocol


def test_checklist_47_ipv4_has_no_extension_headers() -> None:
    for protocol in (HOP_BY_HOP, ROUTING, AH, DESTINATION):
        header = decode_ip_header(ipv4(protocol=protocol))
        assert (header.protocol, header.payload_offset) == (protocol, 20)


def test_ipv6_fragments() -> None:
    first = decode_ip_header(
        ipv6(next_header=FRAGMENT, payload=fragment_header(UDP_NUMBER, more=True) + UDP)
    )
    later = decode_ip_header(
        ipv6(next_header=FRAGMENT, payload=fragment_header(UDP_NUMBER, 185) + UDP)
    )
    assert (first.protocol, first.is_fragment, first.is_later_fragment) == (17, True, False)
    assert (later.protocol, later.is_fragment, later.is_later_fragment) == (17, True, True)
    assert later.fragment_field == 0x4000 | 185
    assert not first.may_be_fragmented


def test_headers_in_a_later_fragment_are_not_walked() -> None:
    # What follows is the middle of some datagram, not a destination options header.
    payload = fragment_header(DESTINATION, 185) + b"\xff" * 16
    header = decode_ip_header(ipv6(next_header=FRAGMENT, payload=payload))
    assert (header.protocol, header.payload_offset) == (DESTINATION, 48)


@pytest.mark.parametrize("extension", [HOP_BY_HOP, FRAGMENT, AH])
def test_truncated_extension_headers(extension: int) -> None:
    for length in range(8):
        with pytest.raises(DecodeError, match="extension header"):
            decode_ip_header(
                ipv6(next_header=extension, payload=bytes((17, 4)).ljust(length)[:length])
            )


def test_extension_header_longer_than_the_packet() -> None:
    for extension, words in ((DESTINATION, 1), (AH, 1)):
        packet = ipv6(next_header=extension, payload=bytes((17, words)) + bytes(6))
        with pytest.raises(DecodeError, match="extension header"):
            decode_ip_header(packet)
        # Nor may it reach into what follows the packet.
        with pytest.raises(DecodeError, match="extension header"):
            decode_ip_header(packet + bytes(100))


def test_a_chain_without_end_is_bounded() -> None:
    longest = extension_header(DESTINATION) * (MAX_EXTENSION_HEADERS - 1) + extension_header(TCP)
    assert decode_ip_header(ipv6(next_header=DESTINATION, payload=longest)).protocol == TCP
    endless = extension_header(DESTINATION) * 8000
    with pytest.raises(DecodeError, match="too many"):
        decode_ip_header(ipv6(next_header=DESTINATION, payload=endless))


def test_jumbograms_are_an_error() -> None:
    packet = bytearray(ipv6(next_header=HOP_BY_HOP, payload=extension_header(UDP_NUMBER) + UDP))
    packet[4:6] = bytes(2)
    with pytest.raises(DecodeError, match="extension header"):
        decode_ip_header(packet)


@pytest.mark.parametrize("ttl", [1, 2, 64, 255])
@pytest.mark.parametrize("traffic_class", [0, 1, 0x2E, 0xFF])
def test_checklist_50_ttl_and_checksum(ttl: int, traffic_class: int) -> None:
    rare = Rare(traffic_class=traffic_class)
    before, after = ipv4(ttl=ttl, rare=rare), ipv4(ttl=ttl - 1, rare=rare)
    assert with_decremented_hop_limit(before) == after
    in_place = bytearray(before)
    decrement_hop_limit(in_place)
    assert in_place == after


def test_checklist_50_every_checksum_survives_a_decrement() -> None:
    for number in range(0, 0x10000, 37):
        before = ipv4(destination=f"10.1.{number >> 8}.{number & 0xFF}", payload=b"")
        after = ipv4(destination=f"10.1.{number >> 8}.{number & 0xFF}", payload=b"", ttl=63)
        in_place = memoryview(bytearray(before))
        decrement_hop_limit(in_place)
        assert with_decremented_hop_limit(before) == bytes(in_place) == after


def test_checklist_50_the_carry_of_the_checksum() -> None:
    plain = int.from_bytes(ipv4(destination="10.1.0.0", payload=b"")[10:12], "big")
    for wanted in (0xFEFE, 0xFEFF, 0xFF00):
        low = (plain - wanted) % 0xFFFF
        destination = f"10.1.{low >> 8}.{low & 0xFF}"
        before = ipv4(destination=destination, payload=b"")
        assert int.from_bytes(before[10:12], "big") == wanted
        after = ipv4(destination=destination, payload=b"", ttl=63)
        assert with_decremented_hop_limit(before) == after


def test_checklist_50_hop_limit() -> None:
    before, after = ipv6(hop_limit=2), ipv6(hop_limit=1)
    assert with_decremented_hop_limit(before) == after
    in_place = bytearray(before)
    decrement_hop_limit(in_place)
    assert in_place == after


@pytest.mark.parametrize("packet", [ipv4(ttl=0), ipv6(hop_limit=0)])
def test_checklist_50_zero_cannot_be_decremented(packet: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        with_decremented_hop_limit(packet)
    with pytest.raises(LocalProtocolError):
        decrement_hop_limit(bytearray(packet))


def test_header_checksum() -> None:
    packet = bytearray(ipv4())
    assert has_valid_header_checksum(packet)
    for index in range(20):
        damaged = bytearray(packet)
        damaged[index] ^= 0x10 if index else 0x01
        assert not has_valid_header_checksum(damaged)
    packet[-1] ^= 0xFF
    assert has_valid_header_checksum(packet)
    assert has_valid_header_checksum(ipv6())


def test_checksum_example_of_rfc_1071() -> None:
    # s3: the bytes 00 01 f2 03 f4 f5 f6 f7 sum up to ddf2.
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        bytes(100),
        b"\xff",
        b"\xff\xff",
        b"\xff" * 101,
        b"\x00\x01\xff\xfe",
        b"odd",
        bytes(range(256)) * 6,
    ],
)
def test_checksum_equals_the_word_by_word_sum(data: bytes) -> None:
    assert internet_checksum(data) == checksum(data)
