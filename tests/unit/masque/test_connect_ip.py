"""Capsules of one request stream: full lists, request IDs, refusals, the one tolerance."""

from ipaddress import ip_network

import pytest

from mqvpn_core.errors import LocalProtocolError, RemoteProtocolError
from mqvpn_core.masque.connect_ip import (
    MAX_REQUESTS,
    AddressesAssigned,
    AddressesRequested,
    ConnectIpStream,
    PeerFinished,
    RoutesAdvertised,
    StreamDatagramReceived,
    StreamEvent,
)
from mqvpn_core.wire.address_capsules import (
    AddressAssign,
    AddressRequest,
    AssignedAddress,
    RequestedAddress,
    RouteAdvertisement,
)
from mqvpn_core.wire.capsules import (
    CapsuleLimits,
    DatagramCapsule,
    encode_capsule,
    encode_capsule_header,
)
from mqvpn_core.wire.code_points import CapsuleType, Http3ErrorCode
from tests.unit.masque.samples import TCP, UDP, advertise, assign, capsules_of, route

ADDRESS_10_2 = bytes((0, 4, 10, 0, 0, 2, 32))


def stream() -> ConnectIpStream:
    return ConnectIpStream(CapsuleLimits())


def events_of(
    source: ConnectIpStream, data: bytes = b"", *, end_stream: bool = False
) -> list[StreamEvent]:
    source.receive_data(data, end_stream=end_stream)
    events = []
    while (event := source.next_event()) is not None:
        events.append(event)
    return events


def assigned(*prefixes: str) -> AddressesAssigned:
    return AddressesAssigned(
        prefixes=tuple(ip_network(prefix) for prefix in prefixes),
        answered_ids=frozenset(),
        refused_ids=frozenset(),
    )


def request_capsule(*entries: tuple[int, str]) -> bytes:
    return encode_capsule(
        AddressRequest(
            addresses=tuple(
                RequestedAddress(request_id=number, prefix=ip_network(prefix))
                for number, prefix in entries
            )
        )
    )


def raw_capsule(capsule_type: int, value: bytes) -> bytes:
    return encode_capsule_header(capsule_type, len(value)) + value


def abort_code(data: bytes, *, end_stream: bool = False) -> int:
    source = stream()
    with pytest.raises(RemoteProtocolError) as caught:
        source.receive_data(data, end_stream=end_stream)
    while source.next_event() is not None:
        pass
    # After an error the stream is dead: nothing more is taken from it.
    source.receive_data(assign("10.0.0.2/32"), end_stream=False)
    assert source.next_event() is None
    return caught.value.error_code


def test_checklist_16_unknown_capsules_are_skipped() -> None:
    grease = raw_capsule(0x17, b"anything") + raw_capsule(0x1ACE79EC, b"")
    assert events_of(stream(), grease + assign("10.0.0.2/32") + grease) == [assigned("10.0.0.2/32")]


def test_checklist_16_type_and_length_need_not_be_minimal() -> None:
    value = ADDRESS_10_2
    data = bytes.fromhex("c000000000000001") + bytes((0x40, len(value))) + value
    assert events_of(stream(), data) == [assigned("10.0.0.2/32")]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(ADDRESS_10_2 + b"\0", id="extra byte"),
        pytest.param(ADDRESS_10_2[:-1], id="no prefix length"),
        pytest.param(ADDRESS_10_2[:4], id="cut address"),
        pytest.param(b"\x40", id="cut request id"),
    ],
)
def test_checklist_17_a_capsule_holds_exactly_its_fields(value: bytes) -> None:
    code = abort_code(raw_capsule(CapsuleType.ADDRESS_ASSIGN, value))
    assert code == Http3ErrorCode.H3_MESSAGE_ERROR


@pytest.mark.parametrize("kept", range(1, 9))
def test_checklist_17_fin_inside_a_capsule_is_malformed(kept: int) -> None:
    data = assign("10.0.0.2/32")
    assert len(data) == 9
    if kept == len(data):
        assert events_of(stream(), data, end_stream=True)[-1] == PeerFinished()
    else:
        assert abort_code(data[:kept], end_stream=True) == Http3ErrorCode.H3_MESSAGE_ERROR


def test_checklist_17_fin_between_capsules_is_clean() -> None:
    assert events_of(stream(), assign("10.0.0.2/32"), end_stream=True) == [
        assigned("10.0.0.2/32"),
        PeerFinished(),
    ]
    assert events_of(stream(), end_stream=True) == [PeerFinished()]


def test_checklist_18_a_long_control_capsule_is_refused_before_it_arrived() -> None:
    header = encode_capsule_header(CapsuleType.ROUTE_ADVERTISEMENT, 1 << 40)
    assert abort_code(header) == Http3ErrorCode.H3_MESSAGE_ERROR


def test_checklist_18_a_long_datagram_capsule_is_skipped() -> None:
    data = raw_capsule(CapsuleType.DATAGRAM, bytes(70_000)) + assign("10.0.0.2/32")
    assert events_of(stream(), data) == [assigned("10.0.0.2/32")]


def test_checklist_20_datagram_capsules_carry_http_datagrams() -> None:
    data = encode_capsule(DatagramCapsule(payload=b"\0packet"))
    data += encode_capsule(DatagramCapsule(payload=b""))
    assert events_of(stream(), data) == [
        StreamDatagramReceived(payload=b"\0packet"),
        StreamDatagramReceived(payload=b""),
    ]


def test_checklist_37_each_assignment_is_the_full_list() -> None:
    source = stream()
    source.settle()
    assert events_of(source, assign("10.0.0.2/32", "fd00::2/128")) == [
        assigned("10.0.0.2/32", "fd00::2/128")
    ]
    assert events_of(source, assign("10.0.0.3/32")) == [assigned("10.0.0.3/32")]
    assert events_of(source, assign()) == [assigned()]
    assert source.assigned == ()


def test_an_address_that_comes_twice_is_one() -> None:
    assert events_of(stream(), assign("10.0.0.2/32", "10.0.0.2/32")) == [assigned("10.0.0.2/32")]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("00 05 0a000002 20", id="version 5"),
        pytest.param("00 00 0a000002 20", id="version 0"),
        pytest.param("00 04 0a000002 21", id="prefix 33"),
        pytest.param("00 04 0a000002 18", id="host bits"),
        pytest.param("00 06 fd000000000000000000000000000002 81", id="prefix 129"),
        pytest.param("00 06 fd000000000000000000000000000002 40", id="ipv6 host bits"),
    ],
)
def test_checklist_38_malformed_assigned_addresses(entry: str) -> None:
    for capsule_type in (CapsuleType.ADDRESS_ASSIGN, CapsuleType.ADDRESS_REQUEST):
        value = bytes.fromhex(entry)
        if capsule_type is CapsuleType.ADDRESS_REQUEST:
            value = b"\x01" + value[1:]
        assert abort_code(raw_capsule(capsule_type, value)) == Http3ErrorCode.H3_MESSAGE_ERROR


def test_checklist_38_host_bits_pass_with_the_switch_on() -> None:
    source = ConnectIpStream(CapsuleLimits(tolerate_host_bits=True))
    value = bytes.fromhex("00 06 fd000000000000000000000000000002 40")
    assert events_of(source, raw_capsule(CapsuleType.ADDRESS_ASSIGN, value)) == [
        assigned("fd00::2/128")
    ]


def test_checklist_39_answers_name_their_requests() -> None:
    source = stream()
    assert source.request_addresses([ip_network("0.0.0.0/32"), ip_network("::/128")]) == (1, 2)
    (event,) = events_of(source, assign("10.0.0.2/32", request_id=1))
    assert isinstance(event, AddressesAssigned)
    assert event.answered_ids == {1}
    source.take_data()
    source.assign([AssignedAddress(request_id=9, prefix=ip_network("10.0.0.5/32"))])
    (sent,) = capsules_of(source.take_data())
    assert isinstance(sent, AddressAssign)
    assert [entry.request_id for entry in sent.addresses] == [9]


def test_checklist_40_requests_have_fresh_ids() -> None:
    source = stream()
    first = source.request_addresses([ip_network("0.0.0.0/32")])
    second = source.request_addresses([ip_network("10.0.0.7/32"), ip_network("::/64")])
    assert (first, second) == ((1,), (2, 3))
    sent = capsules_of(source.take_data())
    assert sent == [
        AddressRequest(
            addresses=(RequestedAddress(request_id=1, prefix=ip_network("0.0.0.0/32")),)
        ),
        AddressRequest(
            addresses=(
                RequestedAddress(request_id=2, prefix=ip_network("10.0.0.7/32")),
                RequestedAddress(request_id=3, prefix=ip_network("::/64")),
            )
        ),
    ]
    assert source.take_data() == b""


def test_a_request_for_nothing_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        stream().request_addresses([])


def test_checklist_40_a_request_id_is_never_used_again() -> None:
    source = stream()
    assert events_of(source, request_capsule((1, "0.0.0.0/32"), (2, "::/128"))) == [
        AddressesRequested(
            requests=(
                RequestedAddress(request_id=1, prefix=ip_network("0.0.0.0/32")),
                RequestedAddress(request_id=2, prefix=ip_network("::/128")),
            )
        )
    ]
    with pytest.raises(RemoteProtocolError) as caught:
        source.receive_data(request_capsule((2, "0.0.0.0/32")), end_stream=False)
    assert caught.value.error_code == Http3ErrorCode.H3_MESSAGE_ERROR


@pytest.mark.parametrize("value", ["00 04 00000000 20", "01 04 00000000 20 01 04 00000000 20"])
def test_checklist_40_request_ids_are_not_zero_and_distinct(value: str) -> None:
    data = raw_capsule(CapsuleType.ADDRESS_REQUEST, bytes.fromhex(value))
    assert abort_code(data) == Http3ErrorCode.H3_MESSAGE_ERROR


def test_requests_without_end_are_refused() -> None:
    data = b"".join(
        request_capsule((number, "0.0.0.0/32")) for number in range(1, MAX_REQUESTS + 2)
    )
    assert abort_code(data) == Http3ErrorCode.H3_EXCESSIVE_LOAD


def test_checklist_41_refusals_are_no_addresses() -> None:
    (event,) = events_of(stream(), assign("0.0.0.0/32", "::/128", request_id=1))
    assert event == AddressesAssigned(
        prefixes=(), answered_ids=frozenset({1}), refused_ids=frozenset({1})
    )


def test_checklist_41_an_all_zero_prefix_of_other_length_is_no_refusal() -> None:
    assert events_of(stream(), assign("0.0.0.0/0")) == [assigned("0.0.0.0/0")]


def test_checklist_41_refusals_are_not_repeated() -> None:
    source = stream()
    mine = AssignedAddress(request_id=1, prefix=ip_network("10.0.0.2/32"))
    refused = [
        RequestedAddress(request_id=2, prefix=ip_network("10.0.0.0/24")),
        RequestedAddress(request_id=3, prefix=ip_network("fd00::/64")),
    ]
    source.assign([mine], refused)
    source.assign(source.given)
    first, second = capsules_of(source.take_data())
    assert first == AddressAssign(
        addresses=(
            mine,
            AssignedAddress(request_id=2, prefix=ip_network("0.0.0.0/32")),
            AssignedAddress(request_id=3, prefix=ip_network("::/128")),
        )
    )
    assert second == AddressAssign(addresses=(mine,))


def test_checklist_42_an_empty_request_aborts_the_stream() -> None:
    data = raw_capsule(CapsuleType.ADDRESS_REQUEST, b"")
    assert abort_code(data) == Http3ErrorCode.H3_MESSAGE_ERROR


def test_checklist_43_each_advertisement_is_the_full_list() -> None:
    source = stream()
    source.settle()
    ranges = (route("10.0.0.0", "10.0.0.9"), route("10.0.0.11", "10.0.0.11", TCP), route("::/0"))
    assert events_of(source, advertise(*ranges)) == [RoutesAdvertised(ranges=ranges)]
    assert events_of(source, advertise(ranges[0])) == [RoutesAdvertised(ranges=ranges[:1])]
    assert events_of(source, advertise()) == [RoutesAdvertised(ranges=())]
    assert source.routes == ()


def raw_ranges(*entries: str) -> bytes:
    return raw_capsule(CapsuleType.ROUTE_ADVERTISEMENT, bytes.fromhex("".join(entries)))


V4 = "04 {} {} {}"
V6_ALL = "06" + "00" * 16 + "ff" * 16 + "00"


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param(("04 0a000009 0a000001 00",), id="43 end before start"),
        pytest.param(("05 0a000001 0a000001 00",), id="43 version 5"),
        pytest.param(("04 0a000001 0a000001",), id="43 no protocol"),
        pytest.param((V6_ALL, "04 0a000001 0a000001 00"), id="44 ipv6 first"),
        pytest.param(
            ("04 0a000001 0a000001 11", "04 0a000009 0a000009 06"), id="44 protocol order"
        ),
        pytest.param(("04 0a000009 0a000009 00", "04 0a000001 0a000001 00"), id="44 addresses"),
        pytest.param(("04 0a000001 0a000009 00", "04 0a000009 0a00000a 00"), id="44 touching"),
        pytest.param(("04 0a000001 0a000009 00", "04 0a000001 0a000009 00"), id="44 twice"),
        pytest.param(("04 0a000001 0a000009 00", "04 0a000005 0a00000a 06"), id="45 overlap"),
    ],
)
def test_checklist_43_44_45_routes_out_of_order_abort_the_stream(entries: tuple[str, ...]) -> None:
    assert abort_code(raw_ranges(*entries)) == Http3ErrorCode.H3_MESSAGE_ERROR


def test_checklist_44_45_we_never_send_routes_out_of_order() -> None:
    source = stream()
    for ranges in (
        (route("::/0"), route("0.0.0.0/0")),
        (route("10.0.0.0/8"), route("10.1.0.0/16", None, UDP)),
    ):
        with pytest.raises(LocalProtocolError):
            source.advertise_routes(ranges)
    assert source.take_data() == b""
    good = (route("10.0.0.0/8"), route("11.0.0.0/8", None, UDP))
    source.advertise_routes(good)
    assert capsules_of(source.take_data()) == [RouteAdvertisement(ranges=good)]


def test_families_in_two_capsules_are_merged_before_the_tunnel_is_up() -> None:
    source = stream()
    assert events_of(source, assign("fd00::2/128")) == [assigned("fd00::2/128")]
    assert events_of(source, assign("10.0.0.2/32")) == [assigned("fd00::2/128", "10.0.0.2/32")]
    both = (route("0.0.0.0/0"), route("::/0"))
    assert events_of(source, advertise(both[1]) + advertise(both[0])) == [
        RoutesAdvertised(ranges=both[1:]),
        RoutesAdvertised(ranges=both),
    ]


def test_the_tolerance_ends_when_the_tunnel_is_up() -> None:
    source = stream()
    events_of(source, assign("10.0.0.2/32") + advertise(route("0.0.0.0/0")))
    source.settle()
    assert events_of(source, assign("fd00::2/128")) == [assigned("fd00::2/128")]
    assert events_of(source, advertise(route("::/0"))) == [
        RoutesAdvertised(ranges=(route("::/0"),))
    ]


def test_the_tolerance_is_for_families_not_seen_yet() -> None:
    source = stream()
    events_of(source, assign("10.0.0.2/32"))
    assert events_of(source, assign("10.0.0.3/32")) == [assigned("10.0.0.3/32")]
    assert events_of(source, assign("10.0.0.4/32", "fd00::2/128")) == [
        assigned("10.0.0.4/32", "fd00::2/128")
    ]
    assert events_of(source, assign()) == [assigned()]


def test_capsules_arrive_in_pieces() -> None:
    whole = assign("10.0.0.2/32") + raw_capsule(0x17, b"skip me") + advertise(route("0.0.0.0/0"))
    source = stream()
    events = [event for byte in whole for event in events_of(source, bytes((byte,)))]
    assert events == [
        assigned("10.0.0.2/32"),
        RoutesAdvertised(ranges=(route("0.0.0.0/0"),)),
    ]


def test_nothing_is_taken_after_the_end() -> None:
    source = stream()
    events_of(source, end_stream=True)
    assert events_of(source, assign("10.0.0.2/32")) == []
