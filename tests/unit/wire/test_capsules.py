"""The capsule protocol: incremental parsing, skipping, limits and clean ends (RFC 9297 s3)."""

from ipaddress import ip_address, ip_network

import pytest

from mqvpn_core.errors import DecodeError
from mqvpn_core.wire.address_capsules import (
    AddressAssign,
    AddressRequest,
    AssignedAddress,
    IpAddressRange,
    RequestedAddress,
    RouteAdvertisement,
    UnacceptableCapsuleError,
)
from mqvpn_core.wire.capsules import (
    Capsule,
    CapsuleLimits,
    CapsuleParser,
    DatagramCapsule,
    encode_capsule,
    encode_capsule_header,
)
from mqvpn_core.wire.varint import MAX_VARINT

CAPSULES: list[Capsule] = [
    DatagramCapsule(payload=b"\x00packet"),
    AddressAssign(
        addresses=(AssignedAddress(request_id=1, prefix=ip_network("10.0.0.2/32")),),
    ),
    DatagramCapsule(payload=b""),
    AddressRequest(addresses=(RequestedAddress(request_id=1, prefix=ip_network("::/64")),)),
    RouteAdvertisement(
        ranges=(IpAddressRange(start=ip_address(0), end=ip_address("255.255.255.255"), protocol=0),)
    ),
    DatagramCapsule(payload=bytes(70)),
]
STREAM = b"".join(map(encode_capsule, CAPSULES))


def parser(**limits: int) -> CapsuleParser:
    return CapsuleParser(
        CapsuleLimits(
            max_control_bytes=limits.get("control", 65536),
            max_datagram_bytes=limits.get("datagram", 2000),
        )
    )


def feed_in_pieces(target: CapsuleParser, data: bytes, size: int) -> list[Capsule]:
    capsules: list[Capsule] = []
    for start in range(0, len(data), size):
        capsules += target.feed(data[start : start + size])
    return capsules


def test_layout_of_each_capsule() -> None:
    assert [encode_capsule(capsule).hex(" ") for capsule in CAPSULES[:4]] == [
        "00 07 00 70 61 63 6b 65 74",
        "01 07 01 04 0a 00 00 02 20",
        "00 00",
        "02 13 01 06" + 16 * " 00" + " 40",
    ]
    assert encode_capsule(CAPSULES[4]).hex(" ") == "03 0a 04 00 00 00 00 ff ff ff ff 00"


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_pieces_of_any_size_give_the_same_capsules(size: int) -> None:
    target = parser()
    assert feed_in_pieces(target, STREAM, size) == CAPSULES
    assert target.buffered_bytes == 0
    target.finish()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    assert parser().feed(kind(STREAM)) == CAPSULES


def test_nothing_is_no_capsule() -> None:
    target = parser()
    assert target.feed(b"") == []
    target.finish()


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_checklist_16_unknown_capsules_are_skipped(size: int) -> None:
    unknown = encode_capsule_header(0x29, 300) + bytes(300)
    grease = encode_capsule_header(0x17 + 0x29 * 10**9, 0)
    target = parser()
    data = unknown + STREAM + grease + unknown
    assert feed_in_pieces(target, data, size) == CAPSULES
    target.finish()


def test_checklist_16_types_and_lengths_of_any_legal_size() -> None:
    data = bytes.fromhex("4000 80000001 aa  c000000000000000 4002 bbcc")
    assert parser().feed(data) == [
        DatagramCapsule(payload=b"\xaa"),
        DatagramCapsule(payload=b"\xbb\xcc"),
    ]


@pytest.mark.parametrize("end", range(1, 8))
def test_checklist_17_a_clean_end_inside_a_capsule_is_malformed(end: int) -> None:
    target = parser()
    target.feed(STREAM + encode_capsule(CAPSULES[0])[:end])
    with pytest.raises(DecodeError, match="ended inside"):
        target.finish()
    with pytest.raises(DecodeError, match="ended inside"):
        target.feed(b"")


def test_checklist_17_a_clean_end_inside_a_skipped_capsule_is_malformed() -> None:
    target = parser()
    target.feed(encode_capsule_header(0x29, 3) + bytes(2))
    with pytest.raises(DecodeError, match="ended inside"):
        target.finish()


def test_checklist_17_a_value_with_extra_bytes_is_malformed() -> None:
    value = bytes.fromhex("01 04 0a000002 20 00")
    with pytest.raises(DecodeError):
        parser().feed(encode_capsule_header(1, len(value)) + value)


def test_checklist_18_what_is_skipped_is_never_held() -> None:
    target = parser(datagram=100)
    target.feed(encode_capsule_header(0x29, MAX_VARINT))
    for _ in range(100):
        target.feed(bytes(10_000))
        assert target.buffered_bytes == 0


def test_checklist_18_overlong_datagrams_are_discarded() -> None:
    target = parser(datagram=100)
    fits = DatagramCapsule(payload=bytes(100))
    data = encode_capsule(DatagramCapsule(payload=bytes(101))) + encode_capsule(fits)
    assert feed_in_pieces(target, data, 40) == [fits]
    target.finish()
    assert target.feed(encode_capsule_header(0, MAX_VARINT) + bytes(50)) == []
    assert target.buffered_bytes == 0


@pytest.mark.parametrize("capsule_type", [1, 2, 3])
def test_checklist_18_control_capsules_are_capped(capsule_type: int) -> None:
    target = parser(control=14)
    with pytest.raises(UnacceptableCapsuleError, match="15 bytes"):
        target.feed(encode_capsule_header(capsule_type, 15))
    assert target.buffered_bytes == 0
    at_the_cap = bytes.fromhex("01 04 0a000001 20 02 04 0a000002 20")
    assert len(parser(control=14).feed(encode_capsule_header(1, 14) + at_the_cap)) == 1


def test_checklist_18_default_limits() -> None:
    target = CapsuleParser(CapsuleLimits())
    # The largest IPv6 packet behind the longest context ID.
    largest = bytes(8 + 40 + 65535)
    longest = DatagramCapsule(payload=largest)
    assert target.feed(encode_capsule_header(0, len(largest)) + largest) == [longest]
    assert target.feed(encode_capsule_header(0, len(largest) + 1) + largest) == []
    assert target.buffered_bytes == 0
    assert CapsuleParser(CapsuleLimits()).feed(encode_capsule_header(1, 64 * 1024)) == []
    with pytest.raises(UnacceptableCapsuleError):
        CapsuleParser(CapsuleLimits()).feed(encode_capsule_header(1, 64 * 1024 + 1))


def test_what_is_held_stays_within_the_limit() -> None:
    target = parser()
    target.feed(encode_capsule_header(1, 60_000))
    for _ in range(59):
        assert target.feed(bytes(1000)) == []
    assert target.buffered_bytes == 5 + 59_000


def test_checklist_20_datagram_capsules_carry_any_payload() -> None:
    payload = bytes(65_535)
    assert CapsuleParser(CapsuleLimits()).feed(
        encode_capsule(DatagramCapsule(payload=payload))
    ) == [DatagramCapsule(payload=payload)]


def test_checklist_42_and_44_abort_is_told_from_malformed() -> None:
    with pytest.raises(UnacceptableCapsuleError):
        parser().feed(encode_capsule_header(2, 0))
    backwards = bytes.fromhex("04 0a000000 0a000001 06 04 0a000000 0a000001 00")
    with pytest.raises(UnacceptableCapsuleError):
        parser().feed(encode_capsule_header(3, len(backwards)) + backwards)
    with pytest.raises(DecodeError) as raised:
        parser().feed(encode_capsule_header(3, 1) + b"\x04")
    assert not isinstance(raised.value, UnacceptableCapsuleError)


def test_an_error_is_final() -> None:
    target = parser()
    with pytest.raises(UnacceptableCapsuleError) as first:
        target.feed(STREAM + encode_capsule_header(2, 0) + STREAM)
    with pytest.raises(UnacceptableCapsuleError) as second:
        target.feed(STREAM)
    with pytest.raises(UnacceptableCapsuleError) as third:
        target.finish()
    assert first.value is second.value is third.value
    assert target.buffered_bytes == 0


def test_host_bits_switch_reaches_address_assign_only() -> None:
    value = bytes.fromhex("01 04 0a000002 18")
    tolerant = CapsuleParser(CapsuleLimits(tolerate_host_bits=True))
    assert tolerant.feed(encode_capsule_header(1, len(value)) + value) == [CAPSULES[1]]
    with pytest.raises(DecodeError, match="host bits"):
        tolerant.feed(encode_capsule_header(2, len(value)) + value)
