"""Which sealed packets leave together in one send with segmentation (GSO): a pure function."""

from collections.abc import Sequence

from mqvpn_core.dataplane.packets import MAX_RUN_BYTES, MAX_RUN_PACKETS, ReceivedBytes, SealedRun


def share_destination(data: ReceivedBytes, segment_size: int, cid_length: int) -> bool:
    """Tell whether packets back to back all have short headers with the same connection ID.

    Args:
        data: the packets.
        segment_size: length of each but the last.
        cid_length: length of our connection IDs.
    """
    cid = data[1 : 1 + cid_length]
    return len(cid) == cid_length and all(
        not data[start] & 0x80 and data[start + 1 : start + 1 + cid_length] == cid
        for start in range(0, len(data), max(segment_size, 1))
    )


def group_runs(packets: Sequence[bytes]) -> list[SealedRun]:
    """Join packets of equal length; the last of a run may be shorter."""
    runs: list[SealedRun] = []
    start = 0
    total = len(packets)
    while start < total:
        size = len(packets[start])
        stop = start + 1
        limit = min(total, start + MAX_RUN_PACKETS, start + MAX_RUN_BYTES // size)
        while stop < limit and len(packets[stop]) == size:
            stop += 1
        if stop < limit and len(packets[stop]) < size:
            stop += 1
        data = packets[start] if stop == start + 1 else b"".join(packets[start:stop])
        runs.append(SealedRun(data, size, stop - start))
        start = stop
    return runs
