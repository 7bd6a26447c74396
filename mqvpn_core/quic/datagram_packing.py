"""DATAGRAM frames into packets, and packets into GSO sends: pure functions."""

from collections.abc import Sequence

from mqvpn_core.dataplane import kernel
from mqvpn_core.dataplane.packets import PacketShape, Payload
from mqvpn_core.ids import FourTuple
from mqvpn_core.quic.packet_room import Datagram
from mqvpn_core.quic.udp_datagrams import Transmit
from mqvpn_core.wire.varint import encode_varint

MAX_SEGMENTS = kernel.MAX_RUN_PACKETS
"""Most UDP payloads in one Transmit."""

_TO_THE_END = b"\x30"

MAX_TRANSMIT_BYTES = kernel.MAX_RUN_BYTES
"""Most bytes in one Transmit."""


def pack_datagrams(
    items: Sequence[Datagram], capacity: int
) -> list[tuple[Payload, Sequence[Datagram]]]:
    """Make packet payloads of DATAGRAM frames, filling each as far as the order allows.

    The last frame of a packet needs no length (RFC 9221 s4, type 0x30).

    Args:
        items: prefix and payload of each datagram; each fits by itself.
        capacity: most bytes of frames in one packet.

    Returns:
        Payloads, each with the datagrams in it; a train is a payload of several packets.
    """
    packets: list[tuple[Payload, Sequence[Datagram]]] = []
    start = used = 0
    for index, (prefix, payload) in enumerate(items):
        if not isinstance(payload, bytes):
            if index > start:
                packets.append(_join_datagrams(items[start:index]))
            packets.append(((_TO_THE_END + prefix, payload), items[index : index + 1]))
            start, used = index + 1, 0
            continue
        size = len(prefix) + len(payload)
        # `used` counts 0x31 and a length for every frame before; this one may do with 0x30.
        if index > start and used + size + 1 > capacity:
            packets.append(_join_datagrams(items[start:index]))
            start, used = index, 0
        used += size + 3
    if start < len(items):
        packets.append(_join_datagrams(items[start:]))
    return packets


def _join_datagrams(items: Sequence[Datagram]) -> tuple[bytes, Sequence[Datagram]]:
    parts: list[bytes] = []
    for index, (prefix, payload) in enumerate(items):
        assert isinstance(payload, bytes)
        if index < len(items) - 1:
            parts += (b"\x31", encode_varint(len(prefix) + len(payload)), prefix, payload)
        else:
            parts += (_TO_THE_END, prefix, payload)
    return b"".join(parts), items


def group_segments(four_tuple: FourTuple, sealed: Sequence[bytes]) -> list[Transmit]:
    """Join payloads of equal size for one GSO send each; the last of a group may be shorter."""
    return [
        Transmit(four_tuple=four_tuple, data=run.data, segment_size=run.segment_size, ecn=0)
        for run in kernel.group_runs(sealed)
    ]


def join_like_runs(runs: Sequence[kernel.SealedRun]) -> list[PacketShape]:
    """Join runs whose packets have one size, of which only the very last one is shorter.

    What leaves in several sends is one thing to the ledger.

    Returns:
        Size of a packet, count of packets and bytes in all of each.
    """
    joined: list[PacketShape] = []
    for data, size, count in runs:
        if joined:
            size_before, count_before, bytes_before = joined[-1]
            if size_before == size and bytes_before == size * count_before:
                joined[-1] = size, count_before + count, bytes_before + len(data)
                continue
        joined.append((size, count, len(data)))
    return joined


def split_runs(runs: Sequence[kernel.SealedRun]) -> list[bytes]:
    """Return the packets of runs one by one, for those who look at each."""
    return [
        data[start : start + size] for data, size, _ in runs for start in range(0, len(data), size)
    ]
