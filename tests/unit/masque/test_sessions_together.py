"""A client and a server session on joined connections: what neither scripted test can show."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import pytest

from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import StreamId
from mqvpn_core.masque.client_config import ClientSessionConfig
from mqvpn_core.masque.drop_reasons import DropReason
from mqvpn_core.masque.server_events import (
    AuthenticationFailed,
    NameResolutionWanted,
    TunnelClosed,
    TunnelCloseReason,
    TunnelOpened,
)
from mqvpn_core.masque.server_policy import ServerPolicy
from mqvpn_core.masque.session_events import (
    EndCause,
    MtuChanged,
    SessionEnded,
    TunnelEstablished,
)
from mqvpn_core.wire.request_scopes import RequestScope
from tests.unit.masque.samples import (
    Pair,
    client_events,
    config_of,
    ipv4_packet,
    ipv6_packet,
    policy_of,
    route,
    server_events,
)

DUAL = ("10.0.0.0/24", "fd00::/64")
WEB4, WEB6 = "198.51.100.7", "2001:db8::7"


def up(
    config: ClientSessionConfig | None = None, policy: ServerPolicy | None = None
) -> tuple[Pair, TunnelEstablished]:
    pair = Pair(config, policy_of(*DUAL) if policy is None else policy)
    pair.run()
    (event,) = client_events(pair.client)
    assert isinstance(event, TunnelEstablished)
    return pair, event


def addresses(pair: Pair) -> list[IPv4Address | IPv6Address]:
    return [address.ip for address in pair.client.assigned]


def test_a_tunnel_of_both_families() -> None:
    pair, event = up()
    assert event == TunnelEstablished(
        addresses=(ip_interface("10.0.0.2/32"), ip_interface("fd00::2/128")),
        routes=(route("0.0.0.0/0"), route("::/0")),
        mtu=1399,
    )
    assert pair.client_http3.sent().data == b""  # nothing had to be requested
    assert pair.client.next_timeout() is None
    assert pair.server.next_timeout() is None


def test_packets_cross_both_ways_unchanged() -> None:
    pair, _ = up()
    ups = [ipv4_packet("10.0.0.2", WEB4, ttl=1), ipv6_packet("fd00::2", WEB6)]
    downs = [ipv4_packet(WEB4, "10.0.0.2", ttl=1), ipv6_packet(WEB6, "fd00::2")]
    pair.client.send_ip_packets(ups, pair.now)
    pair.server.send_ip_packets(downs, pair.now)
    pair.run()
    assert pair.server.take_ip_packets() == ups
    assert pair.client.take_ip_packets() == downs
    assert pair.client.counters.drops == {}
    assert pair.server.counters.drops == {}


def test_checklist_58_packets_are_sent_at_once() -> None:
    pair, _ = up()
    sent = pair.client_http3.sent().datagrams
    before = len(sent)
    packet = ipv4_packet("10.0.0.2", WEB4)
    pair.client.send_ip_packets([packet], pair.now)
    assert sent[before:] == [b"\x00" + packet]


def test_checklist_52_both_ends_prove_the_mtu_and_answer() -> None:
    pair, _ = up()
    pair.run(60)
    assert client_events(pair.client) == []
    assert pair.client.counters.echo_reply_count == 1
    assert pair.server.counters.echo_reply_count == 1
    assert pair.client.take_ip_packets() == []
    assert pair.server.take_ip_packets() == []


def test_checklist_53_a_path_that_shrinks_below_ipv6_ends_the_tunnel() -> None:
    pair, _ = up()
    server_events(pair.server)
    pair.client_http3.datagram_room = 1200
    pair.run(20)
    events = client_events(pair.client)
    assert events[0] == MtuChanged(mtu=1199)
    assert isinstance(events[1], SessionEnded)
    assert events[1].cause is EndCause.IPV6_MTU_TOO_SMALL
    (closed,) = server_events(pair.server)
    assert isinstance(closed, TunnelClosed)
    assert closed.reason is TunnelCloseReason.CLOSED_BY_CLIENT


def test_a_wrong_key_is_recognized_behind_the_hidden_answer() -> None:
    pair = Pair(config_of(authorization=b"Bearer wrong"))
    pair.run()
    (event,) = client_events(pair.client)
    assert isinstance(event, SessionEnded)
    assert (event.cause, event.status) == (EndCause.REFUSED_AUTHENTICATION, 404)
    assert server_events(pair.server) == [
        AuthenticationFailed(peer_host="192.0.2.1", is_rate_limited=False)
    ]


def test_checklist_56_spoofed_packets_do_not_leave_either_end() -> None:
    pair, _ = up()
    spoofed = ipv4_packet("10.0.0.3", WEB4)
    pair.client.send_ip_packets([spoofed], pair.now)
    assert pair.client.counters.drops == {DropReason.SPOOFED_SOURCE: 1}
    # A dishonest client sends it all the same.
    pair.client_http3.send_http_datagrams(StreamId(0), b"\x00", [spoofed], pair.now)
    pair.run()
    assert pair.server.take_ip_packets() == []
    assert pair.server.counters.drops == {DropReason.SPOOFED_SOURCE: 1}
    assert client_events(pair.client) == []


def test_checklist_55_icmp_errors_of_the_server_reach_the_clients_device() -> None:
    pair, _ = up()
    pair.client.take_ip_packets()
    pair.client.send_ip_packets([ipv4_packet("10.0.0.2", "10.0.0.9")], pair.now)
    pair.run()
    (error,) = expand(pair.client.take_ip_packets())
    assert (error[12:20], error[20:22]) == (
        ip_address("10.0.0.1").packed + ip_address("10.0.0.2").packed,
        bytes((3, 13)),
    )


def test_checklist_54_a_sender_behind_the_server_learns_the_mtu() -> None:
    pair, _ = up()
    pair.server.send_ip_packets([ipv6_packet(WEB6, "fd00::2", size=1500)], pair.now)
    (error,) = expand(pair.server.take_ip_packets())
    assert (error[24:40], error[40], error[44:48]) == (
        ip_address(WEB6).packed,
        2,
        (1399).to_bytes(4, "big"),
    )


def test_checklist_57_tunnels_of_different_scopes_share_no_address() -> None:
    policy = policy_of(*DUAL)
    pairs = [
        up(replace(config_of(), scope=RequestScope(protocol=protocol)), policy)[0]
        for protocol in (6, 17)
    ]
    assert not set(addresses(pairs[0])) & set(addresses(pairs[1]))


def test_two_clients_have_distinct_addresses_and_no_cross_talk() -> None:
    policy = policy_of(*DUAL)
    first, second = up(policy=policy)[0], up(policy=policy)[0]
    assert addresses(first) == [ip_address("10.0.0.2"), ip_address("fd00::2")]
    assert addresses(second) == [ip_address("10.0.0.3"), ip_address("fd00::3")]
    packet = ipv4_packet(WEB4, "10.0.0.3")
    first.server.send_ip_packets([packet], first.now)
    first.run()
    assert first.client.take_ip_packets() == []
    assert first.server.counters.drops == {DropReason.NOT_ASSIGNED: 1}


def test_an_instance_finds_its_addresses_again_while_the_old_connection_lingers() -> None:
    policy = policy_of(*DUAL)
    laptop = replace(config_of(), instance="laptop")
    old, _ = up(laptop, policy)
    up(replace(config_of(), instance="phone"), policy)
    new, _ = up(laptop, policy)
    assert addresses(new) == addresses(old)
    server_events(old.server)
    old.run()
    (closed,) = server_events(old.server)
    assert isinstance(closed, TunnelClosed)
    assert closed.reason is TunnelCloseReason.TAKEN_OVER
    (ended,) = client_events(old.client)
    assert isinstance(ended, SessionEnded)
    assert (ended.cause, ended.may_retry) == (EndCause.CLOSED_BY_PEER, True)
    new.run(30)
    assert client_events(new.client) == []


def test_preferred_addresses_are_given_back_by_a_server_that_forgot_its_leases() -> None:
    wanted = (ip_address("10.0.0.77"), ip_address("fd00::77"))
    pair, event = up(replace(config_of(), requested_addresses=wanted))
    assert addresses(pair) == list(wanted)
    assert isinstance(server_events(pair.server)[1], TunnelOpened)
    pair.client.send_ip_packets([ipv4_packet("10.0.0.77", WEB4)], pair.now)
    pair.run()
    assert len(pair.server.take_ip_packets()) == 1
    assert event.mtu == 1399


def test_checklist_33_34_a_scope_by_name() -> None:
    scope = RequestScope(target="www.example.com", protocol=17)
    pair = Pair(replace(config_of(), scope=scope), policy_of(*DUAL))
    pair.run()
    wanted = server_events(pair.server)[-1]
    assert isinstance(wanted, NameResolutionWanted)
    pair.server.resolved(wanted.token, (ip_address(WEB4),), pair.now)
    pair.run()
    (event,) = client_events(pair.client)
    assert isinstance(event, TunnelEstablished)
    assert event.routes == (route(f"{WEB4}/32", None, 17),)
    assert event.addresses == (ip_interface("10.0.0.2/32"),)


@pytest.mark.parametrize("who", ["client", "server"])
def test_closing_one_end_ends_the_other(who: str) -> None:
    pair, _ = up()
    server_events(pair.server)
    (pair.client if who == "client" else pair.server).close(pair.now)
    pair.run()
    (ended,) = client_events(pair.client)
    assert isinstance(ended, SessionEnded)
    assert ended.cause is (EndCause.CLOSED_LOCALLY if who == "client" else EndCause.CLOSED_BY_PEER)
    (closed,) = server_events(pair.server)
    assert isinstance(closed, TunnelClosed)
    assert closed.reason is (
        TunnelCloseReason.CONNECTION_LOST if who == "client" else TunnelCloseReason.CLOSED_LOCALLY
    )
    assert pair.server.addresses == ()
