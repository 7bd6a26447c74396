"""UDP sockets against a real kernel, on loopback."""

import errno
import logging
import os
import socket
from collections import Counter
from dataclasses import replace

import pytest
import trio
import trio.testing

from mqvpn_core.errors import HostError
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams
from mqvpn_core.runtime import udp_sockets
from mqvpn_core.runtime.udp_opening import RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.runtime.udp_scene import ANY4, LOOPBACK, SO_NO_CHECK, Opener, numbered, segments, to


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


@pytest.mark.parametrize("host", LOOPBACK)
def test_kernel_that_refuses_segmentation_gets_single_datagrams(
    opener: Opener, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
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
    # It was asked once, and that is said once.
    assert ["does not split" in record.message for record in caplog.records] == [True]
    assert sender.counters.send_errors.total() == 0


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


def test_buffers_are_as_big_as_wanted_or_allowed(opener: Opener) -> None:
    small, big = opener("127.0.0.1", buffer_bytes=8192), opener("127.0.0.1")
    for option, wanted in (
        (socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES),
        (socket.SO_SNDBUF, SEND_BUFFER_BYTES),
    ):
        size_small = small._socket.getsockopt(socket.SOL_SOCKET, option)
        size_big = big._socket.getsockopt(socket.SOL_SOCKET, option)
        assert size_small < size_big
        if os.geteuid() == 0:
            assert size_big >= wanted


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
