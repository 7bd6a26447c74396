"""Collects frames into plain 1-RTT packets of one path; quacks like aioquic's QuicPacketBuilder.

The engine writes its frames (CRYPTO, STREAM, flow control, HANDSHAKE_DONE) into it, our packetizer
writes ours. What comes out are plaintexts; numbers, keys and datagrams are not known here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from aioquic._buffer import Buffer
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilderStop

from mqvpn_core.wire.code_points import FrameType

DeliveryState = QuicDeliveryState
"""ACKED or LOST: first argument of every delivery handler."""

BuilderStop = QuicPacketBuilderStop
"""Raised when a frame does not fit; the frame is then not written at all."""

DeliveryHandler: TypeAlias = tuple[Callable[..., None], Sequence[object]]
"""Called exactly once, as ``function(state, *arguments)``, when the fate of a packet is known."""

_NOT_ACK_ELICITING = frozenset(
    {
        FrameType.PADDING,
        FrameType.ACK,
        FrameType.ACK_ECN,
        FrameType.PATH_ACK,
        FrameType.PATH_ACK_ECN,
        FrameType.CONNECTION_CLOSE,
        FrameType.CONNECTION_CLOSE_APPLICATION,
    }
)
_NOT_IN_FLIGHT = _NOT_ACK_ELICITING - {FrameType.PADDING}

SMALLEST_USEFUL_PAYLOAD = 64
"""Ordinary packets with less room for frames are not started: any ACK fits this much."""


@dataclass(slots=True, kw_only=True)
class PlainPacket:
    """Frames of one packet, not sealed yet."""

    payload: bytes = b""
    """The frames."""
    is_ack_eliciting: bool = False
    """Some frame must be acknowledged (RFC 9000 s13.2)."""
    is_in_flight: bool = False
    """Counts against the congestion window (RFC 9002 s2)."""
    handlers: list[DeliveryHandler] = field(default_factory=list)
    """Who wants to know whether the packet arrived."""
    largest_acknowledged: int | None = None
    """Largest packet number in the ACK frame it carries."""


class PathPacketBuilder:
    """Builds packets for one path within its size, congestion and amplification limits.

    A: packets, packet_is_empty, remaining_*; C: start_packet, start_frame, start_own_packet,
    write_frame, keep_open, finish. The engine calls start_packet and start_frame; both raise
    BuilderStop when a limit is reached, before anything is written.
    """

    def __init__(
        self,
        *,
        payload_capacity: int,
        packet_overhead: int,
        flight_budget: int,
        total_budget: int | None,
        first_packet_number: int,
        smallest_payload: int = SMALLEST_USEFUL_PAYLOAD,
    ) -> None:
        """Set the limits.

        Args:
            payload_capacity: most bytes of frames in one packet.
            packet_overhead: bytes of header and tag around the frames.
            flight_budget: most bytes of packets that count as in flight.
            total_budget: most bytes of packets at all (anti-amplification), or None.
            first_packet_number: number the first packet will get.
            smallest_payload: with less room for frames no packet is started.
        """
        self.packets: list[PlainPacket] = []
        self.quic_logger_frames: list[dict[str, object]] = []
        self._capacity = payload_capacity
        self._overhead = packet_overhead
        self._flight_budget = flight_budget
        self._total_budget = total_budget
        self._first_packet_number = first_packet_number
        self._smallest_payload = min(smallest_payload, payload_capacity)
        self._buffer = Buffer(capacity=payload_capacity)
        self._packet: PlainPacket | None = None
        self._limit = 0
        self._may_continue = False

    @property
    def packet_is_empty(self) -> bool:
        """No frame has been written into the open packet."""
        return self._buffer.tell() == 0

    @property
    def packet_number(self) -> int:
        """Number that the open packet will get, unless earlier ones stay empty."""
        return self._first_packet_number + len(self.packets)

    @property
    def remaining_buffer_space(self) -> int:
        """Bytes left in the open packet."""
        return self._limit - self._buffer.tell()

    @property
    def remaining_flight_space(self) -> int:
        """Bytes left in the open packet for frames that count as in flight."""
        return min(self._limit, self._flight_budget - self._overhead) - self._buffer.tell()

    def start_packet(self, packet_type: object = None, crypto: object = None) -> None:  # noqa: ARG002 - aioquic's signature
        """Open a packet, or go on with the one that `keep_open` left.

        Raises:
            BuilderStop: no budget is left for another packet.
        """
        if self._packet is not None and self._may_continue:
            self._may_continue = False
            return
        self.finish()
        self._open()
        if self.remaining_flight_space < self._smallest_payload:
            # The engine writes nothing where a stream frame does not fit and takes that for having
            # nothing to say: it has to hear that it was stopped.
            self._packet = None
            raise BuilderStop

    def start_own_packet(self) -> None:
        """Open a packet for our own frames: an ACK may leave though the congestion window is full.

        Raises:
            BuilderStop: the amplification limit allows no packet.
        """
        self.finish()
        self._open()

    def start_frame(
        self,
        frame_type: int,
        capacity: int = 1,
        handler: Callable[..., None] | None = None,
        handler_args: Sequence[object] = (),
    ) -> Buffer:
        """Write a frame type and return the buffer for the rest, at least `capacity` bytes long."""
        packet = self._packet
        if packet is None or self.remaining_buffer_space < capacity:
            raise BuilderStop
        if frame_type not in _NOT_IN_FLIGHT:
            if self.remaining_flight_space < capacity:
                raise BuilderStop
            packet.is_in_flight = True
        if frame_type not in _NOT_ACK_ELICITING:
            packet.is_ack_eliciting = True
        if handler is not None:
            packet.handlers.append((handler, handler_args))
        self._buffer.push_uint_var(frame_type)
        return self._buffer

    def write_frame(
        self, frame: bytes, *, is_ack_eliciting: bool, handler: DeliveryHandler | None = None
    ) -> None:
        """Append a whole encoded frame to the open packet, opening one if needed.

        Raises:
            BuilderStop: it does not fit into a new packet either.
        """
        if self._packet is None or self.remaining_buffer_space < len(frame):
            self.finish()
            self._open()
        packet = self._packet
        assert packet is not None
        room = self.remaining_flight_space if is_ack_eliciting else self.remaining_buffer_space
        if room < len(frame):
            raise BuilderStop
        if is_ack_eliciting:
            packet.is_ack_eliciting = packet.is_in_flight = True
        if handler is not None:
            packet.handlers.append(handler)
        self._buffer.push_bytes(frame)

    def note_acknowledgement(self, largest: int) -> None:
        """Remember that the open packet carries an ACK up to `largest`."""
        assert self._packet is not None
        self._packet.largest_acknowledged = largest

    def keep_open(self) -> None:
        """Let the engine's next `start_packet` add to the open packet instead of closing it."""
        self._may_continue = self._packet is not None

    def finish(self) -> None:
        """Close the open packet; an empty one vanishes."""
        packet = self._packet
        self._packet = None
        self._may_continue = False
        size = self._buffer.tell()
        if packet is None or size == 0:
            return
        packet.payload = self._buffer.data
        self._buffer.seek(0)
        self.packets.append(packet)
        if packet.is_in_flight:
            self._flight_budget -= size + self._overhead
        if self._total_budget is not None:
            self._total_budget -= size + self._overhead

    def _open(self) -> None:
        limit = self._capacity
        if self._total_budget is not None:
            limit = min(limit, self._total_budget - self._overhead)
        if limit < self._smallest_payload:
            raise BuilderStop
        self._limit = limit
        self._packet = PlainPacket()
        self._may_continue = False
        self.quic_logger_frames = []
