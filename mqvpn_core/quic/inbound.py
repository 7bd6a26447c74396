"""From UDP payloads to what they change: the receiving half of a connection.

Long headers go to the handshake, 1-RTT packets are opened, their frames handed to who acts on them.
Acknowledgements wait: whoever needs the DATAGRAMs beside them needs nothing that follows from them.
"""

from collections.abc import Iterable, Sequence

from mqvpn_core.dataplane import kernel
from mqvpn_core.errors import RemoteProtocolError
from mqvpn_core.ids import FourTuple, Instant
from mqvpn_core.quic.connection_parts import ConnectionParts
from mqvpn_core.quic.events import DatagramsReceived
from mqvpn_core.quic.handshake import PATH_ZERO
from mqvpn_core.quic.packet_receiver import ReceivedBatch
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.transport_config import CONNECTION_ID_LENGTH
from mqvpn_core.quic.udp_datagrams import ReceivedDatagrams, split_segments
from mqvpn_core.wire.ack_frames import Ack
from mqvpn_core.wire.code_points import TransportErrorCode
from mqvpn_core.wire.path_frames import PathAck


class Inbound:
    """B: receive, settle, advance_handshake."""

    def __init__(self, parts: ConnectionParts) -> None:
        self._parts = parts
        self._sources = parts.sources
        self._engine = parts.sources.engine
        # Where they came, and when.
        self._waiting: list[tuple[Path, FourTuple, Ack | PathAck, Instant]] = []

    def receive(self, batch: ReceivedDatagrams, now: Instant) -> None:
        """Process UDP payloads that came over one four-tuple.

        Raises:
            RemoteProtocolError: a packet broke a rule; the connection has to be closed.
        """
        four_tuple, data, size, ecn = batch
        if len(data) > size and self._sources.protection.can_receive:
            is_short = not data[0] & 0x80
            if is_short and kernel.share_destination(data, size, CONNECTION_ID_LENGTH):
                self._process(self._parts.receiver.open_run(batch, now), four_tuple, now)
                return
        self._receive_mixed(four_tuple, split_segments(batch), ecn, now)

    def settle(self) -> None:
        """Act on the acknowledgements that wait, as of when they came.

        Raises:
            RemoteProtocolError: one of them broke a rule; the connection has to be closed.
        """
        waiting, self._waiting = self._waiting, []
        for path, four_tuple, frame, received_at in waiting:
            self._parts.own_frames.handle(path, four_tuple, frame, received_at)

    def _receive_mixed(
        self, four_tuple: FourTuple, packets: Sequence[bytes], ecn: int, now: Instant
    ) -> None:
        short: list[bytes] = []
        for packet in packets:
            if packet[0] & 0x80:
                self._receive_short(four_tuple, short, ecn, now)
                rest = self._receive_long(four_tuple, packet, now)
                short = [rest] if rest else []
            else:
                short.append(packet)
        self._receive_short(four_tuple, short, ecn, now)

    def advance_handshake(self, now: Instant) -> None:
        """Once the handshake is complete, let both sides use what was negotiated."""
        if not self._parts.handshake.advance(now):
            return
        if self._sources.path_ids.is_negotiated:
            self._parts.frame_table.enable_multipath()
        for path in self._sources.paths.values():
            path.kept_alive_at = now
        self._parts.exchange.issue(PATH_ZERO)
        self._parts.exchange.issue_for_unused()

    def _receive_long(self, four_tuple: FourTuple, packet: bytes, now: Instant) -> bytes:
        could_receive = self._sources.protection.can_receive
        rest = self._parts.handshake.receive(four_tuple, packet, now)
        self._sources.engine_has_frames = True
        # At once: the 1-RTT packet behind it may hold frames of the extension.
        self.advance_handshake(now)
        if self._sources.protection.can_receive and not could_receive:
            for early_four_tuple, early, ecn in self._parts.receiver.take_early():
                self._receive_short(early_four_tuple, [early], ecn, now)
        return rest

    def _receive_short(
        self, four_tuple: FourTuple, packets: list[bytes], ecn: int, now: Instant
    ) -> None:
        if not self._sources.protection.can_receive:
            for packet in packets:
                self._parts.receiver.keep_early(four_tuple, packet, ecn)
            return
        self._process(self._parts.receiver.open(four_tuple, packets, ecn, now), four_tuple, now)

    def _process(
        self, outcomes: Iterable[ReceivedBatch | bytes], four_tuple: FourTuple, now: Instant
    ) -> None:
        for outcome in outcomes:
            if isinstance(outcome, ReceivedBatch):
                self._process_batch(outcome, four_tuple, now)
            elif self._parts.receiver.is_stateless_reset(outcome):
                self._engine.enter_draining(0, "stateless reset: the server lost its state", now)
                return

    def _process_batch(self, batch: ReceivedBatch, four_tuple: FourTuple, now: Instant) -> None:
        self._engine.note_packet_received(now)
        path = batch.path
        if batch.datagrams:
            self._parts.events.append(DatagramsReceived(payloads=tuple(batch.datagrams)))
        for frame in batch.own_frames:
            if isinstance(frame, Ack | PathAck) and self._may_wait(frame):
                self._waiting.append((path, four_tuple, frame, now))
            else:
                self.settle()
                self._parts.own_frames.handle(path, four_tuple, frame, now)
        if self._sources.control_frames.is_overrun:
            raise RemoteProtocolError(
                TransportErrorCode.CONNECTION_ID_LIMIT_ERROR, "too many frames to answer"
            )
        if batch.touched_engine:
            self._sources.engine_has_frames = True
        moved = batch.migrates and four_tuple != path.current.four_tuple
        if moved and not self._engine.is_client and not path.is_abandoned:
            self._parts.upkeep.on_new_address(path, four_tuple, now)
            if batch.cid_sequence != path.last_cid_sequence:
                # RFC 9000 s9.5: it moved on purpose, with a fresh connection ID: so do we
                self._parts.exchange.rotate(path.path_id)
        path.last_cid_sequence = batch.cid_sequence

    def _may_wait(self, frame: Ack | PathAck) -> bool:
        """Tell whether nobody misses an acknowledgement before the next packets are sent."""
        path_id, ack = (PATH_ZERO, frame) if isinstance(frame, Ack) else (frame.path_id, frame.ack)
        path = self._sources.paths.get(path_id)
        # One of a packet that was never sent must not be outrun by the packet.
        return (
            self._parts.handshake.is_confirmed
            and path is not None
            and ack.ranges[0][1] < path.sent.next_packet_number
        )
