"""UDP sockets in namespaces: links with their addresses, sizes and refusals."""

import errno
import logging
import struct
from collections import Counter

import pytest
import trio
import trio.testing

from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import Transmit
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.helper.namespaces import add_ipv6_address, add_uplink, run
from tests.helper.packets import Tap
from tests.runtime.udp_scene import ANY4, Opener, to


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    ("wildcard", "addresses"),
    [
        (ANY4, ["127.0.0.1", "127.0.0.2", "192.0.2.2"]),
        ("::", ["::1", "2001:db8:2::2", "2001:db8::77"]),
    ],
)
def test_wildcard_socket_answers_from_the_address_it_was_asked_at(
    opener: Opener, wildcard: str, addresses: list[str]
) -> None:
    add_ipv6_address("2001:db8::77/128", "lo")
    server = opener(wildcard)
    port = server.local_address.port
    client = opener(addresses[0])
    for address in addresses:
        client.send([to(client, SocketAddress(address, port), b"ask")])
    asked = server.receive(8)
    assert [batch.four_tuple.local for batch in asked] == [
        SocketAddress(address, port) for address in addresses
    ]
    for batch in asked:
        answer = Transmit(four_tuple=batch.four_tuple, data=b"ab", segment_size=1, ecn=0)
        assert server.send([answer]) == []
    answered = [batch.four_tuple.remote.host for batch in client.receive(8)]
    assert answered == addresses


def _neighbours() -> None:
    for gateway in ("192.0.2.1", "fe80::1"):
        run(f"ip neigh add {gateway} lladdr 02:00:00:00:00:01 dev eth0 nud permanent")


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_packets_are_never_fragmented(opener: Opener) -> None:
    _neighbours()
    tap = Tap("eth0-far")
    try:
        four, six = opener("192.0.2.2"), opener("2001:db8:2::2")
        for sender, remote, header_bytes in (
            (four, SocketAddress("198.51.100.1", 443), 28),
            (six, SocketAddress("2001:db8:99::1", 443), 48),
        ):
            fits = 1500 - header_bytes
            sizes = (fits, fits + 1, 3000, fits)
            assert sender.send([to(sender, remote, bytes(size), ecn=1) for size in sizes]) == []
            assert sender.counters.send_errors == Counter({errno.EMSGSIZE: 2})
            assert sender.counters.sent_count == 2
            where = FourTuple(sender.local_address, remote)
            assert sender.take_refused() == [(where, fits + 1), (where, 3000)]
            assert sender.take_refused() == []
            for _ in range(2):
                packet = tap.next_packet()
                assert len(packet) == 1500
                if sender is four:
                    assert struct.unpack("!H", packet[6:8])[0] == 0x4000  # DF, no offset
                    assert packet[1] == 1
                else:
                    assert packet[6] == 17  # no fragment header
    finally:
        tap.close()


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_too_big_segments_do_not_end_segmentation(
    opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _neighbours()
    sender = opener("192.0.2.2")
    remote = SocketAddress("198.51.100.1", 443)
    assert sender.send([to(sender, remote, bytes(4000), segment_size=2000)]) == []
    assert sender.counters.send_errors == Counter({errno.EMSGSIZE: 2})
    assert sender.take_refused() == [(FourTuple(sender.local_address, remote), 2000)]
    assert sender.send([to(sender, remote, bytes(2400), segment_size=1200)]) == []
    assert sender.counters.sent_count == 2
    assert not caplog.records


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("segmentation", [True, False])
def test_full_buffer_gives_back_what_did_not_fit(opener: Opener, segmentation: bool) -> None:
    _neighbours()
    run("tc qdisc add dev eth0 root tbf rate 2mbit burst 1600 limit 1000000")
    sender = opener("192.0.2.2", buffer_bytes=4096, segmentation=segmentation)
    tap = Tap("eth0-far")
    try:
        arrived, blocked_count = trio.run(_send_through, sender, tap)
    finally:
        tap.close()
    assert arrived == list(range(800))
    assert blocked_count > 0
    assert sender.counters.sent_count == 800
    assert sender.counters.send_errors.total() == 0


async def _send_through(sender: UdpSocket, tap: Tap) -> tuple[list[int], int]:
    """Send 100 transmits of 8 numbers each over a slow link."""
    remote = SocketAddress("198.51.100.1", 443)
    payloads = [b"".join(struct.pack("!I", 8 * n + k) for k in range(8)) for n in range(100)]
    rest = [to(sender, remote, payload, segment_size=4) for payload in payloads]
    blocked_count = 0
    while rest := sender.send(rest):
        blocked_count += 1
        with trio.fail_after(5):
            await sender.wait_writable()
    arrived: list[int] = []
    while len(arrived) < 800:
        # The link passes what was sent together on together.
        arrived += [number for (number,) in struct.iter_unpack("!I", tap.next_packet()[28:])]
    return arrived, blocked_count


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_what_the_network_refuses_is_counted(opener: Opener) -> None:
    sender = opener("192.0.2.2")
    remote = SocketAddress("198.51.100.1", 443)
    pair = to(sender, remote, b"xy", segment_size=1)
    run("nft add table inet t")
    run("nft add chain inet t out { type filter hook output priority 0; policy drop; }")
    assert sender.send([pair]) == []
    run("nft delete table inet t")
    run("ip route delete default via 192.0.2.1")
    assert sender.send([pair]) == []
    run("ip route add unreachable 198.51.100.1")
    assert sender.send([pair]) == []
    run("ip address delete 192.0.2.2/24 dev eth0")
    assert sender.send([pair]) == []
    counted = sender.counters.send_errors
    assert counted[errno.EPERM] == counted[errno.EHOSTUNREACH] == 2
    assert counted[errno.ENETUNREACH] + counted[errno.EINVAL] == 4
    assert counted.total() == 8


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_socket_of_a_link_uses_no_other(opener: Opener) -> None:
    add_uplink("eth1", network=3)
    run("ip neigh add 192.0.3.1 lladdr 02:00:00:00:00:02 dev eth1 nud permanent")
    assert "dev eth0" in run("ip route get 198.51.100.1")
    tap = Tap("eth1-far")
    try:
        sender = opener("192.0.3.2", interface="eth1")
        sender.send([to(sender, SocketAddress("198.51.100.1", 443), b"over eth1")])
        assert tap.next_packet().endswith(b"over eth1")
    finally:
        tap.close()
    run("ip link set eth1 down")
    assert sender.send([to(sender, SocketAddress("198.51.100.1", 443), b"x")]) == []
    run("ip link delete eth1")
    assert sender.send([to(sender, SocketAddress("198.51.100.1", 443), b"x")]) == []
    assert sender.counters.send_errors.total() == 2
    assert sender.receive(8) == []


@pytest.mark.netns
@pytest.mark.usefixtures("namespace")
def test_link_local_address_of_a_link(opener: Opener) -> None:
    add_ipv6_address("fe80::2/64", "eth0")
    run("ip neigh add fe80::9 lladdr 02:00:00:00:00:01 dev eth0 nud permanent")
    sender = opener("fe80::2", interface="eth0")
    assert sender.local_address.host == "fe80::2"
    tap = Tap("eth0-far")
    try:
        sender.send([to(sender, SocketAddress("fe80::9", 443), b"near")])
        assert tap.next_packet().endswith(b"near")
    finally:
        tap.close()
