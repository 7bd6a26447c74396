"""Which sealed packets leave together in one send with segmentation (GSO): a pure function."""

from collections.abc import Sequence

from mqvpn_core.dataplane.packets import MAX_RUN_BYTES, MAX_RUN_PACKETS, SealedRun


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
