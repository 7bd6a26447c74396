"""Which connection ID a datagram is for, before anything else is known of it."""

from collections.abc import Iterator

from mqvpn_core.dataplane import kernel
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams


def destination_cid(data: kernel.ReceivedBytes, start: int) -> bytes:
    """Destination connection ID of the packet at ``start``, in either form, without validation."""
    if data[start] & 0x80:
        # RFC 8999 s5.1: one byte, the version, one byte of length, the connection ID
        return data[start + 6 : start + 6 + data[start + 5]] if len(data) > start + 6 else b""
    return data[start + 1 : start + 1 + CONNECTION_ID_LENGTH]


def by_connection_id(batch: ReceivedDatagrams) -> Iterator[ReceivedDatagrams]:
    """Split a coalesced read where the destination changes; mostly there is nothing to split."""
    data, size = batch.data, batch.segment_size
    if len(data) > size and kernel.share_destination(data, size, CONNECTION_ID_LENGTH):
        yield batch
        return
    start = 0
    while start < len(data):
        cid = destination_cid(data, start)
        stop = start + size
        while stop < len(data) and destination_cid(data, stop) == cid:
            stop += size
        whole = start == 0 and stop >= len(data)
        yield batch if whole else batch._replace(data=data[start:stop])
        start = stop
