"""The CONNECT-IP capsules: RFC 9484 s4.7, rule by rule, as numbered in the checklist."""

from ipaddress import ip_address, ip_network

import pytest

from mqvpn_core.errors import DecodeError, LocalProtocolError
from mqvpn_core.wire.address_capsules import (
    AddressAssign,
    AddressRequest,
    AssignedAddress,
    IpAddressRange,
    RequestedAddress,
    RouteAdvertisement,
    UnacceptableCapsuleError,
    decode_address_assign,
    decode_address_request,
    decode_route_advertisement,
    encode_address_assign,
    encode_address_request,
    encode_route_advertisement,
)

V6 = "20010db8000000000000000000000000"


def assigned(prefix: str, request_id: int = 0) -> AssignedAddress:
    return AssignedAddress(request_id=request_id, prefix=ip_network(prefix))


def requested(prefix: str, request_id: int) -> RequestedAddress:
    return RequestedAddress(request_id=request_id, prefix=ip_network(prefix))


def span(start: str, end: str, protocol: int = 0) -> IpAddressRange:
    return IpAddressRange(start=ip_address(start), end=ip_address(end), protocol=protocol)


def advertisement(*ranges: IpAddressRange) -> bytes:
    """Encode ranges without any check."""
    return b"".join(
        bytes((entry.start.version, *entry.start.packed, *entry.end.packed, entry.protocol))
        for entry in ranges
    )


def test_checklist_37_address_assign_layout() -> None:
    data = bytes.fromhex(f"01 04 c0000207 20  4040 06 {V6} 40")
    capsule = AddressAssign(addresses=(assigned("192.0.2.7/32", 1), assigned("2001:db8::/64", 64)))
    assert decode_address_assign(data) == capsule
    assert decode_address_assign(memoryview(data)) == capsule
    assert encode_address_assign(capsule) == data


def test_checklist_37_empty_address_assign_withdraws_everything() -> None:
    assert decode_address_assign(b"") == AddressAssign(addresses=())
    assert encode_address_assign(AddressAssign(addresses=())) == b""


@pytest.mark.parametrize(
    "fields",
    [
        "00 05 c0000207 20",  # version
        "00 00 c0000207 20",
        "00 ff c0000207 20",
        "00 04 c0000207 21",  # prefix length
        f"00 06 {V6} 81",
        f"00 06 {V6} ff",
        "00 04 c0000207 1f",  # host bits
        "00 04 c0000207 00",
        f"00 06 {V6} 1c",
        "00 04 00000001 00",
    ],
)
def test_checklist_38_address_assign_field_rules(fields: str) -> None:
    data = bytes.fromhex(fields)
    for decode in (decode_address_assign, decode_address_request):
        with pytest.raises(DecodeError) as raised:
            decode(b"\x07" + data[1:])
        assert not isinstance(raised.value, UnacceptableCapsuleError)


@pytest.mark.parametrize(
    ("fields", "prefix"),
    [
        ("00 04 c0000207 20", "192.0.2.7/32"),
        ("00 04 c0000200 18", "192.0.2.0/24"),
        ("00 04 00000000 00", "0.0.0.0/0"),
        (f"00 06 {V6} 80", "2001:db8::/128"),
        (f"00 06 {V6} 20", "2001:db8::/32"),
    ],
)
def test_checklist_38_prefixes_at_the_edge_are_fine(fields: str, prefix: str) -> None:
    assert decode_address_assign(bytes.fromhex(fields)).addresses == (assigned(prefix),)


def test_checklist_38_host_bits_switch_reads_a_single_address() -> None:
    data = bytes.fromhex(f"00 06 {V6[:-2]}07 40  00 04 0a000002 18  00 04 0a010000 10")
    with pytest.raises(DecodeError, match="host bits"):
        decode_address_assign(data)
    assert decode_address_assign(data, tolerate_host_bits=True).addresses == (
        assigned("2001:db8::7/128"),
        assigned("10.0.0.2/32"),
        assigned("10.1.0.0/16"),
    )


def test_checklist_38_host_bits_switch_tolerates_nothing_else() -> None:
    for fields in ("00 05 c0000207 18", "00 04 c0000207 21", "00 04 c0000207"):
        with pytest.raises(DecodeError):
            decode_address_assign(bytes.fromhex(fields), tolerate_host_bits=True)


def test_checklist_39_request_ids_survive() -> None:
    capsule = AddressAssign(addresses=(assigned("10.0.0.1/32", 2**62 - 1), assigned("::1/128", 0)))
    assert decode_address_assign(encode_address_assign(capsule)) == capsule


def test_checklist_40_address_request_layout() -> None:
    data = bytes.fromhex(f"01 04 00000000 20  02 06 {V6} 20")
    capsule = AddressRequest(addresses=(requested("0.0.0.0/32", 1), requested("2001:db8::/32", 2)))
    assert decode_address_request(data) == capsule
    assert encode_address_request(capsule) == data
    assert [entry.has_preferred_address for entry in capsule.addresses] == [False, True]


def test_checklist_40_no_preference_keeps_the_prefix_length() -> None:
    entry = decode_address_request(bytes.fromhex(f"01 06 {'00' * 16} 40")).addresses[0]
    assert entry.prefix.prefixlen == 64
    assert not entry.has_preferred_address


@pytest.mark.parametrize("request_ids", [(0,), (1, 0), (1, 1), (3, 2, 3)])
def test_checklist_40_request_ids_are_neither_zero_nor_repeated(
    request_ids: tuple[int, ...],
) -> None:
    data = b"".join(bytes((request_id, 4, 0, 0, 0, 0, 32)) for request_id in request_ids)
    with pytest.raises(DecodeError, match="request ID") as raised:
        decode_address_request(data)
    assert not isinstance(raised.value, UnacceptableCapsuleError)
    entries = tuple(requested("0.0.0.0/32", request_id) for request_id in request_ids)
    with pytest.raises(LocalProtocolError):
        encode_address_request(AddressRequest(addresses=entries))


@pytest.mark.parametrize(
    ("prefix", "is_refusal"),
    [
        ("0.0.0.0/32", True),
        ("::/128", True),
        ("0.0.0.0/0", False),
        ("0.0.0.0/31", False),
        ("::/0", False),
        ("::1/128", False),
    ],
)
def test_checklist_41_refusals(prefix: str, is_refusal: bool) -> None:
    assert assigned(prefix).is_refusal is is_refusal


def test_checklist_42_empty_address_request_aborts_the_stream() -> None:
    with pytest.raises(UnacceptableCapsuleError):
        decode_address_request(b"")
    with pytest.raises(LocalProtocolError):
        encode_address_request(AddressRequest(addresses=()))


def test_checklist_43_route_advertisement_layout() -> None:
    data = bytes.fromhex(f"04 c0000200 c00002ff 00  06 {V6} {'ff' * 16} 11")
    capsule = RouteAdvertisement(
        ranges=(
            span("192.0.2.0", "192.0.2.255"),
            span("2001:db8::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 17),
        )
    )
    assert decode_route_advertisement(data) == capsule
    assert encode_route_advertisement(capsule) == data


def test_checklist_43_empty_route_advertisement_withdraws_everything() -> None:
    assert decode_route_advertisement(b"") == RouteAdvertisement(ranges=())
    assert encode_route_advertisement(RouteAdvertisement(ranges=())) == b""


@pytest.mark.parametrize(
    "fields",
    ["05 c0000200 c00002ff 00", "04 c0000200 c00001ff 00", f"06 {'ff' * 16} {V6} 00"],
)
def test_checklist_43_bad_routes_are_malformed(fields: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode_route_advertisement(bytes.fromhex(fields))
    assert not isinstance(raised.value, UnacceptableCapsuleError)


def test_checklist_43_a_range_of_one_address_is_fine() -> None:
    capsule = RouteAdvertisement(ranges=(span("192.0.2.1", "192.0.2.1", 255),))
    assert decode_route_advertisement(encode_route_advertisement(capsule)) == capsule


WRONG_ORDERS = [
    (span("::", "::1"), span("10.0.0.0", "10.0.0.1")),
    (span("10.0.0.0", "10.0.0.1", 17), span("11.0.0.0", "11.0.0.1", 6)),
    (span("10.0.0.2", "10.0.0.3"), span("10.0.0.0", "10.0.0.1")),
    (span("10.0.0.0", "10.0.0.2"), span("10.0.0.2", "10.0.0.3")),
    (span("10.0.0.0", "10.0.0.2"), span("10.0.0.0", "10.0.0.2")),
    (span("10.0.0.0", "10.0.0.9"), span("10.0.0.2", "10.0.0.3")),
    (span("::", "::1"), span("::1", "::1")),
    (span("10.0.0.0", "10.0.0.1"), span("::", "::1"), span("::", "::1")),
]


@pytest.mark.parametrize("ranges", WRONG_ORDERS)
def test_checklist_44_wrong_order_aborts_the_stream(ranges: tuple[IpAddressRange, ...]) -> None:
    with pytest.raises(UnacceptableCapsuleError, match="ordered"):
        decode_route_advertisement(advertisement(*ranges))
    with pytest.raises(LocalProtocolError, match="ordered"):
        encode_route_advertisement(RouteAdvertisement(ranges=ranges))


def test_checklist_44_the_right_order_is_accepted() -> None:
    ranges = (
        span("10.0.0.0", "10.0.0.1"),
        span("10.0.0.2", "10.0.0.3"),
        span("1.0.0.0", "9.255.255.255", 6),
        span("1.0.0.0", "9.255.255.255", 17),
        span("11.0.0.0", "11.0.0.0", 17),
        span("::", "::1"),
        span("::2", "ffff::", 17),
    )
    assert decode_route_advertisement(advertisement(*ranges)).ranges == ranges
    assert encode_route_advertisement(RouteAdvertisement(ranges=ranges)) == advertisement(*ranges)


OVERLAPS = [
    (span("1.0.0.0", "255.255.255.255"), span("10.0.0.0", "10.0.0.1", 17)),
    (span("10.0.0.0", "10.0.0.5"), span("1.0.0.0", "10.0.0.0", 17)),
    (span("10.0.0.0", "10.0.0.5"), span("10.0.0.5", "11.0.0.0", 17)),
    (
        span("10.0.0.0", "10.0.0.5"),
        span("12.0.0.0", "12.0.0.5"),
        span("11.0.0.0", "11.0.0.1", 6),
        span("11.0.0.0", "12.0.0.0", 17),
    ),
    (span("1.0.0.0", "255.255.255.255"), span("::5", "::6"), span("::", "ffff::", 58)),
]


@pytest.mark.parametrize("ranges", OVERLAPS)
def test_checklist_45_protocol_0_must_not_overlap_others(
    ranges: tuple[IpAddressRange, ...],
) -> None:
    with pytest.raises(UnacceptableCapsuleError, match="all protocols"):
        decode_route_advertisement(advertisement(*ranges))
    with pytest.raises(LocalProtocolError, match="all protocols"):
        encode_route_advertisement(RouteAdvertisement(ranges=ranges))


def test_checklist_45_neighbours_do_not_overlap() -> None:
    ranges = (
        span("10.0.0.0", "10.0.0.5"),
        span("12.0.0.0", "12.0.0.5"),
        span("9.0.0.0", "9.255.255.255", 6),
        span("10.0.0.6", "11.255.255.255", 6),
        span("12.0.0.6", "13.0.0.0", 6),
    )
    assert decode_route_advertisement(advertisement(*ranges)).ranges == ranges


@pytest.mark.parametrize(
    "data",
    [
        encode_address_assign(AddressAssign(addresses=(assigned("10.0.0.1/32", 70),))),
        encode_address_assign(AddressAssign(addresses=(assigned("2001:db8::/64", 70),))),
    ],
)
def test_checklist_17_addresses_hold_exactly_their_fields(data: bytes) -> None:
    for decode in (decode_address_assign, decode_address_request):
        for length in range(1, len(data)):
            with pytest.raises(DecodeError):
                decode(data[:length])
        with pytest.raises(DecodeError):
            decode(data + b"\x00")


@pytest.mark.parametrize("ranges", [(span("10.0.0.0", "10.0.0.1"),), (span("::", "::1", 6),)])
def test_checklist_17_routes_hold_exactly_their_fields(ranges: tuple[IpAddressRange, ...]) -> None:
    data = advertisement(*ranges)
    for length in range(1, len(data)):
        with pytest.raises(DecodeError):
            decode_route_advertisement(data[:length])
    with pytest.raises(DecodeError):
        decode_route_advertisement(data + b"\x04")


@pytest.mark.parametrize(
    "entry",
    [
        span("10.0.0.1", "10.0.0.0"),
        span("10.0.0.1", "::1"),
        span("10.0.0.0", "10.0.0.1", 256),
        span("10.0.0.0", "10.0.0.1", -1),
    ],
)
def test_impossible_routes_are_our_own_mistake(entry: IpAddressRange) -> None:
    with pytest.raises(LocalProtocolError):
        encode_route_advertisement(RouteAdvertisement(ranges=(entry,)))
