"""What the native kernel reads by itself: datagrams of a socket, frames of a device.

Inputs are orders to a sender. What is read has to be what was sent, and to mean the same as plain
bytes do. `native/fuzz` has what takes bytes from memory.
"""

import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random

from mqvpn_core.dataplane import kernel, reference
from mqvpn_core.dataplane.packets import (
    CipherSuite,
    DatagramReader,
    FrameReader,
    ReadDatagrams,
    ReceiveContext,
    ReceivedBytes,
    ShortHeader,
)
from tests.differential.test_frames import packets_of
from tests.differential.test_protection import plain

CID = b"12345678"
PATH_ID = 1
MOST_BYTES = 60_000
"""Of one input: less than the smallest receive buffer holds."""
MOST_ORDERS = 8

_ORDER_BYTES = 8
_LARGEST = 65_000
_MOST_PACKETS = 64
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_IP_RECVTOS = 13
_BUFFER_BYTES = 4 << 20
_PATIENCE = 5.0
_KEYS = (CipherSuite.AES_128_GCM_SHA256, bytes(16), bytes(12), bytes(16))
_HEADER = ShortHeader(CID, 0, 4)

Sent = tuple[int, bytes, int]
"""Port of the sender, datagram, ECN."""


def generate_reads(random: Random) -> bytes:
    return random.randbytes(_ORDER_BYTES * random.randrange(1, MOST_ORDERS))


def datagram_check(make_reader: Callable[[], DatagramReader]) -> Callable[[bytes], None]:
    """Return a check of what reads sockets."""

    def check(data: bytes) -> None:
        with ExitStack() as stack:
            receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            receiver.setsockopt(_SOL_UDP, _UDP_GRO, 1)
            receiver.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
            receiver.bind(("127.0.0.1", 0))
            senders = []
            for _ in range(2):
                sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sender.bind(("127.0.0.1", 0))
                senders.append(sender)
            sent = list(_send(senders, receiver, data))
            batches, empty = _read(make_reader(), receiver, len(sent))
        assert empty == sum(not datagram for _, datagram, _ in sent)
        for port in {port for port, _, _ in sent}:
            assert _of_peer(batches, port) == [
                (datagram, ecn) for own, datagram, ecn in sent if own == port and datagram
            ]
        for index, (_, read, size, _) in enumerate(batches):
            _check_bytes(read, size, salt=index)

    return check


def _send(senders: list[socket.socket], receiver: socket.socket, data: bytes) -> Iterator[Sent]:
    """Carry out orders: who, ECN, sealed or not, damaged or not, count, size, rest, number."""
    keys = kernel.PacketKeys(*_KEYS)
    room = MOST_BYTES
    for start in range(0, min(len(data), MOST_ORDERS * _ORDER_BYTES), _ORDER_BYTES):
        flags, count, high, low, rest, number, where, value = data[start:].ljust(_ORDER_BYTES)[:8]
        sender, ecn = senders[flags & 1], flags >> 1 & 3
        size = (high << 8 | low) % 1400
        count = min(count % _MOST_PACKETS + 1, _LARGEST // (size + 64))
        payloads = [b"\x30\0\0" + bytes([index]) * size for index in range(count)]
        payloads[-1] = payloads[-1][: 3 + rest]
        packets = payloads
        if flags & 8:
            packets = kernel.seal_batch(keys, _HEADER, PATH_ID, number, payloads)
        joined = bytearray(b"".join(packets))
        if flags & 16:
            joined[(where << 8 | value) % len(joined)] ^= value | 1
        if flags & 32:
            joined, packets = bytearray(), [b""]
        if len(joined) > room:
            return
        room -= len(joined) + 1000
        size = len(packets[0])
        control = [
            (socket.IPPROTO_IP, socket.IP_TOS, ecn.to_bytes(4, sys.byteorder)),
            (_SOL_UDP, _UDP_SEGMENT, size.to_bytes(2, sys.byteorder)),
        ]
        several = len(joined) > size
        sender.sendmsg([joined], control[: 1 + several], 0, receiver.getsockname())
        for at in range(0, len(joined) or 1, size or 1):
            yield sender.getsockname()[1], bytes(joined[at : at + size]), ecn


def _read(
    reader: DatagramReader, receiver: socket.socket, count: int
) -> tuple[list[ReadDatagrams], int]:
    """Read so many datagrams."""
    batches: list[ReadDatagrams] = []
    empty = found = 0
    while found + empty < count:
        readable, _, _ = select.select([receiver], [], [], _PATIENCE)
        assert readable, f"{found} of {count} datagrams have come"
        # Few at a time, and many: calls end in the middle of a batch.
        read, unusable, errors = reader.read(receiver.fileno(), 3 + 8 * len(batches), 30_000)
        assert not errors
        empty += unusable
        batches += read
        found += sum(-(-len(data) // size) for _, data, size, _ in read)
    return batches, empty


def _of_peer(batches: list[ReadDatagrams], port: int) -> list[tuple[bytes, int]]:
    return [
        (whole[start : start + size], ecn)
        for (_, own, _, _), data, size, ecn in batches
        if own == port
        for whole in [bytes(data)]
        for start in range(0, len(whole), size)
    ]


def _check_bytes(data: ReceivedBytes, size: int, *, salt: int) -> None:
    """What was not copied is the same as its copy, to whoever looks and to whoever opens it."""
    copy = bytes(data)
    assert len(data) == len(copy)
    for edge in (0, 1, size, len(copy) // 2, len(copy) - 1, len(copy), len(copy) + 1):
        assert data[edge : edge + size] == copy[edge : edge + size]
        assert data[: edge + salt] == copy[: edge + salt]
        if edge < len(copy):
            assert data[edge] == copy[edge]
    for length in (0, len(CID), size, 200):
        assert kernel.share_destination(data, size, length) == reference.share_destination(
            copy, size, length
        )
    context = ReceiveContext(PATH_ID, salt - 1, len(CID), 0)
    opened = kernel.open_segments(kernel.PacketKeys(*_KEYS), context, data, size)
    expected = reference.open_segments(reference.PacketKeys(*_KEYS), context, copy, size)
    assert plain(opened) == plain(expected)


def generate_frames(random: Random) -> bytes:
    """Lengths and the frames that have them; most are UDP with headers for offloads."""
    frames = b""
    for _ in range(random.randrange(1, 6)):
        size = random.choice((20, 100, 600))
        front = random.choice(
            (bytes(10), b"\1\5\x1c\0\x64\0\x14\0\6\0", b"\1\1\x28\0\x64\0\x14\0\x10\0")
        )
        header = b"\x45\0" + (28 + size).to_bytes(2) + b"\0\0\x40\0\x40"
        kind = b"\x06" if front[1:2] == b"\1" else b"\x11"
        frame = front + header + kind + b"\0\0\x0a\0\0\1\x0a\0\0\2" + random.randbytes(8 + size)
        frames += len(frame).to_bytes(2) + frame
    return frames


def frame_check(make_reader: Callable[[], FrameReader]) -> Callable[[bytes], None]:
    """Return a check of what reads devices."""

    def check(data: bytes) -> None:
        frames = []
        while len(data) > 2:
            size = max(int.from_bytes(data[:2]), 1)
            frames.append(data[2 : 2 + size])
            data = data[2 + size :]
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near, far:
            far.setblocking(False)
            for frame in frames:
                near.send(frame)
            reader = make_reader()
            found: list[bytes] = []
            counted = 0
            while True:
                parcels, packets, size, _ = reader.read(far.fileno(), 3, 1 << 20)
                of_these = packets_of(parcels)
                assert (packets, size) == (len(of_these), sum(map(len, of_these)))
                found += of_these
                counted += 3
                if counted > len(frames):
                    break
        singly = [packet for frame in frames for packet in packets_of(kernel.split_frames([frame]))]
        # The order of packets of a flow stays, that among flows does not.
        assert sorted(found) == sorted(singly)

    return check
