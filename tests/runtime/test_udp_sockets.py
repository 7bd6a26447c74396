"""UDP sockets against a real kernel: loopback, and namespaces where links are needed."""

import errno
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Protocol

import pytest
import trio
import trio.testing

from mqvpn_core.dataplane import kernel
from mqvpn_core.errors import HostError
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, Transmit
from mqvpn_core.runtime import udp_sockets
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.helper.namespaces import add_uplink, fresh_namespace, run
from tests.helper.packets import Tap

LOOPBACK = ("127.0.0.1", "::1")
SO_NO_CHECK = 11

ANY4 = "0.0.0.0"  # noqa: S104 - what these tests are about


class Opener(Protocol):
    """Opens sockets that the test need not close."""

    def __call__(
        self,
        host: str,
        port: int = 0,
        *,
        interface: str | None = None,
        buffer_bytes: int = 4 << 20,
        segmentation: bool = True,
    ) -> UdpSocket:
        """Open one."""


_READERS = ["one by one"] if kernel.make_datagram_reader is None else ["one by one", "together"]


@pytest.fixture(params=_READERS)
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    if request.param == "one by one":
        monkeypatch.setattr(kernel, "make_datagram_reader", None)
    with ExitStack() as stack:

        def open_socket(
            host: str,
            port: int = 0,
            *,
            interface: str | None = None,
            buffer_bytes: int = 4 << 20,
            segmentation: bool = True,
        ) -> UdpSocket:
            options = UdpOptions(
                interface=interface, buffer_bytes=buffer_bytes, segmentation=segmentation
            )
            made = UdpSocket(SocketAddress(host, port), options)
            stack.callback(made.close)
            return made

        yield open_socket


@pytest.fixture
def namespace() -> Iterator[None]:
    with fresh_namespace():
        add_uplink()
        yield


def to(
    sender: UdpSocket,
    remote: SocketAddress,
    data: bytes,
    *,
    segment_size: int | None = None,
    ecn: int = 0,
) -> Transmit:
    return Transmit(
        four_tuple=FourTuple(local=sender.local_address, remote=remote),
        data=data,
        segment_size=segment_size or len(data),
        ecn=ecn,
    )


def segments(batches: list[ReceivedDatagrams]) -> list[bytes]:
    return [
        batch.data[offset : offset + batch.segment_size]
        for batch in batches
        for offset in range(0, len(batch.data), batch.segment_size)
    ]


def numbered(count: int, size: int, last: int) -> list[bytes]:
    return [bytes([n]) * (last if n == count - 1 else size) for n in range(count)]


@pytest.mark.parametrize("host", LOOPBACK)
def test_one_datagram(opener: Opener, host: str) -> None:
    one, other = opener(host), opener(host)
    assert one.send([to(one, other.local_address, b"hello")]) == []
    assert other.receive(8) == [
        ReceivedDatagrams(
            four_tuple=FourTuple(local=other.local_address, remote=one.local_address),
            data=b"hello",
            segment_size=5,
            ecn=0,
        )
    ]
    assert other.receive(8) == []
    assert (one.counters.sent_count, one.counters.sent_bytes) == (1, 5)
    assert (other.counters.received_count, other.counters.received_bytes) == (1, 5)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("sends_together", [True, False])
@pytest.mark.parametrize("receives_together", [True, False])
@pytest.mark.parametrize(("count", "last"), [(2, 1200), (10, 1), (50, 700)])
def test_segmentation_on_either_side(
    opener: Opener,
    host: str,
    sends_together: bool,
    receives_together: bool,
    count: int,
    last: int,
) -> None:
    sender = opener(host, segmentation=sends_together)
    receiver = opener(host, segmentation=receives_together)
    sent = numbered(count, 1200, last)
    transmit = to(sender, receiver.local_address, b"".join(sent), segment_size=1200)
    assert sender.send([transmit]) == []
    first = segments(receiver.receive(1))
    assert (first == sent) == (sends_together and receives_together)
    assert first + segments(receiver.receive(100)) == sent
    assert sender.uses_segmentation == sends_together
    assert sender.counters.sent_count == receiver.counters.received_count == count


@pytest.mark.parametrize("host", LOOPBACK)
def test_ecn_marks_change_from_packet_to_packet(opener: Opener, host: str) -> None:
    sender, receiver = opener(host), opener(host)
    marks = [2, 2, 0, 1, 3, 2]
    sender.send([to(sender, receiver.local_address, b"x", ecn=mark) for mark in marks])
    sender.send([to(sender, receiver.local_address, b"xxxx", segment_size=1, ecn=3)])
    batches = receiver.receive(100)
    assert [batch.ecn for batch in batches for _ in segments([batch])] == [*marks, 3, 3, 3, 3]


def test_reads_are_bounded(opener: Opener) -> None:
    sender, receiver = opener("127.0.0.1"), opener("127.0.0.1")
    sender.send([to(sender, receiver.local_address, bytes([n])) for n in range(5)])
    assert segments(receiver.receive(3)) == [b"\0", b"\1", b"\2"]
    assert segments(receiver.receive(3)) == [b"\3", b"\4"]


def test_reads_are_bounded_in_bytes(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, receiver = opener("127.0.0.1"), opener("127.0.0.1")
    sent = [bytes([n]) * 1000 for n in range(100)]
    sender.send([to(sender, receiver.local_address, data) for data in sent])
    monkeypatch.setattr(udp_sockets, "MAX_READ_BYTES", 40_000)
    looks = []
    while look := segments(receiver.receive(200)):
        looks.append(look)
    assert [data for look in looks for data in look] == sent
    # A single system call may go beyond it.
    assert len(looks) > 1
    assert all(40 <= len(look) <= 64 for look in looks[:-1])


def test_reads_of_one_peer_come_together(opener: Opener) -> None:
    one, other, receiver = opener("127.0.0.1"), opener("127.0.0.1"), opener("127.0.0.1")
    for n in range(3):
        one.send([to(one, receiver.local_address, bytes([n]))])
        other.send([to(other, receiver.local_address, bytes([n, n]))])
    assert [batch.data for batch in receiver.receive(6)] == [b"\0\1\2", b"\0\0\1\1\2\2"]


def test_empty_datagrams_are_no_datagrams(opener: Opener) -> None:
    receiver = opener("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"", receiver.local_address)
        plain.sendto(b"x", receiver.local_address)
    assert [batch.data for batch in receiver.receive(8)] == [b"x"]
    assert receiver.counters.unusable_count == 1


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
    run("ip -6 address add 2001:db8::77/128 dev lo nodad")
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


def test_families_do_not_mix(opener: Opener) -> None:
    four = opener(ANY4)
    six = opener("::", four.local_address.port)
    client = opener("127.0.0.1")
    client.send([to(client, SocketAddress("127.0.0.1", four.local_address.port), b"x")])
    assert len(four.receive(8)) == 1
    assert six.receive(8) == []
    four.send([to(four, SocketAddress("::1", 9), b"x")])
    six.send([to(six, SocketAddress("127.0.0.1", 9), b"x")])
    assert four.counters.send_errors.total() == six.counters.send_errors.total() == 1


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
def test_too_big_segments_do_not_end_segmentation(opener: Opener) -> None:
    _neighbours()
    sender = opener("192.0.2.2")
    remote = SocketAddress("198.51.100.1", 443)
    assert sender.send([to(sender, remote, bytes(4000), segment_size=2000)]) == []
    assert sender.counters.send_errors == Counter({errno.EMSGSIZE: 2})
    assert sender.take_refused() == [(FourTuple(sender.local_address, remote), 2000)]
    assert sender.uses_segmentation
    assert sender.send([to(sender, remote, bytes(2400), segment_size=1200)]) == []
    assert sender.counters.sent_count == 2


@pytest.mark.parametrize("host", LOOPBACK)
def test_kernel_that_refuses_segmentation_gets_single_datagrams(opener: Opener, host: str) -> None:
    sender, receiver = opener(host), opener(host)
    if host == "127.0.0.1":
        # Without checksums the kernel cannot segment: EINVAL.
        sender._socket.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    else:
        sender._socket.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        sender._socket.setsockopt(17, 101, 1)  # UDP_NO_CHECK6_TX
        receiver._socket.setsockopt(17, 102, 1)  # UDP_NO_CHECK6_RX
    sent = numbered(5, 1000, 10)
    transmit = to(sender, receiver.local_address, b"".join(sent), segment_size=1000)
    assert sender.send([transmit, transmit]) == []
    assert segments(receiver.receive(100)) == sent * 2
    assert not sender.uses_segmentation
    assert sender.counters.send_errors.total() == 0


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


def test_closed_port_at_the_other_end_is_no_error(opener: Opener) -> None:
    gone = opener("127.0.0.1")
    remote = gone.local_address
    gone.close()
    sender = opener("127.0.0.1")
    for _ in range(3):
        assert sender.send([to(sender, remote, b"x")]) == []
        assert sender.receive(8) == []


def test_pending_socket_error_is_counted_once(opener: Opener) -> None:
    gone = opener("127.0.0.1")
    receiver = opener("127.0.0.1")
    # A connected socket is told what ICMP says.
    receiver._socket.connect(gone.local_address)
    gone.close()
    receiver._socket.send(b"x")
    assert receiver.receive(8) == []
    assert receiver.counters.receive_errors == Counter({errno.ECONNREFUSED: 1})


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
    run("ip address add fe80::2/64 dev eth0 nodad")
    run("ip neigh add fe80::9 lladdr 02:00:00:00:00:01 dev eth0 nud permanent")
    sender = opener("fe80::2", interface="eth0")
    assert sender.local_address.host == "fe80::2"
    tap = Tap("eth0-far")
    try:
        sender.send([to(sender, SocketAddress("fe80::9", 443), b"near")])
        assert tap.next_packet().endswith(b"near")
    finally:
        tap.close()


def test_buffers_are_as_big_as_wanted_or_allowed(opener: Opener) -> None:
    small, big = opener("127.0.0.1", buffer_bytes=8192), opener("127.0.0.1")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        size_small = small._socket.getsockopt(socket.SOL_SOCKET, option)
        size_big = big._socket.getsockopt(socket.SOL_SOCKET, option)
        assert size_small < size_big
        if os.geteuid() == 0:
            assert size_big >= 4 << 20


def test_taken_port(opener: Opener) -> None:
    first = opener("127.0.0.1")
    with pytest.raises(HostError, match="another program uses it"):
        opener("127.0.0.1", first.local_address.port)


def test_foreign_address(opener: Opener) -> None:
    with pytest.raises(HostError, match="this machine has no such address"):
        opener("192.0.2.200")


def test_unknown_link(opener: Opener) -> None:
    with pytest.raises(HostError, match="over nolink0: there is no such interface"):
        opener("127.0.0.1", interface="nolink0")


def test_closing_wakes_who_waits_and_is_harmless_twice(opener: Opener) -> None:
    async def wait_for_ever(waiting: UdpSocket) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await waiting.wait_readable()

    async def main() -> None:
        waiting = opener("127.0.0.1")
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait_for_ever, waiting)
                await trio.testing.wait_all_tasks_blocked()
                waiting.close()
        waiting.close()

    trio.run(main)


def test_waiting_for_a_datagram(opener: Opener) -> None:
    async def main() -> None:
        sender, receiver = opener("127.0.0.1"), opener("127.0.0.1")
        with trio.fail_after(2):
            await sender.wait_writable()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receiver.wait_readable)
                await trio.testing.wait_all_tasks_blocked()
                sender.send([to(sender, receiver.local_address, b"x")])
        assert [batch.data for batch in receiver.receive(8)] == [b"x"]

    trio.run(main)


def test_using_a_closed_socket_is_a_bug(opener: Opener) -> None:
    closed = opener("127.0.0.1")
    remote = closed.local_address
    closed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        closed.receive(1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        closed.send([to(closed, remote, b"x")])


def test_many_peers_do_not_grow_the_memory(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_sockets, "_MAX_CACHED", 3)
    receiver = opener(ANY4)
    port = receiver.local_address.port
    for n in range(10):
        sender = opener(f"127.0.0.{n + 1}")
        sender.send([to(sender, SocketAddress(f"127.0.1.{n + 1}", port), b"x")])
        (batch,) = receiver.receive(8)
        assert batch.four_tuple.remote == sender.local_address
        receiver.send(
            [replace(to(receiver, sender.local_address, b"y"), four_tuple=batch.four_tuple)]
        )
        assert sender.receive(8)[0].four_tuple.remote.host == f"127.0.1.{n + 1}"
    assert len(receiver._four_tuples) <= 3
    assert len(receiver._sources) <= 3
