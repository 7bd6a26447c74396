"""Tunnels of a server and the web requests beside them, from the answer to the end."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mqvpn_core.ids import StreamId
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.server_events import (
    SiteRequestCancelled,
    TunnelAddressesChanged,
    TunnelCloseReason,
    TunnelOpened,
)
from mqvpn_core.masque.server_policy import TunnelQuota
from mqvpn_core.quic.events import ConnectionTerminated, HandshakeConfirmed
from mqvpn_core.quic.http3_events import (
    HttpDatagramsReceived,
    RequestReset,
    RequestStopped,
)
from mqvpn_core.wire.capsules import DatagramCapsule, encode_capsule, encode_capsule_header
from mqvpn_core.wire.code_points import CapsuleType, Http3ErrorCode
from tests.unit.masque.samples import (
    PATH,
    T0,
    OneKey,
    advertise,
    assign,
    assign_answers,
    at,
    ipv4_packet,
    ipv6_packet,
    policy_of,
    request_addresses,
    route,
    server_events,
)
from tests.unit.masque.server_scene import (
    DUAL,
    OPENED,
    Scene,
    closed,
    get,
    opened,
    refusal_of,
    request,
)


def test_checklist_41_requests_are_answered_from_the_same_lease() -> None:
    scene = opened(*DUAL)
    scene.http3.sent().take_data()
    entries = ((1, "0.0.0.0/32"), (2, "::/128"), (3, "0.0.0.0/32"), (4, "::/64"))
    assert scene.data(request_addresses(*entries)) == []
    assert scene.http3.sent().data == assign_answers(
        (1, "10.0.0.2/32"), (2, "fd00::2/128"), (3, "0.0.0.0/32"), (4, "::/128")
    )


def test_checklist_41_a_family_without_a_pool_is_refused() -> None:
    scene = opened()
    scene.http3.sent().take_data()
    scene.data(request_addresses((1, "::/128")))
    assert scene.http3.sent().data == assign_answers((0, "10.0.0.2/32"), (1, "::/128"))


def test_checklist_41_a_free_address_that_is_preferred_is_given() -> None:
    scene = opened()
    scene.http3.sent().take_data()
    assert scene.data(request_addresses((5, "10.0.0.77/32"))) == [
        TunnelAddressesChanged(stream_id=StreamId(0), addresses=(ip_address("10.0.0.77"),))
    ]
    assert scene.http3.sent().data == assign_answers((5, "10.0.0.77/32"))
    old, new = (ipv4_packet(f"10.0.0.{n}", "198.51.100.7") for n in (2, 77))
    assert scene.datagrams(b"\x00" + old, b"\x00" + new) == [new]
    other = Scene(scene.policy)
    other.ask(request())
    assert other.addresses == [ip_address("10.0.0.2")]
    other.data(request_addresses((1, "10.0.0.77/32")))
    assert other.addresses == [ip_address("10.0.0.2")]


def test_preferring_the_address_one_has_changes_nothing() -> None:
    scene = opened()
    assert scene.data(request_addresses((5, "10.0.0.2/32"))) == []
    assert scene.addresses == [ip_address("10.0.0.2")]


def test_checklist_42_an_empty_request_aborts_the_stream() -> None:
    scene = opened()
    events = scene.data(encode_capsule_header(CapsuleType.ADDRESS_REQUEST, 0))
    assert events == [closed(TunnelCloseReason.PROTOCOL_ERROR)]
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_MESSAGE_ERROR


def test_checklist_46_assignments_and_routes_of_a_client_are_parsed_and_unused() -> None:
    scene = opened()
    assert scene.data(assign("192.0.2.200/32") + advertise(route("192.0.2.0/24"))) == []
    assert scene.datagrams(b"\x00" + ipv4_packet("192.0.2.5", "198.51.100.7")) == []
    broken = encode_capsule_header(CapsuleType.ROUTE_ADVERTISEMENT, 1) + b"\x04"
    assert scene.data(broken) == [closed(TunnelCloseReason.PROTOCOL_ERROR)]


def test_checklist_35_fin_of_the_client_ends_the_tunnel() -> None:
    scene = opened()
    assert scene.data(b"", fin=True) == [closed(TunnelCloseReason.CLOSED_BY_CLIENT)]
    assert scene.http3.sent().is_finished
    assert scene.addresses == []
    assert scene.policy.quota.open_count == 0
    assert scene.policy.pools[0].leased_count == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_checklist_24_a_reset_of_either_direction_ends_the_tunnel(*, stopped: bool) -> None:
    scene = opened()
    kind = RequestStopped if stopped else RequestReset
    scene.http3.receive(kind(stream_id=StreamId(0), error_code=0x10C))
    scene.http3.receive(HttpDatagramsReceived(stream_id=StreamId(0), payloads=(b"\x00x",)))
    assert scene.step() == [closed(TunnelCloseReason.CLOSED_BY_CLIENT)]
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_REQUEST_CANCELLED
    assert scene.data(b"late") == []


def test_the_end_of_the_connection_ends_everything() -> None:
    scene = opened()
    scene.ask(get(), stream=4, fin=True)
    scene.http3.receive(
        ConnectionTerminated(error_code=0, reason="", by_peer=True, is_application=False)
    )
    assert scene.step() == [
        closed(TunnelCloseReason.CONNECTION_LOST),
        SiteRequestCancelled(stream_id=StreamId(4)),
    ]
    assert scene.policy.pools[0].leased_count == 0
    scene.session.close(T0)
    assert scene.http3.closed_with is None
    assert server_events(scene.session) == []
    assert scene.session.next_timeout() is None


def test_closing_ends_tunnels_and_connection_once() -> None:
    scene = opened()
    scene.session.close(T0)
    assert server_events(scene.session) == [closed(TunnelCloseReason.CLOSED_LOCALLY)]
    scene.session.close(T0)
    assert scene.step() == []
    assert scene.http3.closed_with == (Http3ErrorCode.H3_NO_ERROR, "")


def test_several_tunnels_on_one_connection() -> None:
    scene = opened()
    assert scene.ask(request(), stream=4)[-1] == TunnelOpened(
        stream_id=StreamId(4), user="alice", addresses=(ip_address("10.0.0.3"),)
    )
    first, second = (ipv4_packet("198.51.100.7", f"10.0.0.{n}") for n in (2, 3))
    stray = ipv4_packet("198.51.100.7", "10.0.0.4")
    scene.session.send_ip_packets([second, first, stray, second], T0)
    assert scene.http3.sent(0).datagrams == [b"\x00" + first]
    assert scene.http3.sent(4).datagrams == [b"\x00" + second] * 2
    assert scene.session.counters.drops == {DropReason.NO_TUNNEL: 1}
    # Each tunnel may send from its own address only.
    assert scene.datagrams(b"\x00" + ipv4_packet("10.0.0.2", "198.51.100.7"), stream=4) == []
    assert scene.addresses == [ip_address("10.0.0.2"), ip_address("10.0.0.3")]
    assert scene.data(b"", stream=4, fin=True) == [
        closed(TunnelCloseReason.CLOSED_BY_CLIENT, stream=4)
    ]
    assert scene.addresses == [ip_address("10.0.0.2")]
    scene.session.send_ip_packets([second], T0)
    assert scene.http3.sent(0).datagrams == [b"\x00" + first]
    assert second not in [datagram[1:] for datagram in scene.http3.sent(4).datagrams[2:]]


def test_tunnels_of_a_connection_are_limited() -> None:
    scene = Scene(replace(policy_of(), max_tunnels=2))
    for stream in (0, 4, 8):
        scene.ask(request(), stream=stream)
    assert scene.session.tunnel_count == 2
    sent = scene.http3.sent(8)
    assert (sent.status, sent.is_finished) == (b"503", True)
    assert sent.fields[b"proxy-status"] == b"mqvpn; error=connection_limit_reached"


@pytest.mark.parametrize("quota", [TunnelQuota(max_total=1), TunnelQuota(max_per_user=1)])
def test_tunnels_are_limited_in_total_and_per_user(quota: TunnelQuota) -> None:
    policy = policy_of(quota=quota)
    first, second = opened(policy=policy), Scene(policy)
    second.ask(request())
    assert refusal_of(second)[0] == b"503"
    first.data(b"", fin=True)
    assert second.ask(request(), stream=4)[-1] == replace(OPENED, stream_id=StreamId(4))


def test_the_shared_key_has_no_limit_per_user() -> None:
    quota = TunnelQuota(max_per_user=1)
    policy = policy_of(quota=quota, authenticator=OneKey(user=None))
    scenes = [Scene(policy) for _ in range(3)]
    for number, scene in enumerate(scenes):
        opened_event = scene.ask(request())[-1]
        assert opened_event == TunnelOpened(
            stream_id=StreamId(0), user=None, addresses=(ip_address("10.0.0.2") + number,)
        )
    for scene in scenes:
        scene.session.close(T0)
    assert quota.open_count == 0


def test_an_exhausted_pool_is_a_temporary_refusal() -> None:
    policy = policy_of("10.0.0.0/30")
    opened(policy=policy)
    second = Scene(policy)
    second.ask(request())
    assert refusal_of(second)[0] == b"503"
    assert policy.quota.open_count == 1


def test_the_family_whose_pool_is_used_up_is_left_out() -> None:
    policy = policy_of("10.0.0.0/30", "fd00::/64")
    opened(policy=policy)
    second = Scene(policy)
    second.ask(request())
    assert second.http3.sent().data == assign("fd00::3/128") + advertise(route("::/0"))


def test_an_instance_that_returns_takes_its_tunnel_over() -> None:
    policy = policy_of()
    named = request(PATH, (b"mqvpn-instance", b"laptop"))
    old, new = Scene(policy), Scene(policy)
    old.ask(named)
    assert new.ask(named)[-1] == OPENED
    assert old.step(at(1)) == [closed(TunnelCloseReason.TAKEN_OVER)]
    assert old.http3.sent().aborted_with == Http3ErrorCode.H3_REQUEST_CANCELLED
    assert new.step(at(1)) == []
    assert new.addresses == [ip_address("10.0.0.2")]
    assert policy.pools[0].leased_count == 1


@pytest.mark.parametrize("name", [b"", b"x" * 65, b"caf\xc3\xa9", b"a\x01b"])
def test_a_bad_instance_name_counts_as_none(name: bytes) -> None:
    policy = policy_of()
    scenes = [Scene(policy), Scene(policy)]
    for scene in scenes:
        scene.ask(request(PATH, (b"mqvpn-instance", name)))
    assert [scene.addresses for scene in scenes] == [
        [ip_address("10.0.0.2")],
        [ip_address("10.0.0.3")],
    ]


def test_clients_do_not_reach_one_another_unless_switched_on() -> None:
    to_other = ipv4_packet("10.0.0.2", "10.0.0.3")
    to_server = ipv4_packet("10.0.0.2", "10.0.0.1")
    isolated = opened()
    assert isolated.datagrams(b"\x00" + to_other, b"\x00" + to_server) == [to_server]
    assert isolated.session.counters.drops == {DropReason.PROHIBITED: 1}
    switched_on = opened(policy=replace(policy_of(), client_to_client=True))
    assert switched_on.datagrams(b"\x00" + to_other, b"\x00" + to_server) == [to_other, to_server]


def test_denied_destinations() -> None:
    denied = (ip_network("192.168.0.0/16"), ip_network("10.0.0.0/24"))
    scene = opened(policy=replace(policy_of(), denied=denied, client_to_client=True))
    good = ipv4_packet("10.0.0.2", "198.51.100.7")
    bad = [ipv4_packet("10.0.0.2", to) for to in ("192.168.1.1", "10.0.0.1", "10.0.0.3")]
    assert scene.datagrams(*(b"\x00" + packet for packet in (*bad, good))) == [good]
    assert scene.session.counters.drops == {DropReason.PROHIBITED: 3}


def test_checklist_36_packets_before_the_request_is_answered_are_dropped() -> None:
    scene = Scene()
    assert scene.datagrams(b"\x00early", b"\x00early") == []
    assert scene.session.counters.drops == {DropReason.NO_TUNNEL: 2}
    scene.ask(request(key=None))
    assert scene.datagrams(b"\x00refused") == []
    assert scene.http3.sent().aborted_with is None


def test_checklist_20_datagram_capsules_are_taken_like_datagrams() -> None:
    scene = opened()
    packet = ipv4_packet("10.0.0.2", "198.51.100.7")
    assert scene.data(encode_capsule(DatagramCapsule(payload=b"\x00" + packet))) == []
    assert scene.session.take_ip_packets() == [packet]


def test_checklist_52_the_server_proves_the_mtu_by_an_echo() -> None:
    scene = opened("fd00::/64")
    (sent,) = scene.http3.sent().datagrams
    assert (len(sent), sent[9:25]) == (1281, ip_address("fd00::1").packed)
    events = scene.wait(30)
    assert events == [closed(TunnelCloseReason.IPV6_MTU_TOO_SMALL)]
    assert scene.http3.sent().aborted_with == Http3ErrorCode.H3_REQUEST_CANCELLED
    targets = [datagram[25:41] for datagram in scene.http3.sent().datagrams]
    both = [ip_address("ff02::1").packed, ip_address("fd00::2").packed]
    assert targets == both * 4


def test_checklist_53_a_path_too_small_for_ipv6_aborts_the_stream() -> None:
    scene = Scene(policy_of("fd00::/64"))
    scene.http3.datagram_room = 1200
    scene.ask(request())
    assert scene.http3.sent().status == b"200"
    assert scene.wait(7.9) == []
    assert scene.wait(8.1) == [closed(TunnelCloseReason.IPV6_MTU_TOO_SMALL)]


def test_ipv4_needs_no_1280_bytes() -> None:
    scene = Scene()
    scene.http3.datagram_room = 1200
    scene.ask(request())
    assert scene.wait(60) == []
    assert scene.session.tunnel_count == 1


def test_link_local_noise_does_not_harm() -> None:
    scene = opened("fd00::/64")
    noise = ipv6_packet("fe80::1", "ff02::16", protocol=58, hop_limit=1)
    assert scene.datagrams(b"\x00" + noise, b"\x00" + noise) == []
    assert scene.session.counters.drops == {DropReason.LINK_LOCAL: 2}
    assert scene.session.tunnel_count == 1


def test_a_new_policy_concerns_new_requests() -> None:
    scene = opened()
    newer = policy_of("10.9.0.0/24")
    scene.session.change_policy(newer)
    assert scene.addresses == [ip_address("10.0.0.2")]
    scene.ask(request(), stream=4)
    assert scene.addresses == [ip_address("10.0.0.2"), ip_address("10.9.0.2")]
    scene.data(b"", fin=True)
    assert scene.policy.pools[0].leased_count == 0
    assert (scene.policy.quota.open_count, newer.quota.open_count) == (0, 1)


def test_events_of_the_connection_below_are_no_business_of_the_session() -> None:
    scene = Scene()
    scene.http3.receive(HandshakeConfirmed())
    assert scene.step() == []


def test_the_counters_keep_what_closed_tunnels_counted() -> None:
    scene = opened()
    scene.datagrams(b"\x00" + ipv4_packet("10.0.0.2", "198.51.100.7"), b"\x00bad")
    scene.session.send_ip_packets([ipv4_packet("198.51.100.7", "10.0.0.2")], T0)
    before = scene.session.counters
    scene.data(b"", fin=True)
    assert scene.session.counters == before
    assert (before.received_packet_count, before.sent_packet_count) == (1, 1)
    assert before.drops == {DropReason.MALFORMED: 1}
    assert (before.received_bytes, before.sent_bytes) == (60, 60)


def test_settings_that_arrive_after_the_request() -> None:
    scene = Scene()
    scene.http3.has_datagram_frames = False
    scene.ask(request())
    packet = ipv4_packet("198.51.100.7", "10.0.0.2", size=1000)
    scene.session.send_ip_packets([packet], T0)
    assert scene.session.take_ip_packets() == []
    assert scene.session.counters.drops == {DropReason.NO_TUNNEL: 1}
    scene.http3.has_datagram_frames = True
    scene.step()
    scene.session.send_ip_packets([packet], T0)
    assert scene.http3.sent().datagrams == [b"\x00" + packet]


def test_refusing_a_stream_that_the_client_stopped_is_harmless() -> None:
    scene = Scene()
    scene.http3.sent().is_stopped = True
    assert len(scene.ask(request(key=None))) == 1
    assert scene.http3.sent().headers == []


def test_limits_may_change_while_tunnels_are_open() -> None:
    scene = opened()
    scene.policy.quota.change_limits(max_total=1, max_per_user=9)
    other = Scene(scene.policy)
    other.ask(request())
    assert refusal_of(other)[0] == b"503"
    scene.policy.quota.change_limits(max_total=9, max_per_user=1)
    other.ask(request(), stream=4)
    assert refusal_of(other, stream=4)[0] == b"503"
    assert scene.session.tunnel_count == 1


def test_checklist_12_nothing_is_sent_after_the_end_of_the_stream() -> None:
    scene = opened()
    scene.data(b"", fin=True)
    scene.session.send_ip_packets([ipv4_packet("198.51.100.7", "10.0.0.2")], T0)
    assert scene.http3.sent().datagrams == []
    assert scene.datagrams(b"\x00" + ipv4_packet("10.0.0.2", "198.51.100.7")) == []
    assert scene.session.counters.drops == {DropReason.NO_TUNNEL: 2}
