"""DATAGRAM frames into packets, and packets into GSO sends: pure functions."""

from collections.abc import Sequence

from mqvpn_core.dataplane import kernel
from mqvpn_core.ids import FourTuple
from mqvpn_core.quic.packet_room import Datagram
from mqvpn_core.quic.udp_datagrams import Transmit
from mqvpn_core.wire.varint import encode_varint

MAX_SEGMENTS = kernel.MAX_RUN_PACKETS
"""Most UDP payloads in one Transmit."""

MAX_TRANSMIT_BYTES = kernel.MAX_RUN_BYTES
"""Most bytes in one Transmit."""


def pack_datagrams(
    items: Sequence[Datagram], capacity: int
) -> list[tuple[bytes, Sequence[Datagram]]]:
    """Make packet payloads of DATAGRAM frames, filling each as far as the order allows.

    The last frame of a packet needs no length (RFC 9221 s4, type 0x30).

    Args:
        items: prefix and payload of each datagram; each fits by itself.
        capacity: most bytes of frames in one packet.

    Returns:
        Payloads, each with the datagrams in it.
    """
    packets: list[tuple[bytes, Sequence[Datagram]]] = []
    start = used = 0
    for index, (prefix, payload) in enumerate(items):
        size = len(prefix) + len(payload)
        # `used` counts 0x31 and a length for every frame before; this one may do with 0x30.
        if index > start and used + size + 1 > capacity:
            packets.append(_join_datagrams(items[start:index]))
            start, used = index, 0
        used += size + 3
    if items:
        packets.append(_join_datagrams(items[start:]))
    return packets


def _join_datagrams(items: Sequence[Datagram]) -> tuple[bytes, Sequence[Datagram]]:
    prefix, payload = items[-1]
    if len(items) == 1:
        return b"".join((b"\x30", prefix, payload)), items
    parts: list[bytes] = []
    for front, rest in items[:-1]:
        parts += (b"\x31", encode_varint(len(front) + len(rest)), front, rest)
    parts += (b"\x30", prefix, payload)
    return b"".join(parts), items


def group_segments(four_tuple: FourTuple, sealed: Sequence[bytes]) -> list[Transmit]:
    """Join payloads of equal size for one GSO send each; the last of a group may be shorter."""
    return [
        Transmit(four_tuple=four_tuple, data=run.data, segment_size=run.segment_size, ecn=0)
        for run in kernel.group_runs(sealed)
    ]


def split_runs(runs: Sequence[kernel.SealedRun]) -> list[bytes]:
    """Return the packets of runs one by one, for those who look at each."""
    return [
        data[start : start + size] for data, size, _ in runs for start in range(0, len(data), size)
    ]
