"""Acknowledgements of what was received, and which packets take them along.

An ACK goes with DATAGRAM frames that leave anyway where there is room behind them; a packet of its
own costs both sides as much as twenty packets of a batch.
"""

from mqvpn_core.dataplane.packets import Payload
from mqvpn_core.ids import Instant
from mqvpn_core.quic.aioquic_bridge.path_builder import PathPacketBuilder
from mqvpn_core.quic.packet_sources import PACKET_OVERHEAD, PacketSources
from mqvpn_core.quic.paths import Path
from mqvpn_core.quic.timers import is_due
from mqvpn_core.wire.ack_frames import EcnCounts, encode_ack_body
from mqvpn_core.wire.code_points import FrameType
from mqvpn_core.wire.varint import encode_varint

LOCAL_ACK_DELAY_EXPONENT = 3
"""What the engine advertises."""

_MIN_ACK_BYTES = 64
_RANGE_BYTES = 8


class OutgoingAcks:
    """Writes ACK and PATH_ACK frames.

    A: is_due. C: write_into, append_to.
    """

    def __init__(self, sources: PacketSources) -> None:
        self._sources = sources

    def is_due(self, path: Path, now: Instant) -> bool:
        """Tell whether some acknowledgement has to leave on a path now."""
        return any(is_due(other.received.ack_due_at, now) for other in self._sources_of(path))

    def write_into(self, builder: PathPacketBuilder, path: Path, now: Instant) -> None:
        """Write all that there is to acknowledge on a path, a packet for each path it is about.

        Raises:
            BuilderStop: the amplification limit allows no packet.
        """
        for other in self._sources_of(path):
            if other.received.has_unacknowledged:
                builder.start_own_packet()
                room = min(_room(path) - _MIN_ACK_BYTES, builder.remaining_buffer_space - 1)
                frame = self._encode(other, room, now)
                builder.write_frame(frame, is_ack_eliciting=False)
                if other is path:
                    builder.note_acknowledgement(other.received.largest)
                other.received.on_ack_sent(now)

    def append_to(self, payloads: list[Payload], path: Path, now: Instant) -> int | None:
        """Let the last of some packets with DATAGRAM frames take along what is there, due or not.

        Args:
            payloads: frames of each packet; the last one is replaced.
            path: the path they leave on.
            now: the time.

        Returns:
            The largest number acknowledged; None when there is none, or no room.
        """
        received = path.received
        if not received.has_unacknowledged:
            return None
        last = payloads[-1]
        if not isinstance(last, bytes):
            # The packets of a train are full.
            return None
        current = path.current
        room = _room(path) - len(last)
        if room < _MIN_ACK_BYTES or current.amplification_room() is not None:
            return None
        room = min(room, current.recovery.send_budget(now) - sum(map(_sealed_bytes, payloads)))
        # No range is left out for want of room here.
        if room < _MIN_ACK_BYTES + _RANGE_BYTES * len(received.ack_ranges()):
            return None
        # In front: the last DATAGRAM frame goes to the end of the packet.
        payloads[-1] = self._encode(path, room, now) + last
        received.on_ack_sent(now)
        return received.largest

    def _sources_of(self, path: Path) -> list[Path]:
        """Paths whose packets are acknowledged on this one: itself and those that cannot send.

        RFC 10069 s3.4.3: PATH_ACK frames of an abandoned path have to be sent on another.
        """
        paths = self._sources.paths
        if len(paths) == 1:
            return [path]
        return [path, *(other for other in paths.values() if not other.may_send)]

    def _encode(self, acknowledged: Path, max_bytes: int, now: Instant) -> bytes:
        """Return the frame that acknowledges the packets of a path."""
        received = acknowledged.received
        ecn = received.ecn_counts
        if self._sources.path_ids.is_negotiated:
            frame_type = FrameType.PATH_ACK if ecn is None else FrameType.PATH_ACK_ECN
            head = encode_varint(frame_type) + encode_varint(acknowledged.path_id)
        else:
            head = encode_varint(FrameType.ACK if ecn is None else FrameType.ACK_ECN)
        return head + encode_ack_body(
            received.ack_ranges(),
            int(received.ack_delay(now) * 1_000_000) >> LOCAL_ACK_DELAY_EXPONENT,
            EcnCounts(*ecn) if ecn is not None else None,
            max_bytes=max_bytes - len(head),
        )


def _sealed_bytes(payload: Payload) -> int:
    """Count the bytes of the packets with these frames."""
    if isinstance(payload, bytes):
        return len(payload) + PACKET_OVERHEAD
    front, train = payload
    return train.total_bytes + len(train) * (len(front) + PACKET_OVERHEAD)


def _room(path: Path) -> int:
    """Bytes of frames in one packet of a path's current network path."""
    return path.current.pmtu.current - PACKET_OVERHEAD
