"""An accepted tunnel: addresses, routes, MTU and packets as the client sees them."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.session_events import (
    AddressesChanged,
    EndCause,
    RoutesChanged,
    TunnelEstablished,
)
from mqvpn_core.masque.tunnel_link import LinkConfig
from mqvpn_core.quic.http3_events import (
    RequestReset,
    RequestStopped,
)
from mqvpn_core.wire.address_capsules import AddressRequest, RequestedAddress
from mqvpn_core.wire.capsules import (
    CapsuleLimits,
    DatagramCapsule,
    encode_capsule,
    encode_capsule_header,
)
from mqvpn_core.wire.code_points import CapsuleType, Http3ErrorCode
from tests.unit.masque.client_scene import ALL_V4, ALL_V6, ALL_ZERO, ONLY_V4, ONLY_V6, STREAM, Scene
from tests.unit.masque.samples import (
    T0,
    advertise,
    assign,
    assign_answers,
    at,
    capsules_of,
    config_of,
    ipv4_packet,
    ipv6_packet,
    route,
)


def test_checklist_37_an_unprompted_assignment_needs_no_request() -> None:
    scene = Scene()
    scene.accept(at(0.2))
    scene.wait(0.35)
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4), at(0.39))
    assert isinstance(scene.events[0], TunnelEstablished)
    assert scene.http3.sent().data == b""


def test_checklist_40_an_address_is_requested_after_about_one_round_trip() -> None:
    scene = Scene(config_of())
    scene.accept(at(0.2))
    scene.wait(0.39)
    assert scene.http3.sent().data == b""
    scene.wait(0.41)
    (request,) = capsules_of(scene.http3.sent().data)
    assert isinstance(request, AddressRequest)
    assert [str(entry.prefix) for entry in request.addresses] == ["0.0.0.0/32", "::/128"]
    scene.data(assign_answers((1, "10.0.0.2/32")) + advertise(ALL_V4), at(0.5))
    assert scene.events == []
    scene.data(assign_answers((1, "10.0.0.2/32"), (2, "::/128")), at(0.6))
    (event,) = scene.events
    assert isinstance(event, TunnelEstablished)
    assert event.addresses == (ip_interface("10.0.0.2/32"),)


def test_an_answer_for_one_family_is_enough_after_a_wait() -> None:
    scene = Scene(config_of())
    scene.accept(at(0.2))
    scene.wait(0.41)
    scene.data(assign_answers((1, "10.0.0.2/32")) + advertise(ALL_V4), at(0.5))
    scene.wait(0.69)
    assert scene.events == []
    scene.wait(0.71)
    assert isinstance(scene.events[0], TunnelEstablished)


def test_only_wanted_families_are_requested_and_used() -> None:
    scene = Scene(ONLY_V6)
    scene.accept()
    scene.wait(1)
    (request,) = capsules_of(scene.http3.sent().data)
    assert isinstance(request, AddressRequest)
    assert [str(entry.prefix) for entry in request.addresses] == ["::/128"]
    scene.data(
        assign_answers((0, "10.0.0.2/32"), (1, "fd00::2/128")) + advertise(ALL_V4, ALL_V6), at(1)
    )
    assert scene.events == [
        TunnelEstablished(addresses=(ip_interface("fd00::2/128"),), routes=(ALL_V6,), mtu=1399)
    ]
    scene.session.send_ip_packets([ipv4_packet("10.0.0.2", "198.51.100.7")], at(1))
    assert scene.session.counters.drops == {DropReason.SPOOFED_SOURCE: 1}


def test_preferred_addresses_are_requested_when_others_come_unprompted() -> None:
    wanted = (ip_address("10.0.0.7"), ip_address("fd00::7"))
    scene = Scene(replace(config_of(), requested_addresses=wanted))
    scene.accept()
    scene.data(assign("10.0.0.2/32", "fd00::7/128") + advertise(ALL_V4, ALL_V6))
    (request,) = capsules_of(scene.http3.sent().data)
    assert isinstance(request, AddressRequest)
    assert [str(entry.prefix) for entry in request.addresses] == ["10.0.0.7/32", "fd00::7/128"]
    assert scene.events == []
    scene.data(assign_answers((1, "10.0.0.7/32"), (2, "fd00::7/128")), at(0.1))
    (event,) = scene.events
    assert isinstance(event, TunnelEstablished)
    assert event.addresses == (ip_interface("10.0.0.7/32"), ip_interface("fd00::7/128"))


def test_a_preference_that_is_not_answered_delays_only_a_little() -> None:
    scene = Scene(replace(ONLY_V4, requested_addresses=(ip_address("10.0.0.7"),)))
    scene.accept()
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4))
    scene.wait(0.99)
    assert scene.events == []
    scene.wait(1.01)
    (event,) = scene.events
    assert isinstance(event, TunnelEstablished)
    assert event.addresses == (ip_interface("10.0.0.2/32"),)


@pytest.mark.parametrize("may_request", [False, True])
def test_a_preference_that_is_met_is_not_requested(*, may_request: bool) -> None:
    preferred = "10.0.0.2" if may_request else "10.0.0.7"
    scene = Scene(
        replace(
            ONLY_V4,
            requested_addresses=(ip_address(preferred),),
            may_request_addresses=may_request,
        )
    )
    scene.accept()
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4))
    assert isinstance(scene.events[0], TunnelEstablished)
    assert scene.http3.sent().data == b""


@pytest.mark.parametrize("how", ["fin", "reset", "stop"])
def test_a_server_that_ends_the_tunnel_at_address_request(how: str) -> None:
    scene = Scene()
    scene.accept()
    scene.wait(0.5)
    assert scene.http3.sent().data != b""
    if how == "fin":
        scene.data(b"", at(0.6), fin=True)
    elif how == "reset":
        scene.http3.receive(RequestReset(stream_id=STREAM, error_code=0x10C))
    else:
        scene.http3.receive(RequestStopped(stream_id=STREAM, error_code=0x100))
    scene.step(at(0.6))
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.ADDRESS_REQUEST_REFUSED, True)


def test_the_next_session_can_do_without_a_request() -> None:
    scene = Scene(replace(ONLY_V4, may_request_addresses=False))
    scene.accept()
    scene.wait(9)
    assert scene.http3.sent().data == b""
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4), at(9))
    assert isinstance(scene.events[0], TunnelEstablished)


def test_checklist_41_refusals_are_never_configured() -> None:
    scene = Scene(config_of())
    scene.accept()
    scene.wait(0.5)
    scene.data(assign_answers((1, "0.0.0.0/32"), (2, "::/128")) + advertise(ALL_V4), at(0.6))
    ended = scene.end()
    assert ended.cause is EndCause.NO_ADDRESS
    assert scene.session.assigned == ()


def test_checklist_41_unprompted_zero_addresses_are_no_addresses() -> None:
    scene = Scene()
    scene.accept()
    scene.data(assign("0.0.0.0/32") + advertise(ALL_V4))
    assert scene.events == []
    scene.wait(11)
    assert scene.end().cause is EndCause.TIMEOUT


@pytest.mark.parametrize("order", ["assign assign route route", "assign route assign route"])
def test_families_in_capsules_of_their_own(order: str) -> None:
    parts = {"assign": [assign("10.0.0.2/32"), assign("fd00::2/128")]}
    parts["route"] = [advertise(ALL_V4), advertise(ALL_V6)]
    scene = Scene(config_of())
    scene.accept(at(0.1))
    for number, name in enumerate(order.split()):
        scene.data(parts[name].pop(0), at(0.1 + number * 0.03))
    (event,) = scene.events
    assert isinstance(event, TunnelEstablished)
    assert event.addresses == (ip_interface("10.0.0.2/32"), ip_interface("fd00::2/128"))
    assert event.routes == (ALL_V4, ALL_V6)


def test_a_server_with_one_family_delays_the_tunnel_by_one_round_trip() -> None:
    scene = Scene(config_of())
    scene.accept(at(0.2))
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4), at(0.2))
    scene.wait(0.39)
    assert scene.events == []
    scene.wait(0.41)
    assert isinstance(scene.events[0], TunnelEstablished)


def test_a_first_packet_ends_the_tolerance_for_split_lists() -> None:
    scene = Scene(config_of())
    scene.accept(at(0.2))
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4), at(0.2))
    scene.datagrams(b"\0" + ipv4_packet("198.51.100.7", "10.0.0.2"), now=at(0.2))
    scene.data(assign("fd00::2/128") + advertise(ALL_V6), at(0.25))
    scene.wait(1)
    (event,) = scene.events
    assert isinstance(event, TunnelEstablished)
    assert event.addresses == (ip_interface("fd00::2/128"),)


def test_checklist_38_host_bits_are_tolerated_with_the_switch_only() -> None:
    value = bytes.fromhex("00 06 fd000000000000000000000000000002 40")
    capsule = encode_capsule_header(CapsuleType.ADDRESS_ASSIGN, len(value)) + value
    strict = Scene(ONLY_V6)
    strict.accept()
    strict.data(capsule + advertise(ALL_V6))
    assert strict.http3.sent().aborted_with == Http3ErrorCode.H3_MESSAGE_ERROR
    assert strict.end().cause is EndCause.MALFORMED_RESPONSE
    link = LinkConfig(capsules=CapsuleLimits(tolerate_host_bits=True))
    lenient = Scene(replace(ONLY_V6, link=link))
    lenient.accept()
    lenient.data(capsule + advertise(ALL_V6))
    (event,) = lenient.events
    assert isinstance(event, TunnelEstablished)
    assert event.addresses == (ip_interface("fd00::2/128"),)


@pytest.mark.parametrize(
    ("prefix", "interface"),
    [
        ("10.8.0.0/16", "10.8.0.1/16"),
        ("10.8.0.2/31", "10.8.0.2/31"),
        ("10.8.0.4/30", "10.8.0.5/30"),
    ],
)
def test_a_prefix_gives_us_its_first_address(prefix: str, interface: str) -> None:
    scene = Scene()
    scene.accept()
    scene.data(assign(prefix) + advertise(ALL_V4))
    (event,) = scene.events
    assert isinstance(event, TunnelEstablished)
    assert event.addresses == (ip_interface(interface),)


def test_checklist_37_a_later_assignment_swaps_the_address() -> None:
    scene = Scene()
    scene.establish()
    scene.data(assign("10.0.0.3/32"), at(5))
    assert scene.events == [AddressesChanged(addresses=(ip_interface("10.0.0.3/32"),))]
    old, new = (ipv4_packet(f"10.0.0.{n}", "198.51.100.7") for n in (2, 3))
    scene.session.send_ip_packets([old, new], at(5))
    assert scene.http3.sent().datagrams == [b"\0" + new]


def test_checklist_37_an_empty_assignment_withdraws_everything() -> None:
    scene = Scene()
    scene.establish()
    scene.data(assign(), at(5))
    assert scene.events == [AddressesChanged(addresses=()), RoutesChanged(routes=())]
    scene.events.clear()
    scene.data(assign("10.0.0.2/32"), at(6))
    assert scene.events == [
        RoutesChanged(routes=(ALL_V4,)),
        AddressesChanged(addresses=(ip_interface("10.0.0.2/32"),)),
    ] or scene.events == [
        AddressesChanged(addresses=(ip_interface("10.0.0.2/32"),)),
        RoutesChanged(routes=(ALL_V4,)),
    ]


def test_checklist_43_a_shrinking_advertisement_removes_routes() -> None:
    scene = Scene()
    scene.establish()
    lan = route("192.168.0.0/16")
    scene.data(advertise(lan), at(5))
    assert scene.events == [RoutesChanged(routes=(lan,))]
    inside = ipv4_packet("10.0.0.2", "192.168.9.9")
    outside = ipv4_packet("10.0.0.2", "198.51.100.7")
    scene.session.send_ip_packets([inside, outside], at(5))
    assert scene.http3.sent().datagrams == [b"\0" + inside]
    assert scene.session.counters.drops == {DropReason.NO_ROUTE: 1}
    (unreachable,) = expand(scene.session.take_ip_packets())
    assert unreachable[20] == 3


def test_what_is_said_again_is_no_change() -> None:
    scene = Scene()
    scene.establish()
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4), at(5))
    assert scene.events == []


def test_checklist_46_requests_of_the_server_are_refused() -> None:
    scene = Scene()
    scene.establish()
    request = RequestedAddress(request_id=5, prefix=ALL_ZERO)
    scene.data(encode_capsule(AddressRequest(addresses=(request,))), at(5))
    assert capsules_of(scene.http3.sent().data) == capsules_of(assign_answers((5, "::/128")))
    assert scene.events == []


def test_checklist_48_contexts() -> None:
    scene = Scene()
    scene.establish()
    packet = ipv4_packet("198.51.100.7", "10.0.0.2")
    got = scene.datagrams(
        b"",
        b"\0",
        b"\0" + packet,
        b"\x02" + packet,
        b"\x03" + packet,
        bytes.fromhex("ffffffffffffffff") + packet,
        b"@",
        bytes.fromhex("4000") + packet,
        bytes.fromhex("c000000000000000") + packet,
    )
    assert got == [packet] * 3
    assert scene.session.counters.drops == {
        DropReason.UNKNOWN_CONTEXT: 5,
        DropReason.MALFORMED: 1,
    }
    assert scene.events == []


def test_checklist_20_datagram_capsules_are_taken_like_datagrams() -> None:
    scene = Scene()
    scene.establish()
    packet = ipv4_packet("198.51.100.7", "10.0.0.2")
    scene.data(encode_capsule(DatagramCapsule(payload=b"\0" + packet)), at(5))
    assert scene.session.take_ip_packets() == [packet]


def test_ipv6_packets_flow_both_ways() -> None:
    scene = Scene(ONLY_V6)
    scene.accept()
    scene.data(assign("fd00::2/128") + advertise(ALL_V6))
    out, back = ipv6_packet("fd00::2", "2001:db8::7"), ipv6_packet("2001:db8::7", "fd00::2")
    scene.session.send_ip_packets([out], T0)
    assert scene.http3.sent().datagrams[-1] == b"\0" + out
    assert scene.datagrams(b"\0" + back) == [back]
    counters = scene.session.counters
    assert (counters.sent_packet_count, counters.received_packet_count) == (1, 1)


@pytest.mark.parametrize(
    ("room", "message"),
    [
        (1200, "the tunnel cannot carry the packets of 1280 bytes that IPv6 needs within 5 s"),
        (0, "the server accepted the tunnel but no path carries its packets within 5 s"),
    ],
)
def test_setup_may_end_before_the_path_is_good_enough(room: int, message: str) -> None:
    scene = Scene(replace(ONLY_V6, setup_timeout=5.0))
    scene.http3.datagram_room = room
    scene.accept()
    scene.data(assign("fd00::2/128") + advertise(ALL_V6))
    scene.wait(10)
    ended = scene.end()
    assert (ended.cause, ended.message) == (EndCause.TIMEOUT, message)


def test_datagram_capsules_may_come_in_one_piece_with_everything_else() -> None:
    scene = Scene()
    scene.accept()
    packet = ipv4_packet("198.51.100.7", "10.0.0.2")
    capsule = encode_capsule(DatagramCapsule(payload=b"\x00" + packet))
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4) + capsule)
    assert scene.session.take_ip_packets() == [packet]
