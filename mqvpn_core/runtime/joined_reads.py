"""Joins reads of a socket: to the core a batch costs nearly as much as a single packet."""

from collections.abc import Sequence

from mqvpn_core.ids import FourTuple
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams


def join_reads(reads: Sequence[ReceivedDatagrams]) -> list[ReceivedDatagrams]:
    """Join reads of one four-tuple with segments of one size.

    The order of the datagrams of a four-tuple stays; among four-tuples it means nothing.

    Args:
        reads: in order.
    """
    if len(reads) < 2:  # noqa: PLR2004 - nothing to join
        return list(reads)
    groups: list[tuple[ReceivedDatagrams, list[bytes]]] = []
    growing: dict[FourTuple, tuple[ReceivedDatagrams, list[bytes]]] = {}
    for read in reads:
        four_tuple, size, ecn = read.four_tuple, read.segment_size, read.ecn
        data = bytes(read.data)
        group = growing.get(four_tuple)
        if group is not None and group[0].ecn == ecn:
            # A single shorter datagram may be the last of a batch.
            wanted = group[0].segment_size
            if size == wanted or len(data) == size < wanted:
                group[1].append(data)
                if len(data) % wanted:
                    del growing[four_tuple]
                continue
        group = (read, [data])
        groups.append(group)
        if len(data) % size:
            growing.pop(four_tuple, None)
        else:
            growing[four_tuple] = group
    return [
        first if len(parts) == 1 else first._replace(data=b"".join(parts))
        for first, parts in groups
    ]
