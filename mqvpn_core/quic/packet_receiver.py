"""From UDP payloads to frames: routes packets to paths, opens them, drops duplicates.

# walk: 13 of 16

1-RTT packets only; long headers go to the engine. What frames mean for the connection is decided
in `connection`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest

from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.aioquic_bridge.frame_table import FrameTable, OwnFrame
from mqvpn_core.quic.connection_ids import LocalConnectionIds
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.protection import PacketProtection
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams

MAX_EARLY_PACKETS = 16
"""1-RTT packets kept while their keys are not there yet (RFC 9001 s5.7)."""

SMALLEST_RESET = 21
"""Shortest datagram that can be a stateless reset (RFC 9000 s10.3)."""

_RESET_TOKEN_LENGTH = 16
_SMALLEST_PACKET = 1 + CONNECTION_ID_LENGTH + 4 + 16


@dataclass(slots=True, kw_only=True)
class ReceivedBatch:
    """Outcome of one batch of 1-RTT packets that came over one four-tuple for one path."""

    path: Path
    """The path whose connection ID the packets carried."""
    datagrams: list[bytes] = field(default_factory=list)
    """DATAGRAM payloads in order."""
    own_frames: list[OwnFrame] = field(default_factory=list)
    """Frames for our transport in order."""
    packet_count: int = 0
    """New, authentic packets."""
    touched_engine: bool = False
    """The engine handled frames."""
    migrates: bool = False
    """A non-probing packet with a new highest number came (RFC 9000 s9.3)."""
    cid_sequence: int = 0
    """Sequence number of the connection ID that the peer used."""


class PacketReceiver:
    """Opens 1-RTT packets of one connection."""

    def __init__(
        self,
        *,
        protection: PacketProtection,
        frame_table: FrameTable,
        local_cids: LocalConnectionIds,
        paths: dict[PathId, Path],
        is_client: bool,
    ) -> None:
        self.undecryptable_count = 0
        self.last_received_at = Instant(0.0)
        self._protection = protection
        self._frame_table = frame_table
        self._local_cids = local_cids
        self._paths = paths
        self._is_client = is_client
        self._early: deque[tuple[FourTuple, bytes, int]] = deque(maxlen=MAX_EARLY_PACKETS)

    def keep_early(self, four_tuple: FourTuple, packet: bytes, ecn: int) -> None:
        """Keep a 1-RTT packet until there are keys."""
        self._early.append((four_tuple, packet, ecn))

    def take_early(self) -> list[tuple[FourTuple, bytes, int]]:
        """Hand back, once, what was kept."""
        early = list(self._early)
        self._early.clear()
        return early

    def is_stateless_reset(self, packet: bytes) -> bool:
        """Compare a packet's end with the tokens of connection IDs in use (RFC 9000 s10.3.1)."""
        if len(packet) < SMALLEST_RESET:
            return False
        token = packet[-_RESET_TOKEN_LENGTH:]
        matches = False
        for path in self._paths.values():
            known = path.peer_cids.reset_token
            matches |= bool(known) and compare_digest(known, token)
        return matches

    def open(
        self, four_tuple: FourTuple, packets: Sequence[bytes], ecn: int, now: Instant
    ) -> Iterator[ReceivedBatch | bytes]:
        """Open short-header packets of one four-tuple.

        Yields:
            A batch per path in order of arrival, or a packet that nobody could open.

        Raises:
            RemoteProtocolError: a packet broke a rule; batches before it have been yielded.
        """
        start = 0
        while start < len(packets):
            cid = packets[start][1 : 1 + CONNECTION_ID_LENGTH]
            stop = start + 1
            while stop < len(packets) and packets[stop][1 : 1 + CONNECTION_ID_LENGTH] == cid:
                stop += 1
            yield from self._open_for_cid(four_tuple, cid, packets[start:stop], ecn, now)
            start = stop

    def _open_for_cid(
        self, four_tuple: FourTuple, cid: bytes, packets: Sequence[bytes], ecn: int, now: Instant
    ) -> Iterator[ReceivedBatch | bytes]:
        local = self._local_cids.lookup(cid)
        path = self._paths.get(local.path_id) if local is not None else None
        if local is None or path is None:
            yield from packets
            return
        if self._is_client and four_tuple not in path.network_paths:
            # RFC 9000 s9: "If a client receives packets from an unknown server address, the client
            # MUST discard these packets."
            return
        packets = [packet for packet in packets if len(packet) >= _SMALLEST_PACKET]
        received = path.received
        opened = self._protection.open(
            path_id=path.path_id,
            largest_received=received.largest,
            cid_length=CONNECTION_ID_LENGTH,
            packets=packets,
            now=now,
        )
        batch = ReceivedBatch(path=path, cid_sequence=local.sequence_number)
        numbers: list[int] = []
        seen: set[int] = set()
        ack_eliciting_count = 0
        received_bytes = 0
        largest = received.largest
        try:
            for packet, plain in zip(packets, opened, strict=True):
                if plain is None:
                    self.undecryptable_count += 1
                    yield packet
                    continue
                number = plain.packet_number
                if number in seen or received.is_duplicate(number):
                    continue
                seen.add(number)
                is_new_largest = number > largest
                largest = max(largest, number)
                payload = plain.plaintext
                if payload and payload[0] == 0x30:  # noqa: PLR2004 - DATAGRAM to the packet's end
                    batch.datagrams.append(payload[1:])
                    ack_eliciting_count += 1
                    batch.migrates |= is_new_largest
                else:
                    frames = self._frame_table.handle(payload, cid, now)
                    batch.datagrams += frames.datagrams
                    batch.own_frames += frames.own_frames
                    batch.touched_engine |= frames.touched_engine
                    ack_eliciting_count += frames.is_ack_eliciting
                    batch.migrates |= is_new_largest and not frames.is_probing
                numbers.append(number)
                received_bytes += len(packet)
        finally:
            if numbers:
                received.record(numbers, ack_eliciting_count=ack_eliciting_count, ecn=ecn, now=now)
                path.received_packets += len(numbers)
                path.received_bytes += received_bytes
                path.network_path(four_tuple).on_datagram_received(received_bytes)
                self.last_received_at = now
                batch.packet_count = len(numbers)
        if numbers:
            yield batch


def split_segments(batch: ReceivedDatagrams) -> list[bytes]:
    """UDP payloads of one socket read."""
    data, size = batch.data, batch.segment_size
    if len(data) <= size:
        return [data] if data else []
    return [data[start : start + size] for start in range(0, len(data), size)]
