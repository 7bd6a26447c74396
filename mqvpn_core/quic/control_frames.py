"""Our own frames that must arrive: sent on any path, queued again when lost (RFC 9000 s13.3)."""

from collections import deque

from mqvpn_core.quic.aioquic_bridge.path_builder import DeliveryState, PathPacketBuilder

MAX_QUEUED_FRAMES = 512
"""A peer that makes us queue more is misbehaving; `is_overrun` tells the connection to close."""


class ControlFrames:
    """First in, first out; frames are complete encodings."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_overrun(self) -> bool:
        """More frames wait than any honest exchange needs."""
        return len(self._queue) > MAX_QUEUED_FRAMES

    def push(self, frame: bytes) -> None:
        """Queue an ack-eliciting frame."""
        self._queue.append(frame)

    def write_into(self, builder: PathPacketBuilder) -> None:
        """Move frames into packets.

        Raises:
            BuilderStop: the builder is full; the rest stays queued.
        """
        while self._queue:
            frame = self._queue[0]
            builder.write_frame(frame, is_ack_eliciting=True, handler=(self._on_delivery, (frame,)))
            self._queue.popleft()

    def _on_delivery(self, state: DeliveryState, frame: bytes) -> None:
        if state is not DeliveryState.ACKED:
            self._queue.append(frame)
