"""Packets that are sealed when they are sent are the packets that would have been sealed before."""

import errno
import os
import socket
import struct
from collections.abc import Sequence

import pytest
import trio

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import Flight, Payload, SealedRun
from mqvpn_core.dataplane.parcels import expand
from mqvpn_core.ids import FourTuple, SocketAddress
from mqvpn_core.quic.transport_config import TransportConfig
from mqvpn_core.quic.udp_datagrams import Transmit
from mqvpn_core.runtime.outbox import MAX_BACKLOG, Outbox
from mqvpn_core.testing.pair import Pair, PairConfig
from tests.differential.ip_traffic import Draft
from tests.runtime.fakes import FOUR_TUPLE, FakeSocket
from tests.runtime.udp_scene import ANY4, LOOPBACK, Opener, segments
from tests.unit.quic.protected_ends import CID, make_pair
from tests.unit.quic.scheduler_samples import PREFIX
from tests.unit.quic.test_trains import train_of

pytestmark = pytest.mark.skipif(kernel.plan_flight is None, reason="the reference seals at once")

KEYS = kernel.PacketKeys(kernel.CipherSuite.AES_128_GCM_SHA256, bytes(16), bytes(12), bytes(16))
HEADER = kernel.ShortHeader(bytes(8), 0, 2)


def payloads() -> list[Payload]:
    """A single packet, trains that make several runs, and a short packet at the end."""
    trains = [train_of(60), train_of(60, tag=1), train_of(60, tag=2, last=300)]
    return [
        b"\x30" + bytes(700),
        *((b"\x30\0\0", train) for train in trains if not isinstance(train, bytes)),
        b"\x30the end",
    ]


def plan(content: Sequence[Payload], first: int = 7) -> Flight:
    assert kernel.plan_flight is not None
    return kernel.plan_flight(KEYS, HEADER, 1, first, content)


def sealed(content: Sequence[Payload], first: int = 7) -> list[SealedRun]:
    return kernel.seal_runs(KEYS, HEADER, 1, first, content)


def packets_of(runs: Sequence[SealedRun]) -> list[bytes]:
    return [
        run.data[start : start + run.segment_size]
        for run in runs
        for start in range(0, len(run.data), run.segment_size)
    ]


def departure(flight: Flight, four_tuple: FourTuple) -> Transmit:
    return Transmit(four_tuple=four_tuple, data=b"", segment_size=0, ecn=0, flight=flight)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("segmentation", [True, False])
def test_a_flight_arrives_as_if_it_had_been_sealed_before(
    opener: Opener, host: str, segmentation: bool
) -> None:
    sender, receiver = opener(host, segmentation=segmentation), opener(host)
    content = payloads()
    four_tuple = FourTuple(sender.local_address, receiver.local_address)
    assert sender.send([departure(plan(content), four_tuple)]) == []
    expected = packets_of(sealed(content))
    arrived = segments(receiver.receive(1024))
    # The reader joins what came, so that the order is all that counts.
    assert arrived == expected
    assert sender.counters.sent_count == len(expected)
    assert sender.counters.sent_bytes == sum(map(len, expected))


def test_a_flight_leaves_from_the_address_that_was_asked(opener: Opener) -> None:
    sender, receiver = opener(ANY4), opener("127.0.0.1")
    local = SocketAddress("127.0.0.2", sender.local_address.port)
    four_tuple = FourTuple(local, receiver.local_address)
    assert sender.send([departure(plan([b"\x30hello"] * 3), four_tuple)]) == []
    (batch,) = receiver.receive(64)
    assert batch.four_tuple.remote == local


def test_flights_and_sealed_packets_keep_their_order(opener: Opener) -> None:
    sender, receiver = opener("127.0.0.1"), opener("127.0.0.1")
    four_tuple = FourTuple(sender.local_address, receiver.local_address)
    transmits: list[Transmit] = []
    expected: list[bytes] = []
    for first in range(0, 30, 10):
        content: list[Payload] = [b"\x30" + bytes([first]) * (400 + first)] * 10
        transmits.append(departure(plan(content, first), four_tuple))
        transmits.append(
            Transmit(four_tuple=four_tuple, data=bytes([first]), segment_size=1, ecn=0)
        )
        expected += [*packets_of(sealed(content, first)), bytes([first])]
    assert sender.send(transmits) == []
    assert segments(receiver.receive(1024)) == expected


def test_what_is_too_big_for_the_link_is_told_and_counted(opener: Opener) -> None:
    sender, receiver = opener("127.0.0.1", segmentation=True), opener("127.0.0.1")
    four_tuple = FourTuple(sender.local_address, receiver.local_address)
    flight = plan([b"\x30one", b"\x30" + bytes(65_520), b"\x30two"])
    assert sender.send([departure(flight, four_tuple)]) == []
    (refused,) = sender.take_refused()
    assert refused.size > 65_520
    assert sender.counters.send_errors == {errno.EMSGSIZE: 1}
    assert len(segments(receiver.receive(64))) == 2


def test_what_could_not_be_sent_is_sealed_as_it_would_have_been() -> None:
    content: list[Payload] = [b"\x30" + bytes([n]) * 1000 for n in range(50)]
    flight = plan(content)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        # An address of another family than the socket's.
        outcome = flight.send(left.fileno(), (bytes(4), 1, 0, b""))
    assert outcome[:3] == (0, 0, 0)
    assert outcome[3] != 0
    assert flight.sealed(0) == sealed(content)
    with pytest.raises(ValueError, match="not so many runs"):
        flight.sealed(99)
    with pytest.raises(ValueError, match="4 bytes or 16"):
        flight.send(-1, (b"odd", 1, 0, b""))


def test_a_backlog_holds_sealed_packets_up_to_its_limit() -> None:
    fake = FakeSocket(FOUR_TUPLE.local)
    outbox = Outbox([fake])
    fake.make_room(0)
    first = Transmit(four_tuple=FOUR_TUPLE, data=b"first", segment_size=5, ecn=0)
    outbox.send([first])
    content: list[Payload] = [b"\x30" + bytes(size) for size in range(1, 2 * MAX_BACKLOG)]
    outbox.send([departure(plan(content), FOUR_TUPLE)])
    fake.make_room(1000)

    async def flush() -> None:
        with trio.move_on_after(0.05):
            await outbox.run()

    trio.run(flush)
    expected = [run.data for run in sealed(content)]
    assert fake.sent == [b"first", *expected[: MAX_BACKLOG - 1]]
    assert outbox.losses.no_room_count == len(expected) - (MAX_BACKLOG - 1)


def test_a_connection_that_seals_late_sends_the_same() -> None:
    sent: list[list[bytes]] = []
    for seals_late in (False, True):
        config = TransportConfig(initial_max_path_id=4)
        late = TransportConfig(initial_max_path_id=4, seals_late=seals_late)
        with Pair(4, PairConfig(client=config, server=config)) as pair:
            pair.handshake()
            pair.simulator.run_for(3)
            connection = pair.client.connection
            connection._sources.seals_late = late.seals_late
            now = pair.simulator.now
            packets: list[bytes] = []
            for parcels in ([train_of(9), b"between", train_of(5, last=300)], [b"one"]):
                connection.queue_datagrams(PREFIX, parcels, now)
                transmits = connection.transmits(now)
                assert [transmit.flight is not None for transmit in transmits].count(True) == int(
                    seals_late
                )
                runs = [each for transmit in transmits for each in transmit.sealed()]
                packets += [each.data for each in runs]
            path = pair.client.path
            packets.append(struct.pack("!II", path.bytes_in_flight, path.sent_packets))
        sent.append(packets)
    assert sent[0] == sent[1]


def test_a_flight_that_waits_keeps_the_keys_it_was_planned_with() -> None:
    protection, _ = make_pair()
    content: list[Payload] = [b"\x30" + bytes(100)]
    flight = protection.plan_flight(
        path_id=0,
        first_packet_number=3,
        destination_cid=CID,
        largest_acknowledged=-1,
        payloads=content,
        count=1,
    )
    before = flight.sealed(0)
    protection._update_send(initiated_locally=True)
    assert flight.sealed(0) == before


def test_a_device_is_read_like_its_frames_are_split() -> None:
    assert kernel.make_frame_reader is not None
    drafts = [
        Draft(flow=1, sequence=0, payload=bytes(30_000)).frame(1000),
        Draft(flow=1, sequence=30_000, payload=bytes(20_000)).frame(1000),
        Draft(flow=2, sequence=0, payload=b"small").frame(1000),
        Draft(flow=1, sequence=50_000, payload=bytes(2500)).frame(1000),
    ]
    # A pair of sockets gives message by message, as a device does.
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        right.setblocking(False)
        reader = kernel.make_frame_reader()
        assert reader.read(right.fileno(), 9, 1 << 20) == ([], 0, 0, 0)
        for draft in drafts:
            left.send(draft)
        parcels, count, size, error = reader.read(right.fileno(), 3, 1 << 20)
        expected = kernel.split_frames(drafts[:3])
        assert expand(parcels) == expand(expected)
        assert [type(each) for each in parcels] == [type(each) for each in expected]
        assert (count, size, error) == (len(expand(expected)), sum(map(len, expand(expected))), 0)
        parcels, *_ = reader.read(right.fileno(), 3, 1 << 20)
        assert expand(parcels) == expand(kernel.split_frames(drafts[3:]))
        for draft in drafts:
            left.send(draft)
        parcels, *_ = reader.read(right.fileno(), 9, 40_000)
        assert expand(parcels) == expand(kernel.split_frames(drafts[:2]))
    assert reader.read(-1, 9, 1 << 20) == ([], 0, 0, errno.EBADF)
    descriptor = os.open("/dev/null", os.O_WRONLY)
    try:
        assert reader.read(descriptor, 9, 1 << 20)[3] == errno.EBADF
    finally:
        os.close(descriptor)
