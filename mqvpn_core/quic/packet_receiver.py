"""From UDP payloads to frames: routes packets to paths, opens them, drops duplicates.

# walk: 13 of 16

1-RTT packets only; long headers go to the engine. What frames mean for the connection is decided
in `connection`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest

from mqvpn_core.dataplane.kernel import OpenedTrain, Parcel
from mqvpn_core.ids import FourTuple, Instant, PathId
from mqvpn_core.quic.aioquic_bridge.frame_table import FrameTable, OwnFrame
from mqvpn_core.quic.connection_ids import LocalConnectionIds
from mqvpn_core.quic.packet_number_ranges import PacketNumberRanges
from mqvpn_core.quic.packet_spaces import DUPLICATE_WINDOW
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.protection import PacketProtection
from mqvpn_core.quic.trace import Tracer
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, split_segments

MAX_EARLY_PACKETS = 16
"""1-RTT packets kept while their keys are not there yet (RFC 9001 s5.7)."""

LARGEST_EARLY_PACKET = 1500
"""Bytes of the longest that is kept: whose it is nobody knows yet."""

SMALLEST_RESET = 21
"""Shortest datagram that can be a stateless reset (RFC 9000 s10.3)."""

_RESET_TOKEN_LENGTH = 16
_DATAGRAM_TO_END = b"\x30"
_SMALLEST_PACKET = 1 + CONNECTION_ID_LENGTH + 4 + 16


@dataclass(slots=True, kw_only=True)
class ReceivedBatch:
    """Outcome of one batch of 1-RTT packets that came over one four-tuple for one path."""

    path: Path
    """The path whose connection ID the packets carried."""
    datagrams: list[Parcel] = field(default_factory=list)
    """DATAGRAM payloads in order."""
    own_frames: list[OwnFrame] = field(default_factory=list)
    """Frames for our transport in order."""
    path_cid: bytes = b""
    """Destination connection ID of the packets."""
    numbers: PacketNumberRanges = field(
        default_factory=lambda: PacketNumberRanges(DUPLICATE_WINDOW)
    )
    """Numbers of the new, authentic packets."""
    largest: int = -1
    """Largest of them."""
    ack_eliciting_count: int = 0
    """How many of them have to be acknowledged."""
    received_bytes: int = 0
    """UDP payload bytes of them."""
    touched_engine: bool = False
    """The engine handled frames."""
    migrates: bool = False
    """A non-probing packet with a new highest number came (RFC 9000 s9.3)."""
    cid_sequence: int = 0
    """Sequence number of the connection ID that the peer used."""
    has_contents: bool = True
    """What was in the packets is here; otherwise they were DATAGRAMs, which the bypass has."""


class PacketReceiver:
    """Opens 1-RTT packets of one connection."""

    def __init__(
        self,
        *,
        protection: PacketProtection,
        frame_table: FrameTable,
        local_cids: LocalConnectionIds,
        paths: dict[PathId, Path],
        accept: Callable[[PathId, FourTuple, Instant], Path | None] | None,
        tracer: Tracer | None,
    ) -> None:
        """Start without packets.

        Args:
            protection: keys.
            frame_table: handles the frames of packets that open.
            local_cids: tells which path a packet is for.
            paths: all paths that have state.
            accept: server: creates a path for an authentic packet on an unused path ID; None on a
                client, which never adopts a path it has not opened (RFC 10069 s3.1).
            tracer: records what comes.
        """
        self._tracer = tracer
        self.undecryptable_count = 0
        self.last_received_at = Instant(0.0)
        self._protection = protection
        self._frame_table = frame_table
        self._local_cids = local_cids
        self._paths = paths
        self._accept = accept
        self._early: deque[tuple[FourTuple, bytes, int]] = deque(maxlen=MAX_EARLY_PACKETS)

    def keep_early(self, four_tuple: FourTuple, packet: bytes, ecn: int) -> None:
        """Keep a 1-RTT packet until there are keys, unless it is larger than any that we get."""
        if len(packet) <= LARGEST_EARLY_PACKET:
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
            # RFC 10069 s3.4.2: the tokens of abandoned paths identify no reset any more
            known = b"" if path.is_abandoned else path.peer_cids.reset_token
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
        if local is None:
            yield from packets
            return
        packets = [packet for packet in packets if len(packet) >= _SMALLEST_PACKET]
        path = self._path_for(local.path_id, four_tuple, packets, now)
        if path is None:
            return
        batch = ReceivedBatch(path=path, path_cid=cid, cid_sequence=local.sequence_number)
        opened = self._protection.open(
            path_id=path.path_id,
            largest_received=path.received.largest,
            cid_length=CONNECTION_ID_LENGTH,
            packets=packets,
            now=now,
        )
        try:
            for packet, plain in zip(packets, opened, strict=True):
                if plain is None:
                    self.undecryptable_count += 1
                    yield packet
                else:
                    self._take(batch, plain.packet_number, plain.plaintext, len(packet), now)
        finally:
            self._record(batch, four_tuple, ecn, now)
            if self._tracer is not None:
                self._tracer.note_received(
                    path.path_id,
                    [
                        (plain.packet_number, plain.plaintext, len(packet))
                        for packet, plain in zip(packets, opened, strict=True)
                        if plain is not None
                    ],
                )
        if batch.numbers:
            yield batch

    def open_run(self, run: ReceivedDatagrams, now: Instant) -> Iterable[ReceivedBatch | bytes]:
        """Do what `open` does for short-header packets that have the same destination.

        Returns:
            Packets that nobody could open, and a batch.

        Raises:
            RemoteProtocolError: a packet broke a rule.
        """
        cid = run.data[1 : 1 + CONNECTION_ID_LENGTH]
        local = self._local_cids.lookup(cid)
        path = None if local is None else self._paths.get(local.path_id)
        if local is None or path is None or self._tracer is not None:
            # A stranger, a new path, or somebody looks at every packet.
            return self.open(run.four_tuple, split_segments(run), run.ecn, now)
        if self._accept is None and run.four_tuple not in path.network_paths:
            # RFC 9000 s9: "If a client receives packets from an unknown server address, the client
            # MUST discard these packets."
            return ()
        batch = ReceivedBatch(path=path, path_cid=cid, cid_sequence=local.sequence_number)
        outcomes: list[ReceivedBatch | bytes] = []
        size, whole = run.segment_size, len(run.data)
        opened = self._protection.open_run(
            path_id=path.path_id,
            largest_received=path.received.largest,
            cid_length=CONNECTION_ID_LENGTH,
            run=run,
            now=now,
        )
        start = 0
        try:
            for plain in opened:
                if isinstance(plain, OpenedTrain):
                    stop = min(start + len(plain.payloads) * size, whole)
                    self._take_train(batch, plain, stop - start, now)
                else:
                    stop = min(start + size, whole)
                    if plain is not None:
                        number, payload, _ = plain
                        self._take(batch, number, payload, stop - start, now)
                    elif stop - start >= _SMALLEST_PACKET:
                        self.undecryptable_count += 1
                        outcomes.append(run.data[start:stop])
                start = stop
        finally:
            self._record(batch, run.four_tuple, run.ecn, now)
        if batch.numbers:
            outcomes.append(batch)
        return outcomes

    def _path_for(
        self, path_id: PathId, four_tuple: FourTuple, packets: Sequence[bytes], now: Instant
    ) -> Path | None:
        """Find the path that packets are for, or create it if they may open one."""
        path = self._paths.get(path_id)
        if path is None:
            if self._accept is None or not self._is_authentic(path_id, packets, now):
                return None
            return self._accept(path_id, four_tuple, now)
        if self._accept is None and four_tuple not in path.network_paths:
            # RFC 9000 s9: "If a client receives packets from an unknown server address, the client
            # MUST discard these packets."
            return None
        return path

    def _take(
        self, batch: ReceivedBatch, number: int, payload: bytes, size: int, now: Instant
    ) -> None:
        """Handle the frames of one authentic packet, unless it is a duplicate."""
        received = batch.path.received
        if number in batch.numbers or received.is_duplicate(number):
            return
        is_new_largest = number > max(batch.largest, received.largest)
        if payload and payload[0] == 0x30:  # noqa: PLR2004 - DATAGRAM to the packet's end
            batch.datagrams.append(payload[1:])
            batch.ack_eliciting_count += 1
            batch.migrates |= is_new_largest
        else:
            frames = self._frame_table.handle(payload, batch.path_cid, now)
            batch.datagrams += frames.datagrams
            batch.own_frames += frames.own_frames
            batch.touched_engine |= frames.touched_engine
            batch.ack_eliciting_count += frames.is_ack_eliciting
            batch.migrates |= is_new_largest and not frames.is_probing
        batch.numbers.add(number, number + 1)
        batch.largest = max(batch.largest, number)
        batch.received_bytes += size

    def _take_train(
        self, batch: ReceivedBatch, train: OpenedTrain, size: int, now: Instant
    ) -> None:
        """Handle packets that are one DATAGRAM frame each."""
        first, count = train.packet_number, len(train.payloads)
        if first <= max(batch.largest, batch.path.received.largest):
            # Some of them may be duplicates.
            mean = size // count
            for number, payload in enumerate(train.payloads.packets(), first):
                self._take(batch, number, _DATAGRAM_TO_END + payload, mean, now)
            return
        batch.datagrams.append(train.payloads)
        batch.ack_eliciting_count += count
        batch.migrates = True
        batch.numbers.add(first, first + count)
        batch.largest = first + count - 1
        batch.received_bytes += size

    def _record(self, batch: ReceivedBatch, four_tuple: FourTuple, ecn: int, now: Instant) -> None:
        """Take note of the packets of a batch, also when one of them broke a rule."""
        if not batch.numbers:
            return
        path = batch.path
        path.received.record(
            batch.numbers,
            ack_eliciting_count=batch.ack_eliciting_count,
            ecn=ecn,
            now=now,
        )
        path.received_packets += batch.numbers.count
        path.received_bytes += batch.received_bytes
        current = path.current
        if four_tuple != current.four_tuple:
            current = path.network_path(four_tuple)
        current.on_datagram_received(batch.received_bytes)
        self.last_received_at = path.last_received_at = now
        if batch.datagrams or not batch.has_contents:
            path.data_received_at = now

    def note_taken(
        self, path: Path, numbers: PacketNumberRanges, received_bytes: int, now: Instant
    ) -> None:
        """Take note of packets that the bypass has opened and forwarded.

        Args:
            path: the path; they came over its current network path.
            numbers: of the packets, each one new.
            received_bytes: UDP payload bytes of them.
            now: when they came.
        """
        batch = ReceivedBatch(path=path, has_contents=False, numbers=numbers)
        batch.ack_eliciting_count = numbers.count
        batch.received_bytes = received_bytes
        self._record(batch, path.current.four_tuple, 0, now)

    def _is_authentic(self, path_id: PathId, packets: Sequence[bytes], now: Instant) -> bool:
        """State for a new path is created only after a packet of it has authenticated."""
        opened = self._protection.open(
            path_id=path_id,
            largest_received=-1,
            cid_length=CONNECTION_ID_LENGTH,
            packets=packets[:1],
            now=now,
        )
        return any(plain is not None for plain in opened)
