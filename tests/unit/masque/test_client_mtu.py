"""The size of packets in a tunnel, and what IPv6 wants of it, as the client sees it."""

from dataclasses import replace
from ipaddress import IPv6Address, ip_interface

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.masque.link_local import answer_link_local_echo
from mqvpn_core.masque.session_events import (
    AddressesChanged,
    EndCause,
    MtuChanged,
    RoutesChanged,
    TunnelEstablished,
)
from mqvpn_core.masque.tunnel_link import FOLLOW_INTERVAL, LinkConfig
from mqvpn_core.wire.code_points import Http3ErrorCode
from mqvpn_core.wire.ip_packets import decode_ip_header
from tests.unit.masque.client_scene import ALL_V4, ALL_V6, ONLY_V4, ONLY_V6, Scene
from tests.unit.masque.samples import (
    advertise,
    assign,
    at,
    config_of,
    echo_packet,
    ipv4_packet,
)


def test_checklist_54_nothing_too_big_is_sent_in_any_way() -> None:
    scene = Scene()
    scene.establish()
    scene.session.send_ip_packets([ipv4_packet("10.0.0.2", "198.51.100.7", size=1400)], at(5))
    assert scene.http3.sent().datagrams == []
    assert scene.http3.sent().data == b""
    (too_big,) = expand(scene.session.take_ip_packets())
    assert (too_big[20], too_big[21], too_big[26:28]) == (3, 4, (1399).to_bytes(2, "big"))


def test_the_mtu_follows_the_connection() -> None:
    scene = Scene()
    scene.establish()
    for room, expected in ((1452, 1451), (1452, None), (0, None), (60, None), (1200, 1199)):
        scene.http3.datagram_room = room
        scene.step(at(5))
        assert scene.events == ([] if expected is None else [MtuChanged(mtu=expected)])
        scene.events.clear()
    assert scene.session.mtu == 1199


def test_the_mtu_follows_soon_while_nothing_but_data_comes() -> None:
    scene = Scene()
    scene.establish()
    packet = b"\0" + ipv4_packet("198.51.100.7", "10.0.0.2")
    scene.datagrams(packet, now=at(1))
    scene.http3.datagram_room = 1452
    scene.datagrams(packet, now=at(1 + 0.5 * FOLLOW_INTERVAL))
    assert scene.events == []
    scene.datagrams(packet, now=at(1 + 1.5 * FOLLOW_INTERVAL))
    assert scene.events == [MtuChanged(mtu=1451)]


def test_the_user_bounds_the_mtu() -> None:
    scene = Scene(replace(ONLY_V4, link=LinkConfig(max_mtu=1300)))
    scene.establish()
    assert scene.session.mtu == 1300


def test_the_tunnel_waits_a_little_for_the_path_mtu() -> None:
    scene = Scene()
    scene.http3.path_mtu_is_settled = False
    scene.accept()
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4))
    assert scene.events == []
    scene.wait(0.49)
    assert scene.events == []
    scene.wait(0.5)
    assert isinstance(scene.events[0], TunnelEstablished)


def test_checklist_53_ipv6_waits_for_1280_bytes() -> None:
    scene = Scene(ONLY_V6)
    scene.http3.datagram_room = 1200
    scene.accept()
    scene.data(assign("fd00::2/128") + advertise(ALL_V6))
    scene.wait(3)
    assert scene.events == []
    scene.http3.datagram_room = 1281
    scene.step(at(3))
    assert scene.events == [
        TunnelEstablished(addresses=(ip_interface("fd00::2/128"),), routes=(ALL_V6,), mtu=1280)
    ]


def test_checklist_53_ipv6_below_1280_bytes_aborts_the_stream() -> None:
    scene = Scene(ONLY_V6)
    scene.http3.datagram_room = 1280
    scene.accept()
    scene.data(assign("fd00::2/128") + advertise(ALL_V6))
    scene.wait(20)
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_REQUEST_CANCELLED
    ended = scene.end()
    assert (ended.cause, ended.may_retry) == (EndCause.IPV6_MTU_TOO_SMALL, True)


def test_checklist_52_the_client_proves_the_mtu_by_an_echo() -> None:
    scene = Scene(ONLY_V6)
    scene.accept()
    scene.data(assign("fd00::2/128") + advertise(ALL_V6))
    scene.events.clear()
    (sent,) = scene.http3.sent().datagrams
    request = sent[1:]
    assert (len(request), request[24:40].hex()) == (1280, "ff02" + "0" * 27 + "1")
    reply = bytearray(echo_packet("fd00::1", "fd00::2", data=request[48:], reply=True))
    assert scene.datagrams(b"\0" + bytes(reply)) == [bytes(reply)]  # another identifier: not ours
    answer = answer_link_local_echo(request, decode_ip_header(request), IPv6Address("fd00::1"))
    assert answer is not None
    assert scene.datagrams(b"\0" + answer) == []
    scene.wait(30)
    assert scene.events == []


def test_checklist_52_without_an_answer_the_client_tears_down() -> None:
    scene = Scene(ONLY_V6)
    scene.accept()
    scene.data(assign("fd00::2/128") + advertise(ALL_V6))
    scene.events.clear()
    scene.wait(30)
    assert len(scene.http3.sent().datagrams) == 8
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_REQUEST_CANCELLED
    assert scene.end().cause is EndCause.IPV6_MTU_TOO_SMALL


def test_checklist_52_a_known_path_needs_no_echo() -> None:
    scene = Scene(replace(ONLY_V6, link=LinkConfig(proves_mtu=False)))
    scene.accept()
    scene.data(assign("fd00::2/128") + advertise(ALL_V6))
    scene.events.clear()
    scene.wait(30)
    assert scene.events == []
    assert scene.http3.sent().datagrams == []


def test_ipv6_that_is_withdrawn_needs_no_proof_any_more() -> None:
    scene = Scene(config_of())
    scene.accept()
    scene.data(assign("10.0.0.2/32", "fd00::2/128") + advertise(ALL_V4, ALL_V6))
    scene.data(assign("10.0.0.2/32"), at(1))
    scene.events.clear()
    scene.wait(30)
    assert scene.events == []


def test_ipv6_that_comes_later_is_proven_too() -> None:
    scene = Scene(config_of())
    scene.accept()
    scene.data(assign("10.0.0.2/32") + advertise(ALL_V4))
    scene.wait(1)
    scene.events.clear()
    scene.http3.datagram_room = 1200
    scene.data(assign("10.0.0.2/32", "fd00::2/128") + advertise(ALL_V4, ALL_V6), at(2))
    assert [type(event) for event in scene.events] == [
        AddressesChanged,
        RoutesChanged,
        MtuChanged,
    ]
    scene.events.clear()
    scene.wait(30)
    assert scene.end().cause is EndCause.IPV6_MTU_TOO_SMALL
