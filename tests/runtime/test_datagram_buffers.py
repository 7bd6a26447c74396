"""What the native kernel reads without copying is opened like plain bytes, and in place."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import TAG_BYTES
from mqvpn_core.ids import SocketAddress
from mqvpn_core.quic.protection import PacketProtection
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, split_segments
from mqvpn_core.runtime.udp_opening import UdpOptions
from mqvpn_core.runtime.udp_sockets import UdpSocket
from tests.runtime.udp_scene import to
from tests.unit.quic.protected_ends import CID, at, make_pair

pytestmark = pytest.mark.skipif(
    kernel.make_datagram_reader is None, reason="the reference reads plain bytes"
)

SEGMENT = 1200
MANY = 150
"""Packets that do not fit one message."""


class Carry(Protocol):
    """Sends packets to a socket that joins them."""

    def __call__(self, packets: list[bytes]) -> ReceivedDatagrams:
        """Return what the socket read."""


@pytest.fixture
def carry() -> Iterator[Carry]:
    with ExitStack() as stack:
        options = UdpOptions()
        sender, receiver = (UdpSocket(SocketAddress("127.0.0.1", 0), options) for _ in range(2))
        stack.callback(sender.close)
        stack.callback(receiver.close)

        def transport(packets: list[bytes]) -> ReceivedDatagrams:
            size = len(packets[0])
            for start in range(0, len(packets), 50):
                data = b"".join(packets[start : start + 50])
                part = to(sender, receiver.local_address, data, segment_size=size)
                assert sender.send([part]) == []
            (batch,) = receiver.receive(64)
            assert not isinstance(batch.data, bytes)
            return batch

        yield transport


def seal(protection: PacketProtection, first: int, payloads: list[bytes]) -> list[bytes]:
    return protection.seal(
        path_id=0,
        first_packet_number=first,
        destination_cid=CID,
        # The numbers are of the same length in all packets.
        largest_acknowledged=first - 1,
        payloads=payloads,
    )


def datagrams(first: int, count: int) -> list[bytes]:
    return [b"\x30\0\0" + bytes([number % 256]) * SEGMENT for number in range(first, first + count)]


def open_together(
    protection: PacketProtection, run: ReceivedDatagrams
) -> list[tuple[int, bytes] | None]:
    """Return number and frames of each packet."""
    found: list[tuple[int, bytes] | None] = []
    for result in protection.open_run(
        path_id=0, largest_received=-1, cid_length=len(CID), run=run, now=at(0)
    ):
        if result is None:
            found.append(None)
        elif isinstance(result, kernel.OpenedPacket):
            found.append((result.packet_number, result.plaintext))
        else:
            for number, packet in enumerate(result.payloads.packets(), result.packet_number):
                found.append((number, b"\x30" + packet))
    return found


def open_singly(
    protection: PacketProtection, packets: list[bytes]
) -> list[tuple[int, bytes] | None]:
    opened = protection.open(
        path_id=0, largest_received=-1, cid_length=len(CID), packets=packets, now=at(0)
    )
    return [packet and (packet.packet_number, packet.plaintext) for packet in opened]


def test_it_is_like_bytes(carry: Carry) -> None:
    packets = [bytes([number]) * SEGMENT for number in range(MANY)]
    packets[-1] = b"end"
    batch, whole = carry(packets), b"".join(packets)
    assert (len(batch.data), bytes(batch.data)) == (len(whole), whole)
    assert split_segments(batch) == packets
    for start, stop in ((0, 9), (50 * SEGMENT - 3, 50 * SEGMENT + 3), (5, 5), (9, 1 << 40)):
        assert batch.data[start:stop] == whole[start:stop]
    for index in (0, 60 * SEGMENT, len(whole) - 1):
        assert batch.data[index] == whole[index]
    with pytest.raises(IndexError):
        batch.data[len(whole)]


@pytest.mark.parametrize("odd", [None, 0, 50, 149])
def test_packets_for_one_destination(carry: Carry, odd: int | None) -> None:
    packets = [b"\x40" + CID + bytes(SEGMENT)] * MANY
    if odd is not None:
        packets[odd] = b"\x40" + bytes(8) + bytes(SEGMENT)
    batch = carry(packets)
    assert kernel.share_destination(batch.data, batch.segment_size, len(CID)) == (odd is None)


def test_a_train_goes_over_the_ends_of_messages(carry: Carry) -> None:
    client, server = make_pair()
    batch = carry(seal(client, 0, [*datagrams(0, MANY - 1), b"\x30\0\0short"]))
    (train,) = server.open_run(
        path_id=0, largest_received=-1, cid_length=len(CID), run=batch, now=at(0)
    )
    assert isinstance(train, kernel.OpenedTrain)
    assert (train.packet_number, len(train.payloads)) == (0, MANY)
    packets = [b"\x30" + packet for packet in train.payloads.packets()]
    assert packets == [*datagrams(0, MANY - 1), b"\x30\0\0short"]
    shorter = train.payloads.stripped(2)
    assert shorter.packets() == [packet[3:] for packet in packets]
    assert shorter.part(40, 120).packets() == [packet[3:] for packet in packets[40:120]]
    with pytest.raises(ValueError, match="before"):
        server.open_run(path_id=0, largest_received=-1, cid_length=8, run=batch, now=at(0))


def test_buffers_are_not_used_again_while_somebody_has_them(carry: Carry) -> None:
    client, server = make_pair()
    trains = []
    for start in range(0, 10 * MANY, MANY):
        batch = carry(seal(client, start, datagrams(start, MANY)))
        trains += server.open_run(
            path_id=0, largest_received=start - 1, cid_length=len(CID), run=batch, now=at(0)
        )
    opened = [
        packet
        for train in trains
        if isinstance(train, kernel.OpenedTrain)
        for packet in train.payloads.packets()
    ]
    assert [b"\x30" + packet for packet in opened] == datagrams(0, 10 * MANY)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_what_does_not_open_with_these_keys(carry: Carry, as_bytes: bool) -> None:
    # Twice the same secrets: one end opens packet by packet, the other all together.
    client, server = make_pair()
    _, other_server = make_pair()
    client.on_ack_of_phase(0, at(0))
    packets = seal(client, 0, datagrams(0, 60))
    client.initiate_update(at(0))
    packets += seal(client, 60, datagrams(60, 60))
    token = bytes(range(TAG_BYTES))
    packets[7] = packets[7][:-TAG_BYTES] + token
    packets[100] = b"\x40" + CID + bytes(len(packets[0]) - 9)
    # Late ones of the phase before.
    packets[90], packets[20] = packets[20], packets[90]
    batch = carry(packets)
    if as_bytes:
        batch = batch._replace(data=bytes(batch.data))
    expected = open_singly(other_server, packets)
    assert [index for index, result in enumerate(expected) if result is None] != []
    assert open_together(server, batch) == expected
    assert server.receive_key_phase == other_server.receive_key_phase == 1
    assert server.failed_open_count == other_server.failed_open_count
    # Whoever looks for a stateless reset finds what came.
    assert split_segments(batch)[7].endswith(token)
